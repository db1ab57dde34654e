"""Hedging: when an answer is late, a second try starts elsewhere, the first goes on, and the first answer wins.

A backend that accepts and never answers cannot be told from one that is slow. So it is not cut: the request is asked
once more of another backend, and the silence counts against the first one only if the other answered. What is slow
everywhere is thus slow and nothing worse, and no backend gets the same request twice. An answer is a whole head: half
of one, an interim answer, or a connection that ends does not decide the race, and the second try goes on beside it.
Where the second fails or is late as well, a third is begun; `Exchange.tried` knows of all. An answer by which a backend
says that it cannot answer (502, 503, 504, or what --retry-on names) is taken only where nobody else is left.

The second try runs in a task of its own, since the first is still waited for. It has a client of its own, who
"leaves" when the try is not wanted any more: whatever it waits for then ends it, as if the real client had left.
"""

from collections.abc import Awaitable, Callable, Container
from copy import copy
from functools import partial
from math import inf

from netfront.errors import BackendError, BadMessage, ClientGone, NoBackend, Overdue
from netfront.http.client import ResponseBody
from netfront.http.message import Client, Request, Response
from netfront.net.backend import Backend
from netfront.net.lane import Signal, clock, deadline
from netfront.net.pool import GIVEN_UP, Lease, Pool
from netfront.policy.retry import TRIES, LearntLimit
from netfront.wire.fields import Fields

__all__ = ["HEDGED", "Hedger", "Send", "Spawn"]

HEDGED = "hedged"
"""Why there was more than one try, where the second was begun beside the first, and won."""

_UNWELL = frozenset({502, 503, 504})
"""Statuses by which a backend, or a proxy before it, says that it cannot answer."""
_SILENT = "silent while another answered"

Send = Callable[[Request, Lease], Awaitable[Response]]
"""Sends a request to the backend of a lease. What it raises leaves the lease to the caller."""
Spawn = Callable[[Callable[[], Awaitable[None]]], None]
"""Runs something in a task of its own, as connections are run."""


class Hedger:
    """Begins second tries.

    Args:
        hung: from when on silence is more than a slow answer, and counts against the backend.
        goes_on: whether somebody else is asked where a connection has ended without an answer.
        unwell: statuses with which somebody else is asked too.
        key: what a hashed pick of a request goes by.
    """

    __slots__ = ("_goes_on", "_hung", "_key", "_pool", "_send", "_spawn", "_unwell")

    def __init__(
        self,
        pool: Pool,
        send: Send,
        spawn: Spawn,
        *,
        hung: LearntLimit,
        goes_on: bool = True,
        unwell: Container[int] = (),
        key: Callable[[Request], bytes | None] | None = None,
    ) -> None:
        self._hung = hung
        self._goes_on = goes_on
        self._unwell = unwell
        self._pool = pool
        self._send = send
        self._spawn = spawn
        self._key = key

    def begin(self, request: Request, lease: Lease) -> "_Try | None":
        """Begin a try beside that of this lease; None if nobody else is up, or the budget is spent.

        Where the backend is known to be down, or to be silent, it is no guess and costs the budget nothing.

        Where all others are busy, and requests wait for them, it stands by: the place that the first try has at a hung
        backend serves nobody.

        Also None for an upgrade: what comes of it is a connection that lasts, and no answer to be had twice. And for
        one who has to be answered by this backend, where another knows nothing of its session: a slow page is no
        reason to end that.
        """
        tried = request.exchange.tried
        if request.upgrade is not None or len(tried) >= TRIES - 1:
            return None
        now = clock()
        is_guess = self._is_guess(lease, now)
        if is_guess and not self._pool.may_spend(now):
            return None
        key = self._key(request) if self._key is not None else None
        if self._pool.is_bound(key, lease.backend):
            return None
        exchange, backend = request.exchange, lease.backend

        def take(*, has_waited: bool = True) -> Lease:
            tried = exchange.tried
            other = self._pool.take_beside(key, (*tried, backend), clock(), has_waited=has_waited)
            if other is None:
                raise NoBackend("all others are busy", is_full=True)
            exchange.tried = [*tried, other.backend]
            return other

        other: Lease | None = None
        try:
            other = take(has_waited=False)
        except NoBackend:
            is_late = now - exchange.asked >= self._hung.limit(now)
            if not (is_late and self._pool.is_queued_for((*tried, backend))):
                return None
        if is_guess:
            self._pool.spend(now)
        beside = _Try(request, backend, other, self._send, self._hung)
        wait = partial(self._pool.wait_for_lease, take, stands_by=True)
        self._spawn(partial(beside.stand_by, wait) if other is None else beside.run)
        return beside

    def has_another(self, request: Request, lease: Lease) -> bool:
        """Tell whether one more would be asked, beside that of this lease and those that were, if these failed."""
        tried = request.exchange.tried
        if not self._goes_on or len(tried) >= TRIES - 1:
            return False
        now = clock()
        if self._is_guess(lease, now) and not self._pool.may_spend(now):
            return False
        return self._pool.has_beside((*tried, lease.backend))

    def is_unwell(self, status: int) -> bool:
        """Tell whether an answer with this status says that its backend cannot answer."""
        return status in _UNWELL or status in self._unwell

    @staticmethod
    def _is_guess(lease: Lease, now: float) -> bool:
        """Tell whether the backend of a lease may be no more than slow."""
        return lease.backend.is_up and not lease.backend.is_silent(now)


class _Absent:
    """The client of a second try: it hears no interim answers, and leaves when the try is not wanted."""

    __slots__ = ("due", "facts", "gone", "told")

    def __init__(self, client: Client) -> None:
        self.facts = client.facts
        self.told = client.told
        self.due = client.due
        self.gone = Signal()

    def has_left(self) -> bool:
        return self.gone.is_set

    async def interim(self, status: int, fields: Fields) -> None:
        pass


class _Try:
    """A second try."""

    __slots__ = (
        "_asked",
        "_client",
        "_first",
        "_hung",
        "_lease",
        "_outcome",
        "_request",
        "_response",
        "_send",
        "began",
        "over",
    )

    def __init__(
        self,
        request: Request,
        first: Backend,
        lease: Lease | None,
        send: Send,
        hung: LearntLimit,
    ) -> None:
        self.over = Signal()
        self._hung = hung
        self._client = _Absent(request.client)
        self._request = copy(request)
        self._request.client = self._client
        self._lease = lease
        """None while it waits for one."""
        self._first = first
        self._asked = request.exchange.asked
        """When the first try began: what it waited for before is no silence."""
        self._send = send
        self._outcome = GIVEN_UP
        """Of its lease, where it is given up."""
        self._response: Response | None = None
        self.began = clock()

    async def stand_by(self, wait: Callable[[Signal, Callable[[], bool]], Awaitable[Lease | None]]) -> None:
        """Wait for a lease, and go on with that."""
        try:
            self._lease = await wait(self._client.gone, self._client.has_left)
            self.began = clock()
        except NoBackend:
            pass  # nobody had room in time
        finally:
            if self._lease is None:
                self.over.set()
        if self._lease is not None:
            await self.run()

    async def run(self) -> None:
        """Send it, and tell when that is over."""
        lease = self._lease
        assert lease is not None
        self._client.due = deadline()
        try:
            response = await self._send(self._request, lease)
        except BackendError as error:
            lease.failed(error)
        except ClientGone:
            lease.done(self._outcome)
        except (BadMessage, NoBackend, Overdue, OSError):
            lease.done(GIVEN_UP)
        except BaseException:
            lease.done(GIVEN_UP)
            raise
        else:
            self._response = response
            if self._client.gone.is_set:
                self._drop()
        finally:
            self.over.set()

    def take_over(self, request: Request, *, is_late: bool) -> tuple[Response, str]:
        """Give the answer to the one who really asked, and tell what the silence of the first amounts to.

        To nothing as long as it may be no more than slow: an answer that shows nothing says nothing against it.
        """
        response, self._response = self._response, None
        lease = self._lease
        assert response is not None
        assert lease is not None
        exchange = request.exchange
        exchange.tries += 1
        exchange.tried = [self._first, *(one for one in exchange.tried if one is not lease.backend)]
        exchange.backend = lease.backend
        exchange.retried = HEDGED
        exchange.asked = self.began
        if isinstance(response.body, ResponseBody):
            response.body.connection.client = request.client
        now = clock()
        is_told = is_late or response.status < 500
        is_hung = is_told and self._first.lost(self._asked, now, self._hung.limit(now))
        return response, _SILENT if is_hung else GIVEN_UP

    @property
    def status(self) -> int | None:
        """Of its answer; None where it has none."""
        return self._response.status if self._response is not None else None

    @property
    def late(self) -> float:
        """When it is as late itself as the first was; never, while it stands by."""
        return inf if self._lease is None else self.began + self._hung.limit(clock())

    def abandon(self, *, is_beaten: bool = False) -> None:
        """Let it end as if its client had left."""
        if is_beaten and self._lease is not None:
            now = clock()
            if self._lease.backend.lost(self.began, now, self._hung.limit(now)):
                self._outcome = _SILENT
        self._client.gone.set()
        self._drop()

    def _drop(self) -> None:
        response, self._response = self._response, None
        if response is not None and not isinstance(response.body, bytes):
            response.body.abort()
