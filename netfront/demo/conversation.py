"""A WebSocket conversation that says everything back (RFC 6455)."""

from netfront.demo.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    MessageReader,
    Violation,
    close_frame,
    frame,
)
from netfront.errors import Overdue
from netfront.net.lane import clock, deadline, first
from netfront.net.stream import Stream

__all__ = ["EchoConversation"]

_LONGEST_MESSAGE = 16 << 20
_SILENCE = 3600.0
"""Seconds without a byte after which it is ended, with 1001."""
_LINGER = 2.0
_LINGER_BYTES = 1 << 20


class EchoConversation:
    """In place of a body with a 101: sends every message back as one frame, answers pings and the close."""

    __slots__ = ()

    async def run(self, stream: Stream, early: bytes) -> None:
        """Talk until either side has closed; whoever called closes the stream. Raises OSError."""
        reader = MessageReader(limit=_LONGEST_MESSAGE)
        due = deadline()
        due.which = "stream"
        data = early
        try:
            while True:
                reader.feed(data)
                while (message := reader.next()) is not None:
                    due.at = clock() + _SILENCE
                    if message.kind == CLOSE:
                        await stream.send_all(close_frame(message.code))
                        return
                    if message.kind in (TEXT, BINARY):
                        await stream.send_all(frame(message.kind, message.data))
                    elif message.kind == PING:
                        await stream.send_all(frame(PONG, message.data))
                due.at = clock() + _SILENCE
                data = await stream.receive_some()
                if not data:
                    return
        except Violation as violation:
            await _close(stream, violation.code, violation.why)
        except Overdue:
            await _close(stream, 1001, "nothing was said for an hour")

    def abort(self, why: BaseException | None = None) -> None:
        """Give it up; it holds nothing but the stream it runs on."""


async def _close(stream: Stream, code: int, why: str) -> None:
    """Say why and end, then read over what still comes for a bounded while.

    A socket closed on unread bytes sends a reset, and the close frame would be lost.
    """
    until = clock() + _LINGER
    due = deadline()
    due.at = until
    try:
        await stream.send_all(close_frame(code, why))
        await stream.send_eof()
        left = _LINGER_BYTES
        while left > 0 and await first(stream.readable, until=until) is not None:
            data = stream.receive_now()
            if data == b"":
                return
            left -= len(data or b"")
    except (OSError, Overdue):
        pass
