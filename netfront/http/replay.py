"""A request's body that may be sent twice: what was handed out is kept, up to a limit.

Only the bodies of requests that may be sent twice are wrapped, and only where there is somebody else to send them to.
"""

from netfront.http.message import IncomingBody
from netfront.net.lane import Signal
from netfront.wire.fields import Fields

__all__ = ["Replay"]

_ALWAYS = Signal(True)


class Replay:
    """A body that remembers what it handed out.

    Args:
        most: bytes; a longer body can be sent only once.
    """

    __slots__ = ("_at", "_body", "_held", "_most", "_parts", "length", "limit", "started", "trailer_edit")

    def __init__(self, body: IncomingBody, *, most: int) -> None:
        self._body = body
        self.limit = body.limit
        self.trailer_edit = body.trailer_edit
        self._most = most
        self._held = 0
        self._parts: list[bytes] | None = []
        self.started = False
        """Whether bytes are gone, so that it cannot be sent from its beginning."""
        self._at = 0
        self.length = body.length

    def rewind(self) -> None:
        """Begin again."""
        self._at = 0

    @property
    def trailers(self) -> Fields:
        """The trailer section; valid after the end."""
        return self._body.trailers

    @property
    def readable(self) -> Signal:
        """Set when `receive_now` is worth trying."""
        return _ALWAYS if self._parts is not None and self._at < len(self._parts) else self._body.readable

    def due(self) -> float:
        """Tell until when the next bytes may be waited for."""
        return self._body.due()

    def receive_now(self) -> bytes | None:
        """Give the next bytes, b"" at the end, None when one would have to wait."""
        parts = self._parts
        if parts is not None and self._at < len(parts):
            self._at += 1
            return parts[self._at - 1]
        data = self._body.receive_now()
        if data:
            self._keep(data)
        return data

    async def receive_some(self) -> bytes:
        """Give the next bytes; b"" is the end."""
        parts = self._parts
        if parts is not None and self._at < len(parts):
            return self.receive_now() or b""
        data = await self._body.receive_some()
        if data:
            self._keep(data)
        return data

    def _keep(self, data: bytes) -> None:
        if self._parts is not None:
            self._held += len(data)
            if self._held > self._most:
                self._parts = None
                self.started = True
            else:
                self._parts.append(data)
                self._at += 1

    def abort(self, why: BaseException | None = None) -> None:
        """Give the body up."""
        self._body.abort(why)
