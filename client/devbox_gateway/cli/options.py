"""The options that every verb has."""

from dataclasses import dataclass


@dataclass
class Options:
    """Which cluster, and how to print."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None
    output: str | None = None
