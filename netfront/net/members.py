"""Who is in a pool: fixed members, followed names and services, merged into one list that the pool is given.

A `Source` is what somebody wrote down; what it amounts to at a moment is a list of members:

    fixed                the member itself
    a name               the member, with the name's addresses, which are tried in turn
    a name, each apart   a member for each address
    a service (SRV)      a member for each record (or for each address of each), with its port and weight, and a tier
                         for each priority, the lowest first

Who is Host, SNI and the name of the certificate stays as the source's member has it: DNS decides where is dialled,
never as whom somebody is spoken to (RFC 9525 §6.1.1 wants names that come from the user).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import ip_address
from math import gcd

from netfront.endpoint import Endpoint
from netfront.net.backend import Member
from netfront.net.follow import Followed, FollowedName, FollowedService, Follower
from netfront.net.pool import Pool
from netfront.net.resolve import Service

__all__ = ["Changes", "Follow", "Members", "Source", "follow_of"]

_MOST_WEIGHT = 256
_SHOWN = 4
"""Members that a line names before it counts the rest."""


class Follow(Enum):
    """What of a source's member is followed."""

    NOTHING = "nothing"
    NAME = "name"  # its endpoint's host
    SERVICE = "service"  # its endpoint's host, which has SRV records; its port counts for nothing


@dataclass(frozen=True, slots=True)
class Source:
    """Where members come from.

    Args:
        member: itself, or what those have in common that it stands for.
        apart: whether each address of a name is a member of its own (+all).
    """

    member: Member
    follow: Follow = Follow.NOTHING
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What has become different about the members of a pool; as text, the line that is told.

    Args:
        joined, left: labels.
        changed: of those that stay, what is different about each, in words.
        count: members there are since.
    """

    pool: str
    joined: tuple[str, ...]
    left: tuple[str, ...]
    changed: tuple[str, ...]
    count: int

    def __str__(self) -> str:
        said = [f"{_listed(self.joined)} joined"] if self.joined else []
        said += [f"{_listed(self.left)} left"] if self.left else []
        said += [_listed(self.changed)] if self.changed else []
        said += ["nobody is left"] if self.left and not self.count else []
        return f"{self.pool}: {'; '.join(said)}"


def follow_of(endpoint: Endpoint, *, is_service: bool = False) -> Follow:
    """Tell what of an endpoint has to be followed: an address, a file and a name of this machine lead nowhere else."""
    if is_service:
        return Follow.SERVICE
    if endpoint.is_loopback or _is_address(endpoint.host):
        return Follow.NOTHING
    return Follow.NAME


class Members:
    """The members of one pool, from its sources. The pool is told whenever they change, and only then.

    Until `start` there are the fixed ones; nothing need resolve for that, nor ever.

    Args:
        tell: is told what there is to say, a line each.
        changed: is told of each change; None has `tell` told of it too.
    """

    def __init__(
        self,
        pool: Pool,
        sources: Sequence[Source],
        *,
        tell: Callable[[str], None],
        changed: "Callable[[Changes], None] | None" = None,
    ) -> None:
        self._pool = pool
        self._sources = tuple(sources)
        self._tell = tell
        self._changed = changed or (lambda changes: tell(str(changes)))
        self._follower: Follower | None = None
        self._followed: dict[tuple[Follow, str], Followed] = {}
        self._doubled: frozenset[str] = frozenset()
        self._now: tuple[Member, ...] = ()
        self._merge()
        pool.replace(self._now)

    def start(self, follower: Follower) -> None:
        """Begin to follow the names; ends with the follower's nursery, or by `close`."""
        self._follower = follower
        self._follow()
        self._update()

    async def wait_until_asked(self) -> None:
        """Return when every name has been asked for once, whatever came of it; those that come meanwhile too."""
        while (follower := self._follower) is not None:
            open_ones = (
                asked for asked in map(follower.asked, self._followed.values()) if not asked.is_set()
            )
            asked = next(open_ones, None)
            if asked is None:
                return
            await asked.wait()

    def change(self, sources: Sequence[Source]) -> None:
        """Have other sources; names that stay keep what is known of them."""
        self._sources = tuple(sources)
        self._follow()
        self._update(renewed=True)

    def close(self) -> None:
        """Follow nothing any more; the pool stays as it is."""
        self._sources = tuple(source for source in self._sources if source.follow is Follow.NOTHING)
        self._follow()
        self._follower = None

    def _follow(self) -> None:
        """Follow what the sources name, and leave what they name no longer."""
        follower = self._follower
        if follower is None:
            return
        wanted = {
            (source.follow, source.member.endpoint.host): None
            for source in self._sources
            if source.follow is not Follow.NOTHING
        }
        for kind, name in wanted:
            if (kind, name) not in self._followed:
                join = follower.follow_name if kind is Follow.NAME else follower.follow_service
                self._followed[kind, name] = join(name, self._update)
        for key in self._followed.keys() - wanted.keys():
            follower.leave(self._followed.pop(key), self._update)

    def _update(self, *, renewed: bool = False) -> None:
        """Work out who is a member; give that to the pool, and tell of it, if it is not as before."""
        before = self._now
        self._merge()
        if self._now == before and not renewed:
            return
        self._pool.replace(self._now)
        if changes := _changes(self._pool.name, before, self._now):
            self._changed(changes)

    def _merge(self) -> None:
        """Put the sources together. Who is named twice counts once, as the first, in the better of their tiers."""
        merged: dict[object, Member] = {}
        doubled: dict[str, None] = {}
        for source in self._sources:
            for member in self._members_of(source):
                first = merged.setdefault(member.identity, member)
                if first is not member:
                    also = "" if member.label == first.label else f", also as {member.label}"
                    doubled[f"{first.label} is named twice{also}; it counts once"] = None
                    if member.tier < merged[member.identity].tier:
                        merged[member.identity] = member
        for line in doubled:
            if line not in self._doubled:
                self._tell(f"{self._pool.name}: {line}")
        follower = self._follower
        if follower is not None and not all(follower.asked(one).is_set() for one in self._followed.values()):
            for member in self._now:  # nobody leaves for a name of which nobody knows yet where it leads
                merged.setdefault(member.identity, member)
        self._doubled = frozenset(doubled)
        self._now = tuple(merged.values())

    def _members_of(self, source: Source) -> Iterable[Member]:
        member = source.member
        if source.follow is Follow.NOTHING:
            return [member]
        followed = self._followed.get((source.follow, member.endpoint.host))
        if isinstance(followed, FollowedName):
            return _at(member, followed.addresses, apart=source.apart)
        if isinstance(followed, FollowedService):
            return _of_service(member, followed.places, apart=source.apart)
        return []


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _at(member: Member, addresses: tuple[str, ...], *, apart: bool) -> list[Member]:
    if not addresses:
        return []
    if not apart:
        return [replace(member, addresses=addresses)]
    return [
        replace(member, endpoint=replace(member.endpoint, host=address), label=f"{member.label}@{address}")
        for address in addresses
    ]


def _of_service(
    member: Member, places: Sequence[tuple[Service, tuple[str, ...]]], *, apart: bool
) -> list[Member]:
    tiers = {
        priority: tier for tier, priority in enumerate(sorted({record.priority for record, _ in places}))
    }
    weights: dict[Service, int] = {}
    for priority in tiers:
        weights |= _weights([record for record, _ in places if record.priority == priority])
    made: list[Member] = []
    for record, addresses in places:
        each = replace(
            member,
            endpoint=replace(member.endpoint, host=record.target, port=record.port),
            label=f"{member.label}@{record.target}:{record.port}",
            weight=weights[record],
            tier=member.tier + tiers[record.priority],
        )
        made += _at(each, addresses, apart=apart)
    return made


def _weights(records: Sequence[Service]) -> dict[Service, int]:
    """Give each record its weight from 1 to 256, as small as the proportions allow.

    RFC 2782 wants a record of weight 0 to be picked with a very small chance beside others: it counts as a tenth
    of the least of them, and where there are no others all are alike.
    """
    least = min((record.weight for record in records if record.weight), default=1)
    tenths = [record.weight * 10 or least for record in records]
    shared = gcd(*tenths) or 1
    parts = [tenth // shared for tenth in tenths]
    most = max(parts, default=1)
    if most > _MOST_WEIGHT:
        parts = [max(1, round(part * _MOST_WEIGHT / most)) for part in parts]
    return dict(zip(records, parts, strict=True))


def _changes(pool: str, before: Sequence[Member], after: Sequence[Member]) -> Changes | None:
    """Find what is different; None if nothing is that can be told."""
    was = {member.identity: member for member in before}
    now = {member.identity: member for member in after}
    joined = tuple(member.label for key, member in now.items() if key not in was)
    left = tuple(member.label for key, member in was.items() if key not in now)
    other = tuple(
        f"{member.label} {difference}"
        for key, member in now.items()
        if key in was and (difference := _difference(was[key], member))
    )
    return Changes(pool, joined, left, other, len(now)) if joined or left or other else None


def _difference(was: Member, now: Member) -> str:
    said = []
    if was.addresses != now.addresses:
        said.append(f"is at {' '.join(now.addresses[:_SHOWN])}{' …' if now.addresses[_SHOWN:] else ''}")
    if was.weight != now.weight:
        said.append(f"has weight {now.weight}")
    if bool(was.tier) != bool(now.tier):
        said.append("is a backup" if now.tier else "is no backup")
    elif was.tier != now.tier:
        said.append("is an earlier backup" if now.tier < was.tier else "is a later backup")
    if was.tls_terms != now.tls_terms:
        said.append("is spoken to by other terms of TLS")
    return " and ".join(said)


def _listed(words: Sequence[str]) -> str:
    """Write a list for a line: the first few, and how many more."""
    shown = ", ".join(words[:_SHOWN])
    return f"{shown} and {len(words) - _SHOWN} more" if len(words) > _SHOWN else shown
