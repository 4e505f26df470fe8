"""A string that cannot print itself.

Goes in: a secret. Comes out: an object that shows `<redacted>` wherever Python would show a value (print, format, repr, log,
traceback, JSON, pickle), and gives the secret to `reveal()` alone, so that every use can be found by its name.
"""

import hmac
from typing import Final, NoReturn, final


@final
class Redacted:
    """A secret as text. Equality takes constant time for equal lengths."""

    __slots__ = ("__value",)
    SHOWN: Final = "<redacted>"

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The secret itself. Whoever calls this answers for where it goes."""
        return self.__value

    def __str__(self) -> str:
        return self.SHOWN

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(self.SHOWN, spec)

    def __len__(self) -> int:
        return len(self.__value)

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Redacted):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(self.__value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Redacted value is not pickled or copied: hand over the object, or call reveal() where it is used")
