"""The gateway's audit lines of one's own devboxes: who called what, and what came of it."""
