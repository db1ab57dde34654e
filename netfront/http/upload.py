"""What is still to be sent of a request while its answer is waited for."""

import math

from netfront.http.body import SLICE
from netfront.http.message import Body
from netfront.net.lane import Wait
from netfront.net.stream import Stream
from netfront.wire.framing import encode_chunk, encode_trailers

__all__ = ["Upload"]

_MOVES = 16
"""Pieces moved before whoever pushes looks at the answer again, and others have their turn."""


class Upload:
    """What is still to be sent of a request, pushed on by whoever waits for the answer.

    A failure to send ends it but is not raised: the answer that explains it may be on its way.
    """

    __slots__ = ("_behind", "_body", "_rest", "_stream", "expects", "failed", "moved")

    def __init__(
        self,
        stream: Stream,
        unsent: bytes,
        body: Body | None,
        *,
        behind: bytes = b"",
        expects: bool = False,
    ) -> None:
        self._stream = stream
        self._rest: bytes | memoryview = unsent
        self._behind = memoryview(behind)
        """Bytes that go after the rest, some at a time: they are held by whoever asks, and not once more here."""
        self._body = body
        self.failed: OSError | None = None
        self.moved = 0
        self.expects = expects
        """Whether the client waits for the backend to ask for the body (RFC 9110 §10.1.1)."""

    @property
    def is_finished(self) -> bool:
        """Whether all has left."""
        return not (self._rest or self._behind) and self._body is None and not self._stream.is_held_up

    def wait(self) -> tuple[Wait, float]:
        """What it waits for, and until when where that is the client; inf where it is the backend."""
        if self._rest or self._behind or self._body is None or self._stream.is_held_up:
            return self._stream.writable, math.inf
        return self._body.readable, self._body.due()

    @property
    def waits_for_client(self) -> bool:
        """Whether all that came has left, and there is more to come of its own accord."""
        return not (
            self._rest or self._behind or self._body is None or self._stream.is_held_up or self.expects
        )

    def go_on(self) -> bool:
        """Move what can be moved without waiting; tell whether there may be more at once.

        Raises:
            BadMessage, ClientGone, Overdue: of the client's body.
        """
        for _ in range(_MOVES):
            try:
                if self._rest:
                    sent = self._stream.send_now(self._rest)
                    self.moved += sent
                    self._rest = memoryview(self._rest)[sent:]
                if self._rest or not self._stream.push():
                    return False
            except OSError as error:
                self.failed = error
                return False
            if self._behind:
                self._rest, self._behind = self._behind[:SLICE], self._behind[SLICE:]
                continue
            if self._body is None:
                return False
            data = self._body.receive_now()
            if data is None:
                return False
            self.expects = False
            self._rest = self._framed(self._body, data)
        return True

    def _framed(self, body: Body, data: bytes) -> bytes:
        if data:
            return data if body.length is not None else encode_chunk(data)
        self._body = None
        return encode_trailers(body.trailers) if body.length is None else b""
