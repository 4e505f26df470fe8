"""A gateway process says which pod it is to whoever asks; and its canary listens for as long as its data port does."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.gateway_process import FILES, Stage, stage
from tests.support.kube_api import Cluster

from devbox_common.door import BACKLOG
from devbox_init.whereabouts import ASKING, Whereabouts, read
from devbox_proxy.tunnels.whereabouts import CROWDED

from .conftest import until

CROWD = BACKLOG // 4 * 3
"""Connections; the kernel keeps BACKLOG of them."""


async def ask(gateway: Stage, question: bytes = ASKING) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.egress)
    try:
        writer.write(question)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_it_is_told_without_a_token_or_a_line_in_the_log_and_the_connection_is_over() -> None:
    async with stage(Cluster()) as gateway:
        answer = await ask(gateway)
        assert read(answer, "127.0.0.1") == Whereabouts("127.0.0.1", gateway.port, gateway.process.canary)
        assert await ask(gateway, ASKING + b"CONNECT a:443 HTTP/1.1\r\n\r\n") == answer, "nothing that stands behind it is read"
        assert b" 405 " in (await ask(gateway, ASKING.replace(b"whereabouts.", b""))), "no other question"
        assert b" 405 " in (await ask(gateway, ASKING.replace(b"\r\n\r\n", b"\r\nX: y\r\n\r\n")))
        await until(lambda: sum('"refused"' in line for line in gateway.process.output) == 2)
        assert "whereabouts" not in "".join(gateway.process.output)


async def test_nothing_is_said_while_more_wait_for_its_canary_than_it_takes() -> None:
    """Beyond its queue the kernel drops what comes, and the data port, whose queue is another, answers: that is no policy at work."""
    async with stage(Cluster()) as gateway, contextlib.AsyncExitStack() as crowd:
        asking, writer = await asyncio.open_connection("127.0.0.1", gateway.egress)
        os.kill(gateway.process.process.pid, signal.SIGSTOP)
        for _ in range(CROWD):
            one = crowd.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", gateway.process.canary))
        writer.write(ASKING)
        os.kill(gateway.process.process.pid, signal.SIGCONT)
        async with asyncio.timeout(5):
            answer = await asking.read()
        assert answer == CROWDED
        assert read(answer, "127.0.0.1") is None
        writer.close()

        async with asyncio.timeout(10):
            while read(await ask(gateway), "127.0.0.1") is None:
                pass


async def test_half_a_question_is_cut_like_any_other() -> None:
    async with stage(Cluster(), egress={"headSeconds": 1}) as gateway:
        assert b" 408 " in await ask(gateway, ASKING[:20])


async def test_devbox_init_sees_that_nothing_keeps_it_from_a_real_gateways_canary(tmp_path: Path) -> None:
    async with stage(Cluster()) as gateway:
        ports = (f"--ask-port={gateway.egress}", f"--data-port={gateway.port}", f"--canary-port={gateway.process.canary}")
        command = [*FILES, sys.executable, "-m", "devbox_init", "--gateway=127.0.0.1", *ports, "--seconds=1"]
        done = await asyncio.to_thread(
            subprocess.run, [*command, f"--termination-log={tmp_path / 'log'}"], check=False, timeout=20, capture_output=True
        )
        assert done.returncode == 3, done.stdout
        assert f"answered over IPv4 on port {gateway.process.canary}".encode() in done.stdout


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def test_the_canary_is_not_silent_before_the_data_port_is() -> None:
    """On its way out a gateway takes no more connections, but for its canary: a devbox that starts would take that for a policy."""
    async with stage(Cluster(), drainSeconds=0, shutdownSeconds=2) as gateway:
        held, writer = await asyncio.open_connection("127.0.0.1", gateway.egress)  # (something that it waits for)
        writer.write(ASKING[:20])
        os.kill(gateway.process.process.pid, signal.SIGTERM)
        began, silent_first, outlived = time.monotonic(), 0, 0
        while gateway.process.alive and time.monotonic() - began < 10:
            canary = await answers(gateway.process.canary)
            data = await answers(gateway.port)
            silent_first += data and not canary
            outlived += canary and not data
        assert not gateway.process.alive
        assert silent_first == 0
        assert outlived, "while something is under way"
        writer.close()
        del held
