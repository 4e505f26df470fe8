"""The gateway beside nginx, Envoy and a plain aiohttp proxy, in one run: `make bench`, docs/performance.md."""
