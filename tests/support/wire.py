"""One end of a connection, plain or TLS, that sends and receives in pieces and with pauses as chance has it.

Each end is told apart: "clean" (FIN, and TLS's close where there is TLS), or "cut" (a reset, or a FIN without TLS's
close). One thread drives it, in both directions at once, so that neither waits for the other.
"""

import random
import select
import socket
import ssl
import time
from collections.abc import Callable

__all__ = ["PATIENCE", "Stuck", "Wire", "shrink"]

PATIENCE = 20.0
_PIECES = (1, 3, 17, 300, 1400, 5000, 40_000, 100_000)
_HANDSHAKE = 0x16


def shrink(sock: socket.socket, buffer: int) -> None:
    """Have the kernel hold about so many bytes each way; before it is connected, or listens.

    Segments become small too: with those of loopback, which are larger than such a buffer, a window that has been full
    opens by a timer only.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)


class Stuck(Exception):
    """Nothing moved for too long."""


class Wire:
    """One end.

    Args:
        sock: connected.
        context: for TLS; `name` is that of the server where this is the client.
        gentle: no tiny pieces, and few pauses: where millions of bytes are to pass.
        idles: whether nothing may come for a minute: the backend's side of a connection that is kept.
    """

    def __init__(
        self,
        sock: socket.socket,
        chance: random.Random,
        context: ssl.SSLContext | None = None,
        *,
        name: str | None = None,
        gentle: bool = False,
        idles: bool = False,
    ) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.got = bytearray()
        self.ended = ""
        self.broken = False
        """Whether sending has failed."""
        self._chance = chance
        self._pieces = _PIECES[4:] if gentle else _PIECES
        self._pauses = 0.01 if gentle else 0.05
        self._patience = 3 * PATIENCE if idles else PATIENCE
        self._poll = select.poll()
        self._out = bytearray()
        self._unsent = bytearray()
        self._tls: ssl.SSLObject | None = None
        self._said_end = False
        self._is_shaken = False
        if context is not None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = context.wrap_bio(self._incoming, self._outgoing, name is None, name)

    def shake(self, *, fragments: bool = False) -> None:
        """Do the handshake. Raises OSError, ssl.SSLError, Stuck.

        Args:
            fragments: let the first message come in several records (RFC 8446 §5.1).
        """
        assert self._tls is not None
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                data = self._outgoing.read()
                if fragments and data[:1] == bytes((_HANDSHAKE,)):
                    data, fragments = self._in_fragments(data), False
                self._unsent += data
                while self._unsent:
                    self._turn(reads=False)
                while not self._incoming.pending:
                    if self.ended:
                        raise ConnectionResetError("ended in the handshake") from None
                    self._turn()
                continue
            self._unsent += self._outgoing.read()
            self._is_shaken = True
            self._decrypt()
            return

    def pump(
        self, data: bytes = b"", end: str = "", *, until: Callable[[], bool] | None = None, most: int = 0
    ) -> None:
        """Send all of this, end in this way, and receive meanwhile, until the other side has ended.

        Args:
            end: "" (none), "fin" (our direction), "reset", or "cut" (a FIN without TLS's close).
            until: stop when this holds and all is sent.
            most: bytes received after which no more is read.
        Raises:
            Stuck: nothing moved for `PATIENCE`.
        """
        self._out += data
        while True:
            if not self._out and not self._unsent and end and not self._said_end:
                self._end(end)
            is_sent = self.broken or not (self._out or self._unsent or (end and not self._said_end))
            if is_sent and (self.ended or (until is not None and until())):
                return
            if most and len(self.got) >= most:
                return
            self._turn()

    def close(self) -> None:
        """Close."""
        self.socket.close()

    def break_off(self, how: str) -> None:
        """End at once, by "reset" or "cut", whatever is still to be sent."""
        self._give_up()
        self._end(how)

    def _turn(self, *, reads: bool = True) -> None:
        chance = self._chance
        if chance.random() < self._pauses:
            time.sleep(chance.random() * 0.004)
        writes = bool(self._out or self._unsent) and not self.broken
        reads = reads and not self.ended
        if not reads and not writes:
            raise Stuck("nothing is left to do")
        pauses = reads and writes and chance.random() < 0.3
        reads = reads and not pauses
        self._poll.register(self.socket, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
        events = self._poll.poll(2 if pauses else self._patience * 1000)
        if not events:
            if pauses:
                return
            raise Stuck(
                f"got {len(self.got)}, {len(self._out)} + {len(self._unsent)} to send, {self.ended!r}"
            )
        if reads or (events[0][1] & (select.POLLHUP | select.POLLERR) and not writes):
            self._receive()
        if writes and not self.broken:
            self._send()

    def _send(self) -> None:
        chance = self._chance
        if not self._unsent:
            piece = bytes(self._out[: chance.choice(self._pieces)])
            del self._out[: len(piece)]
            if self._tls is None:
                self._unsent += piece
            else:
                try:
                    self._tls.write(piece)
                except ssl.SSLError:
                    self.broken = True
                    return
                self._unsent += self._outgoing.read()
        try:
            sent = self.socket.send(self._unsent[: chance.choice(self._pieces)])
        except BlockingIOError:
            return
        except OSError:
            self._cut()  # the kernel tells of a reset once: a recv would find an end
            return
        del self._unsent[:sent]

    def _receive(self) -> None:
        try:
            raw = self.socket.recv(self._chance.choice(self._pieces))
        except BlockingIOError:
            return
        except OSError:
            self._cut()
            return
        if self._tls is None:
            self.got += raw
            if not raw:
                self.ended = "clean"
            return
        if not raw:
            self._cut()
            return
        self._incoming.write(raw)
        if self._is_shaken:
            self._decrypt()

    def _decrypt(self) -> None:
        assert self._tls is not None
        while True:
            try:
                data = self._tls.read(16384)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError:
                self._cut()
                break
            if not data:
                self.ended = self.ended or "clean"
                break
            self.got += data
        self._unsent += self._outgoing.read()

    def _cut(self) -> None:
        self.ended = self.ended or "cut"
        self._give_up()

    def _give_up(self) -> None:
        self.broken = True
        self._out.clear()
        self._unsent.clear()

    def _end(self, how: str) -> None:
        self._said_end = True
        try:
            if how == "reset":
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.socket.close()
                self.ended, self.broken = "left", True
                return
            if self._tls is not None and how == "fin":
                held = self._incoming.read()
                try:
                    self._tls.unwrap()
                except ssl.SSLError:
                    pass
                self._incoming.write(held)
                self._unsent += self._outgoing.read()
                while self._unsent and not self.broken:
                    self._turn()
                if self._chance.random() < 0.5:
                    return  # TLS's close alone
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.broken = True

    def _in_fragments(self, data: bytes) -> bytes:
        """Cut the record that `data` begins with into several."""
        size = int.from_bytes(data[3:5], "big")
        message, rest = data[5 : 5 + size], data[5 + size :]
        parts = []
        while message:
            part = message[: self._chance.randint(20, 300)]
            message = message[len(part) :]
            parts.append(data[:3] + len(part).to_bytes(2, "big") + part)
        return b"".join(parts) + rest
