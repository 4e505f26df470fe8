"""What can go wrong, one class for each thing that a caller may want to do about it.

Every message says what to do. None ever holds a Secret's value, a token or the body of a request.
"""

from collections.abc import Sequence


class DevboxGatewayError(Exception):
    """Every error of this package."""


class APIConnectionError(DevboxGatewayError):
    """The cluster's API server could not be reached, or broke off."""


class APITimeoutError(DevboxGatewayError, TimeoutError):
    """Something did not come in time; the message says what was waited for."""


class AuthenticationError(DevboxGatewayError):
    """There are no credentials for the cluster, or it does not accept them."""


class PermissionDeniedError(DevboxGatewayError):
    """The cluster knows who asks, and does not let them. `role`: YAML of a Role that would, or an empty string."""

    def __init__(self, message: str, role: str = "") -> None:
        super().__init__(f"{message}\n\n{role}" if role else message)
        self.role = role


class NotFoundError(DevboxGatewayError):
    """No such object, file or context."""


class ConflictError(DevboxGatewayError):
    """An object of that name is there and differs. `field`: in what, or an empty string."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InUseError(DevboxGatewayError):
    """The object can't be deleted: devboxes use it. `devboxes`: as `namespace/name`."""

    def __init__(self, message: str, devboxes: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.devboxes = tuple(devboxes)


class InvalidError(DevboxGatewayError):
    """An argument, or a field of an object, is not valid. `field`: which one; `message`: why, and what to write instead."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field, self.message = field, message


class NotReadyError(DevboxGatewayError):
    """A devbox will not become ready, or is not running now (the message says which). `reason` and `message` are its condition's."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(f"{reason}: {message}" if reason else message)
        self.reason, self.message = reason, message


class ExecLostError(DevboxGatewayError):
    """A command's connection broke before its end was known: it may have run, may run still, or may not have begun."""
