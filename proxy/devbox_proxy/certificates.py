"""The data port's certificate: read from the mounted Secret, and read anew when it changes.

Called by __main__.py. New connections get the new certificate; open ones go on.
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
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.load_cert_chain(files.cert_file, files.key_file)

    async def follow(self) -> None:
        """Watch the files, for ever. A pair that does not fit is logged and tried again: it is half written."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                stamp = self._current()
                if stamp != self._stamp:
                    self.context.load_cert_chain(self._files.cert_file, self._files.key_file)
                    self._stamp = stamp
                    log.info("certificate_reloaded")
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate_unusable", error=type(error).__name__)

    def _current(self) -> tuple[int, int]:
        return self._files.cert_file.stat().st_mtime_ns, self._files.key_file.stat().st_mtime_ns
