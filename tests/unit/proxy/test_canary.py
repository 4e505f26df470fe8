"""The canary's port while the gateway is busy: whoever is not confined gets an answer there for as long as at the data port."""

import asyncio
import socket
from contextlib import ExitStack, closing

from devbox_proxy.ports.canary import GREETING, canary

MANY = 300
"""More than the usual backlogs of 100 and 128."""


async def test_it_answers_while_nothing_is_taken_from_its_queue() -> None:
    """A silent canary is a policy at work for a devbox that starts, and the kernel answers at the data port all the while."""
    server = canary("127.0.0.1", 0, 8)
    port = await server.open()
    try:
        with ExitStack() as stack:
            for number in range(MANY):
                # (It does not give way to the loop: what answers is the kernel.)
                one = stack.enter_context(closing(socket.socket()))
                one.settimeout(0.5)
                assert one.connect_ex(("127.0.0.1", port)) == 0, f"connection {number} got no answer"
    finally:
        await server.close()


async def test_it_sings_to_whoever_comes_and_ends() -> None:
    server = canary("127.0.0.1", 0, 8)
    port = await server.open()
    try:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == GREETING
            writer.close()
    finally:
        await server.close()
