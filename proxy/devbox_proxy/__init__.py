"""The gateway: verifies a devbox's token with the cluster, puts the real credential in, and streams.

A request comes in by `ports` and `requests` (a tunnel by `tunnels`), `wire` reads it, `decide` judges it by what is `known`, and it
goes out by `upstreams`, with `accounting` at both ends. docs/architecture.md has the map of the wings, and
docs/results/lab/files-passed.md the files in their order.
"""
