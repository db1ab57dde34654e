"""The tries of one request, where the first did not simply go well.

No failed request where another backend could have answered. Three kinds of failure are told apart:

- *Nothing was sent*: the backend refused, was silent when dialled, or ended the kept connection before. Another one
  gets the request, whatever its method; a silent one is tried beside the next. Such tries cost no backend anything, so
  the budget is not asked. Where those that are left have their `+max`, it waits for a place at one of them.
- *It was sent, and the connection ended without an answer*: another one gets it only where sending it twice is
  harmless (RFC 9110 §9.2.2) and the budget allows it. A request that is not idempotent, and of which a byte was
  written, is never repeated.
- *It was answered* with a status that --retry-on names: likewise.

Silence after sending is not a failure here: see `hedge.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from netfront.errors import BackendError, BadMessage, ClientGone, NoBackend
from netfront.http.client import BackendConnection, Patience
from netfront.http.message import Request, Response
from netfront.http.race import Hedge
from netfront.http.replay import Replay
from netfront.http.transport import Transport
from netfront.net.backend import SILENT, Backend, Member
from netfront.net.dial import dial, dial_any
from netfront.net.lane import Signal, clock, first
from netfront.net.leases import Leases
from netfront.net.pool import GIVEN_UP, Lease, Pool
from netfront.policy.chance import Chance
from netfront.policy.retry import IDEMPOTENT, TRIES, backoff
from netfront.policy.statuses import NO_STATUS, StatusSet

__all__ = ["Attempts", "Dialling", "RetryRules"]

_UNSENT = frozenset({"resolve", "connect", "tls", "send"})


@dataclass(frozen=True, slots=True)
class RetryRules:
    """What is tried again elsewhere beside what never reached a backend.

    Args:
        resets: connections that end without an answer.
        statuses: answers of these statuses.
        body: most bytes of a request's body that are kept to be sent again.
    """

    resets: bool = True
    statuses: StatusSet = NO_STATUS
    body: int = 65536


@dataclass(frozen=True, slots=True)
class Dialling:
    """How connections to backends are opened.

    Args:
        timeout: seconds to connect to one, TLS included.
        preamble: makes the PROXY line for a member.
        rng: spreads tries after a failure.
    """

    timeout: float
    preamble: Callable[[Request, Member], bytes]
    rng: Chance


class Attempts:
    """The tries of one request.

    Args:
        render: makes the head as a member shall see it.
        key: what a hashed pick goes by.
        hedge: asks somebody else beside a try, the first or a later one, whose answer is late.
        hedge_after: seconds from the start of a try after which it is.
    """

    __slots__ = (
        "_hedge",
        "_hedge_after",
        "_key",
        "_patience",
        "_pool",
        "_render",
        "_rules",
        "_transport",
        "dialling",
        "failures",
        "request",
    )

    def __init__(
        self,
        pool: Pool,
        transport: Transport,
        dialling: Dialling,
        patience: Patience,
        rules: RetryRules,
        render: Callable[[Request, Member], bytes],
        key: Callable[[Request], bytes | None] | None,
        request: Request,
        hedge: Hedge | None = None,
        hedge_after: float = math.inf,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self.dialling = dialling
        self._patience = patience
        self._rules = rules
        self._render = render
        self._key = key
        self.request = request
        self.failures = 0
        self._hedge = hedge
        self._hedge_after = hedge_after

    @property
    def tried(self) -> list[Backend]:
        """Backends that are out of the question for the next try."""
        exchange = self.request.exchange
        if not exchange.tried:
            exchange.tried = []
        return exchange.tried

    async def begin(self, lease: Lease, connection: BackendConnection | None) -> Response:
        """Send it for the first time. The lease is handed back in any case.

        Args:
            connection: one that was kept; None has one opened.
        """
        self._keep_body()
        try:
            return await self._send(lease, connection)
        except _Failed as failed:
            return await self._go_on(failed.error, failed.backend if failed.error.was_kept else None)

    async def after(self, error: BackendError, lease: Lease) -> Response:
        """Go on after a first try that failed."""
        self._hand_back(lease, error)
        return await self._go_on(error, lease.backend if error.was_kept else None)

    async def once(self, lease: Lease) -> Response:
        """Send it to the backend of this lease alone. Raises what befalls; the lease stays the caller's."""
        request, backend = self.request, lease.backend
        head = self._render(request, backend.member)
        kept = self._transport.kept(backend, request)
        if kept is not None:
            try:
                return await kept.exchange(request, head, self._patience, lease)
            except BackendError as error:
                if not (error.was_kept and error.retry_safe):
                    raise
        connection = await self._open_one(backend)
        if request.client.gone.is_set and request.client.has_left():
            connection.close()
            raise ClientGone
        return await connection.exchange(request, head, self._patience, lease)

    async def when_somebody_is_known(self) -> Response:
        """Send it as soon as the pool has its first members."""
        client, pool = self.request.client, self._pool
        until = clock() + self.dialling.timeout
        while pool.is_awaited and not pool.backends and clock() < until:
            pool.changed.clear()
            await first(pool.changed, client.gone, until=until)
            if client.gone.is_set and client.has_left():
                raise ClientGone
        try:
            lease = self.take()
        except NoBackend as error:
            if not error.is_full:
                raise
            return await self.when_there_is_room()
        self.request.exchange.tries = 1
        return await self.begin(lease, None)

    async def when_there_is_room(self) -> Response:
        """Send it as soon as one of the backends, which are all busy, takes another request."""
        client = self.request.client
        lease = await self._pool.wait_for_lease(self.take, client.gone, client.has_left)
        if lease is None:
            raise ClientGone
        self.request.exchange.tries = 1
        return await self.begin(lease, self._transport.kept(lease.backend, self.request))

    async def instead_of(self, response: Response) -> Response:
        """Try elsewhere what was answered with a status of the rules; give this answer if that cannot be done."""
        request = self.request
        status = response.status
        while True:
            backend = request.exchange.backend
            if backend is not None and backend not in self.tried:
                self.tried.append(backend)
            if not self._may_repeat() or request.method not in IDEMPOTENT or len(self.tried) >= TRIES:
                return response
            if not self._pool.may_spend(clock()):
                return response
            try:
                lease = self.take()
            except NoBackend:
                return response
            self._pool.spend(clock())
            self._note(f"answered {status}")
            before = response if isinstance(response.body, bytes) else None
            if not isinstance(response.body, bytes):
                response.body.abort()  # what it comes on may wait for the very body that is sent elsewhere now
            try:
                try:
                    response = await self._send(lease, self._transport.kept(lease.backend, request))
                except _Failed as failed:
                    anew = failed.backend if failed.error.was_kept else None
                    response = await self._go_on(failed.error, anew)
            except (BackendError, NoBackend):
                if before is None:
                    raise
                request.exchange.backend = backend  # there is an answer in hand after all
                return before
            status = response.status
            if status not in self._rules.statuses:
                return response

    # -- one after the other --------------------------------------------------------------------------------

    async def _go_on(self, error: BackendError, anew: Backend | None = None) -> Response:
        """Try again after a failure, while that is safe and there is somewhere to go.

        Args:
            anew: where a kept connection has died, which says nothing of the backend.
        """
        pool, lone = self._pool, 0
        while True:
            if not error.retry_safe or not self._may_repeat() or self.failures >= TRIES:
                raise error
            if (
                error.stage not in _UNSENT
                and anew is None
                and not (self._rules.resets and pool.spend(clock()))
            ):
                raise error
            lease = pool.again(anew) if anew is not None else await self._take_or_wait()
            if lease is None:
                lone += 1
                if error.stage not in _UNSENT or not await self._wait(lone):
                    raise error
                self.tried.clear()
                lease = await self._take_or_wait()
                if lease is None:
                    raise error
            self._note(error.why)
            connection = None if anew is not None else self._transport.kept(lease.backend, self.request)
            anew = None
            try:
                return await self._send(lease, connection)
            except _Failed as failed:
                error = failed.error
                if error.was_kept:
                    anew = failed.backend

    async def _take_or_wait(self) -> Lease | None:
        """Take a lease, of one that is busy as soon as it takes another request; None where all were tried.

        Raises:
            NoBackend: they are busy for too long, or too many requests wait already.
            ClientGone: the client left meanwhile.
        """
        try:
            return self.take()
        except NoBackend as error:
            if not error.is_full:
                return None
        client = self.request.client
        lease = await self._pool.wait_for_lease(self.take, client.gone, client.has_left, stands_by=True)
        if lease is None:
            raise ClientGone
        return lease

    async def _wait(self, failures: int) -> bool:
        """Wait a little where there is nobody else to ask; tell whether somebody is still there to be answered."""
        client = self.request.client
        got = await first(client.gone, until=clock() + backoff(failures, self.dialling.rng))
        return got is None or not client.has_left()

    async def _send(self, lease: Lease, connection: BackendConnection | None) -> Response:
        """Send it once: to this backend if it can be reached, else to the next one that can.

        Raises:
            _Failed: with the lease handed back.
        """
        request = self.request
        exchange = request.exchange
        exchange.asked = clock()
        if connection is None:
            lease, connection = await self._open(lease)
        late = clock() + self._hedge_after  # nobody was silent before
        backend = lease.backend
        try:
            exchange.backend = backend
            try:
                head = self._render(request, backend.member)
            except BadMessage:
                self._transport.release(connection)
                raise
            return await connection.exchange(request, head, self._patience, lease, late, self._hedge)
        except BackendError as error:
            self._hand_back(lease, error)
            raise _Failed(error, backend) from error
        except BaseException:
            lease.done(GIVEN_UP)
            raise

    def _hand_back(self, lease: Lease, error: BackendError) -> None:
        if error.was_kept:
            lease.done(GIVEN_UP)
        else:
            lease.failed(error)
            self.tried.append(lease.backend)
            self.failures += 1

    def take(self, *besides: Backend) -> Lease:
        """Take a lease of a backend that was not tried, nor is one of these. Raises NoBackend."""
        key = self._key(self.request) if self._key is not None else None
        may_repeat = self.request.method in IDEMPOTENT
        return self._pool.take(key, (*self.tried, *besides), clock(), may_repeat=may_repeat, has_waited=True)

    def _note(self, why: str) -> None:
        """Say in the log why there is one more try."""
        exchange = self.request.exchange
        exchange.tries += 1
        exchange.retried = f"retried: {why}"

    # -- opening connections --------------------------------------------------------------------------------

    async def _open(self, lease: Lease) -> tuple[Lease, BackendConnection]:
        """Open a connection to this backend, or to another while none was opened.

        Raises:
            _Failed: all leases were handed back.
        """
        opening = _Opening(self, lease)
        try:
            backend, stream = await dial_any(opening, timeout=self.dialling.timeout)
        except BackendError as error:
            raise _Failed(error, lease.backend) from error
        chosen, generation = opening.connected(backend)
        return chosen, self._transport.began(backend, stream, generation)

    async def _open_one(self, backend: Backend) -> BackendConnection:
        """Open a connection to this backend and no other. Raises BackendError."""
        request, dialling, generation = self.request, self.dialling, backend.generation
        preamble = dialling.preamble(request, backend.member)
        stream = await dial(backend, timeout=dialling.timeout, preamble=preamble)
        return self._transport.began(backend, stream, generation)

    # -- the body -------------------------------------------------------------------------------------------

    def _keep_body(self) -> None:
        """Keep what is sent of a body, where it may be needed again."""
        request = self.request
        body = request.body
        if isinstance(body, bytes) or request.method not in IDEMPOTENT or not self._pool.has_several:
            return
        if self._rules.body and (body.length is None or body.length <= self._rules.body):
            request.body = Replay(body, most=self._rules.body)

    def _may_repeat(self) -> bool:
        """Tell whether the request can be sent once more, and make its body ready for it."""
        body = self.request.body
        if isinstance(body, Replay):
            body.rewind()
        return isinstance(body, bytes) or not body.started


class _Opening:
    """The backends that one connection is opened to, one after the other and one beside the other: dial.Candidates."""

    __slots__ = ("_attempts", "_exchange", "_first", "_leases", "_why")

    def __init__(self, attempts: Attempts, lease: Lease) -> None:
        self._attempts = attempts
        self._exchange = attempts.request.exchange
        self._first: Lease | None = lease
        self._leases = Leases()
        self._why = SILENT
        """Why the next is dialled: the last one is silent, unless it is known to have failed."""

    def another(self) -> Backend | None:
        """Give the one that was picked; after that others, as long as there are tries left."""
        lease, self._first = self._first, None
        if lease is None:
            if self._attempts.failures + len(self._leases) >= TRIES:
                return None
            try:
                lease = self._attempts.take(*self._leases)
            except NoBackend:
                return None
            self._exchange.tries += 1
            self._exchange.retried = f"retried: {self._why}"
        self._why = SILENT
        backend = self._exchange.backend = self._leases.add(lease)
        return backend

    def failed(self, backend: Backend, error: BackendError) -> None:
        """Hand its lease back."""
        self._leases.failed(backend, error)
        self._attempts.tried.append(backend)
        self._attempts.failures += 1
        self._why = error.why

    def gave_up(self) -> None:
        """Hand back what is out still."""
        if self._first is not None:
            self._first.done(GIVEN_UP)
        self._leases.gave_up()

    def preamble(self, member: Member) -> bytes:
        """Make the PROXY line to send first."""
        return self._attempts.dialling.preamble(self._attempts.request, member)

    @property
    def gone(self) -> Signal:
        """The client's."""
        return self._attempts.request.client.gone

    def has_left(self) -> bool:
        """Tell whether the client has."""
        return self._attempts.request.client.has_left()

    def connected(self, backend: Backend) -> tuple[Lease, int]:
        """Give the lease of the one that is connected, and its generation when it was dialled; hand back the others."""
        chosen, generation, self._exchange.asked = self._leases.won(backend)
        return chosen, generation


class _Failed(Exception):
    """A try has failed, and its lease was handed back."""

    def __init__(self, error: BackendError, backend: Backend) -> None:
        super().__init__(str(error))
        self.error = error
        self.backend = backend
