"""The demo: everything that the project promises, shown on a real cluster. `make demo` runs it; what it stands on is
devbox_stage."""
