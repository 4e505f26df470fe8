"""The demo: everything that the project promises, shown on a real cluster. `make demo` runs it; the integration tests use its
stand-in, its key search and its diagnosis."""
