"""ClientHellos as OpenSSL makes them, what OpenSSL reads in one, and ways to change them."""

import contextlib
import ssl
from typing import Final

RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def client_hello(server_name: str | None = "api.github.com", *, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first bytes of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, most
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class Server:
    """OpenSSL's reading of a hello."""

    def __init__(self, folder: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
        self._context.sni_callback = self._asked
        self._names: list[str | None] = []

    def _asked(self, connection: object, name: str | None, context: object) -> None:
        self._names.append(name)

    def name_in(self, data: bytes) -> tuple[bool, str | None]:
        """Whether it got as far as the name, and the name."""
        self._names.clear()
        incoming = ssl.MemoryBIO()
        incoming.write(data)
        server = self._context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
        try:
            server.do_handshake()
        except ssl.SSLError:
            pass
        except UnicodeError:  # Python could not decode the name that OpenSSL read
            return True, "\0"
        return (True, self._names[0]) if self._names else (False, None)


def records(hello: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    message = hello[5:]
    return b"".join(
        hello[:3] + len(part).to_bytes(2, "big") + part
        for part in (message[at : at + size] for at in range(0, len(message), size))
    )


def with_extensions(hello: bytes, *more: tuple[int, bytes], without: int | None = None) -> bytes:
    """The same hello with further extensions, and less one."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    kept, position = [], at + 2
    while position < len(hello):
        kind, size = (
            int.from_bytes(hello[position : position + 2], "big"),
            int.from_bytes(hello[position + 2 : position + 4], "big"),
        )
        if kind != without:
            kept.append(hello[position : position + 4 + size])
        position += 4 + size
    kept += [kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content for kind, content in more]
    extensions = b"".join(kept)
    body = hello[9:at] + len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return hello[:3] + len(message).to_bytes(2, "big") + message


def server_name(*names: bytes, kind: int = 0) -> bytes:
    """The content of a server_name extension."""
    entries = b"".join(bytes([kind]) + len(name).to_bytes(2, "big") + name for name in names)
    return len(entries).to_bytes(2, "big") + entries


def retry() -> bytes:
    """A HelloRetryRequest's first bytes, as far as they matter."""
    message = b"\x02\x00\x00\x34\x03\x03" + RETRY + bytes(16)
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message


def server_hello() -> bytes:
    """An ordinary one, likewise."""
    message = b"\x02\x00\x00\x34\x03\x03" + bytes(range(32)) + bytes(16)
    return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message
