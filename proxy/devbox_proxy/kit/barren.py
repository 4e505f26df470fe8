"""TLS records that bring nothing to read, and when there are too many of them.

Goes in: how much is to be decrypted, and how much came of it. Comes out: whether to go on. Pure. TLS has messages of its own beside the
data (tickets, and KeyUpdate, of 27 bytes), and all that one read of the socket brought is worked off at once, while others wait: each such
message costs as much as ten records of data. One or two are meant; nobody means thousands.
"""

from typing import Final

MOST: Final = 80 * 1024
"""Bytes in a row, or spread thinly between data: one whole record of which the rest is on its way, and four times that of tickets."""
WORTH: Final = 64
"""Encrypted bytes for which one byte of data stands: a record of one byte has 23."""
HINT: Final = 256
"""Bytes by which uvloop asks for more room than there is to decrypt."""
NOTHING: Final = bytearray()


class Barren:
    """Of one connection."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = 0

    def too_much(self, hint: int) -> bool:
        """Of what was read so far; else there is another read. `hint`: of uvloop's get_buffer, which says what OpenSSL has not seen yet."""
        if self._bytes > MOST:
            return True
        self._bytes += max(0, hint - HINT)
        return False

    def brought(self, count: int) -> None:
        """So many bytes of data came of it."""
        self._bytes = max(0, self._bytes - WORTH * count)
