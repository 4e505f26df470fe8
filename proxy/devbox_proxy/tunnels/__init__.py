"""The forward proxy: from a CONNECT to the end of its tunnel."""
