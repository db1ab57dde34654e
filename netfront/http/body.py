"""Bodies on the wire: where one ends, and what is left behind it. Used on both sides of the proxy.

`BodyReader` takes a body out of a stream by its framing without ever waiting. `RequestBody` is a client's, with
the patience we have for a client; the response's counterpart stands in `client`, as it waits for more than one
thing. Nothing is held but what one read brought.
"""

from netfront.errors import BadMessage, ClientGone, Overdue
from netfront.net.lane import Signal, clock, first
from netfront.net.stream import Stream
from netfront.wire.fields import EMPTY, Edit, Fields, trailer_fields
from netfront.wire.framing import CHUNKED, LENGTH, UNTIL_CLOSE, ChunkedDecoder, Framing

__all__ = ["JOINED", "SLICE", "BodyReader", "RequestBody"]

JOINED = 65_536
"""Bytes of a body in hand that are sent with the head: of a larger one no copy is made."""
SLICE = 262_144
"""Bytes of such a one that are sent at a time: what waits, and what TLS makes of it, is another copy."""

_SLOW_AFTER = 30.0
_SLOWEST = 256
"""Bytes per second below which a body is cut once it has been waited for `_SLOW_AFTER` (slow POST)."""
_ALWAYS = Signal(True)


class BodyReader:
    """A body within a stream.

    Args:
        early: bytes behind the head that were read with it.
        asks: whether it belongs to a request.
    """

    __slots__ = ("_asks", "_decoder", "_held", "_left", "_stream", "_trailers", "finished", "framing", "rest")

    def __init__(self, stream: Stream, framing: Framing, early: bytes, *, asks: bool) -> None:
        self._stream = stream
        self._asks = asks
        self.framing = framing
        self._held = early
        self._left = framing.length if framing.kind == LENGTH else 0
        self._decoder = ChunkedDecoder() if framing.kind == CHUNKED else None
        self._trailers: Fields | None = None
        self.finished = framing.kind not in (CHUNKED, UNTIL_CLOSE) and self._left == 0
        self.rest = early if self.finished else b""

    @property
    def readable(self) -> Signal:
        """Set when `receive_now` is worth trying."""
        return _ALWAYS if self._held or self.finished else self._stream.readable

    @property
    def trailers(self) -> Fields:
        """The trailer section, once finished."""
        if self._trailers is None:
            pairs = self._decoder.trailers if self._decoder is not None else ()
            self._trailers = trailer_fields(pairs, asks=self._asks) if pairs else EMPTY
        return self._trailers

    @property
    def is_in_hand(self) -> bool:
        """Whether a body of known length was read whole with the head."""
        return self.framing.kind == LENGTH and len(self._held) >= self._left

    def receive_now(self) -> bytes | None:
        """Give the next bytes of the body, b"" at its end, None when one would have to wait.

        Raises:
            BadMessage: malformed chunks.
            ConnectionResetError: the stream ended before the body did.
        """
        while not self.finished:
            data: bytes | None = self._held
            if data:
                self._held = b""
            else:
                data = self._stream.receive_now()
                if data is None:
                    return None
                if not data:
                    return self._ended()
            decoder = self._decoder
            if decoder is not None:
                data = decoder.feed(data)
                if decoder.finished:
                    self.finished = True
                    self.rest = decoder.rest
                if data:
                    return data
            elif self.framing.kind == LENGTH:
                return self._counted(data)
            else:
                return data
        return b""

    def _counted(self, data: bytes) -> bytes:
        left = self._left - len(data)
        if left <= 0:
            self.finished = True
            if left < 0:
                self.rest = data[left:]
                data = data[:left]
        self._left = left
        return data

    def _ended(self) -> bytes:
        if self.framing.kind != UNTIL_CLOSE:
            raise ConnectionResetError("closed before the body was whole")
        self.finished = True
        return b""


class RequestBody:
    """The body of a client's request, as it comes in.

    Args:
        limit: most bytes it may have (--max-body); None for any.
        patience: seconds to wait between two reads (--body-timeout).
    """

    __slots__ = (
        "_patience",
        "_reader",
        "_since",
        "_waited",
        "length",
        "limit",
        "received",
        "started",
        "trailer_edit",
        "whole_since",
    )

    def __init__(self, reader: BodyReader, *, limit: int | None, patience: float) -> None:
        self._reader = reader
        self.limit = limit
        self._patience = patience
        self._waited = 0.0
        self._since: float | None = None
        self.whole_since: float | None = None
        self.trailer_edit: Edit | None = None
        self.received = 0
        self.started = False
        self.length = reader.framing.length if reader.framing.kind == LENGTH else None

    @property
    def readable(self) -> Signal:
        """Set when `receive_now` is worth trying."""
        return self._reader.readable

    @property
    def finished(self) -> bool:
        """Whether all of it was taken from the stream."""
        return self._reader.finished

    @property
    def is_in_hand(self) -> bool:
        """Whether all of it came with the head."""
        return self._reader.is_in_hand

    @property
    def rest(self) -> bytes:
        """What came behind it, once finished."""
        return self._reader.rest

    @property
    def trailers(self) -> Fields:
        """The trailer section, once finished."""
        trailers = self._reader.trailers
        return trailers if self.trailer_edit is None else trailers.edited(self.trailer_edit)

    def due(self) -> float:
        """Tell when whoever waits for the next bytes shall lose patience; the wait begins with the first call."""
        if self._since is None:
            self._since = clock()
        return self._since + self._patience

    def receive_now(self) -> bytes | None:
        """Give the next bytes, b"" at the end, None when one would have to wait.

        Raises:
            BadMessage: 400, malformed; 413, over the limit.
            ClientGone: the client ended or reset within it.
            Overdue: "body", it trickles.
        """
        try:
            data = self._reader.receive_now()
        except OSError as error:
            raise ClientGone from error
        if data is None:
            if self._since is not None and clock() >= self._since + self._patience:
                raise Overdue("body")
            return None
        if self._since is not None:
            self._waited += clock() - self._since
            self._since = None
            if self._waited > _SLOW_AFTER and self.received < _SLOWEST * self._waited:
                raise Overdue("body")
        if self._reader.finished and self.whole_since is None:
            self.whole_since = clock()
        if data:
            self.started = True
            self.received += len(data)
            if self.limit is not None and self.received > self.limit:
                raise BadMessage(413, f"a body of over {self.limit} bytes")
        return data

    async def receive_some(self) -> bytes:
        """Give the next bytes; b"" is the end."""
        while (data := self.receive_now()) is None:
            await first(self._reader.readable, until=self.due())
        return data

    def abort(self, why: BaseException | None = None) -> None:
        """Read no more of it: the server closes a connection whose request was not read to its end."""
