"""The attack corpus, run against a real gateway process over real sockets: `make attacks`, docs in tests/attacks/README.md."""
