"""Dialling: from a member of a pool to a connected stream.

A numeric address and a unix socket are dialled without leaving the lane, and so is a name that somebody follows:
its member says where it leads. Any other name is looked up in a thread. The addresses are tried one beside the other
(RFC 8305, happy eyeballs). A loopback name is both loopback addresses, so that a server that listens on one of
them only is found.
"""

import errno
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from netfront.endpoint import is_loopback_name
from netfront.errors import BackendError, ClientGone, Overdue, words
from netfront.net.backend import SILENT, Backend, Member
from netfront.net.lane import Signal, clock, first, in_trio
from netfront.net.stream import Facts, SocketStream, Stream
from netfront.net.tlsstream import TlsStream
from netfront.wire.proxyline import LOCAL, render_v1, render_v2

__all__ = [
    "BESIDE",
    "Address",
    "Candidates",
    "addresses_of",
    "dial",
    "dial_any",
    "proxy_line",
    "resolve",
]

Address = tuple[socket.AddressFamily, object]
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
"""Off before connecting, the last packet of the handshake is not sent alone, but with the first bytes: 4 us less."""
_STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
BESIDE = 0.25
"""Seconds of silence after which another address, or backend, is tried beside the first (RFC 8305 §5)."""
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What this machine is short of, and no backend can help."""
_HANDSHAKE = 1.0
"""Seconds for a TLS handshake if there is somebody else to turn to: one that hangs would cost the whole time-out."""


async def dial(backend: Backend, *, timeout: float, preamble: bytes | None = None) -> Stream:
    """Open a connection to a backend, TLS included.

    Args:
        timeout: seconds for all of it.
        preamble: a PROXY line to send first; None sends what names no client to who wants one.
    Raises:
        BackendError: stage "resolve", "connect" or "tls"; always retry-safe.
    """
    until = clock() + timeout
    if not backend.addresses:
        backend.addresses = await resolve(backend.member, until)
    attempt = _Attempt(backend, until, has_words=False)
    try:
        while (stream := attempt.go_on()) is None:
            await first(*attempt.waits, until=attempt.next_at)
    finally:
        attempt.abort()
    if preamble is None:
        preamble = proxy_line(backend.member, None)
    return await _introduced(stream, backend, until, preamble)


class Candidates(Protocol):
    """The backends of one connection that may be dialled in turn, and what is told of them."""

    def another(self) -> Backend | None:
        """Give the next to try; None when there is none, then it is not asked again."""
        ...

    def failed(self, backend: Backend, error: BackendError) -> None:
        """Hear that one failed. One that is merely slower than the one connected has not."""
        ...

    def gave_up(self) -> None:
        """Hear that none is connected and no more is tried, for whatever reason."""
        ...

    def preamble(self, member: Member) -> bytes:
        """Make the PROXY line to send first."""
        ...

    @property
    def gone(self) -> Signal:
        """Set when whoever it is for may have left: then `has_left` tells."""
        ...

    def has_left(self) -> bool:
        """Tell whether nobody wants the connection any more; if not, `gone` is clear again."""
        ...


async def dial_any(
    candidates: Candidates, *, timeout: float, has_words: bool = False
) -> tuple[Backend, Stream]:
    """Open a connection to one of several backends: the next after one that fails, and beside one that is silent.

    Args:
        timeout: seconds for each.
        has_words: whether bytes are in hand that will be sent as soon as there is a connection.
    Raises:
        BackendError: that of the last to fail, when none is left.
        ClientGone: whoever it is for has left.
    """
    gone = candidates.gone
    others = _Others(candidates)
    under_way: list[_Attempt] = []
    last: BackendError | None = None
    next_at, is_connected = 0.0, False
    try:
        while others.may_be or under_way:
            now = clock()
            if others.may_be and now >= next_at:
                backend = others.take()
                if backend is not None:
                    next_at = now + BESIDE
                    try:
                        if not backend.addresses:
                            backend.addresses = await resolve(backend.member, now + timeout)
                        under_way.append(_Attempt(backend, now + timeout, has_words))
                    except BackendError as error:
                        last, next_at = error, 0.0
                        candidates.failed(backend, error)
            for attempt in under_way if len(under_way) == 1 else tuple(under_way):
                backend = attempt.backend
                try:
                    stream = attempt.go_on()
                    if stream is None:
                        continue
                    preamble = candidates.preamble(backend.member) if backend.member.proxy else b""
                    if not preamble and backend.member.tls is None:
                        is_connected = True
                        return backend, stream
                    secure = await _introduced(stream, backend, attempt.until, preamble, others.are_there)
                    is_connected = True
                    return backend, secure
                except BackendError as error:
                    under_way.remove(attempt)
                    last, next_at = error, 0.0
                    candidates.failed(backend, error)
            if under_way and not (others.may_be and clock() >= next_at):
                until = min(attempt.next_at for attempt in under_way)
                waits = [signal for attempt in under_way for signal in attempt.waits]
                got = await first(*waits, gone, until=min(until, next_at) if others.may_be else until)
                if got is gone and candidates.has_left():
                    raise ClientGone
    finally:
        for attempt in under_way:
            attempt.abort()
        if not is_connected:
            candidates.gave_up()
    raise last or BackendError("connect", retry_safe=True, why="nobody to dial")


class _Others:
    """The candidates that are left; whether there is one can be asked before it is dialled."""

    __slots__ = ("_ahead", "_candidates", "may_be")

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates
        self._ahead: Backend | None = None
        self.may_be = True
        """Whether there may be one."""

    def are_there(self) -> bool:
        """Find out whether there is one; then it has to be dialled, as it has been picked."""
        if self._ahead is None:
            self._ahead = self.take()
        return self.may_be

    def take(self) -> Backend | None:
        """Give the next to dial."""
        backend, self._ahead = self._ahead, None
        if backend is None and self.may_be:
            backend = self._candidates.another()
            self.may_be = backend is not None
        return backend


class _Attempt:
    """Connecting to one backend: to the first of its addresses that answers; a silent one is not waited for alone."""

    __slots__ = ("_begun", "_beside", "_has_words", "_known", "_last", "_pending", "backend", "until")

    def __init__(self, backend: Backend, until: float, has_words: bool) -> None:
        self.backend = backend
        self.until = until
        self._has_words = has_words
        self._known: Sequence[Address] = backend.addresses  # type: ignore[assignment]  # ours; no pool looks into it
        self._begun = 0
        """How many of them have been begun with."""
        self._pending: list[tuple[SocketStream, Address]] = []
        self._beside = 0.0
        self._last: BackendError | None = None

    @property
    def waits(self) -> list[Signal]:
        """What may let it go on."""
        return [stream.writable for stream, _ in self._pending]

    @property
    def next_at(self) -> float:
        """When it is to go on at the latest."""
        return min(self.until, self._beside) if self._begun < len(self._known) else self.until

    def go_on(self) -> SocketStream | None:
        """Give the stream that is connected, None while one must wait. Raises BackendError: none will be."""
        pending, known = self._pending, self._known
        for entry in tuple(pending):
            stream, address = entry
            if stream.writable.is_set:
                pending.remove(entry)
                try:
                    stream.raise_failure()
                except OSError as error:
                    stream.abort()
                    self._note(error)
                else:
                    return self._made(stream, address)
        while self._begun < len(known) and (not pending or clock() >= self._beside):
            address = known[self._begun]
            self._begun += 1
            try:
                stream, is_connected = _begin(address, self._has_words)
            except OSError as error:
                self._note(error)
                continue
            if is_connected:
                return self._made(stream, address)
            pending.append((stream, address))
            self._beside = clock() + BESIDE
        if pending and clock() < self.until:
            return None
        if pending:
            self._last = BackendError("connect", retry_safe=True, why=SILENT, timed_out=True)
        self.abort()
        if self.backend.addresses is known:
            self.backend.addresses = ()
        raise self._last or BackendError("connect", retry_safe=True, why="no address")

    def abort(self) -> None:
        """Close what is not connected yet."""
        for stream, _ in self._pending:
            stream.abort()
        self._pending.clear()

    def _note(self, error: OSError) -> None:
        self._last = BackendError("connect", retry_safe=True, why=words(error))
        self._last.is_ours = error.errno in _SHORT

    def _made(self, stream: SocketStream, used: Address) -> SocketStream:
        known, backend = self._known, self.backend
        # where they are others by now, the name has come to lead elsewhere
        if known[0] is not used and backend.addresses is known:
            backend.addresses = [used, *(address for address in known if address != used)]
        return stream


async def _introduced(
    stream: SocketStream,
    backend: Backend,
    until: float,
    preamble: bytes,
    others_are_there: Callable[[], bool] | None = None,
) -> Stream:
    """Send the PROXY line and do the handshake, where they are due.

    Args:
        others_are_there: asked where the handshake takes long; if they are, it has failed.
    """
    member = backend.member
    try:
        if preamble:
            await _send_preamble(stream, preamble)
        if member.tls is None:
            return stream
        try:
            secure = TlsStream(stream, member.tls, server_side=False, server_name=member.server_name)
        except ValueError as error:  # a name that DNS gave and no certificate can have
            raise BackendError(
                "tls", retry_safe=True, why=f"{member.server_name!r} is no name of a server"
            ) from error
        await _handshake(secure, until, others_are_there)
    except BaseException:
        stream.abort()
        raise
    return secure


async def _send_preamble(stream: SocketStream, preamble: bytes) -> None:
    try:
        await stream.send_all(preamble)
    except OSError as error:
        raise BackendError("connect", retry_safe=True, why=words(error)) from error


async def _handshake(stream: TlsStream, until: float, others_are_there: Callable[[], bool] | None) -> None:
    try:
        if others_are_there is not None:
            try:
                return await stream.handshake(until=min(until, clock() + _HANDSHAKE))
            except Overdue:
                if others_are_there():
                    raise
        await stream.handshake(until=until)  # it goes on where it was
    except ssl.SSLError as error:
        from netfront.net.tls import handshake_failure  # 6 ms of a start that speaks no TLS

        raise BackendError("tls", retry_safe=True, why=handshake_failure(error)) from error
    except OSError as error:
        raise BackendError("tls", retry_safe=True, why=words(error)) from error
    except Overdue as error:
        raise BackendError(
            "tls", retry_safe=True, why="no answer to the handshake", timed_out=True
        ) from error


def proxy_line(member: Member, facts: Facts | None) -> bytes:
    """Make the PROXY line that a member wants to hear first; empty where it wants none.

    Args:
        facts: of the client that is spoken for; None where netfront speaks for itself.
    """
    if not member.proxy:
        return b""
    if facts is None:
        return render_v1(None, None) if member.proxy == 1 else render_v2(None, None, command=LOCAL)
    ends = (facts.peer, facts.local) if facts.peer[0] else (None, None)
    return render_v1(*ends) if member.proxy == 1 else render_v2(*ends)


def addresses_of(member: Member) -> Sequence[Address] | None:
    """Give the addresses of a member; None where its name must be looked up."""
    endpoint = member.endpoint
    if member.addresses:
        port = endpoint.port
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, (one, port)) for one in member.addresses]
    if endpoint.path is not None:
        return [(socket.AF_UNIX, endpoint.path)]
    host, port = endpoint.host or "localhost", endpoint.port
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        return [(family, (host, port))]
    except ValueError:
        pass
    if is_loopback_name(host):
        return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port, 0, 0))]
    return None


async def resolve(member: Member, until: float) -> Sequence[Address]:
    """Find the addresses of a member; in trio only where its name must be looked up. Raises BackendError."""
    known = addresses_of(member)
    if known is not None:
        return known
    host, port = member.endpoint.host, member.endpoint.port
    async with in_trio():
        try:
            with trio.fail_after(max(0.0, until - trio.current_time())):
                found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except trio.TooSlowError as error:
            raise BackendError(
                "resolve", retry_safe=True, why=f"{host}: no answer", timed_out=True
            ) from error
        except OSError as error:
            raise BackendError("resolve", retry_safe=True, why=f"{host}: {words(error)}") from error
    return [(family, address) for family, _, _, _, address in found]


def _begin(address: Address, has_words: bool) -> tuple[SocketStream, bool]:
    family, place = address
    sock = socket.SocketType(family, _STREAM)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if has_words and _QUICKACK is not None:
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 0)
        code = sock.connect_ex(place)  # type: ignore[arg-type]
        if code == errno.EINPROGRESS and _is_near(place):
            # the answer of loopback is there when the call returns, and asking again saves the wait for it
            code = sock.connect_ex(place)  # type: ignore[arg-type]
            code = {errno.EISCONN: 0, errno.EALREADY: errno.EINPROGRESS}.get(code, code)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    stream = SocketStream(sock, Facts(("", 0), ("", 0)), is_readable=False)
    if code:
        stream.writable.clear()
    return stream, not code


def _is_near(place: object) -> bool:
    return isinstance(place, tuple) and place[0].startswith(("127.", "::1"))
