"""One connection attempt, and one that asks something: sockets that are not waited for.

Goes in: a family and an address. Comes out: whether it was answered, by what, or what failed in the pod itself. The selector of probe.py
says when one is `ready`.
"""

import errno
import selectors
import socket
from typing import Any, Final

from . import whereabouts
from .whereabouts import Whereabouts

NETWORK_SAYS: Final = frozenset(
    {
        errno.ECONNREFUSED,  # a reset, port-unreachable
        errno.ECONNRESET,
        errno.ETIMEDOUT,
        errno.ENETUNREACH,  # net-unreachable, net-prohibited, ICMPv6 no-route
        errno.EHOSTUNREACH,  # host-unreachable, host-prohibited, admin-prohibited, ICMPv6 address-unreachable
        errno.EHOSTDOWN,  # host-unknown
        errno.ENONET,  # host-isolated
        errno.ENOPROTOOPT,  # protocol-unreachable
        errno.EACCES,  # ICMPv6 admin-prohibited, policy-fail, reject-route
        errno.EPERM,  # a CNI's eBPF program at connect()
    }
)
"""Errors that are the network's word, as Linux makes them of what comes back (icmp_err_convert, icmpv6_err_convert). All others are the
pod's own: no port or no address to call from, no file descriptor, no memory. They may hit one port and spare the other."""

Address = tuple[Any, ...]


class Attempt:
    """One connection."""

    wants = selectors.EVENT_WRITE
    """What it waits for."""

    def __init__(self, family: int, address: Address) -> None:
        self.answered = False
        self.error = ""
        """What failed in the pod itself: then nothing is known of the network."""
        self.socket: socket.socket | None = None
        """None once it is decided."""
        try:
            self.socket = socket.socket(family, socket.SOCK_STREAM)
            self.socket.setblocking(False)
        except OSError as error:  # whatever it is, nobody was asked
            self.error = _name(error.errno)
            self.end()
            return
        try:
            self.socket.connect(address)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                self.conclude(error.errno)
        else:
            self.conclude(0)

    @property
    def decided(self) -> bool:
        """Nothing more comes."""
        return self.socket is None

    @property
    def refused(self) -> bool:
        """The network said no."""
        return self.decided and not self.answered and not self.error

    def ready(self) -> None:
        """What it waits for is there."""
        if self.socket is not None:
            self.conclude(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def conclude(self, code: int | None) -> None:
        """It came to this error; 0 is a connection."""
        if code == 0:
            self.connected()
            return
        if code not in NETWORK_SAYS:
            self.error = _name(code)
        self.end()

    def connected(self) -> None:
        """That is an answer."""
        self.answered = True
        self.end()

    def end(self) -> None:
        """It is decided. What is still outstanding did not answer."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Question(Attempt):
    """A connection that asks which of the gateway's pods it went to."""

    def __init__(self, family: int, address: Address) -> None:
        self._asked = str(address[0])
        self.answer = b""
        super().__init__(family, address)

    @property
    def place(self) -> Whereabouts | None:
        """What was answered, if it can be read."""
        return whereabouts.read(self.answer, self._asked)

    def ready(self) -> None:
        if self.wants == selectors.EVENT_WRITE:
            super().ready()
        elif self.socket is not None:
            self._receive(self.socket)

    def connected(self) -> None:
        self.wants = selectors.EVENT_READ
        if self.socket is not None:
            try:
                self.socket.send(whereabouts.ASKING)  # so few bytes go at once
            except OSError:
                self.end()

    def _receive(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(whereabouts.MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.answer += data
        self.answered = bool(self.answer)
        if not data or whereabouts.whole(self.answer):
            self.end()


def _name(code: int | None) -> str:
    return errno.errorcode.get(code or 0, f"error {code}")
