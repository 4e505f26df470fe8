"""Faults, as tests: gateway processes on real sockets, and everything around them failing in turn. docs/results/lab has the figures."""
