"""Leaving HTTP: after a backend's real 101 the two streams are joined (RFC 9110 §7.8).

WebSocket is one such protocol; what passes is not looked at, so close codes, half-close and extensions are the
two ends' own.
"""

from collections.abc import Callable

from netfront.net.relay import relay
from netfront.net.stream import Stream

__all__ = ["RelayTakeover"]


class RelayTakeover:
    """The backend's side of an upgraded connection.

    Args:
        early: bytes that came behind the 101's head.
        idle: seconds without a byte in either direction (--stream-timeout).
        done: called once with whether it ended well.
    """

    __slots__ = ("_done", "_early", "_idle", "_stream")

    def __init__(self, stream: Stream, early: bytes, idle: float, done: Callable[[bool], None]) -> None:
        self._stream = stream
        self._early = early
        self._idle = idle
        self._done: Callable[[bool], None] | None = done

    async def run(self, stream: Stream, early: bytes) -> None:
        """Relay until both ends have closed. Raises Overdue or OSError; the client's stream is the caller's.

        An end by error is a reset on our side: what was cut must not look complete there either.
        """
        ended_well = False
        try:
            await relay(stream, self._stream, idle=self._idle, from_one=early, from_other=self._early)
            ended_well = True
        finally:
            self._finish(ended_well)

    def abort(self, why: BaseException | None = None) -> None:
        """Close the backend's side at once; idempotent."""
        self._finish(False)

    def _finish(self, ended_well: bool) -> None:
        done, self._done = self._done, None
        if done is not None:
            if ended_well:
                self._stream.abort()
            else:
                self._stream.reset()
            done(ended_well)
