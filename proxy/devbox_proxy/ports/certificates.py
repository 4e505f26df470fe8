"""The data port's certificate: read from the mounted Secret, and read anew when it changes.

New connections get the new certificate; open ones go on.
"""

import asyncio
import os
import ssl

import structlog

from devbox_proxy.settings import Tls

POLL_SECONDS = 10.0
log = structlog.get_logger()


class Certificate:
    """A server context that follows its files."""

    def __init__(self, files: Tls) -> None:
        """Raises OSError or ssl.SSLError if there is no usable certificate."""
        self._files = files
        self._stamp = self._current()
        self.context = _with(self._read())

    async def follow(self, every: float = POLL_SECONDS) -> None:
        """Watch the files, for ever. A pair that does not fit is logged and tried again: it is half written."""
        while True:
            await asyncio.sleep(every)
            try:
                stamp = self._current()
                if stamp != self._stamp:
                    pair = self._read()
                    # First into a context that nobody uses: a pair that does not fit leaves one without a key.
                    _with(pair)
                    _load(self.context, pair)
                    self._stamp = stamp
                    log.info("certificate_reloaded")
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate_unusable", error=type(error).__name__)

    def _read(self) -> bytes:
        """Once: the files may change again at any moment."""
        return self._files.key_file.read_bytes() + b"\n" + self._files.cert_file.read_bytes()

    def _current(self) -> tuple[int, int]:
        return self._files.cert_file.stat().st_mtime_ns, self._files.key_file.stat().st_mtime_ns


def _with(pair: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # A ticket comes unasked behind TLS 1.3's handshake. Clients that read in one thread and write in another (websockets.sync, so the
    # OpenAI SDK's sessions) then now and then wait for ever inside OpenSSL; and with P-256 resuming saves the gateway nothing.
    context.num_tickets = 0
    _load(context, pair)
    return context


def _load(context: ssl.SSLContext, pair: bytes) -> None:
    # (OpenSSL takes files alone: one in memory, which ends with its descriptor.)
    file = os.memfd_create("certificate")
    try:
        os.write(file, pair)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
