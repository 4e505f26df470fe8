"""How much at a time, and who did what."""
