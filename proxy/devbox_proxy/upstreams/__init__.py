"""Towards the APIs: addresses that are checked, connections, and the pool that keeps them."""
