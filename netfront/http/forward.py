"""Forwarding: a request goes to a backend of a pool, and its response comes back.

No failed request where another backend could have answered: what failed before anything was sent is tried elsewhere
whatever its method; what may have been read is tried again only where sending twice is harmless (RFC 9110 §9.2.2),
and only if its body can be sent again.
"""

from collections.abc import Callable, Mapping, Sequence

from netfront.errors import BackendError, NoBackend
from netfront.http.client import Patience
from netfront.http.message import Handler, Request, Response
from netfront.http.outbound import Mount, request_head
from netfront.http.transport import Transport, may_repeat
from netfront.net.lane import clock
from netfront.net.pool import GIVEN_UP, Backend, Lease, Pool

__all__ = ["forward"]

ResponseEdit = Callable[[Request, Response], None]
_TRIES = 3


def forward(
    pool: Pool,
    transport: Transport,
    *,
    patience: Patience,
    mounts: Mapping[bytes, Mount | None] | None = None,
    edits: Sequence[ResponseEdit] = (),
) -> Handler:
    """Make the handler that forwards to a pool.

    Args:
        mounts: what stands in place of the route's prefix, by the base path of the member; None where no member
            has a base.
        edits: made to what a backend said before anybody else sees it: a layer of its own would cost a coroutine.
    """

    async def handle(request: Request) -> Response:
        exchange = request.exchange
        lease = pool.take(None, (), exchange.started)
        backend = lease.backend
        try:
            exchange.attempts = 1
            exchange.dialled = member = backend.member
            head = request_head(request, member, mounts[member.base] if mounts else None)
            response = await transport.exchange(backend, request, head, patience, lease.done)
        except BackendError as error:
            return await elsewhere(request, lease, error)
        except BaseException:
            lease.done(GIVEN_UP)
            raise
        exchange.source = "backend"
        exchange.first = clock()
        for edit in edits:
            edit(request, response)
        return response

    async def elsewhere(request: Request, lease: Lease, error: BackendError) -> Response:
        """Try again after a failure, while that is safe and there is somewhere to go."""
        exchange = request.exchange
        tried: list[Backend] = []
        while True:
            backend = lease.backend
            if error.was_kept:
                lease.done(GIVEN_UP)
            else:
                lease.done(error.why)
                tried.append(backend)
            if not error.retry_safe or len(tried) >= _TRIES or not may_repeat(request):
                raise error
            anew = error.was_kept
            try:
                lease = pool.again(backend) if anew else pool.take(None, tried, clock())
            except NoBackend:
                raise error from None
            try:
                exchange.attempts += 1
                exchange.dialled = member = lease.backend.member
                head = request_head(request, member, mounts[member.base] if mounts else None)
                response = await transport.exchange(
                    lease.backend, request, head, patience, lease.done, anew=anew
                )
            except BackendError as failure:
                error = failure
                continue
            except BaseException:
                lease.done(GIVEN_UP)
                raise
            exchange.source = "backend"
            exchange.first = clock()
            for edit in edits:
                edit(request, response)
            return response

    return handle
