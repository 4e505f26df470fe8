"""The data port's certificate: read from the mounted Secret, and read anew when it changes.

Called by run.py. New connections get the new certificate; open ones go on.
"""

import asyncio
import ssl

import structlog

from .settings import Tls

POLL_SECONDS = 10.0
log = structlog.get_logger()


class Certificate:
    """A server context that follows its files."""

    def __init__(self, files: Tls) -> None:
        """Raises OSError or ssl.SSLError if there is no usable certificate."""
        self._files = files
        self._stamp = self._current()
        self.context = self._load()

    async def follow(self, every: float = POLL_SECONDS) -> None:
        """Watch the files, for ever. A pair that does not fit is logged and tried again: it is half written."""
        while True:
            await asyncio.sleep(every)
            try:
                stamp = self._current()
                if stamp != self._stamp:
                    # First into a context that nobody uses: a pair that does not fit leaves one without a key.
                    self._load()
                    self.context.load_cert_chain(self._files.cert_file, self._files.key_file)
                    self._stamp = stamp
                    log.info("certificate_reloaded")
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate_unusable", error=type(error).__name__)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self._files.cert_file, self._files.key_file)
        return context

    def _current(self) -> tuple[int, int]:
        return self._files.cert_file.stat().st_mtime_ns, self._files.key_file.stat().st_mtime_ns
