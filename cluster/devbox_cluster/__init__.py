"""A local Kubernetes for the demo and the tests: kind where a Docker engine runs, else the real components on this machine.

Everything it keeps is under one cache folder outside the work tree, so that clones share it. Stands alone: imports nothing of
operator, gateway or API.
"""
