"""Names for what is told of a request: its id, and where an error comes from."""

import itertools
import os
from typing import Final

_PREFIX: Final = os.urandom(10).hex()
_numbers = itertools.count(1)


def new_request_id() -> str:
    """Unique in all replicas; not a secret."""
    return f"req_{_PREFIX}{next(_numbers):012x}"


def where(error: BaseException) -> str:
    """File and line that an error comes from. All that a log may hold of it besides its kind: its text may quote what was read."""
    frames = error.__traceback__
    while frames and frames.tb_next:
        frames = frames.tb_next
    return f"{frames.tb_frame.f_code.co_filename}:{frames.tb_lineno}" if frames else ""
