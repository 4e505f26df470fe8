"""What the gateway will read."""
