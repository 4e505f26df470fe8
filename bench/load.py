"""What is measured, on core 1: requests by wrk, streams by a client of our own.

Goes in: a URL and a token. Comes out: `Rate` and `Stream`, or a `BadRun` where a single answer was not a 2xx.
"""

import asyncio
import os
import re
import ssl
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

SCRIPT: Final = """
wrk.method = "POST"
wrk.body = string.rep("y", 700)
wrk.headers = {
  ["Host"] = "api.bench.example", ["Accept"] = "application/json", ["Accept-Encoding"] = "gzip, deflate",
  ["User-Agent"] = "Anthropic/Python 0.80.0", ["X-Stainless-Lang"] = "python", ["X-Stainless-Package-Version"] = "0.80.0",
  ["X-Stainless-OS"] = "Linux", ["X-Stainless-Arch"] = "x64", ["X-Stainless-Runtime"] = "CPython",
  ["X-Stainless-Runtime-Version"] = "3.11.7", ["anthropic-version"] = "2023-06-01",
  ["Content-Type"] = "application/json", ["x-api-key"] = os.getenv("BENCH_TOKEN"),
}
"""
"""The headers are those of a request of Anthropic's SDK."""
_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


ERRORS: Final = 0.001
"""Part of the requests that may fail: aiohttp's client, for one, now and then meets a connection that is just being closed."""


class BadRun(Exception):
    """Too much else than 2xx came: a fast error is no figure."""


class Rate(NamedTuple):
    """One server, one number of connections."""

    per_second: float
    p50: float
    """Seconds."""
    p99: float
    errors: float
    """Answers that were not 2xx, and broken connections."""


class Stream(NamedTuple):
    """Events of one stream."""

    first: float
    """Seconds from the request to the first event."""
    delay: float
    """Seconds from an event's sending to its arrival, median."""
    delay_p99: float


def requests(url: str, token: str, connections: int, seconds: float, folder: Path) -> Rate:
    """Keep-alive POSTs for a while. Raises BadRun."""
    script = folder / "post.lua"
    script.write_text(SCRIPT)
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script), url]
    environment = {**os.environ, "BENCH_TOKEN": token}
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    errors = sum(int(count) for count in re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", text))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    shares = {name: float(value) * _SECONDS[unit] for name, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", text)}
    if rate is None or errors > ERRORS * float(rate[1]) * seconds:
        raise BadRun(f"{url}: {errors} errors; {text}")
    return Rate(float(rate[1]), shares["50"], shares["99"], errors)


async def stream(url: str, token: str, context: ssl.SSLContext | None) -> Stream:
    """One stream of events that say when they were sent. Raises BadRun."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, ssl=context, server_hostname="gateway.system.svc" if context else None
    )
    started = time.monotonic_ns()
    writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: api.bench.example\r\nx-api-key: {token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise BadRun(head.split(b"\r\n")[0].decode())
    first, delays = 0.0, []
    while (line := await reader.readline()) and line != b"0\r\n":
        if line.startswith(b"data: "):
            arrived = time.monotonic_ns()
            first = first or (arrived - started) / 1e9
            delays.append((arrived - int(line[6:])) / 1e9)
    writer.close()
    if len(delays) < 2:
        raise BadRun("no events came")
    return Stream(first, statistics.median(delays), statistics.quantiles(delays, n=100)[98])
