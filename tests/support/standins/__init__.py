"""Registries, a git host and a page, for the egress tests: they run in a pod of the image tools."""
