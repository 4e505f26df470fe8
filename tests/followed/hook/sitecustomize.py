"""In a process that has this folder on PYTHONPATH, SIGUSR2 begins to note which files are called, and a second one ends that.

Goes in: `DEVBOX_FOLLOWED`, a file. Comes out: in it, the files of our packages in the order of their first call, one a line.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

PACKAGES: Final = ("devbox_proxy", "devbox_operator", "devbox_common", "devbox_api")


class Followed:
    """What was called so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, None] = {}
        self._working = False

    def toggle(self, *_: object) -> None:
        """Begin, or end and write it down."""
        self._working = not self._working
        sys.setprofile(self._note if self._working else None)
        threading.setprofile(self._note if self._working else None)
        if not self._working:
            self._path.write_text("\n".join(self._seen), encoding="utf-8")
            self._seen.clear()

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code: CodeType = frame.f_code
        if event == "call" and code.co_name != "<module>":
            parts = Path(code.co_filename).parts
            for package in PACKAGES:
                if package in parts:
                    self._seen.setdefault("/".join(parts[parts.index(package) :]))


if wanted := os.environ.get("DEVBOX_FOLLOWED"):
    signal.signal(signal.SIGUSR2, Followed(Path(wanted)).toggle)
