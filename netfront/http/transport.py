"""The transport: connections to backends and their reuse. Nobody else sees one.

A connection that has ended its exchange waits at its backend, the last used one on top, so that a few stay warm
and the rest grow old and are closed. Before one is used again it is looked at: the end that a backend sent
meanwhile is already an event of the lane, and for a method that must not be sent twice the socket itself is asked.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from netfront.http.client import BackendConnection, Patience
from netfront.http.message import Request, Response
from netfront.net.lane import clock
from netfront.net.pool import Backend
from netfront.net.stream import Stream
from netfront.policy.retry import IDEMPOTENT
from netfront.wire.head import HeadLimits, ResponseHeads, response_memory

__all__ = ["Dial", "Transport", "may_repeat"]

Dial = Callable[[Backend, Request], Awaitable[Stream]]
_MOST_IDLE = 1024
"""Idle connections kept at one backend."""


class Transport:
    """Connections to backends.

    Args:
        dial: opens one; raises BackendError.
        idle: seconds a connection may wait unused (--backend-idle-timeout).
        remembers: whether heads are remembered; what comes out is the same without.
    """

    def __init__(self, dial: Dial, *, idle: float = 30.0, limits: HeadLimits, remembers: bool = True) -> None:
        self._dial = dial
        self._idle = idle
        self._limits = limits
        self._memory = response_memory(remembers=remembers)
        self._homes: dict[BackendConnection, Backend] = {}

    @property
    def connections(self) -> int:
        """How many connections are open, in use or idle."""
        return len(self._homes)

    def exchange(
        self,
        backend: Backend,
        request: Request,
        head: bytes,
        patience: Patience,
        done: Callable[[str], None],
        *,
        anew: bool = False,
    ) -> Awaitable[Response]:
        """Send a request to this backend and give its response.

        Args:
            done: see BackendConnection.exchange.
            anew: use no kept connection.

        Raises:
            BackendError: with `was_kept` set if the connection had been kept from an earlier exchange: then it
                says little of the backend.
            ClientGone, BadMessage, Overdue: see BackendConnection.exchange.
        """
        idle: list[BackendConnection] = backend.idle  # type: ignore[assignment]  # ours; no pool looks into it
        if idle and not anew:
            if not idle[-1].stream.readable.is_set and request.method in IDEMPOTENT:
                return idle.pop().exchange(request, head, patience, done)
            connection = self._take(idle, request)
            if connection is not None:
                return connection.exchange(request, head, patience, done)
        return self._exchange_anew(backend, request, head, patience, done)

    async def _exchange_anew(
        self, backend: Backend, request: Request, head: bytes, patience: Patience, done: Callable[[str], None]
    ) -> Response:
        generation = backend.generation
        stream = await self._dial(backend, request)
        heads = ResponseHeads(self._limits, self._memory)
        connection = BackendConnection(stream, heads, self._release, self._forget)
        connection.generation = generation
        self._homes[connection] = backend
        return await connection.exchange(request, head, patience, done)

    def _take(self, idle: list[BackendConnection], request: Request) -> BackendConnection | None:
        """Take the last used one that is still good; those that are not are closed."""
        look = request.method not in IDEMPOTENT
        while idle:
            connection = idle.pop()
            if connection.is_alive(look=look):
                return connection
            connection.close()
        return None

    def _release(self, connection: BackendConnection) -> None:
        backend = self._homes[connection]
        idle = backend.idle
        if (
            backend.member.proxy  # one that began with a PROXY line speaks for one client alone
            or connection.generation != backend.generation
            or len(idle) >= _MOST_IDLE
        ):
            connection.close()
            return
        connection.is_kept = True
        connection.idle_since = clock()
        idle.append(connection)

    def _forget(self, connection: BackendConnection) -> None:
        self._homes.pop(connection, None)

    def sweep(self, backends: Iterable[Backend], now: float) -> None:
        """Close idle connections that are too old, or ended by the backend, or lead to where it is no longer.

        Call it every second or so, also for backends that are leaving.
        """
        for backend in backends:
            idle = cast(list[BackendConnection], backend.idle)
            kept = []
            for connection in idle:
                is_current = connection.generation == backend.generation
                if (
                    is_current
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


def may_repeat(request: Request) -> bool:
    """Tell whether the request's body can be sent a second time."""
    return isinstance(request.body, bytes) or not request.body.started
