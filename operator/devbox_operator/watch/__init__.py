"""What the API server has, kept current, and whom a change of it wakes."""
