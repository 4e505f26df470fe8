"""`python -m standin --config FILE`: serve until SIGTERM.

The config is one JSON document: `{"listen": "0.0.0.0:8443", "certFile": …, "keyFile": …, "admin": "127.0.0.1:8081",
"paceSeconds": 0.1, "keys": {…}}` (`keys`: see keys.py).
"""

import argparse
import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from .keys import BadKeysError, KeyRing
from .record import Record
from .server import admin, application


async def serve(config: dict[str, Any]) -> None:
    """Run both ports until SIGTERM or SIGINT."""
    keys, record = KeyRing(config["keys"]), Record()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(config["certFile"], config["keyFile"])
    runners = []
    for app, address, context in (
        (application(keys, record, pace=float(config["paceSeconds"])), config["listen"], tls),
        (admin(keys, record), config["admin"], None),
    ):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        host, _, port = address.rpartition(":")
        await web.TCPSite(runner, host, int(port), ssl_context=context).start()
        runners.append(runner)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    for runner in runners:
        await runner.cleanup()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="standin", description="A stand-in for api.anthropic.com, api.openai.com and an internal API"
    )
    parser.add_argument("--config", type=Path, required=True, help="the JSON config")
    path: Path = parser.parse_args().config
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        asyncio.run(serve(config))
    except (OSError, ValueError, KeyError, BadKeysError) as error:
        sys.exit(f"standin: {path}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
