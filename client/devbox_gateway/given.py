"""What callers give: text, bytes and numbers, or an error that says what belongs there.

Goes in: a value of any type, and what the caller knows it as. Comes out: the value. Pure.
"""

import math

from devbox_gateway.errors import InvalidError


def content_of(field: str, value: object) -> bytes:
    """Of text, or of bytes. Raises InvalidError. (`bytes(3)` would be three NUL bytes.)"""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise InvalidError(field, "no text that UTF-8 has (half a surrogate pair is in it); give bytes") from None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise InvalidError(field, f"text or bytes belong here, not {type(value).__name__}")


def seconds(field: str, value: object) -> float:
    """A time that can be waited for. Raises InvalidError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidError(field, f"a number of seconds belongs here, not {type(value).__name__}")
    if math.isnan(value) or value < 0:
        raise InvalidError(field, "a number of seconds belongs here, 0 or more")
    return float(value)


def number(field: str, value: object) -> int:
    """A count. Raises InvalidError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidError(field, "a whole number belongs here, 0 or more")
    return value
