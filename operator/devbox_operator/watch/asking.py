"""A question to one gateway process, on its activity port: HTTPS by the gateway's own name, and a token that the kubelet made for that.

Goes in: where the gateway is, and what is asked. Comes out: the answer's bytes, or `Unanswered`.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import aiohttp

from devbox_operator.seen.floor import Asked

ANSWER_SECONDS: Final = 10.0
"""For one answer."""
MOST: Final = 8 << 20
"""Bytes of one."""
AT_ONCE: Final = 16


class Unanswered(Exception):
    """Why there is no answer, in a few words."""


class Asker:
    """Asks."""

    def __init__(self, host: str, token_file: Path, authority: Callable[[], str]) -> None:
        """`host`: the name in the gateways' certificate; `authority()`: who signed it, PEM."""
        self._host, self._token_file, self._authority = host, token_file, authority
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tls: tuple[str, ssl.SSLContext] | None = None

    async def ask(self, gateway: Asked, path: str, query: Mapping[str, str], body: bytes | None = None) -> bytes:
        """GET, or POST with a body. Raises Unanswered."""
        host = f"[{gateway.address}]" if ":" in gateway.address else gateway.address
        async with self._turns:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    token = (await asyncio.to_thread(self._token_file.read_text, "ascii")).strip()
                    connector = aiohttp.TCPConnector(ssl=self._context(), force_close=True)
                    async with (
                        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
                        http.request(
                            "GET" if body is None else "POST",
                            f"https://{host}:{gateway.port}{path}",
                            params=query,
                            data=body,
                            headers={"Authorization": f"Bearer {token}"},
                            server_hostname=self._host,
                            allow_redirects=False,
                        ) as response,
                    ):
                        if response.status != 200:
                            raise Unanswered(f"status {response.status}")
                        return await _content(response)
            except TimeoutError:
                raise Unanswered("no answer in time") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise Unanswered(type(error).__name__) from None

    def _context(self) -> ssl.SSLContext:
        authority = self._authority()
        if self._tls is None or self._tls[0] != authority:
            context = ssl.create_default_context(cadata=authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self._tls = (authority, context)
        return self._tls[1]


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Raises ValueError for more than any gateway has to say."""
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > MOST:
            raise ValueError("too long")
    return bytes(content)
