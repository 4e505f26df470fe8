"""What a person reads when something fails, and with which code the program ends; never a traceback.

Goes in: an exception. Comes out: text for stderr, an exit code.
"""

import traceback
from pathlib import Path
from typing import Final

from devbox_gateway.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConflictError,
    DevboxGatewayError,
    ExecLostError,
    InUseError,
    InvalidError,
    NotFoundError,
    NotReadyError,
    PermissionDeniedError,
)

from .plain import message

FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 128
"""And the signal's number."""
PIPE: Final = 141
"""Whoever read our output has left."""
OWN: Final = 125
"""Of `exec`, `shell` and `run`, whose other codes are the command's: it was not the command that failed."""
CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (InvalidError, USAGE),
    (NotFoundError, 3),
    (PermissionDeniedError, 4),
    (AuthenticationError, 4),
    (NotReadyError, 5),
    (APITimeoutError, 5),
    (APIConnectionError, 6),
    (ExecLostError, 6),
    (ConflictError, 7),
    (InUseError, 7),
)
"""The first one that fits. docs/cli.md has them."""
WORDS: Final = (
    ("devbox.await_running()", "kubectl devbox wait NAME"),
    ("devbox.resume()", "kubectl devbox resume NAME"),
    ("get_info() reads it", "ask for it first"),
    ("set allowInsecure: true", "add --allow-insecure"),
    ("write allowAll: true", "write --allow-all"),
    ("differs in value; update it", "differs in value; give it this one (kubectl devbox secret rotate NAME)"),
    ("cut them off: force=True", "cut them off: --force"),
    ("keep_on_failure=True keeps it", "--keep-on-failure keeps it"),
    ("devbox.file.upload(…)", "kubectl devbox cp"),
    ("(devbox.file.write)", "(kubectl devbox cp)"),
    ("recursive=True deletes", "kubectl devbox exec NAME -- rm -r deletes"),
    ("launch_parameters.network_policy_id", "--policy"),
    ("network_policy_id", "--policy"),
    ("environment_variables", "--env"),
    ("allowed_hostnames", "--allow-host"),
    ("allowed_cidrs", "--allow-cidr"),
    ("allowed_hosts", "--host"),
    ("auth_mechanism", "--auth"),
)
"""What the client says of its Python calls, in the words of the command line."""


class Failed(Exception):
    """A verb's end with a line on stderr. The text is made plain when it is shown."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


def code_of(error: BaseException) -> int:
    """Which exit code stands for it."""
    return next((code for kind, code in CODES if isinstance(error, kind)), FAILED)


def text_of(error: BaseException) -> str:
    """What it says to a person."""
    if isinstance(error, DevboxGatewayError):
        said = str(error)
        for python, here in WORDS:
            said = said.replace(python, here)
        return message(said)
    if isinstance(error, OSError) and error.strerror:
        return message(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    # (Its own text may hold anything, a Secret's value among it.)
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "devbox_gateway" in frame.filename]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"internal error: {type(error).__name__}{place}; please report it, with what you did"
