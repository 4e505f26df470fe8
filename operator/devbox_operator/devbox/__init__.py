"""A Devbox becomes a pod: observe, compile (pure), apply, status."""
