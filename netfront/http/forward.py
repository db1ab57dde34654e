"""Forwarding: a request goes to a backend of a pool, and its response comes back.

The plain way is a connection that is there and an answer that comes; anything else is the business of `attempts.py`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from netfront.errors import BackendError, BadMessage, ClientGone, NoBackend
from netfront.http.attempts import Attempts, Dialling, RetryRules
from netfront.http.client import Patience
from netfront.http.hedge import Hedger, Spawn
from netfront.http.message import Handler, Request, Response
from netfront.http.outbound import Mount, request_head
from netfront.http.transport import Transport
from netfront.net.backend import Member
from netfront.net.lane import clock
from netfront.net.pool import GIVEN_UP, Lease, Pool
from netfront.policy.retry import IDEMPOTENT, SAFE, LearntLimit

__all__ = ["Hedging", "KeyOf", "ResponseEdit", "forward"]

_NEVER = math.inf
"""Seconds: when a request that may not be asked elsewhere is late. Known by identity."""
_BASES = 64
"""Paths of members that are kept ready; members come and go."""
_LEAST = 0.001
"""Seconds under which no answer is late, however quick the others are."""

ResponseEdit = Callable[[Request, Response], None]
KeyOf = Callable[[Request], bytes | None]


@dataclass(frozen=True, slots=True)
class Hedging:
    """How second tries are begun.

    Args:
        spawn: runs one.
        quantile: an answer is late that is slower than this part of those before; 0.0 is four times p99.
    """

    spawn: Spawn
    quantile: float = 0.0


def forward(
    pool: Pool,
    transport: Transport,
    *,
    dialling: Dialling,
    patience: Patience,
    prefix: bytes = b"/",
    edits: Sequence[ResponseEdit] = (),
    retry: RetryRules | None = None,
    hedging: Hedging | None = None,
    key: KeyOf | None = None,
    most_body: int | None = None,
    learns_latency: bool = False,
) -> Handler:
    """Make the handler that forwards to a pool.

    Args:
        dialling: how connections are opened.
        prefix: of the route: a member's base stands in its place.
        edits: made to what a backend said before anybody else sees it: a layer of its own would cost a coroutine.
        retry: when to try elsewhere what got an answer, or none.
        hedging: None where there is nobody to turn to.
        key: what a hashed pick goes by.
        learns_latency: whether the pool picks by the time of answers.
        most_body: bytes that a request's body may have; None for any number. A filter for it would cost a call.
    """
    rules = retry or RetryRules()
    repeats = bool(rules.statuses)
    hung: LearntLimit | None = None
    limit: LearntLimit | None = None
    tail: LearntLimit | None = None
    hedger: Hedger | None = None

    @lru_cache(maxsize=_BASES)
    def mount(base: bytes) -> Mount:
        return Mount(prefix, base)

    def render(request: Request, member: Member) -> bytes:
        return request_head(request, member, mount(member.base) if member.base else None)

    def tries_of(request: Request, late: float = math.inf) -> Attempts:
        after = late - request.exchange.started
        return Attempts(pool, transport, dialling, patience, rules, render, key, request, hedger, after)

    async def send(request: Request, lease: Lease) -> Response:
        """Send a request beside another try of it."""
        return await tries_of(request).once(lease)

    if hedging is not None:
        half = patience.answer / 2  # late in any case: who answers in its place has as long again
        hung = limit = LearntLimit(most=half)
        if hedging.quantile:
            limit = tail = LearntLimit(quantile=hedging.quantile, factor=1.0, least=_LEAST, most=half)
        hedger = Hedger(
            pool, send, hedging.spawn, hung=hung, goes_on=rules.resets, unwell=rules.statuses, key=key
        )

    async def handle(request: Request) -> Response:
        exchange = request.exchange
        began = exchange.started
        attempts: Attempts | None = None
        late = _NEVER
        if most_body is not None and request.body:
            request.bound_body(most_body)
        pool.requests += 1
        if limit is not None and not request.body and request.method in SAFE:
            late = began + limit.stands
        try:
            may_repeat = not pool.has_trials or request.method in IDEMPOTENT
            lease = pool.take(key(request) if key is not None else None, (), began, may_repeat)
        except NoBackend as error:
            attempts = tries_of(request, late)
            if error.is_full:
                response = await attempts.when_there_is_room()
            elif pool.is_awaited and not pool.backends:
                response = await attempts.when_somebody_is_known()
            else:
                raise
        else:
            backend = lease.backend
            try:
                exchange.tries = 1
                exchange.backend = backend
                connection = transport.kept(backend, request)
                if connection is not None and request.body.__class__ is bytes:
                    member = backend.member
                    try:
                        head = request_head(request, member, mount(member.base) if member.base else None)
                    except BadMessage:
                        transport.release(connection)
                        raise
                    response = await connection.exchange(request, head, patience, lease, late, hedger)
                else:
                    attempts = tries_of(request, late)
                    response = await attempts.begin(lease, connection)
            except BackendError as error:
                if attempts is not None:
                    raise
                attempts = tries_of(request, late)
                response = await attempts.after(error, lease)
            except BaseException as error:
                if attempts is None:
                    lease.done(GIVEN_UP)
                if hung is not None and isinstance(error, ClientGone) and exchange.backend is not None:
                    now = clock()
                    pool.left_by(exchange.backend, exchange.asked, now, hung.limit(now))
                raise
        if repeats and response.status in rules.statuses:
            attempts = attempts or tries_of(request, late)
            response = await attempts.instead_of(response)
        exchange.source = "backend"
        exchange.first = now = clock()
        if hung is not None:
            heard = exchange.backend
            if heard is not None:
                heard.heard_at = now
            # of those that may be asked elsewhere: others take their time, and a body is its client's
            if late is not _NEVER and now >= hung.listens:
                hung.record(now - exchange.asked, now)
                if tail is not None:
                    tail.record(now - began, now)
        if learns_latency and exchange.backend is not None:
            exchange.backend.answered(now - exchange.asked, now)
        for edit in edits:
            edit(request, response)
        return response

    return handle
