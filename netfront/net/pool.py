"""Pools: the backends of one service, which of them is used next, and what comes back from each use.

`Pool.take` decides without waiting and gives a `Lease`; the lease is handed back exactly once with its outcome,
the only source of load and of whether a backend is well. Connections belong to the transport, not to the pool.
"""

import ssl
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field

from netfront.endpoint import Endpoint
from netfront.errors import NoBackend
from netfront.net.lane import Signal
from netfront.policy.pick import round_robin

__all__ = ["DONE", "GIVEN_UP", "Backend", "Lease", "Member", "Pool"]

DONE = "done"
"""The outcome of a lease that went well; any other is a few words on what went wrong."""
GIVEN_UP = "given up"
"""The outcome of a lease whose client left: says nothing of the backend."""


@dataclass(frozen=True, slots=True)
class Member:
    """A backend as the source of membership names it.

    Args:
        label: how it is called in logs.
        authority: what Host says where the client's is replaced.
        host: None keeps the client's Host; else what is sent in its place.
        base: the path that replaces the route's prefix; empty keeps the path as it came.
        tls: how TLS is spoken to it; None for none.
        server_name: for SNI and for the certificate's check.
        proxy: the version of the PROXY line sent first, or 0.
        addresses: where the endpoint's host leads, as whoever follows the name found out; empty leaves the name to
            the dialler. Where each address of a name is a member of its own, the address is the endpoint's host, and
            the name is in `authority` and `server_name` only.
    """

    endpoint: Endpoint
    label: str
    authority: bytes
    host: bytes | None = None
    base: bytes = b""
    weight: int = 1
    backup: bool = False
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    server_name: str | None = None
    proxy: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[Endpoint, str | None, bytes | None, int]:
        """What makes it the same backend as before: where it is dialled, and as whom it is spoken to."""
        return self.endpoint, self.server_name, self.host, self.proxy


class Backend:
    """One server we forward to: a member, and what is known of it."""

    __slots__ = (
        "addresses",
        "generation",
        "idle",
        "in_flight",
        "is_up",
        "member",
        "served",
        "turn",
        "weight",
        "why",
    )

    def __init__(self, member: Member) -> None:
        self.member = member
        self.weight = member.weight
        self.turn = 0
        self.in_flight = 0
        self.served = 0
        self.is_up = True
        self.why = ""
        self.idle: list[object] = []
        """The transport's own: connections not in use, the last used one last."""
        self.addresses: Sequence[object] = ()
        """The dialler's own: where the name led last time."""
        self.generation = 0
        """Counts how often it left the pool or an address of its name went: a connection of an earlier one may end
        what it is doing, and is not used again."""

    def __repr__(self) -> str:
        return f"<Backend {self.member.label} in_flight={self.in_flight} {'up' if self.is_up else 'down'}>"


class Lease:
    """One use of a backend. `done` exactly once."""

    __slots__ = ("_pool", "backend")

    def __init__(self, pool: "Pool", backend: Backend) -> None:
        self._pool: Pool | None = pool
        self.backend = backend
        backend.in_flight += 1

    def done(self, outcome: str, seconds: float = 0.0) -> None:
        """Hand it back.

        Args:
            outcome: DONE, GIVEN_UP, or what went wrong.
            seconds: from the request to the answer's first byte.
        """
        pool, self._pool = self._pool, None
        if pool is None:
            raise RuntimeError("a lease was handed back twice")
        backend = self.backend
        backend.in_flight -= 1
        if outcome is DONE:
            backend.served += 1
            if not backend.is_up:
                pool.tell(backend, is_up=True, why="")
        elif outcome is not GIVEN_UP and (backend.is_up or backend.why != outcome):
            pool.tell(backend, is_up=False, why=outcome)


class Pool:
    """The backends of one service.

    Args:
        notice: told when a backend comes or goes.
    """

    def __init__(
        self, name: str, members: Iterable[Member], notice: Callable[[Backend], None] | None = None
    ) -> None:
        self.name = name
        self.changed = Signal()
        self._notice = notice
        self.backends: list[Backend] = []
        self.leaving: list[Backend] = []
        """Those that are no longer picked, and have leases or connections left."""
        self._preferred: list[Backend] = []
        self._backups: list[Backend] = []
        self.replace(list(members))

    def take(self, key: bytes | None, tried: Container[Backend], now: float) -> Lease:
        """Pick a backend.

        Args:
            key: what a hashed pick goes by.
            tried: those this request has been to already.
        Raises:
            NoBackend: there is none, or all were tried.
        """
        preferred = self._preferred
        if len(preferred) == 1 and preferred[0] not in tried:
            return Lease(self, preferred[0])
        candidates = [backend for backend in preferred if backend not in tried]
        if not candidates:
            candidates = [backend for backend in self._backups if backend not in tried]
        if not candidates:
            raise NoBackend("all backends were tried" if self.backends else "the pool is empty")
        return Lease(self, round_robin(candidates))

    def again(self, backend: Backend) -> Lease:
        """Take the same backend once more: a kept connection to it had died, which says nothing of it."""
        return Lease(self, backend)

    def replace(self, members: Sequence[Member]) -> None:
        """Change who is in the pool; what is known of a member that stays is kept.

        One that leaves is picked no more and drains: its leases end as they will, and its connections are closed as
        they turn idle. If it comes back while it drains, it is the same backend again.
        """
        known = {backend.member.identity: backend for backend in (*self.leaving, *self.backends)}
        self.backends = []
        for member in members:
            backend = known.pop(member.identity, None)
            if backend is None:
                backend = Backend(member)
            elif backend.member.addresses != member.addresses:
                backend.addresses = ()
                if not set(backend.member.addresses) <= set(member.addresses):
                    backend.generation += 1
            backend.member = member
            backend.weight = member.weight
            self.backends.append(backend)
        for backend in known.values():
            if backend not in self.leaving:
                backend.generation += 1
        self.leaving = [backend for backend in known.values() if backend.in_flight or backend.idle]
        self._preferred = [backend for backend in self.backends if not backend.member.backup]
        self._backups = [backend for backend in self.backends if backend.member.backup]
        self.changed.set()

    def forget_drained(self) -> None:
        """Let go of those that have left and have nothing left to do."""
        if self.leaving:
            self.leaving = [backend for backend in self.leaving if backend.in_flight or backend.idle]

    def tell(self, backend: Backend, *, is_up: bool, why: str) -> None:
        """Note that a backend has come or gone, and pass it on."""
        came_or_went = backend.is_up is not is_up
        backend.is_up = is_up
        backend.why = why
        if came_or_went and self._notice is not None:
            self._notice(backend)
        self.changed.set()
