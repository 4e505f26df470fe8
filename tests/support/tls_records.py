"""TLS 1.3 records of one side, made by hand behind a handshake of OpenSSL's: for messages that a program of Python's can't send.

Goes in: a connection in clear, a context. Comes out: `Records`, whose bytes the other side takes for that handshake's own.
"""

import asyncio
import ssl
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_UPDATE = b"\x18\x00\x00\x01\x00"
"""RFC 8446 4.6.3; none is asked for in return."""
_HANDSHAKE, _DATA = 22, 23
_LARGEST = 1 << 14


class Records:
    """Of the side that has this secret (of the lines that OpenSSL logs)."""

    def __init__(self, secret: bytes) -> None:
        self._use(secret)

    def data(self, content: bytes, each: int = _LARGEST) -> bytes:
        """Application data, so many bytes a record."""
        return b"".join(self._record(_DATA, content[at : at + each]) for at in range(0, len(content), each))

    def key_updates(self, count: int) -> bytes:
        """One after another; what is sent behind them is of the last one's key."""
        made = []
        for _ in range(count):
            made.append(self._record(_HANDSHAKE, KEY_UPDATE))
            self._use(self._expanded(b"traffic upd", 48))
        return b"".join(made)

    def _use(self, secret: bytes) -> None:
        self._secret, self._sent = secret, 0
        self._cipher, self._iv = AESGCM(self._expanded(b"key", 32)), self._expanded(b"iv", 12)

    def _expanded(self, label: bytes, length: int) -> bytes:
        label = b"tls13 " + label
        info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
        return HKDFExpand(SHA384(), length, info).derive(self._secret)

    def _record(self, kind: int, content: bytes) -> bytes:
        inner = content + bytes([kind])
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self._iv, "big") ^ self._sent).to_bytes(12, "big")
        self._sent += 1
        return head + self._cipher.encrypt(nonce, inner, head)


async def taken_over(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, log: Path, *, name: str | None = None
) -> tuple[Records, ssl.SSLObject, ssl.MemoryBIO]:
    """A handshake as a client with the server of that name, or as a server; then its records, and what reads those of the other side.
    (A server's context may give out no tickets: they would be its first records.)"""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context.keylog_filename = str(log)
    tls = context.wrap_bio(incoming, outgoing, server_side=name is None, server_hostname=name)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(1 << 16))
        else:
            break
    writer.write(outgoing.read())
    await writer.drain()
    cipher = tls.cipher()
    assert cipher is not None
    assert cipher[0] == "TLS_AES_256_GCM_SHA384", cipher
    label = "SERVER_TRAFFIC_SECRET_0" if name is None else "CLIENT_TRAFFIC_SECRET_0"
    lines = log.read_text().splitlines()  # noqa: ASYNC240 (nobody waits)
    (secret,) = (line.split()[2] for line in lines if line.startswith(label))
    return Records(bytes.fromhex(secret)), tls, incoming
