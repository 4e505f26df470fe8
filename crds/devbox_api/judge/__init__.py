"""What is allowed: pure functions that the gateway decides by, and that the client answers questions with. The standard library alone."""
