"""Listening: from an endpoint to accepted connections, each run by a StreamHandler on the lane.

All sockets are opened before the first connection is accepted, so that a port in use is told before anything
serves. A listener that is full stops accepting and lets the kernel queue; one that runs out of descriptors waits
until one comes free, without spinning.
"""

import errno
import logging
import os
import resource
import socket
import stat
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from netfront.errors import CannotListen, Fault, Overdue
from netfront.net.lane import Lane, Signal, plainly
from netfront.net.stream import Facts, SocketStream, Stream

__all__ = ["Admission", "Listener", "StreamHandler", "open_sockets", "raise_descriptor_limit", "serve"]

StreamHandler = Callable[[Stream], Awaitable[None]]
_log = logging.getLogger("netfront")
_BACKLOG = 1024
_AT_ONCE = 64
"""Connections accepted before the ones accepted get their turn."""
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RESERVE = 0.1
"""Seconds to wait when descriptors have run out, unless a connection ends before."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One endpoint that is listened on.

    Args:
        name: how the plan calls it.
        sockets: bound and listening: two where a loopback name means both families.
        handler: runs each connection, and closes its stream.
        path: of a unix socket, removed when it ends.
        is_inner: one that our own backends dial: it goes on accepting until all is over.
    """

    name: str
    sockets: tuple[socket.socket, ...]
    handler: StreamHandler
    path: str | None = None
    is_inner: bool = False
    port: int = field(init=False)
    """The port it has, also once it is closed; 0 for a unix socket."""

    def __post_init__(self) -> None:
        address = self.sockets[0].getsockname()
        object.__setattr__(self, "port", address[1] if isinstance(address, tuple) else 0)


class Admission:
    """Who is let in: a bound on all connections, and one for each address.

    Args:
        per_address: most connections of one address; `spared` addresses are not counted.
    """

    def __init__(self, most: int, per_address: int, spared: Callable[[str], bool]) -> None:
        self._most = most
        self._per_address = per_address
        self._spared = spared
        self._by_address: Counter[str] = Counter()
        self.open = 0
        self.rejected = 0
        self.freed = Signal()

    @property
    def is_full(self) -> bool:
        """Whether the bound on all connections is reached."""
        return self.open >= self._most

    def enter(self, address: str) -> bool:
        """Count a connection in; False if its address has too many."""
        if address and not self._spared(address):
            if self._by_address[address] >= self._per_address:
                self.rejected += 1
                return False
            self._by_address[address] += 1
        self.open += 1
        return True

    def leave(self, address: str) -> None:
        """Count it out."""
        self.open -= 1
        self.freed.set()
        if address in self._by_address:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


def raise_descriptor_limit() -> int:
    """Raise the soft limit on descriptors to the hard one; give what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
    return soft


def open_sockets(host: str | None, port: int, path: str | None, *, shown: str) -> tuple[socket.socket, ...]:
    """Bind and listen.

    Args:
        host: an address; None or "localhost" for both loopback families, "*" for every address.
        port: 0 for any free one, the same in both families.
        path: of a unix socket instead.
        shown: the endpoint as it was given, for the message.
    Raises:
        CannotListen: the port is taken, forbidden, or the address is not ours.
    """
    if path is not None:
        return (_open_unix(path, shown),)
    if host == "*":
        return (_open_any(port, shown),)
    if host not in (None, "localhost"):
        assert host is not None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return (_open(family, host, port, shown),)
    return _open_loopback(port, shown)


def _open_loopback(port: int, shown: str) -> tuple[socket.socket, ...]:
    """Open 127.0.0.1 and ::1 on one port; a family that the machine lacks is no error."""
    for _ in range(8):
        opened: list[socket.socket] = []
        try:
            opened.append(_open(socket.AF_INET, "127.0.0.1", port, shown))
        except CannotListen as error:
            if not _is_missing(error):
                raise
        try:
            number = opened[0].getsockname()[1] if opened else port
            opened.append(_open(socket.AF_INET6, "::1", number, shown))
        except CannotListen as error:
            if not _is_missing(error):
                for sock in opened:
                    sock.close()
                if port == 0:
                    continue  # the free port of one family is taken in the other
                raise
        if opened:
            return tuple(opened)
        break
    raise CannotListen(Fault(f"cannot listen on {shown}", "no loopback address on this machine"))


def _is_missing(error: CannotListen) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _open_any(port: int, shown: str) -> socket.socket:
    """Open every address of both families on one socket, or of IPv4 alone where there is no IPv6."""
    if socket.has_dualstack_ipv6():
        try:
            return _open(socket.AF_INET6, "::", port, shown, both=True)
        except CannotListen as error:
            if not _is_missing(error):
                raise
    return _open(socket.AF_INET, "0.0.0.0", port, shown)


def _open(family: int, host: str, port: int, shown: str, *, both: bool = False) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise CannotListen(Fault(f"cannot listen on {shown}", _words(error))) from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(_listen_fault(error, port, shown)) from error
    return sock


def _open_unix(path: str, shown: str) -> socket.socket:
    """Open a unix socket; one that a dead server left behind is replaced, a live one is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode) and not _is_answered(path):
            os.unlink(path)
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(Fault(f"cannot listen on {shown}", _words(error))) from error
    return sock


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) != errno.ECONNREFUSED


def _listen_fault(error: OSError, port: int, shown: str) -> Fault:
    hint = ""
    if error.errno == errno.EADDRINUSE:
        holder = _who_listens(port)
        by = f" by {holder}" if holder else ""
        return Fault(f"cannot listen on {shown}", f"port {port} is in use{by}", _elsewhere(port + 1))
    if error.errno in (errno.EACCES, errno.EPERM) and port < 1024:
        hint = f"ports below 1024 need root or CAP_NET_BIND_SERVICE; {_elsewhere(port + 8000)}"
    elif error.errno == errno.EADDRNOTAVAIL:
        hint = "this machine does not have that address; '*' listens on all it has"
    return Fault(f"cannot listen on {shown}", _words(error), hint)


def _elsewhere(port: int) -> str:
    return f"try --listen :{port if port < 65536 else 0}"


def _who_listens(port: int) -> str:
    """Name the process that listens on a port, "name (pid N)", as far as /proc shows it."""
    if not sys.platform.startswith("linux"):
        return ""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as lines:
                for line in list(lines)[1:]:
                    columns = line.split()
                    if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                        inodes.add(f"socket:[{columns[9]}]")
        except OSError:
            continue
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as name:
                        return f"{name.read().strip()} (pid {pid})"
        except OSError:
            continue
    return ""


async def serve(
    listeners: tuple[Listener, ...],
    *,
    admission: Admission,
    stop: Signal,
    lane: Lane | None,
    drained: Callable[[], Awaitable[None]],
) -> None:
    """Accept and run connections until `stop` is set; then close the listeners, and await `drained`.

    When `drained` returns, the connections that are left are cancelled.

    Args:
        lane: where connections run; None for plain trio tasks.
    """
    async with trio.open_nursery() as outer:
        if lane is not None:
            scope = trio.CancelScope(shield=True)
            outer.start_soon(_serve_lane, lane, scope)
        try:
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    for listener in listeners:
                        nursery = connections if listener.is_inner else accepting
                        for sock in listener.sockets:
                            nursery.start_soon(_accept, listener, sock, connections, admission, lane)
                    await stop.wait_in_trio()
                    accepting.cancel_scope.cancel()
                close_listeners(tuple(listener for listener in listeners if not listener.is_inner))
                await drained()
                connections.cancel_scope.cancel()
        finally:
            close_listeners(listeners)
            if lane is not None:
                lane.stop()


def close_listeners(listeners: tuple[Listener, ...]) -> None:
    """Close the listening sockets, and take away the files of unix ones; idempotent."""
    for listener in listeners:
        for sock in listener.sockets:
            if listener.path is not None and sock.fileno() >= 0 and os.path.exists(listener.path):
                os.unlink(listener.path)
            sock.close()


async def _serve_lane(lane: Lane, scope: trio.CancelScope) -> None:
    with scope:
        await lane.serve()


async def _accept(
    listener: Listener,
    sock: socket.socket,
    connections: trio.Nursery,
    admission: Admission,
    lane: Lane | None,
) -> None:
    """Accept connections of one socket for ever."""
    run = lane.run if lane is not None else plainly
    place = sock.getsockname()
    local = (place[0], place[1]) if isinstance(place, tuple) else ("", 0)
    while True:
        await trio.lowlevel.wait_readable(sock)
        for _ in range(_AT_ONCE):
            if admission.is_full:
                admission.freed.clear()
                await admission.freed.wait_in_trio()
            try:
                accepted, peer = sock.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _SHORT:
                    _log.warning("out of descriptors: not accepting until a connection ends")
                    admission.freed.clear()
                    with trio.move_on_after(_RESERVE):
                        await admission.freed.wait_in_trio()
                continue
            address = peer[0] if isinstance(peer, tuple) else ""
            if not admission.enter(address):
                accepted.close()
                continue
            accepted.setblocking(False)
            facts = Facts((address, peer[1]) if address else ("", 0), local, listener.name)
            connections.start_soon(run, _connection, listener.handler, accepted, facts, admission)


async def _connection(
    handler: StreamHandler, sock: socket.socket, facts: Facts, admission: Admission
) -> None:
    """Run one connection to its end: what befalls it stays its own."""
    address = facts.peer[0]
    stream = SocketStream(sock, facts)
    try:
        await handler(stream)
    except (OSError, Overdue):
        pass
    except Exception:
        _log.exception("a connection failed by a fault of netfront's own")
    finally:
        stream.abort()
        admission.leave(address)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
