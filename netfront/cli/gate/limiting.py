"""From the limits of a plan to what counts, and to the filters that ask it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from netfront.cli.gate.limit_plan import LimitKey, LimitPlan, RedisPlan, SeatPlan
from netfront.cli.gate.plan import GatePlan
from netfront.filters.concurrency import Seating, concurrency
from netfront.filters.limit import Limit, Spend, SpendOne, limit
from netfront.filters.limit_key import limit_key
from netfront.http.message import Filter, Request
from netfront.policy.limit import Counters, Rate, Seats

if TYPE_CHECKING:
    from netfront.net.redis import SharedCounters

__all__ = ["Limiting"]

_FIRST_ANSWER = 1.0
"""Seconds that the start waits for Redis."""


class Limiting:
    """What counts, for all routes; it outlives a reload, and so do the counts of limits that stay."""

    def __init__(self, shared: "SharedCounters | None" = None, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()
        self.seats = Seats()
        self._shared = shared
        self._spend: Spend = self.counters.spend if shared is None else shared.spend
        self._spend_one: SpendOne | None = self.counters.spend_one if shared is None else None

    @classmethod
    def of(cls, redis: RedisPlan | None, down: str, tell: Callable[[str], None]) -> "Limiting":
        """Make what a plan needs.

        Args:
            down: what becomes of limits while Redis is down.
            tell: takes what is to be said of Redis.
        Raises:
            UsageError: its password or its CA cannot be read, or its client is not installed.
        """
        if redis is None:
            return cls()
        from netfront.cli.gate.sharing import shared_counters

        counters = Counters()
        return cls(shared_counters(redis, counters, down, tell), counters)

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to share, in a task of this nursery, where anything is shared."""
        if self._shared is not None:
            nursery.start_soon(self._shared.run)

    async def wait_until_shared(self) -> None:
        """Return when Redis was asked once, or soon in any case: who comes first is to be counted with the others."""
        if self._shared is not None:
            with trio.move_on_after(_FIRST_ANSWER):
                await self._shared.was_tried.wait_in_trio()

    def filters(
        self, plan: GatePlan, address: Callable[[Request], bytes | None], *, early: bool
    ) -> tuple[Filter | None, ...]:
        """Give the filters of one stage of a route.

        Args:
            address: gives that of the client, behind trusted proxies the real one.
            early: whether of the stage before authentication.
        """
        names = _names(plan)
        rates = [
            Limit(
                one.id, names[one.id], Rate(one.period / one.count, one.burst), _key(one.key, address), *_quota(one),
                is_of_place=one.key.kind == "route",
            )
            for one in plan.limits
            if one.key.is_known_early == early
        ]  # fmt: skip
        seats = [
            Seating(one.id, names[one.id], one.most, _key(one.key, address), one.key.kind == "route")
            for one in plan.seats
            if one.key.is_known_early == early
        ]
        return (
            concurrency(seats, self.seats) if seats else None,  # first: what finds no seat spends nothing
            limit(rates, self._spend, self._spend_one) if rates else None,
        )


def _key(key: LimitKey, address: Callable[[Request], bytes | None]) -> Callable[[Request], bytes]:
    return limit_key(key.kind, key.name, address, key.v4, key.v6)


def _names(plan: GatePlan) -> dict[bytes, str]:
    """Name each limit for answers; of two that are called alike the later says where it holds."""
    names: dict[bytes, str] = {}
    held: tuple[LimitPlan | SeatPlan, ...] = (*plan.limits, *plan.seats)
    for one in held:
        name = one.name
        names[one.id] = f"{name} {one.scope or '/'}" if name in names.values() else name
    return names


def _quota(plan: LimitPlan) -> tuple[int, int]:
    """Give requests and seconds as whole numbers."""
    if plan.count >= 1:
        return int(plan.count), int(plan.period)
    return 1, round(plan.period / plan.count)
