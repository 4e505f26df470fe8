"""The parts of `make probes`, by name."""

from collections.abc import Callable
from typing import Final

from .births import births
from .endings import endings
from .faults import faults
from .matrix import direct
from .proxied import proxied
from .report import Verdict
from .tightened import tightened
from .world import World

PARTS: Final[dict[str, Callable[[World], list[Verdict]]]] = {
    "direct": direct,
    "proxied": proxied,
    "births": births,
    "faults": faults,
    "tightened": tightened,
    "endings": endings,
}
