"""Real SDKs, unmodified, against a gateway process in front of stand-ins for the APIs that they were made for."""
