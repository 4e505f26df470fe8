"""What is on its way in an exchange: the request to the API, the answer to the client, each framed anew and sent read by read.

Goes in: heads and pieces of bodies without framing. Comes out: one write a read. Held and flushed by exchange.py.
"""

from typing import Final, Protocol

from devbox_proxy.kit import metrics
from devbox_proxy.wire import redact, rendering
from devbox_proxy.wire.messages import UpstreamRequest
from devbox_proxy.wire.rendering import CHUNKS_END, Framing, ResponseHead

PIECE: Final = 64 * 1024
"""Bytes that are written at a time."""


class Reader(Protocol):
    """Whoever the bytes are for."""

    stalled_since: float | None

    def write(self, data: bytes) -> None:
        """Send."""


class Upload:
    """A request on its way to the API."""

    __slots__ = ("_head", "_pieces", "all_sent", "framing", "last", "received")

    def __init__(self, length: bytes | None, *, chunked: bool) -> None:
        self.framing = Framing.CHUNKED if chunked else Framing.NONE if length is None else Framing.LENGTH
        self.received = 0
        """Bytes of the body so far."""
        self.all_sent = False
        self.last = False
        """The connection serves no other request: whether the API reads this one to its end, nobody knows."""
        self._head = b""
        self._pieces: list[bytes] = []

    def add(self, data: bytes) -> None:
        """A piece of the body."""
        self.received += len(data)
        self._pieces.append(data)

    def begin(self, request: UpstreamRequest, length: bytes | None) -> None:
        """There is a connection: the head may go."""
        unread = rendering.may_stay_unread(request, self.framing, length)
        # An API that does not switch protocols may all the same have stopped to speak HTTP behind what does the switching.
        self.last = unread or request.websocket
        self._head = rendering.request_head(request, self.framing, length, last=unread)

    def take(self, *, ended: bool) -> bytes:
        """What may be sent now; `ended`: the body is whole."""
        if self.all_sent:
            return b""
        out = b"".join(self._pieces)
        if self.framing is Framing.CHUNKED:
            if not out and not ended:
                return b""  # the head goes with the first chunk: what has none that can be read reaches nobody
            out = rendering.chunk(out) if out else out
            if ended:
                out += CHUNKS_END
        self.all_sent = ended
        self._pieces = []
        out, self._head = self._head + out, b""
        return out

    def drop(self) -> None:
        """Nothing of it will be sent any more."""
        self._pieces = []


class Answer:
    """An answer on its way to the client."""

    __slots__ = ("_out", "_search", "framing", "sent", "status")

    def __init__(self) -> None:
        self.status = 0
        """0: nothing has come."""
        self.framing = Framing.NONE
        self.sent = 0
        """Bytes of the body so far."""
        self._search: redact.BodyRedactor | None = None
        self._out: list[bytes] = []

    @property
    def waits(self) -> bool:
        """Some of it waits for the client."""
        return bool(self._out)

    @property
    def holds(self) -> bool:
        """Some of it waits for what follows, in which the credential may go on."""
        return self._search is not None and self._search.held > 0

    def begin(
        self,
        head: ResponseHead,
        request: UpstreamRequest,
        *,
        public_url: bytes,
        request_id: str,
        http10: bool,
        connection: bytes,
    ) -> None:
        """Its head."""
        self.status = head.status
        out, self.framing = rendering.response_head(
            head, request, public_url=public_url, request_id=request_id, http10=http10, connection=connection
        )
        self._out.append(out)
        if request.redact_body and self.framing is not Framing.NONE:
            if rendering.is_encoded(head):
                metrics.UNSEARCHED.inc()
            elif not request.unsearched_types or rendering.media_type(head) not in request.unsearched_types:
                self._search = redact.BodyRedactor(request.redact)

    def add(self, data: bytes) -> None:
        """A piece of its body."""
        self._put(data if self._search is None else self._search.feed(data))

    def let_go(self) -> None:
        """What was held for long enough goes on, whatever follows."""
        if self._search is not None:
            self._put(self._search.let_go())

    def flush(self, client: Reader) -> None:
        """Send what one read of the API brought, in one piece, as far as the client takes it."""
        out, self._out = b"".join(self._out), []
        for at in range(0, len(out), PIECE):
            if client.stalled_since is not None:
                # Here it is held once; written it would be held twice more, encrypted.
                self._out = [out[at:]]
                return
            client.write(out[at : at + PIECE])

    def end(self, client: Reader) -> None:
        """It is whole: send all that is left of it."""
        if self._search is not None:
            self._put(self._search.finish())
        if self.framing is Framing.CHUNKED:
            self._out.append(CHUNKS_END)
        client.write(b"".join(self._out))
        self._out = []

    def _put(self, data: bytes) -> None:
        if data:
            self.sent += len(data)
            self._out.append(rendering.chunk(data) if self.framing is Framing.CHUNKED else data)
