"""An API server that has a devbox, `agent`, whose commands run on this machine: pods/exec v5 over real processes and real terminals; and
another one, `locked`, which nobody may change."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from devbox_gateway.exec.channels import V5

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
DEVBOX: dict[str, Any] = {
    "apiVersion": "devbox-gateway.io/v1alpha1",
    "kind": "Devbox",
    "metadata": {
        **{"name": "agent", "namespace": "default", "uid": "1", "generation": 1, "resourceVersion": "1"},
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"image": "x"},
    "status": {
        **{"phase": "Running", "podName": "agent-1", "observedGeneration": 1},
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""}],
    },
}


class Standin:
    """In a thread with a loop of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.deleted = home, 0
        self.path = os.environ["PATH"]
        self.refuses = False
        """To delete anything."""
        self.slow = 0.0
        """Seconds before a terminal's program begins."""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.url = ""

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._app(), shutdown_timeout=0.1)

        async def start() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def _app(self) -> web.Application:
        app = web.Application()
        devboxes = "/apis/devbox-gateway.io/v1alpha1/namespaces/default/devboxes"
        app.router.add_get(f"{devboxes}/agent", self._devbox)
        app.router.add_get(devboxes, self._list)
        app.router.add_post(devboxes, self._devbox)
        app.router.add_delete(f"{devboxes}/agent", self._delete)
        app.router.add_patch(f"{devboxes}/agent", self._devbox)
        app.router.add_get(f"{devboxes}/locked", self._locked)
        app.router.add_patch(f"{devboxes}/locked", self._forbidden)
        app.router.add_delete(f"{devboxes}/locked", self._forbidden)
        app.router.add_get("/api/v1/namespaces/default/pods/agent-1/exec", self._exec)
        app.router.add_get("/{path:.*}", self._nothing)
        return app

    async def _devbox(self, _: web.Request) -> web.Response:
        return web.json_response(DEVBOX)

    async def _locked(self, _: web.Request) -> web.Response:
        return web.json_response({**DEVBOX, "metadata": {**DEVBOX["metadata"], "name": "locked", "uid": "2"}})

    async def _forbidden(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "reason": "Forbidden", "message": "nobody may"}, status=403)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "DevboxList", "metadata": {}, "items": [DEVBOX]})

    async def _delete(self, _: web.Request) -> web.Response:
        if self.refuses:
            said = {"kind": "Status", "message": "not now \x1b[31m\u202e"}
            return web.json_response(said, status=403)
        self.deleted += 1
        return web.json_response(DEVBOX)

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"kind": "Status", "reason": "NotFound", "details": {"name": "x"}, "message": "not found"}, status=404
        )

    async def _exec(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(V5,), autoping=True, max_msg_size=0)
        await socket.prepare(request)
        run = _InTerminal if request.query.get("tty") == "true" else _Plain
        environ = {"HOME": str(self.home), "PATH": self.path, "TERM": "xterm"}
        words = request.query.getall("command")
        if run is _InTerminal:
            words = ["sh", "-c", 'sleep "$0"; exec "$@"', str(self.slow), *words]
        await run(socket, words, environ).until_end()
        return socket

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


class _Plain:
    def __init__(self, socket: web.WebSocketResponse, argv: list[str], environ: dict[str, str]) -> None:
        self.socket, self.argv, self.environ = socket, argv, environ

    async def until_end(self) -> None:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self.argv, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environ, start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        feeding = asyncio.ensure_future(self._feed(process.stdin))
        await asyncio.gather(self._pump(STDOUT, process.stdout), self._pump(STDERR, process.stderr))
        await self.ended(await process.wait())
        feeding.cancel()

    async def _pump(self, channel: int, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(32768):
            with contextlib.suppress(ConnectionError):
                await self.socket.send_bytes(bytes((channel,)) + data)

    async def _feed(self, stdin: asyncio.StreamWriter) -> None:
        async for message in self.socket:
            if message.type is not WSMsgType.BINARY:
                continue
            if message.data[0] == CLOSE:
                stdin.close()
            elif message.data[0] == STDIN:
                with contextlib.suppress(ConnectionError):
                    stdin.write(message.data[1:])
                    await stdin.drain()

    async def ended(self, code: int) -> None:
        code = 128 - code if code < 0 else code
        status: dict[str, Any] = {"kind": "Status", "status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            status = {"kind": "Status", "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
        with contextlib.suppress(ConnectionError):
            await self.socket.send_bytes(bytes((ERROR,)) + json.dumps(status).encode())
            await self.socket.close()


class _InTerminal(_Plain):
    async def until_end(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            "setsid", "--ctty", "--wait", *self.argv, stdin=theirs, stdout=theirs, stderr=theirs, env=self.environ
        )
        os.close(theirs)
        said: asyncio.Queue[bytes] = asyncio.Queue()

        def read() -> None:
            try:
                said.put_nowait(os.read(ours, 32768))
            except OSError:
                loop.remove_reader(ours)
                over.set()

        loop.add_reader(ours, read)
        listening = asyncio.ensure_future(self._listen(ours))
        saying = asyncio.ensure_future(self._say(said))
        code = await process.wait()
        await over.wait()
        await said.join()
        await self.ended(code)
        listening.cancel()
        saying.cancel()
        os.close(ours)

    async def _say(self, said: "asyncio.Queue[bytes]") -> None:
        while True:
            data = await said.get()
            with contextlib.suppress(ConnectionError):
                await self.socket.send_bytes(bytes((STDOUT,)) + data)
            said.task_done()

    async def _listen(self, ours: int) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.BINARY and message.data[0] == STDIN:
                os.write(ours, message.data[1:])
            elif message.type is WSMsgType.BINARY and message.data[0] == RESIZE:
                size = json.loads(message.data[1:])
                fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))


@contextlib.contextmanager
def standin(home: Path) -> Iterator[Standin]:
    """Its url is there."""
    made = Standin(home)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        assert made._ready.wait(30)
        yield made
    finally:
        made.end()
        thread.join(30)
