"""The tables of transitions in the state machines' docstrings, and what the machines do in fact."""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from devbox_proxy.requests import connection, exchange
from devbox_proxy.tunnels import tunnel

MACHINES: Final[dict[str, tuple[ModuleType, type, str]]] = {
    "connection": (connection, connection.Connection, "_phase"),
    "exchange": (exchange, exchange.Exchange, "state"),
    "tunnel": (tunnel, tunnel.Tunnel, "stage"),
}
COMPILED: Final = not str(exchange.__file__).endswith(".py")
"""Machine code's attributes can't be watched."""
Transition = tuple[str, str]


def table(name: str) -> set[Transition]:
    """From and to, of the docstring."""
    lines = iter((MACHINES[name][0].__doc__ or "").splitlines())
    for line in lines:
        if line.split() == ["from", "to", "when"]:
            break
    rows: set[Transition] = set()
    for line in lines:
        if not line.strip():
            break
        before, after, *_ = line.split()
        rows.add((before, after))
    return rows


@contextlib.contextmanager
def recorded() -> Iterator[dict[str, set[Transition]]]:
    """What happens meanwhile, by machine. (Where something is set to what it was, nothing happens.)"""
    found: dict[str, set[Transition]] = {name: set() for name in MACHINES}
    with contextlib.ExitStack() as stack:
        for name, (_, machine, attribute) in MACHINES.items():
            stack.enter_context(_watched(machine, attribute, found[name]))
        yield found


@contextlib.contextmanager
def _watched(machine: Any, attribute: str, found: set[Transition]) -> Iterator[None]:
    slot = machine.__dict__[attribute]

    def put(one: Any, value: Any) -> None:
        try:
            before = slot.__get__(one)
        except AttributeError:  # its first one
            before = value
        if before is not value:
            found.add((before.name, value.name))
        slot.__set__(one, value)

    setattr(machine, attribute, property(slot.__get__, put))
    try:
        yield
    finally:
        setattr(machine, attribute, slot)
