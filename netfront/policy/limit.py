"""Limits: how often, and how many at once, by key. Sans-IO; the time comes in.

The problem. A limit of so many a second with a burst is to hold for each key, exactly, in one number a key, and for
any number of keys in bounded memory.

The way is GCRA (the leaky bucket read as a clock): of each key the time is kept at which it owes nothing any more. A
request moves that time on by one interval, and is refused if it would then lie further ahead than the burst allows.
What a key owes at a time is its *debt*, in seconds; it can be looked at without spending, so several limits of one
request are spent all together or not at all.

Memory. A key that owes nothing need not be known, so it is forgotten when room is short. Where a million keys all owe
something, those go that owe least: they get back the little they had spent, and whoever is at their limit stays
there, so nobody can free themselves by inventing keys. Keys lie in shards, and one shard is cleared at a time: a
request never waits for more than some thousand of them. They are spread by Python's hash of bytes, which is keyed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

__all__ = ["MOST_KEYS", "Counters", "Rate", "Seats", "Spent"]

MOST_KEYS = 1_000_000
"""Keys that are known at once, over all limits: some 150 MB at the most."""
_SHARDS = 256
_KEPT = 7 / 8
"""Of a shard that was full, when it has been cleared."""
_SLACK = 1e-9
"""Seconds: what sums of intervals are off by, so that the last request of a burst is one."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often.

    Args:
        interval: seconds that each request costs.
        burst: requests that may come at once after a pause.
    """

    interval: float
    burst: int
    most: float = field(init=False, repr=False, compare=False)
    """The largest debt that is allowed, in seconds."""
    bound: float = field(init=False, repr=False, compare=False)
    """The same as sums of intervals are held against it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", self.interval * self.burst)
        object.__setattr__(self, "bound", self.most + _SLACK)

    def left(self, debt: float) -> int:
        """Tell how many requests may come now, of who owes so much."""
        return max(0, int((self.bound - debt) / self.interval))

    def outlook(self, debt: float) -> tuple[int, int]:
        """Tell how many may come now, and in how many whole seconds one more."""
        room = self.bound - debt
        left = int(room / self.interval) if room > 0.0 else 0
        return left, ceil((left + 1) * self.interval - room)

    def wait(self, debt: float) -> float:
        """Tell in how many seconds one more may come than now."""
        return max(0.0, debt + (self.left(debt) + 1) * self.interval - self.most)


class Spent:
    """What became of one request under several limits.

    Args:
        admitted: whether it may go on: it was spent of all of them, or else of none.
        debts: of its keys, in their order, in seconds; after it if it was admitted.
    """

    __slots__ = ("admitted", "debts")

    def __init__(self, admitted: bool, debts: Sequence[float]) -> None:
        self.admitted = admitted
        self.debts = debts


class Counters:
    """What keys owe. A key stands for one limit: the same bytes under two limits are one count.

    Args:
        most: keys that are known at once; rounded up to a multiple of the number of shards.
    """

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._most = -(-most // _SHARDS)
        self._shards: tuple[dict[bytes, float], ...] = tuple({} for _ in range(_SHARDS))

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def spend_one(self, key: bytes, rate: Rate, now: float) -> float:
        """Count one request under one key, if that has room for it; as most limits are: 1.5 us less than `spend`.

        Returns:
            what the key owes with this request, in seconds: over `rate.bound` it was refused, and is not owed.
        """
        shard = self._shards[hash(key) % _SHARDS]
        at = shard.get(key)
        if at is None:
            if len(shard) >= self._most:
                self._clear(shard, now)
            at = now
        elif at < now:
            at = now
        after = at + rate.interval
        debt = after - now
        if debt <= rate.bound:
            shard[key] = after
        return debt

    def spend(self, keys: Sequence[bytes], rates: Sequence[Rate], now: float) -> Spent:
        """Count one request under each of its keys, if all of them have room for it."""
        free: list[float] = []
        admitted = True
        for key, rate in zip(keys, rates, strict=True):
            at = self._shards[hash(key) % _SHARDS].get(key, now)
            if at < now:
                at = now
            free.append(at)
            if at + rate.interval - now > rate.bound:
                admitted = False
        if not admitted:
            return Spent(False, [at - now for at in free])
        debts = []
        for key, rate, at in zip(keys, rates, free, strict=True):
            shard = self._shards[hash(key) % _SHARDS]
            if len(shard) >= self._most and key not in shard:
                self._clear(shard, now)
            shard[key] = at + rate.interval
            debts.append(at + rate.interval - now)
        return Spent(True, debts)

    def note(self, key: bytes, debt: float, now: float) -> None:
        """Take over what a key owes by somebody else's count."""
        shard = self._shards[hash(key) % _SHARDS]
        if len(shard) >= self._most and key not in shard:
            self._clear(shard, now)
        shard[key] = now + debt

    def _clear(self, shard: dict[bytes, float], now: float) -> None:
        """Forget keys of a full shard: those that owe nothing, and if these are few, those that owe least."""
        for key in [key for key, at in shard.items() if at <= now]:
            del shard[key]
        over = len(shard) - int(self._most * _KEPT)
        if over > 0:
            for key in sorted(shard, key=shard.__getitem__)[:over]:
                del shard[key]


class Seats:
    """How many requests of each key are under way. It knows only those that are: memory is bounded by connections."""

    def __init__(self) -> None:
        self._taken: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def taken(self, key: bytes) -> int:
        """Tell how many are under way."""
        return self._taken.get(key, 0)

    def take(self, keys: Sequence[bytes], mosts: Sequence[int]) -> bool:
        """Take a seat under each key, if each has one that is free."""
        taken = self._taken
        for key, most in zip(keys, mosts, strict=True):
            if taken.get(key, 0) >= most:
                return False
        for key in keys:
            taken[key] = taken.get(key, 0) + 1
        return True

    def free(self, keys: Sequence[bytes]) -> None:
        """Give the seats back, once for each time they were taken."""
        taken = self._taken
        for key in keys:
            left = taken[key] - 1
            if left:
                taken[key] = left
            else:
                del taken[key]
