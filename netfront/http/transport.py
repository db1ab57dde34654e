"""The transport: connections to backends and their reuse. Nobody else sees one that is idle.

A connection that has ended its exchange waits at its backend, the last used one on top, so that a few stay warm
and the rest grow old and are closed. Before one is used again it is looked at: the end that a backend sent
meanwhile is already an event of the lane, and for what cannot be sent twice (a POST, a body that is not in hand) the
socket itself is asked.
"""

from collections.abc import Iterable
from typing import cast

from netfront.http.client import BackendConnection
from netfront.http.message import Request
from netfront.net.backend import Backend
from netfront.net.lane import clock
from netfront.net.stream import Stream
from netfront.policy.retry import IDEMPOTENT
from netfront.wire.head import HeadLimits, ResponseHeads, response_memory

__all__ = ["Transport"]

_MOST_IDLE = 1024
"""Idle connections kept at one backend."""


class Transport:
    """Connections to backends.

    Args:
        idle: seconds a connection may wait unused (--backend-idle-timeout).
        remembers: whether heads are remembered; what comes out is the same without.
    """

    def __init__(self, *, idle: float = 30.0, limits: HeadLimits, remembers: bool = True) -> None:
        self._idle = idle
        self._limits = limits
        self._memory = response_memory(remembers=remembers)
        self._homes: dict[BackendConnection, Backend] = {}

    def go_by(self, *, idle: float, limits: HeadLimits) -> None:
        """Go by other settings from here on; connections that are open keep the limits they began with."""
        self._idle = idle
        self._limits = limits

    @property
    def connections(self) -> int:
        """How many connections are open, in use or idle."""
        return len(self._homes)

    def kept(self, backend: Backend, request: Request) -> BackendConnection | None:
        """Give the last used connection to this backend that is still good; those that are not are closed.

        One of an earlier generation may still be given until `sweep` has closed it.
        """
        idle: list[BackendConnection] = backend.idle  # type: ignore[assignment]  # ours; no pool looks into it
        look = request.method not in IDEMPOTENT or request.body.__class__ is not bytes
        while idle:
            connection = idle.pop()
            if not look and not connection.stream.readable.is_set:
                return connection
            if connection.is_alive(look=look):
                return connection
            connection.close()
        return None

    def began(self, backend: Backend, stream: Stream, generation: int) -> BackendConnection:
        """Take over a stream to a backend.

        Args:
            generation: the backend's when it was dialled.
        """
        heads = ResponseHeads(self._limits, self._memory)
        connection = BackendConnection(stream, heads, self.release, self._forget)
        connection.generation = generation
        self._homes[connection] = backend
        return connection

    def release(self, connection: BackendConnection) -> None:
        """Take back a connection on which no exchange is under way: one that is over, or never began."""
        backend = self._homes[connection]
        idle = backend.idle
        if backend.member.proxy or connection.generation != backend.generation or len(idle) >= _MOST_IDLE:
            connection.close()  # one that began with a PROXY line speaks for one client alone
            return
        connection.is_kept = True
        connection.idle_since = clock()
        idle.append(connection)

    def _forget(self, connection: BackendConnection) -> None:
        self._homes.pop(connection, None)

    def sweep(self, backends: Iterable[Backend], now: float, *, keeps: bool = True) -> None:
        """Close idle connections that are too old, or ended by the backend, or lead to where it is no longer.

        Call it every second or so, also for backends that are leaving.

        Args:
            keeps: False closes all that are idle, where nobody is going to ask for one.
        """
        for backend in backends:
            idle = cast(list[BackendConnection], backend.idle)
            kept = []
            for connection in idle:
                is_current = connection.generation == backend.generation
                if (
                    keeps
                    and is_current
                    and now - connection.idle_since < self._idle
                    and connection.is_alive(look=False)
                ):
                    kept.append(connection)
                else:
                    connection.close()
            backend.idle[:] = kept

    def close(self) -> None:
        """Close every connection, in use or not."""
        for connection in list(self._homes):
            connection.close()
