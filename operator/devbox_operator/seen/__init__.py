"""What was observed, as frozen views, and who refers to whom. Pure."""
