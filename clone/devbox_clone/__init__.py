"""The container that clones a devbox's repositories (`spec.codeMounts`) before its agent starts. The standard library and what the client
has of the API, too: it runs beside what strangers have written, and holds tokens of its own pod alone."""
