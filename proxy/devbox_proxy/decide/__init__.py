"""May it, and to where? Nothing here talks to anybody, but for what waits for an answer."""
