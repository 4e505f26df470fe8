"""Faults, as tests: gateway processes on real sockets, and everything around them failing in turn. docs/reliability.md has the figures."""
