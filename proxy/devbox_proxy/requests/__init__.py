"""The data port: one connection, one exchange, and what all of them share."""
