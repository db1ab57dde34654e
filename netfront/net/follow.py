"""Following names: asked again and again, for as long as their answers may be kept, and the last good one stays.

A followed name has one task, shared by all who follow it. What it knows changes only by a good answer: a server
that fails, a name that is gone and an answer without an address are told once and leave the last good set as it
is, since a backend that still answers is worth more than a right answer of nobody. Per IP version likewise: where
only one of the two questions was answered, what was known of the other stays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import Random

import trio

from netfront.net.resolve import Ask, Found, Lookup, LookupFailed, Service
from netfront.net.watchfile import watch_files

__all__ = ["Followed", "FollowedName", "FollowedService", "Follower", "Pace"]

_AT_ONCE = 16
"""Targets of a service that are asked for at the same time."""
_HOSTS = 10.0
"""Seconds between two looks at the hosts file."""

Tell = Callable[[str], None]
Changed = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """When a name is asked for again, in seconds.

    Args:
        least, most: between which the time to live of an answer is held: a zone that says 0 must not be asked
            without end, and one that says a week must not keep a backend that has moved.
        retry, most_retry: after a failure, doubling.
    """

    least: float = 1.0
    most: float = 300.0
    retry: float = 1.0
    most_retry: float = 30.0

    def after_answer(self, ttl: float) -> float:
        """Give the seconds for which an answer is kept."""
        return min(max(ttl, self.least), self.most)

    def after_failure(self, failures: int, rng: Random) -> float:
        """Give the seconds to wait after so many failures in a row; spread, so that not all ask at once."""
        return rng.uniform(self.retry, min(self.most_retry, self.retry * 2 ** min(failures - 1, 16)))


class FollowedName:
    """Where a name leads: its addresses, those of the last good answer, in a steady order."""

    def __init__(self, name: str, ask: Ask, pace: Pace, rng: Random, tell: Tell) -> None:
        self.name = name
        self.addresses: tuple[str, ...] = ()
        self.question = _Question(name, pace, rng, tell)
        self._ask = ask
        self._known: tuple[str, ...] = ()

    @property
    def due(self) -> float:
        """When it wants to be asked for again, on trio's clock."""
        return self.question.due

    @property
    def is_outdated(self) -> bool:
        """Whether the hosts file says something else of it than when it was asked for."""
        return self._ask.hosts.addresses(self.name) != self._known

    def expire(self) -> None:
        """Have it asked for at once."""
        self.question.due = -inf

    async def refresh(self) -> bool:
        """Ask for it; tell whether its addresses have changed."""
        self._known = self._ask.hosts.addresses(self.name)
        try:
            found = await self._ask.addresses(self.name)
        except LookupFailed as error:
            self.question.failed(error, is_served=bool(self.addresses))
            return False
        self.question.answered(found.ttl, is_served=bool(self.addresses))
        addresses = self._merge(found)
        if addresses == self.addresses:
            return False
        self.addresses = addresses
        return True

    def _merge(self, found: Found) -> tuple[str, ...]:
        """Keep the order of what stays: servers turn their answers round each time, which is no change."""
        stays = [
            address
            for address in self.addresses
            if address in found.addresses or _version(address) in found.unknown
        ]
        return tuple(dict.fromkeys([*stays, *found.addresses]))


class FollowedService:
    """Who serves a service: the targets of its SRV records, each followed by its own time to live.

    `places` is the last set that was not empty: records with their targets' addresses, targets without one left out.
    """

    def __init__(self, name: str, ask: Ask, pace: Pace, rng: Random, tell: Tell) -> None:
        self.name = name
        self.places: tuple[tuple[Service, tuple[str, ...]], ...] = ()
        self.question = _Question(name, pace, rng, tell)
        self._ask = ask
        self._arguments = (ask, pace, rng, tell)
        self._records: tuple[Service, ...] = ()
        self._targets: dict[str, FollowedName] = {}

    @property
    def due(self) -> float:
        """When it or one of its targets wants to be asked for again, on trio's clock."""
        return min([self.question.due, *(target.due for target in self._targets.values())])

    @property
    def is_outdated(self) -> bool:
        """Whether the hosts file says something else of a target than when it was asked for."""
        return any(target.is_outdated for target in self._targets.values())

    def expire(self) -> None:
        """Have the targets asked for at once of which the hosts file says something else."""
        for target in self._targets.values():
            if target.is_outdated:
                target.expire()

    async def refresh(self) -> bool:
        """Ask for what is due; tell whether the places have changed."""
        if self.question.due <= trio.current_time():
            await self._ask_for_records()
        limiter = trio.CapacityLimiter(_AT_ONCE)
        now = trio.current_time()

        async def refresh(target: FollowedName) -> None:
            async with limiter:
                await target.refresh()

        async with trio.open_nursery() as nursery:
            for target in self._targets.values():
                if target.due <= now:
                    nursery.start_soon(refresh, target)
        places = tuple(
            (record, addresses)
            for record in self._records
            if (addresses := self._targets[record.target].addresses)
        )
        if not places or places == self.places:
            return False
        self.places = places
        return True

    async def _ask_for_records(self) -> None:
        try:
            records, ttl = await self._ask.services(self.name)
        except LookupFailed as error:
            self.question.failed(error, is_served=bool(self.places))
            return
        self.question.answered(ttl, is_served=bool(self.places))
        self._records = records
        names = dict.fromkeys(record.target for record in records)
        self._targets = {
            name: self._targets.get(name) or FollowedName(name, *self._arguments) for name in names
        }


Followed = FollowedName | FollowedService


class Follower:
    """All names that are followed, a task each in one nursery; whoever follows the same name shares its task.

    Args:
        nursery: whose end is theirs.
        rng: spreads what is asked again after a failure.
        tell: is told in words when a name no longer resolves, and when it does again.
    """

    def __init__(
        self, ask: Ask, nursery: trio.Nursery, *, rng: Random, tell: Tell, pace: Pace | None = None
    ) -> None:
        self._hosts = ask.hosts
        self._nursery = nursery
        self._arguments = (ask, pace or Pace(), rng, tell)
        self._names: dict[str, FollowedName] = {}
        self._services: dict[str, FollowedService] = {}
        self._threads: dict[Followed, _Thread] = {}
        self._watches_hosts = False

    def follow_name(self, name: str, changed: Changed) -> FollowedName:
        """Follow a name's addresses; `changed` is called in a trio task once it was asked for, and as they change."""
        followed = self._names.get(name)
        if followed is None:
            followed = self._names[name] = FollowedName(name, *self._arguments)
        self._join(followed, changed)
        return followed

    def follow_service(self, name: str, changed: Changed) -> FollowedService:
        """Follow a service's SRV records; `changed` is called in a trio task as above."""
        followed = self._services.get(name)
        if followed is None:
            followed = self._services[name] = FollowedService(name, *self._arguments)
        self._join(followed, changed)
        return followed

    def leave(self, followed: Followed, changed: Changed) -> None:
        """Follow it no longer; its task ends with the last who did."""
        thread = self._threads[followed]
        thread.told.remove(changed)
        if thread.told:
            return
        del self._threads[followed]
        if isinstance(followed, FollowedName):
            del self._names[followed.name]
        else:
            del self._services[followed.name]
        thread.scope.cancel()
        thread.asked.set()  # whoever waits for it waits for nothing

    def asked(self, followed: Followed) -> trio.Event:
        """Give what is set once it has been asked for, whatever came of it, or is followed no longer."""
        return self._threads[followed].asked

    def _join(self, followed: Followed, changed: Changed) -> None:
        thread = self._threads.get(followed)
        if thread is None:
            thread = self._threads[followed] = _Thread()
            self._nursery.start_soon(self._keep, followed, thread)
        thread.told.append(changed)
        if not self._watches_hosts:
            self._watches_hosts = True
            self._nursery.start_soon(self._watch_hosts)

    async def _keep(self, followed: Followed, thread: "_Thread") -> None:
        """Ask again and again, until the scope is cancelled."""
        with thread.scope:
            while True:
                is_news = await followed.refresh() or not thread.asked.is_set()
                thread.asked.set()
                if is_news:
                    for changed in list(thread.told):
                        changed()
                if followed.is_outdated:  # the hosts file changed while others were asked
                    followed.expire()
                    continue
                with trio.move_on_at(followed.due):
                    await thread.hurry.wait()
                thread.hurry = trio.Event()

    async def _watch_hosts(self) -> None:
        await watch_files(self._hosts.watch, self._read_hosts, every=_HOSTS)

    def _read_hosts(self) -> None:
        self._hosts.read()
        for followed, thread in self._threads.items():
            if followed.is_outdated:
                followed.expire()
                thread.hurry.set()


class _Thread:
    """Of one followed name: its task's scope, who is told, and what its task waits for."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.told: list[Changed] = []
        self.asked = trio.Event()
        self.hurry = trio.Event()


class _Question:
    """When a question is asked again, and what has been said of its failures: each way of failing once."""

    def __init__(self, name: str, pace: Pace, rng: Random, tell: Tell) -> None:
        self.due = -inf
        self._name = name
        self._pace = pace
        self._rng = rng
        self._tell = tell
        self._failures = 0
        self._told: set[Lookup] = set()

    def answered(self, ttl: float, *, is_served: bool) -> None:
        """Note a good answer. `is_served`: there was one before."""
        self.due = trio.current_time() + self._pace.after_answer(ttl)
        self._failures = 0
        if self._told:
            self._told.clear()
            self._tell(f"{self._name}: resolves {'again' if is_served else 'now'}")

    def failed(self, error: LookupFailed, *, is_served: bool) -> None:
        """Note a failure."""
        self._failures += 1
        self.due = trio.current_time() + self._pace.after_failure(self._failures, self._rng)
        if error.how in self._told:
            return
        self._told.add(error.how)
        what = f"cannot be resolved: {error.why}" if error.how is Lookup.FAILED else error.why
        self._tell(
            f"{self._name}: {what}; {'what it led to before stays' if is_served else 'it leads nowhere yet'}"
        )


def _version(address: str) -> int:
    return 6 if ":" in address else 4
