"""What the client shares with the server goes into its wheel: from the project's own folder, or, in an sdist, from beside this file."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHARED = ("__init__.py", "names.py", "judge")


class Shared(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook, for the sdist and for the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Say where they are."""
        here = Path(self.root) / "devbox_api"
        source = here if here.is_dir() else Path(self.root).parent / "crds" / "devbox_api"
        build_data["force_include"].update({str(source / name): f"devbox_api/{name}" for name in SHARED})
