"""Listening sockets: the data port, the forward proxy, the canary, admin; certificates, and shares of open files."""
