"""Names are looked up beside each other (reliability §4, C20)."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from devbox_proxy import lookups
from devbox_proxy.lookups import Lookups


class Names:
    """In place of getaddrinfo: a name that begins with "silent" answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let = threading.Event()

    def __call__(self, host: str, port: None, *, type: int) -> list[Any]:  # noqa: A002
        self.asked.append(host)
        if host.startswith("silent"):
            self.let.wait(10)
        if host == "none.example":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    stand_in = Names()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in)
    yield stand_in
    stand_in.let.set()


async def test_each_address_once_and_in_order(names: Names) -> None:
    assert await Lookups().addresses("a.example") == ["192.0.2.1", "192.0.2.2"]


async def test_one_lookup_at_a_time_for_a_name(names: Names) -> None:
    subject = Lookups()
    waiting = [asyncio.create_task(subject.addresses("silent.example")) for _ in range(50)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    names.let.set()
    assert await waiting[1] == ["192.0.2.1", "192.0.2.2"]
    assert names.asked == ["silent.example"]
    await subject.addresses("silent.example")
    assert len(names.asked) == 2, "an answer is for those who waited for it"


async def test_silent_names_do_not_hold_up_others(names: Names) -> None:
    subject = Lookups()
    waiting = [asyncio.create_task(subject.addresses(f"silent-{n}.example")) for n in range(40)]
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(subject.addresses("a.example"), 2)
    names.let.set()
    await asyncio.gather(*waiting)


async def test_no_name_and_no_answer(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Lookups()
    with pytest.raises(socket.gaierror):
        await subject.addresses("none.example")
    monkeypatch.setattr(lookups, "SECONDS", 0.05)
    with pytest.raises(OSError, match=r"no answer from DNS in 0\.05 s"):
        await subject.addresses("silent.example")


async def test_a_name_that_no_server_could_know() -> None:
    with pytest.raises(OSError, match="not a name"):
        await Lookups().addresses("a" * 64 + ".example")
