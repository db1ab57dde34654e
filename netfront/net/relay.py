"""Relaying: two streams joined, blind, until both directions have ended.

One coroutine moves both directions, so that nothing waits for one socket alone: what one side sends while the other
does not read is held (one read's worth, or a pipe's) and waited for beside everything else. A half-close passes on;
the other direction goes on. An end by error ends both at once, so that a broken stream never looks complete.

Between two plain sockets a direction in bulk goes through a pipe (splice(2)) and is not copied. That is worth it
where reads are full: a small exchange costs two calls with recv and send, and four with splice, as only a call in
vain shows that a socket is empty. So each direction begins with recv and send, borrows a pipe after a read that was
full, and gives it back after two turns in a row that moved little.
"""

from netfront.net.lane import Signal, breathe, clock, deadline, either, first
from netfront.net.pipe import Pipe, Pipes
from netfront.net.stream import CHUNK, SocketStream, Stream

__all__ = ["Relay", "relay"]

_ROUNDS = range(16)
"""Reads of one direction before the other one, and other connections, have their turn."""
_SPLICES = 4
"""The same where a read is a pipe's worth."""
_LITTLE = 16384
"""Bytes in a turn under which a pipe does not serve: a small read costs more calls with it."""


class _Way:
    """One direction. `is_reading` while it waits for bytes to come: not for some to leave, and before it has ended."""

    __slots__ = (
        "_little",
        "_pipes",
        "_plain",
        "_send_last",
        "broke",
        "has_ended",
        "held",
        "is_at_end",
        "is_reading",
        "moved",
        "pipe",
        "sink",
        "source",
    )

    def __init__(self, source: Stream, sink: Stream, early: bytes, pipes: Pipes | None) -> None:
        self.source = source
        self.sink = sink
        self.held: bytes | memoryview = early
        self.is_reading = not early
        self.is_at_end = False
        self.has_ended = False
        self.moved = 0
        self.broke: Stream | None = None
        self.pipe: Pipe | None = None
        self._little = 0
        self._plain: SocketStream | None = None  # whose short reads have emptied the kernel's queue
        self._pipes: Pipes | None = None
        if isinstance(source, SocketStream) and isinstance(sink, SocketStream):
            self._plain = None if source.has_unread else source
            self._pipes = pipes
            self._send_last = sink.send_last_now

    def go_on(self) -> bool:
        """Move what can be moved without waiting; tell whether there may be more at once. Raises OSError."""
        if self.is_at_end:
            return False
        if self.pipe is not None:
            return self._go_on_splicing(self.pipe)
        source, sink = self.source, self.sink
        plain, send, is_last = self._plain, sink.send_now, False
        for _ in _ROUNDS:
            data = self.held
            if not data:
                if not self.is_reading and not self._push():
                    return False
                try:
                    got = source.receive_now()
                except OSError:
                    self.broke = source
                    raise
                if not got:
                    self.is_at_end = got is not None
                    return False
                self.held = data = got  # should sending fail, nothing is lost that may go elsewhere
                if (
                    plain is not None
                    and plain.has_ended
                    and len(got) < CHUNK
                    and not plain.is_lost
                    and not plain.is_marked
                ):
                    # the end had come before, so a short read has left nothing else, and need not be asked for
                    send, is_last = self._send_last, True
            try:
                sent = send(data)
            except OSError:
                self.broke = sink
                raise
            self.moved += sent
            if sent < len(data):
                self.held = memoryview(data)[sent:]
                self.is_reading = False
                return False
            self.held = b""
            self.is_reading = not sink.is_held_up
            if is_last:
                self.is_at_end = True
                return False
            if sent == CHUNK and self._pipes is not None and self.is_reading:
                self.pipe = self._pipes.take()
                return True
            if not source.readable.is_set:
                return False
        return True

    def _push(self) -> bool:
        try:
            self.is_reading = self.sink.push()
        except OSError:
            self.broke = self.sink
            raise
        return self.is_reading

    def _go_on_splicing(self, pipe: Pipe) -> bool:
        source, sink = self.source, self.sink
        assert isinstance(source, SocketStream)
        assert isinstance(sink, SocketStream)
        before, more = self.moved, True
        for _ in range(_SPLICES):
            if not pipe.held:
                try:
                    if not pipe.fill(source.fd):
                        return (
                            self._go_on_reading()
                        )  # which tells an end from urgent data; splice(2) stops at both
                except BlockingIOError:
                    if source.is_marked:
                        return self._go_on_reading()
                    source.readable.is_set, more = False, False
                    break
                except OSError:
                    self.broke = source
                    raise
            try:
                while pipe.held:
                    self.moved += pipe.empty(sink.fd)
            except BlockingIOError:
                sink.writable.is_set = self.is_reading = False
                return False
            except OSError:
                self.broke = sink
                raise
        self.is_reading = True
        self._little = self._little + 1 if self.moved - before < _LITTLE else 0
        if self._little > 1:
            self.give_back()
        return more

    def _go_on_reading(self) -> bool:
        self.is_reading = self.source.readable.is_set = True
        self.give_back()
        return self.go_on()

    def end(self, *, is_last: bool) -> None:
        """Pass the end on, as far as it goes without waiting: the other direction must go on meanwhile.

        The last one is left to the close that follows, where that says the same.
        """
        self.is_reading = False
        if is_last and isinstance(self.sink, SocketStream):
            self.has_ended = True
        else:
            try:
                self.has_ended = self.sink.end_now()
            except OSError:
                self.broke = self.sink
                self.sink.raise_failure()  # what had befallen it says more than that it is not connected
                raise

    def waits(self) -> tuple[Signal, ...]:
        """Give what it waits for when bytes are not all it waits for. Raises OSError: the source was reset.

        Where nothing is read a reset would not be seen; `hung` tells of it, and of an end, which is none.
        """
        source = self.source
        if self.is_reading:
            return (source.readable,)
        if source.hung.is_set:
            source.hung.clear()
            if source.is_lost:
                try:
                    source.raise_failure()
                except OSError:
                    self.broke = source
                    raise
        return (source.hung,) if self.has_ended else (self.sink.writable, source.hung)

    def give_back(self) -> None:
        """Let go of the pipe."""
        pipe, self.pipe = self.pipe, None
        self._little = 0
        if pipe is not None and self._pipes is not None:
            self._pipes.give_back(pipe)


class Relay:
    """Two streams, one and other, to be joined once.

    Args:
        idle: seconds without a byte in either direction after which it is given up.
        from_one, from_other: bytes already read from each.
        pipes: lends them for bulk between plain sockets; None copies always.
    """

    __slots__ = ("_back", "_idle", "_there")

    def __init__(
        self,
        one: Stream,
        other: Stream,
        *,
        idle: float,
        from_one: bytes = b"",
        from_other: bytes = b"",
        pipes: Pipes | None = None,
    ) -> None:
        self._there = _Way(one, other, from_one, pipes)
        self._back = _Way(other, one, from_other, pipes)
        self._idle = idle

    @property
    def sent(self) -> int:
        """Bytes that went from the one to the other."""
        return self._there.moved

    @property
    def received(self) -> int:
        """Bytes that went from the other to the one."""
        return self._back.moved

    @property
    def unsent(self) -> bytes:
        """Bytes read from the one that no part of has gone to the other."""
        return bytes(self._there.held)

    @property
    def broke(self) -> Stream | None:
        """Which of the two broke, once `run` has raised OSError."""
        return self._there.broke or self._back.broke

    async def run(self) -> None:
        """Copy bytes both ways until both have ended; whoever calls it closes both then.

        The last of the two ends is left to that close where a stream is a plain socket.

        Raises:
            Overdue: "stream", idle too long.
            OSError: one of them broke; see `broke`.
        """
        there, back = self._there, self._back
        one, other = there.source, back.source
        due, idle, moved = deadline(), self._idle, -1
        at, which = due.at, due.which
        due.which = "stream"
        try:
            while True:
                more = False
                if one.readable.is_set or not there.is_reading:
                    more = there.go_on()
                    if there.is_at_end and not there.has_ended:
                        there.end(is_last=back.has_ended)
                if other.readable.is_set or not back.is_reading:
                    more |= back.go_on()
                    if back.is_at_end and not back.has_ended:
                        back.end(is_last=there.has_ended)
                if there.moved + back.moved != moved:
                    moved = there.moved + back.moved
                    due.at = clock() + idle
                if more:
                    await breathe()
                elif there.is_reading and back.is_reading:
                    await either(one.readable, other.readable)
                elif there.has_ended and back.has_ended:
                    return
                else:
                    waits = (*there.waits(), *back.waits())
                    await (either(*waits) if len(waits) == 2 else first(*waits))
        finally:
            due.at, due.which = at, which
            there.give_back()
            back.give_back()


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
    joined = Relay(one, other, idle=idle, from_one=from_one, from_other=from_other)
    await joined.run()
    return joined.sent, joined.received
