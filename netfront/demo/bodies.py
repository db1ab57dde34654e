"""Bodies that are made while they are sent: bytes of any number, and events in time."""

from hashlib import shake_128
from math import inf

from netfront.errors import ClientGone
from netfront.http.message import Client
from netfront.net.lane import Signal, clock, first
from netfront.wire.fields import EMPTY, Fields

__all__ = ["EventBody", "PatternBody", "pattern"]

_PERIOD = 65521
"""The largest prime below 64 KiB: behind a piece that was lost, doubled or moved, everything differs."""
_PATTERN = shake_128(b"netfront").digest(_PERIOD)


def pattern(start: int, length: int) -> bytes:
    """Give what `/bytes/N` holds at a place: the same bytes at the same place, whatever N is."""
    offset = start % _PERIOD
    return (_PATTERN * ((offset + length) // _PERIOD + 1))[offset : offset + length]


class PatternBody:
    """The bytes of the pattern from `start` to `end`, a period at a time.

    Args:
        is_counted: whether the length is told ahead.
    """

    __slots__ = ("_at", "_end", "length", "readable", "started", "trailers")

    def __init__(self, start: int, end: int, *, is_counted: bool = True) -> None:
        self._at = start
        self._end = end
        self.length: int | None = end - start if is_counted else None
        self.started = False
        self.trailers: Fields = EMPTY
        self.readable = Signal(True)

    def due(self) -> float:
        """There is no waiting for it."""
        return inf

    def receive_now(self) -> bytes:
        """Give the next bytes, b"" at the end."""
        offset = self._at % _PERIOD
        size = min(_PERIOD - offset, self._end - self._at)
        self._at += size
        self.started = True
        return _PATTERN if size == _PERIOD else _PATTERN[offset : offset + size]

    async def receive_some(self) -> bytes:
        """Give the next bytes, b"" at the end."""
        return self.receive_now()

    def abort(self, why: BaseException | None = None) -> None:
        """End it here."""
        self._end = self._at


class EventBody:
    """Server-sent events, one each `interval` seconds, numbered from `start` to `last`.

    Args:
        last: the number of the last event; inf for ever.
        client: when it leaves, the waiting ends.
    """

    __slots__ = (
        "_client",
        "_due",
        "_interval",
        "_last",
        "_number",
        "length",
        "readable",
        "started",
        "trailers",
    )

    def __init__(self, start: int, last: float, interval: float, client: Client) -> None:
        self._number = start
        self._last = last
        self._interval = interval
        self._client = client
        self._due = clock()
        self.length: int | None = None
        self.started = False
        self.trailers: Fields = EMPTY
        self.readable = Signal()

    def due(self) -> float:
        """Tell when the next event comes."""
        return self._due

    def receive_now(self) -> bytes | None:
        """Give the next event when its time has come, b"" behind the last one."""
        number, now = self._number, clock()
        if number > self._last:
            return b""
        if now < self._due:
            return None
        self._number += 1
        self._due = max(self._due + self._interval, now)
        self.started = True
        of = "" if self._last == inf else f', "of": {self._last:.0f}'
        return f'id: {number}\ndata: {{"event": {number}{of}}}\n\n'.encode()

    async def receive_some(self) -> bytes:
        """Give the next event, b"" behind the last one. Raises ClientGone."""
        while (data := self.receive_now()) is None:
            if await first(self._client.gone, until=self._due) is not None and self._client.has_left():
                raise ClientGone
        return data

    def abort(self, why: BaseException | None = None) -> None:
        """End it here."""
        self._last = 0
