"""The gateway: verifies a devbox's token with the cluster, puts the real credential in, and streams.

One request reads in six files: server → guard → identity → credentials → relay → upstream. guard, tokens, identity and
credentials are pure: bytes and a mirror in, a decision out; only server, relay and upstream touch the data path's sockets.
"""
