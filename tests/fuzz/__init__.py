"""Mutated requests against a real gateway process: `make fuzz`, docs in tests/fuzz/README.md."""
