"""Text that does not print itself: a token, a key, a Secret's value."""

from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)


class Hidden(Generic[T]):
    """`value` is the text; everything that prints an object (repr, str, format, a traceback's locals) shows only that there is one."""

    __slots__ = ("value",)
    value: T

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Hidden(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a hidden value is not pickled")
