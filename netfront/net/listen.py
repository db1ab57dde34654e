"""Listening: from an endpoint to accepted connections, each run by a StreamHandler on the lane.

A listener that is full stops accepting and lets the kernel queue; one that runs out of descriptors waits
until one comes free, without spinning.
"""

import errno
import logging
import math
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import trio

from netfront.errors import Overdue
from netfront.net.lane import Lane, Signal, breathe, clock, deadline, first, plainly, ready
from netfront.net.stream import Facts, SocketStream, Stream, unmapped
from netfront.net.tasks import Tasks

__all__ = [
    "Accepting",
    "Admission",
    "DatagramHandler",
    "Listener",
    "StreamHandler",
    "close_listeners",
    "serve",
]

StreamHandler = Callable[[Stream], Awaitable[None]]
DatagramHandler = Callable[[socket.socket, Lane | None, str], Awaitable[None]]
_log = logging.getLogger("netfront")
_MOST_IDLE = 64
"""Tasks kept for connections to come, 2 KiB each."""
_REMEMBERED = 1024
"""Addresses of which it is known whether they are spared."""
_AT_ONCE = 64
"""Connections accepted before the ones accepted get their turn."""
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RESERVE = 0.1
"""Seconds to wait when descriptors have run out, unless a connection ends before."""


@dataclass(slots=True, eq=False)
class Listener:
    """One endpoint that is listened on. Who handles its connections may change while it is open.

    Args:
        name: how the plan calls it.
        sockets: bound and listening: two where a loopback name means both families.
        handler: runs each connection, and closes its stream.
        path: of a unix socket, removed when it ends.
        is_inner: one that our own backends dial: it goes on accepting until all is over.
        datagrams: serves each of its sockets in place of `handler`, until it is cancelled: they take datagrams.
    """

    name: str
    sockets: tuple[socket.socket, ...]
    handler: StreamHandler
    path: str | None = None
    is_inner: bool = False
    datagrams: DatagramHandler | None = None
    port: int = field(init=False)
    """The port it has, also once it is closed; 0 for a unix socket."""

    def __post_init__(self) -> None:
        address = self.sockets[0].getsockname()
        self.port = address[1] if isinstance(address, tuple) else 0


class Admission:
    """Who is let in: a bound on all connections, and one for each address.

    Args:
        per_address: most connections of one address; `spared` addresses are not counted.
    """

    def __init__(self, most: int, per_address: int, spared: Callable[[str], bool]) -> None:
        self._by_address: Counter[str] = Counter()
        self.open = 0
        self.rejected = 0
        self.freed = Signal()
        self.go_by(most, per_address, spared)

    def go_by(self, most: int, per_address: int, spared: Callable[[str], bool]) -> None:
        """Go by other bounds from here on; who is in stays."""
        self.most, self.per_address = most, per_address
        self.spared = lru_cache(_REMEMBERED)(spared)
        self.freed.set()  # who waits to accept may go on, if there is more room by these

    @property
    def is_full(self) -> bool:
        """Whether the bound on all connections is reached."""
        return self.open >= self.most

    def enter(self, address: str) -> bool:
        """Count a connection in; False if its address has too many."""
        if address and not self.spared(address):
            if self._by_address[address] >= self.per_address:
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


async def serve(
    accepting: "Accepting",
    *,
    admission: Admission,
    stop: Signal,
    lane: Lane | None,
    drained: Callable[[], Awaitable[None]],
    tasks: Tasks | None = None,
) -> None:
    """Accept and run connections until `stop` is set; then close the listeners, and await `drained`.

    When `drained` returns, the connections that are left are cancelled.

    Args:
        accepting: the listeners; they may come and go meanwhile.
        lane: where connections run; None for plain trio tasks.
        tasks: opened where connections run.
    """
    async with trio.open_nursery() as outer:
        if lane is not None:
            scope = trio.CancelScope(shield=True)
            outer.start_soon(_serve_lane, lane, scope)
        try:
            async with trio.open_nursery() as connections:
                if tasks is not None:
                    tasks.open(connections, lane)
                async with trio.open_nursery() as accepts:

                    def begin(listener: Listener, sock: socket.socket, scope: trio.CancelScope) -> None:
                        nursery = connections if listener.is_inner else accepts
                        nursery.start_soon(
                            _accept_within, scope, listener, sock, connections, admission, lane
                        )

                    accepting.open(begin)
                    await stop.wait_in_trio()
                    accepts.cancel_scope.cancel()
                close_listeners(tuple(one for one in accepting.listeners if not one.is_inner))
                await drained()
                connections.cancel_scope.cancel()
        finally:
            close_listeners(accepting.listeners)
            if lane is not None:
                lane.stop()


class Accepting:
    """The listeners that are open, before `serve` runs and while it does; they may come and go at any time."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._begin: Callable[[Listener, socket.socket, trio.CancelScope], None] | None = None
        self._scopes: dict[Listener, list[trio.CancelScope]] = {}
        for listener in listeners:
            self.add(listener)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Those that are open."""
        return tuple(self._scopes)

    def open(self, begin: Callable[[Listener, socket.socket, trio.CancelScope], None]) -> None:
        """Have `begin` start what accepts on each socket, those of listeners to come included; called by `serve`."""
        self._begin = begin
        for listener in self._scopes:
            self._begin_all(listener)

    def add(self, listener: Listener) -> None:
        """Have its connections accepted, or its datagrams taken, as soon as something is served."""
        self._scopes[listener] = [trio.CancelScope() for _ in listener.sockets]
        self._begin_all(listener)

    def _begin_all(self, listener: Listener) -> None:
        if self._begin is not None:
            for sock, scope in zip(listener.sockets, self._scopes[listener], strict=True):
                self._begin(listener, sock, scope)

    def remove(self, listener: Listener) -> None:
        """Accept no more of it and close it; connections that it had go on."""
        for scope in self._scopes.pop(listener):
            scope.cancel()
        close_listeners((listener,))


async def _accept_within(
    scope: trio.CancelScope,
    listener: Listener,
    sock: socket.socket,
    connections: trio.Nursery,
    admission: Admission,
    lane: Lane | None,
) -> None:
    with scope:
        if listener.datagrams is not None:
            await listener.datagrams(sock, lane, listener.name)
        else:
            await _accept(listener, sock, connections, admission, lane)


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


class _Ear:
    """A listening socket, as the lane watches it; without a lane trio does."""

    def __init__(self, sock: socket.socket, lane: Lane | None) -> None:
        self._sock = sock
        self.readable = Signal(True, None if lane is not None else self._wait_readable)
        self.writable = Signal(True)
        self.hung = Signal()
        self.has_ended = False
        self.ended_at = 0.0
        self.is_lost = False
        self.is_marked = False

    async def _wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._sock)


async def _accept(
    listener: Listener,
    sock: socket.socket,
    connections: trio.Nursery,
    admission: Admission,
    lane: Lane | None,
) -> None:
    """Accept connections of one socket for ever.

    On the lane where there is one: its poll then knows of a new connection at once, and trio of none until the
    connection's task is to start.
    """
    ear, number = _Ear(sock, lane), sock.fileno()
    if lane is None:
        await _accept_all(listener, sock, ear, connections, admission, None, _Parked())
        return
    parked = _Parked()
    lane.watch(number, ear)
    try:
        await lane.run(_accept_all, listener, sock, ear, connections, admission, lane, parked)
    finally:
        lane.forget(number, ear)
        parked.close()


class _Parked:
    """Tasks whose connections have ended, and that wait for others of the same socket."""

    __slots__ = ("is_closed", "workers")

    def __init__(self) -> None:
        self.workers: list[_Worker] = []
        self.is_closed = False

    def close(self) -> None:
        """Let them end: nobody accepts there any more."""
        self.is_closed = True
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.wanted.set()


class _Worker:
    """A connection's task once its connection has ended, waiting for another one."""

    __slots__ = ("connection", "wanted")

    def __init__(self) -> None:
        self.wanted = Signal()
        self.connection: tuple[socket.SocketType, Facts] | None = None


async def _work(
    listener: Listener,
    sock: socket.SocketType,
    facts: Facts,
    admission: Admission,
    parked: _Parked | None,
) -> None:
    """Run a connection to its end, and then those that this task is woken for: to start one costs 6 us, to wake one 1.

    What befalls a connection stays its own.

    Args:
        parked: where it waits for others; None if it is to end.
    """
    worker, due = _Worker(), deadline()
    while True:
        address = facts.peer[0]
        stream = SocketStream(sock, facts)
        try:
            await listener.handler(stream)  # by then the listener may have another one
        except (OSError, Overdue):
            pass
        except Exception:
            _log.exception("a connection failed by a fault of netfront's own")
        finally:
            stream.abort()
            admission.leave(address)
        if parked is None or parked.is_closed or len(parked.workers) >= _MOST_IDLE:
            return
        due.at = math.inf
        parked.workers.append(worker)
        await ready(worker.wanted)
        worker.wanted.clear()
        if worker.connection is None:
            return
        sock, facts = worker.connection
        worker.connection = None


def _accept_on(sock: socket.socket) -> tuple[int, Any]:
    """Accept as `socket.accept` does, which asks two enums for their members and makes a second object: 1.6 us."""
    return sock._accept()  # type: ignore[attr-defined,no-any-return]  # a private name of CPython's


async def _accept_all(
    listener: Listener,
    sock: socket.socket,
    ear: _Ear,
    connections: trio.Nursery,
    admission: Admission,
    lane: Lane | None,
    parked: _Parked,
) -> None:
    family, kind = int(sock.family), int(sock.type)
    place = sock.getsockname()
    local = (place[0], place[1]) if isinstance(place, tuple) else ("", 0)
    is_anywhere = local[0] in ("0.0.0.0", "::")
    while True:
        await ready(ear.readable)
        for _ in range(_AT_ONCE):
            while admission.is_full:
                admission.freed.clear()
                await ready(admission.freed)
            try:
                number, peer = _accept_on(sock)
            except BlockingIOError:
                ear.readable.clear()
                break
            except OSError as error:
                if error.errno in _SHORT:
                    _log.warning("out of descriptors: not accepting until a connection ends")
                    admission.freed.clear()
                    await first(admission.freed, until=clock() + _RESERVE)
                continue
            accepted = socket.SocketType(family, kind, 0, number)
            address = unmapped(peer[0]) if isinstance(peer, tuple) else ""
            if not admission.enter(address):
                accepted.close()
                continue
            accepted.setblocking(False)
            if is_anywhere:
                place = accepted.getsockname()
                local = unmapped(place[0]), place[1]
            facts = Facts((address, peer[1]) if address else ("", 0), local, listener.name)
            if parked.workers:
                worker = parked.workers.pop()
                worker.connection = accepted, facts
                worker.wanted.set()
            elif lane is not None:
                connections.start_soon(lane.run, _work, listener, accepted, facts, admission, parked)
                lane.trio_due = True
            else:
                connections.start_soon(plainly, _work, listener, accepted, facts, admission, None)
        else:
            await breathe()
