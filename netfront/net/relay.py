"""Relaying: two streams joined, blind, until both directions have ended.

One coroutine moves both directions, so that nothing waits for one socket alone: what one side sends while the other
does not read is held (one read's worth) and waited for beside everything else. A half-close passes on; the
other direction goes on. An end by error ends both at once, so that a broken stream never looks complete.
"""

from netfront.errors import Overdue
from netfront.net.lane import Wait, breathe, clock, first
from netfront.net.stream import Stream

__all__ = ["relay"]

_MOVES = 16
"""Reads of one direction before the other one, and other connections, have their turn."""


class _Way:
    """One direction."""

    __slots__ = ("_from", "_rest", "_to", "at_end", "ended", "moved")

    def __init__(self, source: Stream, sink: Stream, early: bytes) -> None:
        self._from = source
        self._to = sink
        self._rest: bytes | memoryview = early
        self.at_end = False
        self.ended = False
        self.moved = 0

    async def go_on(self) -> bool:
        """Move what can be moved without waiting; tell whether there may be more at once."""
        for _ in range(_MOVES):
            if self._rest:
                sent = self._to.send_now(self._rest)
                self.moved += sent
                self._rest = memoryview(self._rest)[sent:]
                if self._rest:
                    return False
            if not self._to.push():
                return False
            if self.at_end:
                await self._to.send_eof()
                self.ended = True
                return False
            data = self._from.receive_now()
            if data is None:
                return False
            self._rest = data
            self.at_end = not data
        return True

    def wait(self) -> Wait:
        """What it waits for."""
        return self._to.writable if self._rest or self.at_end or not self._to.push() else self._from.readable


async def relay(
    one: Stream, other: Stream, *, idle: float, from_one: bytes = b"", from_other: bytes = b""
) -> tuple[int, int]:
    """Copy bytes both ways until both have ended.

    Args:
        idle: seconds without a byte in either direction after which it is given up.
        from_one, from_other: bytes already read from each.
    Returns:
        bytes that went to the other, and to the one.
    Raises:
        Overdue: "stream", idle too long.
        OSError: one of them broke. Whoever called closes both.
    """
    there, back = _Way(one, other, from_one), _Way(other, one, from_other)
    moved = -1
    until = clock() + idle
    while True:
        more = False
        waits = []
        for way in (there, back):
            if not way.ended:
                more |= await way.go_on()
            if not way.ended:
                waits.append(way.wait())
        if not waits:
            return there.moved, back.moved
        if there.moved + back.moved != moved:
            moved = there.moved + back.moved
            until = clock() + idle
        if more:
            await breathe()
        elif await first(*waits, until=until) is None:
            raise Overdue("stream")
