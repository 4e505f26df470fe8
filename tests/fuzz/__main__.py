"""`python -m tests.fuzz N SEED [NUMBER]`: N mutated requests against a gateway process; the status is 1 if there was a finding.

Workers with a devbox and an API each send samples (grammar.py) and ask the oracle (oracle.py) about each. A finding is printed with
its seed and number, which make the same bytes again, and with the bytes, in which every token is `gws_TOKEN`. Runs in a namespace of
its own (tests/support/netns.py), in as many processes as there are processors.
"""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import uvloop
from tests.support.gateway_process import HOST, Stage, stage
from tests.support.http_reading import Response, responses
from tests.support.kube_api import Cluster, Devbox
from tests.support.netns import FAILED, GATEWAY, NoNamespace, command, possible
from tests.support.raw_client import RawClient
from tests.support.recorder import Recorded, Recorder, recorder

from devbox_proxy.wire import head_cache

from .grammar import TOKEN, Sample, sample
from .oracle import CREDENTIAL, judge, meant

WORKERS: Final = 24
SECONDS: Final = 3.0
"""For an answer that must come."""
UNFINISHED_SECONDS: Final = 0.03
"""For a sample that asks for none: long enough for what must not reach the API."""
LATE: Final = "no answer came in time"
SYNC: Final = b"/between-two-samples"
SHOWN: Final = 10
"""Findings that are printed with their bytes; the others by number and reason."""
RSS_LIMIT: Final = head_cache.KEPT + (64 << 20)
"""What the gateway keeps of heads that it read on purpose, nearly all of which are different here, and what it may take besides."""


@dataclass
class Score:
    """Of one process."""

    samples: int = 0
    requests: int = 0
    """That reached an API."""
    refused: int = 0
    repeated: int = 0
    """Samples that were sent twice, since something came too late."""
    findings: list[str] = field(default_factory=list)


class Worker:
    """One devbox with an API of its own, in clear, and one connection to the gateway at a time."""

    def __init__(self, world: Stage, number: int, api: Recorder) -> None:
        self._world, self._api = world, api
        self._devbox = Devbox(world.cluster, f"agent-{number}", address=f"10.203.0.{number + 2}")
        self._devbox.pod_object()
        host = f"api{number}.fuzz.test"
        self.token = self._devbox.bind("API", f"http://{host}", CREDENTIAL.decode(), redact_responses="Headers").encode()
        self._client: RawClient | None = None

    async def known(self) -> None:
        """Wait until the gateway knows the token."""
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(ConnectionError):
                    return await self.sync()
                await asyncio.sleep(0.05)

    async def run(self, numbers: Iterator[int], seed: int, score: Score) -> None:
        """Samples, until there are none left."""
        for number in numbers:
            one = sample(seed, number)
            wrong = await self._tried(one)
            if LATE in wrong:
                # A machine that stood still is no finding; a gateway that does not answer this sample does not answer it twice.
                score.repeated += 1
                self._api.requests.clear()
                wrong = await self._tried(one)
            score.samples += 1
            score.requests += len(self._arrived())
            score.refused += not self._arrived()
            self._api.requests.clear()
            if wrong:
                text = f"seed {seed}, number {number}: {'; '.join(dict.fromkeys(wrong))}\n    {one.data!r}"
                score.findings.append(text.replace(self.token[4:].decode(), "TOKEN").replace(CREDENTIAL.decode(), "CREDENTIAL"))
        await self._drop()

    async def _tried(self, one: Sample) -> list[str]:
        try:
            return await self._judged(one)
        except (OSError, TimeoutError):
            # What is still to come on that connection is no answer to the next sample.
            await self._drop()
            return [LATE]

    def _arrived(self) -> list[Recorded]:
        return [request for request in self._api.requests if request.target != SYNC]

    async def _drop(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _connect(self) -> RawClient:
        return await RawClient.connect(
            (GATEWAY, self._world.port), source=self._devbox.address, tls=self._world.trust, server_hostname=HOST
        )

    async def sync(self) -> None:
        """A new connection that works: what was said on the one before has arrived by then, or will not."""
        await self._drop()
        self._client = await self._connect()
        await self._client.send(b"GET " + SYNC + b" HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + self.token + b"\r\n\r\n")
        if not await self._client.until(lambda client: client.received.endswith(b"ok") or client.ended is not None, SECONDS):
            raise TimeoutError
        if not self._client.received.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(bytes(self._client.received[:12]))

    async def _judged(self, one: Sample) -> list[str]:
        if self._client is None:
            await self.sync()
        answers, said = await self._send(one)
        if said is not None:
            await self.sync()
            if said:
                return [said]
        return judge(one.data.replace(TOKEN, self.token), self.token, self._arrived(), answers)

    async def _send(self, one: Sample) -> tuple[list[Response], str | None]:
        """The answers, and None if the connection can go on being used, else what is wrong with them or an empty string."""
        client, data = self._client, one.data.replace(TOKEN, self.token)
        assert client is not None
        client.received.clear()
        client.arrivals.clear()
        position = 0
        for length in one.segments:
            await client.send(data[position : position + length])
            position += length
            await asyncio.sleep(0)
        await client.send(data[position:])
        if one.fin:
            await client.fin()
        wanted, stop = meant(data)
        whole = [request for request in wanted if request.complete]
        methods = [request.method for request in wanted]

        def over(client: RawClient) -> bool:
            return client.ended is not None or _closing(client, methods) or _count(client, methods) >= max(1, len(whole))

        # A sample that is not whole may have no answer at all.
        in_time = await client.until(over, SECONDS if whole or stop else UNFINISHED_SECONDS)
        ended = client.ended
        try:
            found, rest = responses(bytes(client.received), methods, closed=ended is not None)
        except ValueError as error:
            return [], f"what the client got is not HTTP: {error}"
        answers = [response for response in found if response.status >= 200 or response.status == 101]
        if whole and not in_time:
            return answers, LATE
        plain = stop is None and data.endswith(b"\n") and len(whole) == len(wanted) == len(answers)
        kept = all(answer.status == 200 and b"close" not in answer.head.values("connection") for answer in answers)
        return answers, None if plain and kept and ended is None and not rest and not one.fin else ""


def _count(client: RawClient, methods: list[bytes]) -> int:
    try:
        found, _ = responses(bytes(client.received), methods, closed=False)
    except ValueError:
        return 1 << 30
    return sum(response.complete and response.status >= 200 for response in found)


def _closing(client: RawClient, methods: list[bytes]) -> bool:
    if b"onnection: close" not in client.received:
        return False
    try:
        found, _ = responses(bytes(client.received), methods, closed=False)
    except ValueError:
        return True
    return bool(found) and found[-1].complete and b"close" in found[-1].head.values("connection")


async def _process(first: int, count: int, seed: int) -> Score:
    score, cluster = Score(), Cluster()
    overrides = {f"api{number}.fuzz.test": f"10.203.1.{number + 2}:80" for number in range(WORKERS)}
    async with stage(cluster, host=GATEWAY, upstreams={"addressOverrides": overrides}, drainSeconds=0) as world:
        async with asyncio.TaskGroup() as tasks:
            numbers = iter(range(first, first + count))
            for number in range(WORKERS):
                tasks.create_task(_worker(world, number, numbers, seed, score))
            tasks.create_task(_progress(score, count, world))
        text = "".join(world.process.output) + await world.metrics()
        if CREDENTIAL.decode() in text or any(token in text for token in cluster.issued):
            score.findings.append(f"seed {seed}: a log line or metric holds a token or the credential")
        if "Traceback" in text or '"level":"error"' in text:
            score.findings.append(f"seed {seed}: the gateway logged an error")
    return score


async def _worker(world: Stage, number: int, numbers: Iterator[int], seed: int, score: Score) -> None:
    async with recorder(f"10.203.1.{number + 2}", None, 80) as api:
        worker = Worker(world, number, api)
        await worker.known()
        await worker.run(numbers, seed, score)


async def _progress(score: Score, count: int, world: Stage) -> None:
    started, before = time.monotonic(), world.process.rss
    for tick in itertools.count(1):
        await asyncio.sleep(0.2)
        if not world.process.alive:
            raise RuntimeError("the gateway's process ended")
        if score.samples >= count:
            break
        if tick % 150 == 0:
            rate = score.samples / (time.monotonic() - started)
            grown = (world.process.rss - before) >> 20
            sys.stderr.write(
                f"fuzz: {score.samples} of {count}, {rate:.0f}/s, {len(score.findings)} findings, memory +{grown} MiB\n"
            )
    growth = world.process.rss - before
    if growth > RSS_LIMIT:
        score.findings.append(f"memory grew by {growth >> 20} MiB")


def _parent(total: int, seed: int) -> int:
    if not possible():
        raise NoNamespace("network namespaces can't be made here; python -m tests.support.netns true says why")
    count = min(os.cpu_count() or 1, max(1, total // 2000))
    started, children = time.monotonic(), []
    for index in range(count):
        first, last = total * index // count, total * (index + 1) // count
        line = [sys.executable, "-m", "tests.fuzz", "--part", str(first), str(last - first), str(seed)]
        children.append(subprocess.Popen(command(line), stdout=subprocess.PIPE, text=True))
    whole, failed = Score(), False
    for child in children:
        output = child.communicate()[0]
        failed = failed or child.returncode != 0
        for text in output.splitlines():
            part = json.loads(text)
            whole.samples += part["samples"]
            whole.requests += part["requests"]
            whole.refused += part["refused"]
            whole.repeated += part["repeated"]
            whole.findings += part["findings"]
    took = time.monotonic() - started
    for text in whole.findings[:SHOWN]:
        _say(f"FINDING {text}")
    for text in whole.findings[SHOWN:]:
        _say(f"finding {text.partition(chr(10))[0]}")
    _say(
        f"seed {seed}: {whole.samples} samples in {took:.0f} s ({whole.samples / took:.0f}/s), {whole.requests} requests reached an "
        f"API, {whole.refused} samples brought none there, {whole.repeated} were sent twice, {len(whole.findings)} findings"
    )
    return 1 if failed or whole.findings or whole.samples < total else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def main() -> int:
    """Entry point."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--part"]:
        score = uvloop.run(_process(*(int(number) for number in arguments[1:])))
        _say(json.dumps(score.__dict__))
        return 0
    total, seed = int(arguments[0]), int(arguments[1])
    if len(arguments) > 2:
        one = sample(seed, int(arguments[2]))
        _say(f"{one!r}\nh11: {meant(one.data)}")
        return subprocess.run(
            command([sys.executable, "-m", "tests.fuzz", "--part", arguments[2], "1", str(seed)]), check=False
        ).returncode
    try:
        return _parent(total, seed)
    except NoNamespace as error:
        sys.stderr.write(f"fuzz: {error}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
