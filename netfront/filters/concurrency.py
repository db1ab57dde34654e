"""Limits on how many at once: a request takes a seat, and has it until its answer's body has ended.

The seat comes back with the last byte, with a client that leaves, with an upgraded stream's end, or with whatever else
the answer ends by: whoever drops a Response aborts its body.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netfront.filters.quota import quoted, refused
from netfront.http.message import AnsweringBody, Body, Filter, Handler, Request, Response, Takeover
from netfront.net.lane import Signal, ready
from netfront.net.stream import Stream
from netfront.policy.limit import Seats
from netfront.wire.fields import Fields, field

__all__ = ["Seating", "concurrency"]


@dataclass(frozen=True, slots=True)
class Seating:
    """How many at once. See filters.limit.Limit."""

    id: bytes
    name: str
    most: int
    key: Callable[[Request], bytes]
    is_of_place: bool = False


def concurrency(seatings: Sequence[Seating], seats: Seats) -> Filter:
    """Make the filter for one stage of a route: a seat of each kind is taken, or none."""
    items = b", ".join(b'%b;q=%d;qu="concurrent-requests"' % (quoted(one.name), one.most) for one in seatings)
    policy = field(b"RateLimit-Policy", items)

    def refuse(request: Request, full: list[Seating]) -> Response:
        names = [one.name for one in full]
        left = field(b"RateLimit", b", ".join(b"%b;r=0" % quoted(name) for name in names))
        return refused(request, names, "too many at once:", 1, [left, policy])

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            pairs = [(one, one.id + one.key(request)) for one in seatings]
            if request.part_of is not None:  # the whole has a seat, where it has the same key
                pairs = [(one, key) for one, key in pairs if _mark(one, key) not in request.counted]
            held, keys = [one for one, _ in pairs], [key for _, key in pairs]
            request.counted = (*request.counted, *(_mark(one, key) for one, key in pairs))
            if not seats.take(keys, [one.most for one in held]):
                return refuse(request, [one for one, key in pairs if seats.taken(key) >= one.most])
            taken = _Taken(seats, keys)
            try:
                response = await then(request)
            except BaseException:
                taken.give_back()
                raise
            body = response.body
            if isinstance(body, bytes):
                request.exchange.owes(taken)  # an answer that is in hand has still to be sent
            elif response.status == 101:
                response.body = _HeldStream(body, taken)  # type: ignore[arg-type]  # a 101 has a Takeover
            else:
                response.body = _HeldBody(body, taken)  # type: ignore[arg-type]  # nothing else has
            return response

        return handle

    return around


def _mark(one: Seating, key: bytes) -> bytes:
    return one.id if one.is_of_place else key


class _Taken:
    """Seats that are given back once."""

    __slots__ = ("_keys", "_seats")

    def __init__(self, seats: Seats, keys: Sequence[bytes]) -> None:
        self._seats = seats
        self._keys = keys

    def give_back(self) -> None:
        """Give them back; idempotent."""
        keys, self._keys = self._keys, ()
        self._seats.free(keys)


class _HeldBody:
    """A body that gives seats back at its end."""

    __slots__ = ("_body", "_taken", "length", "started")

    def __init__(self, body: Body, taken: _Taken) -> None:
        self._body = body
        self._taken = taken
        self.length = body.length
        self.started = body.started

    @property
    def trailers(self) -> Fields:
        return self._body.trailers

    @property
    def readable(self) -> Signal:
        return self._body.readable

    def due(self) -> float:
        return self._body.due()

    def receive_now(self) -> bytes | None:
        try:
            data = self._body.receive_now()
        except BaseException:
            self._taken.give_back()
            raise
        if data:
            self.started = True
        elif data is not None:
            self._taken.give_back()
        return data

    async def receive_some(self) -> bytes:
        try:
            data = await self._body.receive_some()
        except BaseException:
            self._taken.give_back()
            raise
        if data:
            self.started = True
        else:
            self._taken.give_back()
        return data

    async def upload_until(self, wait: Signal) -> None:
        body = self._body
        await (body.upload_until(wait) if isinstance(body, AnsweringBody) else ready(wait))

    def abort(self, why: BaseException | None = None) -> None:
        self._taken.give_back()
        self._body.abort(why)


class _HeldStream:
    """A stream taken over that gives seats back when it is let go."""

    __slots__ = ("_taken", "_takeover")

    def __init__(self, takeover: Takeover, taken: _Taken) -> None:
        self._takeover = takeover
        self._taken = taken

    async def run(self, stream: Stream, early: bytes) -> None:
        try:
            await self._takeover.run(stream, early)
        finally:
            self._taken.give_back()

    def abort(self, why: BaseException | None = None) -> None:
        self._taken.give_back()
        self._takeover.abort(why)
