"""Limits on how often: a request is counted by what it is told apart by, or answered with 429.

A request is counted under all limits of a stage at once or, where one of them refuses, under none. Limits by address,
header, cookie or route are one stage, before authentication: what they counted stays counted where a later stage
refuses, or they would not brake the guessing of passwords.

What is left is told in RateLimit and RateLimit-Policy on each answer (draft-ietf-httpapi-ratelimit-headers-11), and the
body of a 429 is that draft's problem type. A policy is named as its flag has it: "50/s:ip".
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import ceil

from netfront.filters.quota import quoted, refused
from netfront.http.message import Filter, Handler, Request, Response
from netfront.net.lane import clock
from netfront.policy.limit import Rate, Spent
from netfront.wire.fields import field

__all__ = ["Limit", "Spend", "SpendOne", "limit"]

KeyOf = Callable[[Request], bytes]
Spend = Callable[[Sequence[bytes], Sequence[Rate], float], Spent | Awaitable[Spent]]
"""Counts one request under each key, if all have room: Counters.spend, or one that must be awaited."""
SpendOne = Callable[[bytes, Rate, float], float]
"""Counters.spend_one."""
_REMEMBERED = 1024
"""Answers to "how much is left" of which the fields are kept made."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Args:
        id: stands for it before its keys, the same wherever it holds.
        name: as answers call it.
        key: what a request is told apart by.
        is_of_place: whether that is where a request leads, and not who asks: then its parts count with the whole.
        quota, window: what the name says, as requests in so many seconds.
    """

    id: bytes
    name: str
    rate: Rate
    key: KeyOf
    quota: int
    window: int
    is_of_place: bool = False


def limit(limits: Sequence[Limit], spend: Spend, spend_one: SpendOne | None = None) -> Filter:
    """Make the filter for the limits of one stage of a route.

    Args:
        spend_one: counts where there is but one limit, in the same Counters; None where that takes `spend`.
    """
    every = _Held(tuple(limits))
    has_places = any(one.is_of_place for one in limits)
    parts: dict[tuple[int, ...], _Held] = {tuple(range(len(limits))): every}

    def marks_of(keys: Sequence[bytes]) -> Sequence[bytes]:
        """Give what parts are told by that these are counted."""
        if not has_places:
            return keys
        return [one.id if one.is_of_place else key for one, key in zip(limits, keys, strict=True)]

    def left_of(keys: Sequence[bytes], counted: Sequence[bytes]) -> tuple[_Held, list[bytes]]:
        """Give those that a part is not counted under yet: the whole is, where it has the same key."""
        left = tuple(at for at, mark in enumerate(marks_of(keys)) if mark not in counted)
        held = parts.get(left)
        if held is None:
            held = parts[left] = _Held(tuple(limits[at] for at in left))
        return held, [keys[at] for at in left]

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            held, keys = every, [id + key(request) for id, key in every.keys]
            counted = request.counted
            request.counted = (*counted, *marks_of(keys))
            if request.part_of is not None:
                held, keys = left_of(keys, counted)
                if not keys:
                    return then(request)
            spent = spend(keys, held.rates, clock())
            if not isinstance(spent, Spent):
                return wait(request, held, spent)
            request.answer_lines += held.told(spent.debts)
            return then(request) if spent.admitted else _answer(held.refuse(request, spent.debts))

        async def wait(request: Request, held: _Held, counting: Awaitable[Spent]) -> Response:
            spent = await counting
            request.answer_lines += held.told(spent.debts)
            return await then(request) if spent.admitted else held.refuse(request, spent.debts)

        if spend_one is None or len(limits) > 1:
            return handle
        ((id, key),), (rate,) = every.keys, every.rates

        def handle_one(request: Request) -> Awaitable[Response]:
            if request.counted or request.part_of is not None:
                return handle(request)
            counter = id + key(request)
            request.counted = (id if has_places else counter,)
            debt = spend_one(counter, rate, clock())
            if debt > rate.bound:
                debts = (debt - rate.interval,)
                request.answer_lines += every.told(debts)
                return _answer(every.refuse(request, debts))
            left = rate.outlook(debt)
            request.answer_lines += every.made.get(left) or every.make(left)
            return then(request)

        return handle_one

    return around


async def _answer(response: Response) -> Response:
    return response


class _Held:
    """Limits that hold together, and what is told of them."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self.limits = limits
        self.rates = tuple(one.rate for one in limits)
        self.keys = tuple((one.id, one.key) for one in limits)
        policies = b", ".join(b"%b;q=%d;w=%d" % (quoted(one.name), one.quota, one.window) for one in limits)
        self._policy = field(b"RateLimit-Policy", policies).raw if limits else b""
        self.made: dict[tuple[int, ...], bytes] = {}
        """The field lines that tell what is left."""

    def told(self, debts: Sequence[float]) -> bytes:
        """Give the field lines that tell what is left to who owes so much."""
        left: tuple[int, ...] = ()
        for rate, debt in zip(self.rates, debts, strict=True):
            left += rate.outlook(debt)
        return self.made.get(left) or self.make(left)

    def make(self, left: tuple[int, ...]) -> bytes:
        """Make the lines for what each limit has left, and in how many seconds it has one more."""
        items = [
            b"%b;r=%d;t=%d" % (quoted(one.name), left[2 * at], left[2 * at + 1])
            for at, one in enumerate(self.limits)
        ]
        lines = field(b"RateLimit", b", ".join(items)).raw + self._policy
        if len(self.made) >= _REMEMBERED:
            self.made.clear()
        self.made[left] = lines
        return lines

    def refuse(self, request: Request, debts: Sequence[float]) -> Response:
        """Make the 429 for who owes so much."""
        over = [
            (one, one.rate.wait(debt))
            for one, debt in zip(self.limits, debts, strict=True)
            if not one.rate.left(debt)
        ]
        names = [one.name for one, _ in over]
        seconds = max([1, *(ceil(wait) for _, wait in over)])
        return refused(request, names, "over the limit", seconds)
