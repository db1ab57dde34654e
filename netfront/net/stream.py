"""Streams: two-way byte channels. Each tries the socket first and waits second.

`SocketStream` is a socket; `TlsStream` (tlsstream.py) is TLS over any stream. One reader and one writer at a time.
"""

import fcntl
import os
import socket
import termios
from typing import Protocol

import trio

from netfront.net.lane import Lane, Signal, breathe, clock, lane, ready

__all__ = ["CHUNK", "Facts", "SocketStream", "Stream", "unmapped"]

_MORE = getattr(socket, "MSG_MORE", 0)
CHUNK = 65536
"""Most bytes taken from a socket at once: the bound of what one direction of a connection holds."""


class Facts:
    """What is known of a connection from the start.

    Args:
        peer: the client's address and port, as a PROXY line told it where one was believed; ("", 0) on a unix socket.
        local: the address and port it dialled.
        listener: the listener's name in the plan.
        client_cert: the client's certificate (DER), when it showed one and it was verified.
    """

    __slots__ = ("alpn", "client_cert", "listener", "local", "peer", "sni", "tls")

    def __init__(self, peer: tuple[str, int], local: tuple[str, int], listener: str = "") -> None:
        self.peer = peer
        self.local = local
        self.listener = listener
        self.tls = False
        self.sni: str | None = None
        self.alpn: str | None = None
        self.client_cert: bytes | None = None


def unmapped(address: str) -> str:
    """Give an IPv4 address that came to a socket of IPv6 as such (RFC 4291 §2.5.5.2); others as they are."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address


class Stream(Protocol):
    """What a connection asks of its stream. Shaped after trio.abc.HalfCloseableStream."""

    facts: Facts

    @property
    def readable(self) -> Signal:
        """Set when `receive_now` is worth trying: bytes, an end or an error may be there."""
        ...

    @property
    def writable(self) -> Signal:
        """Set when `send_now` is worth trying."""
        ...

    @property
    def hung(self) -> Signal:
        """Set when the other side has ended its sending, or the connection is lost.

        Whoever has seen to it may clear it; it is set again when more befalls the connection.
        """
        ...

    @property
    def ended_at(self) -> float:
        """When (of `clock`) the end was there, at the latest known; once `hung` is set."""
        ...

    @property
    def is_lost(self) -> bool:
        """Whether it is known that nothing sent will arrive any more."""
        ...

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """Give what is there: bytes, b"" at the end, or None when one would have to wait."""
        ...

    async def receive_some(self, max_bytes: int = CHUNK) -> bytes:
        """Give the next bytes, at least one; b"" at the end."""
        ...

    def send_now(self, data: bytes | memoryview) -> int:
        """Take as much of `data` as goes without waiting, and say how much that is."""
        ...

    @property
    def is_held_up(self) -> bool:
        """Whether something that `send_now` took has not left yet: `push` it once `writable` is set."""
        ...

    def push(self) -> bool:
        """Send on what `send_now` took and that has not left yet; tell whether all has."""
        ...

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        ...

    def end_now(self) -> bool:
        """End our direction, the other one goes on; False where that waits for `writable`: then call it again."""
        ...

    async def send_eof(self) -> None:
        """End our direction; the other one goes on."""
        ...

    async def aclose(self) -> None:
        """Close in good order."""
        ...

    def abort(self) -> None:
        """Close at once, without waiting; idempotent."""
        ...

    def reset(self) -> None:
        """Close so that the other side sees an error and no clean end (TCP's RST); idempotent."""
        ...

    @property
    def has_arrived(self) -> bool:
        """Whether the other side has all that was sent: a reset takes with it what it has not."""
        ...

    def wake_reader(self) -> None:
        """Let whoever waits for bytes look again, though none may have come."""
        ...

    def raise_failure(self) -> None:
        """Raise the error that has befallen the connection, if one has: an OSError."""
        ...


async def send_by_parts(stream: Stream, data: bytes | memoryview) -> None:
    """Send all of `data` through `send_now`, waiting in between."""
    rest = memoryview(data)
    while rest:
        sent = stream.send_now(rest)
        rest = rest[sent:]
        if rest:
            await ready(stream.writable)


class SocketStream:
    """A connected non-blocking socket, on the lane where there is one."""

    __slots__ = (
        "_failure",
        "_fd",
        "_held",
        "_lane",
        "_open_at",
        "_recv",
        "_send",
        "_socket",
        "_turn",
        "ended_at",
        "facts",
        "has_ended",
        "hung",
        "is_lost",
        "is_marked",
        "readable",
        "writable",
    )

    def __init__(self, sock: socket.SocketType, facts: Facts, *, is_readable: bool = True) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        self._lane: Lane | None = lane()
        self._held = b""
        self._failure: OSError | None = None
        self.facts = facts
        self.has_ended = False
        self.ended_at = 0.0
        self.is_lost = False
        self.is_marked = False
        self._turn: trio.Lock | None = None
        self._open_at = 0.0
        """When nothing was known of an end; without a lane alone, where nobody looks as long as nobody waits."""
        if self._lane is not None:
            self.readable = Signal(is_readable)
            self.writable = Signal(True)
            self.hung = Signal()
            self._lane.watch(self._fd, self)
        else:
            self._turn = trio.Lock()  # trio lets one task wait for bytes; here `readable` and `hung` both do
            self.readable = Signal(is_readable, self._wait_readable)
            self.writable = Signal(True, self._wait_writable)
            self.hung = Signal(False, self._wait_hung)

    def unread(self, data: bytes) -> None:
        """Put bytes back: the next receive gives them, all at once."""
        if data:
            self._held = data + self._held
            self.readable.is_set = True

    @property
    def has_unread(self) -> bool:
        """Whether bytes were put back that the next receive gives."""
        return bool(self._held)

    async def _wait_readable(self) -> None:
        assert self._turn is not None
        async with self._turn:
            try:
                await trio.lowlevel.wait_readable(self._socket)
            except trio.ClosedResourceError:
                if self._fd < 0:
                    raise

    async def _wait_writable(self) -> None:
        try:
            await trio.lowlevel.wait_writable(self._socket)
        except trio.ClosedResourceError:
            if self._fd < 0:
                raise

    async def _wait_hung(self) -> None:
        if self.has_ended:
            await trio.sleep_forever()
        has_waited = False
        while True:
            try:
                self.has_ended = not self._recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                self._open_at = clock()
                await self._wait_readable()
                has_waited = True
                continue
            except OSError as error:
                self._failure = error  # the kernel tells of it once, and of an end from then on
                self.has_ended = self.is_lost = True
            if self.has_ended:
                self.ended_at = clock() if has_waited else self._open_at  # it may have been there since
                return
            await trio.sleep_forever()  # bytes that nobody wants yet stand before an end

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """Give what is there: bytes, b"" at the end, or None when one would have to wait."""
        if not self.readable.is_set:
            return None
        if self._held:
            data, self._held = self._held, b""
            return data
        try:
            data = self._recv(max_bytes)
        except BlockingIOError:
            self.readable.is_set = False
            return None
        if len(data) < max_bytes:
            if not self.has_ended and not self.is_marked:
                # a short read has emptied the socket; an end may share its edge with bytes, and urgent data stop it
                self.readable.is_set = self._lane is None  # where there are no edges one must try to know
            elif not data and self._failure is not None:
                raise self._failure
        return data

    async def receive_some(self, max_bytes: int = CHUNK) -> bytes:
        """Give the next bytes, at least one; b"" at the end."""
        while True:
            data = self.receive_now(max_bytes)
            if data is None:
                await ready(self.readable)
                continue
            if (active := self._lane) is not None:
                active.operations -= 1
                if active.operations <= 0:
                    await breathe()
            return data

    def send_now(self, data: bytes | memoryview) -> int:
        """Take as much of `data` as goes without waiting, and say how much that is."""
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.writable.is_set = False
        return sent

    def send_last_now(self, data: bytes | memoryview) -> int:
        """Send as `send_now` does what `send_eof` or a close will follow at once: both go in one packet."""
        try:
            sent = self._send(data, _MORE)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.writable.is_set = False
        return sent

    is_held_up = False
    """Nothing taken waits here: what `send_now` takes is the kernel's."""

    def push(self) -> bool:
        """See `is_held_up`."""
        return True

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        sent = self.send_now(data)
        if sent < len(data):
            await ready(self.writable)
            await send_by_parts(self, memoryview(data)[sent:])
        elif (active := self._lane) is not None:
            active.operations -= 1
            if active.operations <= 0:
                await breathe()

    def end_now(self) -> bool:
        """End our direction, the other one goes on: the kernel sends what it holds before."""
        self._socket.shutdown(socket.SHUT_WR)
        return True

    async def send_eof(self) -> None:
        """End our direction; the other one goes on."""
        self.end_now()

    async def aclose(self) -> None:
        """Close the socket; the kernel sends what it still holds."""
        self.abort()

    def abort(self) -> None:
        """Close at once; idempotent."""
        if self._fd >= 0:
            if self._lane is not None:
                self._lane.forget(self._fd, self)
            else:
                trio.lowlevel.notify_closing(self._socket)
            self._fd = -1
            self._socket.close()

    def reset(self) -> None:
        """Close with RST; idempotent."""
        if self._fd >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.abort()

    @property
    def has_arrived(self) -> bool:
        """Whether the other side's kernel has all that was sent."""
        try:
            return not any(fcntl.ioctl(self._fd, termios.TIOCOUTQ, bytes(4)))
        except OSError:
            return True  # closed, or a system that cannot tell

    def wake_reader(self) -> None:
        """Let whoever waits for bytes look again."""
        if self._lane is not None:
            self.readable.set()
        elif self._fd >= 0:
            trio.lowlevel.notify_closing(self._socket)  # which wakes, and closes nothing

    def raise_failure(self) -> None:
        """Raise what the kernel holds against the socket, such as a reset that no call has met yet."""
        if self._failure is not None:
            raise self._failure
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))

    def keep_urgent(self) -> None:
        """Have urgent bytes stay among the others (RFC 6093 §6), as sockets that were accepted do."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    @property
    def fd(self) -> int:
        """The descriptor, for splicing; -1 once it is closed."""
        return self._fd
