"""What is too long for `make test`, by one command, with its figures kept."""
