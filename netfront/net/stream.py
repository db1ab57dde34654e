"""Streams: two-way byte channels. Each tries the socket first and waits second.

`SocketStream` is a socket; `TlsStream` is TLS over any stream; `TrioStream` wraps a trio stream, so that
memory streams fit wherever ours do in the tests. One reader and one writer at a time.
"""

import math
import socket
import ssl
from typing import Protocol

import trio

from netfront.errors import Overdue
from netfront.net.lane import Lane, Signal, breathe, first, lane, ready

__all__ = ["Facts", "SocketStream", "Stream", "TlsStream", "TrioStream"]

CHUNK = 65536
"""Most bytes taken from a socket at once: the bound of what one direction of a connection holds."""


class Facts:
    """What is known of a connection from the start.

    Args:
        peer: the client's address and port; ("", 0) on a unix socket.
        local: the address and port it dialled.
        listener: the listener's name in the plan.
        client_cert: the client's certificate (DER), when it showed one and it was verified.
        direct: the address of whoever dialled us, where a PROXY line told another `peer`.
    """

    __slots__ = ("alpn", "client_cert", "direct", "listener", "local", "peer", "sni", "tls")

    def __init__(self, peer: tuple[str, int], local: tuple[str, int], listener: str = "") -> None:
        self.peer = peer
        self.local = local
        self.listener = listener
        self.direct = peer
        self.tls = False
        self.sni: str | None = None
        self.alpn: str | None = None
        self.client_cert: bytes | None = None


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

    def stop_receiving(self) -> None:
        """Let the next wait for bytes find the end, once what has come already is read."""
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
        "_fd",
        "_held",
        "_lane",
        "_recv",
        "_send",
        "_socket",
        "facts",
        "has_ended",
        "hung",
        "is_lost",
        "readable",
        "writable",
    )

    def __init__(self, sock: socket.socket, facts: Facts, *, is_readable: bool = True) -> None:
        self._socket = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        self._lane: Lane | None = lane()
        self._held = b""
        self.facts = facts
        self.has_ended = False
        self.is_lost = False
        if self._lane is not None:
            self.readable = Signal(is_readable)
            self.writable = Signal(True)
            self.hung = Signal()
            self._lane.watch(self._fd, self)
        else:
            self.readable = Signal(False, self._wait_readable)
            self.writable = Signal(True, self._wait_writable)
            self.hung = Signal(False, self._wait_hung)

    def unread(self, data: bytes) -> None:
        """Put bytes back: the next receive gives them, all at once."""
        if data:
            self._held = data + self._held
            self.readable.is_set = True

    async def _wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    async def _wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self._socket)

    async def _wait_hung(self) -> None:
        if not self.has_ended:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                self.has_ended = not self._recv(1, socket.MSG_PEEK)
            except OSError:
                self.has_ended = self.is_lost = True
            if self.has_ended:
                return
        await trio.sleep_forever()

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
        if len(data) < max_bytes and not self.has_ended:
            # a short read has emptied the socket; only an end may share its edge with bytes
            self.readable.is_set = self._lane is None and not data
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

    async def send_eof(self) -> None:
        """End our direction; the other one goes on."""
        self._socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close the socket; the kernel sends what it still holds."""
        self.abort()

    def abort(self) -> None:
        """Close at once; idempotent."""
        if self._fd >= 0:
            if self._lane is not None:
                self._lane.forget(self._fd)
            else:
                trio.lowlevel.notify_closing(self._socket)
            self._fd = -1
            self._socket.close()

    def reset(self) -> None:
        """Close with RST; idempotent."""
        if self._fd >= 0:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.abort()

    def stop_receiving(self) -> None:
        """Let the next wait for bytes find the end."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass

    @property
    def raw_socket(self) -> socket.socket:
        """The socket itself, for options and for splicing."""
        return self._socket


_ALWAYS = Signal(True)


class TlsStream:
    """TLS over another stream, handshake included (MemoryBIO).

    An end of the stream without TLS's own close is an error when data may be missing (truncation): it is
    raised as ConnectionResetError. One owner encrypts and sends at a time, or records would be reordered.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_stream", "_unsent", "facts")

    def __init__(
        self, stream: Stream, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None
    ) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        self._unsent = b""
        self.facts = stream.facts

    async def handshake(self, early: bytes = b"", *, until: float = math.inf) -> None:
        """Do the handshake. Raises ssl.SSLError, OSError or Overdue.

        Args:
            early: bytes of it that were taken from the stream already.
            until: the time at which to give up.
        """
        if early:
            self._incoming.write(early)
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                while (data := self._stream.receive_now()) is None:
                    if await first(self._stream.readable, until=until) is None:
                        raise Overdue("handshake") from None
                if data:
                    self._incoming.write(data)
                    continue
                raise ConnectionResetError("closed in the TLS handshake") from None
            except ssl.SSLError:
                await self._flush()  # the alert that tells the peer why
                raise
            break
        await self._flush()
        facts = self.facts
        facts.tls = True
        facts.alpn = self._object.selected_alpn_protocol()
        facts.client_cert = self._object.getpeercert(binary_form=True)

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """OpenSSL's side, for what it knows of the peer."""
        return self._object

    @property
    def readable(self) -> Signal:
        """Set also for what is in hand already."""
        if self._object.pending() or self._incoming.pending:
            return _ALWAYS
        return self._stream.readable

    @property
    def writable(self) -> Signal:
        """Set when the bytes encrypted last have left."""
        return self._stream.writable

    @property
    def hung(self) -> Signal:
        """As of the stream below."""
        return self._stream.hung

    @property
    def is_lost(self) -> bool:
        """As of the stream below."""
        return self._stream.is_lost

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """Give what is there: bytes, b"" at the end, or None when one would have to wait."""
        while True:
            try:
                data = self._object.read(max_bytes)
            except ssl.SSLWantReadError:
                data = None
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError:
                raise ConnectionResetError("ended without TLS close") from None
            except ssl.SSLError as error:
                raise ConnectionResetError(f"TLS: {error.reason or error}") from error
            if self._outgoing.pending:
                self.push()
            if data is not None:
                return data
            raw = self._stream.receive_now(max_bytes)
            if raw is None:
                return None
            if raw:
                self._incoming.write(raw)
            else:
                self._incoming.write_eof()

    async def receive_some(self, max_bytes: int = CHUNK) -> bytes:
        """Give the next bytes, at least one; b"" at the end."""
        while True:
            data = self.receive_now(max_bytes)
            if data is not None:
                active = lane()
                if active is not None:
                    active.operations -= 1
                    if active.operations <= 0:
                        await breathe()
                return data
            await ready(self._stream.readable)

    def send_now(self, data: bytes | memoryview) -> int:
        """Encrypt and take all of `data`, unless bytes encrypted before wait still: then nothing."""
        if self._unsent and not self.push():
            return 0
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise ConnectionResetError(f"TLS: {error.reason or error}") from error
        self.push()
        return len(data)

    async def send_all(self, data: bytes) -> None:
        """Send all of it, 64 KiB encrypted at a time."""
        await self._flush()
        for start in range(0, len(data), CHUNK):
            part = data if len(data) <= CHUNK else memoryview(data)[start : start + CHUNK]
            try:
                self._object.write(part)
            except ssl.SSLError as error:
                raise ConnectionResetError(f"TLS: {error.reason or error}") from error
            await self._flush()

    @property
    def is_held_up(self) -> bool:
        """Whether encrypted bytes have not left yet."""
        return bool(self._unsent)

    def push(self) -> bool:
        """Send what is encrypted as far as it goes; tell whether all has left."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        if self._unsent:
            sent = self._stream.send_now(self._unsent)
            self._unsent = self._unsent[sent:]
        return not self._unsent

    async def _flush(self) -> None:
        if self._outgoing.pending and not self._unsent:
            await self._stream.send_all(self._outgoing.read())
            return
        while not self.push():
            await ready(self._stream.writable)

    async def send_eof(self) -> None:
        """Send TLS's close, then end our direction below (RFC 8446 §6.1: the other one goes on)."""
        try:
            self._object.unwrap()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise ConnectionResetError(f"TLS: {error.reason or error}") from error
        await self._flush()
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Say TLS's close as far as it goes without waiting, and close."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            pass
        try:
            self.push()
        except OSError:
            pass
        await self._stream.aclose()

    def abort(self) -> None:
        """Close at once; idempotent."""
        self._stream.abort()

    def reset(self) -> None:
        """Close with RST; idempotent."""
        self._stream.reset()

    def stop_receiving(self) -> None:
        """Let the next wait for bytes find the end."""
        self._stream.stop_receiving()


class TrioStream:
    """A trio stream in our shape, for tests and for what trio opens. Plain tasks only."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, facts: Facts) -> None:
        self._stream = stream
        self._held = b""
        self._ended = False
        self.facts = facts
        self.is_lost = False
        self.readable = Signal(False, self._fill)
        self._unsent = b""
        self.writable = Signal(True, self._drain)
        self.hung = Signal(False, self._fill_to_end)

    async def _fill(self) -> None:
        if self._held or self._ended:
            return
        try:
            data = await self._stream.receive_some(CHUNK)
        except trio.BrokenResourceError:
            data = b""
            self.is_lost = True
        self._held += data
        if not data:
            self._ended = True
            self.hung.is_set = True

    async def _fill_to_end(self) -> None:
        await self._fill()
        if not self._ended:
            await trio.sleep_forever()

    def receive_now(self, max_bytes: int = CHUNK) -> bytes | None:
        """Give what is held, b"" at the end, or None."""
        if self._held:
            data, self._held = self._held[:max_bytes], self._held[max_bytes:]
            self.readable.is_set = bool(self._held) or self._ended
            return data
        if self._ended:
            if self.is_lost:
                raise ConnectionResetError("broken")
            return b""
        self.readable.is_set = False
        return None

    async def receive_some(self, max_bytes: int = CHUNK) -> bytes:
        """Give the next bytes, at least one; b"" at the end."""
        while (data := self.receive_now(max_bytes)) is None:
            await ready(self.readable)
        return data

    def send_now(self, data: bytes | memoryview) -> int:
        """Take it, if nothing taken before waits still: it leaves when somebody waits for `writable`."""
        if self._unsent:
            return 0
        self._unsent = bytes(data)
        self.writable.is_set = not self._unsent
        return len(data)

    @property
    def is_held_up(self) -> bool:
        """Whether something taken has not left yet."""
        return bool(self._unsent)

    def push(self) -> bool:
        """Tell whether all has left."""
        return not self._unsent

    async def _drain(self) -> None:
        try:
            await self._stream.send_all(self._unsent)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise BrokenPipeError(str(error)) from error
        self._unsent = b""

    async def send_all(self, data: bytes) -> None:
        """Send all of it."""
        await ready(self.writable)
        self.send_now(data)
        await ready(self.writable)

    async def send_eof(self) -> None:
        """End our direction."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await trio.aclose_forcefully(self._stream)

    def abort(self) -> None:
        """Close it; memory streams close without waiting."""
        self._ended = True
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()

    def reset(self) -> None:
        """As `abort`."""
        self.is_lost = True
        self.abort()

    def stop_receiving(self) -> None:
        """Find the end at once."""
        self._ended = True
