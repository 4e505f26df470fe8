"""Agents as their registries give them, each at work in a devbox of the local cluster: `make agents`."""
