"""`kubectl devbox`: the client's calls, for people at a terminal. app.py is where it begins, table.py names its verbs."""
