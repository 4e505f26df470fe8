"""Machinery with no Devbox in it: queue, Lease, guarded writes."""
