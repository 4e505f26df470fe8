"""May it, and to where? Pure."""
