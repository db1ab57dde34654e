"""Trying again: which methods may be sent twice, what may be spent on tries, how long to wait, and what is late.

Late is an answer that has not begun when it usually has: a second try may then go elsewhere beside the first. Nothing
here sends. What failed and whether another try is safe is known where it was sent; this says whether it is affordable.
The budget keeps tries from multiplying the load on backends that are failing because of load.
"""

from math import inf

from netfront.policy.chance import Chance
from netfront.policy.stats import Histogram

__all__ = ["IDEMPOTENT", "SAFE", "TRIES", "LearntLimit", "RetryBudget", "backoff"]

SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""Methods that only ask (RFC 9110 §9.2.1): their request may go to two backends at once."""
IDEMPOTENT = SAFE | {b"PUT", b"DELETE"}
"""Methods whose request may be sent twice (RFC 9110 §9.2.2)."""
TRIES = 3
"""Of one request, connection or flow, the first included: where three backends have failed, so would the fourth."""
_SLOTS = 10
"""Into which a window is cut; one more is kept, so that the window is never seen shorter than it is."""
_GENERATION = 30.0
"""Seconds after which answers begin to fade: they count for as long again."""
_LONGEST = 600.0
"""Seconds after which a generation is forgotten, with all before it."""
_MANY = 500
"""Answers after which a limit is no longer young."""
_STANDS = 0.5
"""Seconds for which a limit that was worked out stands: it takes 40 us, and is asked at every request."""
_LISTENS = 0.002
"""Seconds after an answer in which none is learnt from, once there are many: to record one costs 0.5 us. By time and
not by count, which would meet the same backend again and again where they take turns; of a fast and a slow one the
slow one is always heard, so that what is learnt is rather too much."""


class RetryBudget:
    """How many tries there may be for the requests there are, over a sliding window.

    Args:
        ratio: tries allowed for each request.
        floor: allowed in any window, however few requests there are.
        window: in seconds; seen in slots of a tenth.
    """

    __slots__ = ("_ends", "_floor", "_ratio", "_requests", "_requests_by_slot", "_retries", "_retries_by_slot",
                 "_slot", "_width")  # fmt: skip

    def __init__(self, *, ratio: float = 0.2, floor: int = 10, window: float = 10.0) -> None:
        self._ratio = ratio
        self._floor = floor
        self._width = window / _SLOTS
        self._requests_by_slot = [0] * (_SLOTS + 1)
        self._retries_by_slot = [0] * (_SLOTS + 1)
        self._requests = 0
        self._retries = 0
        self._slot = 0
        self._ends = -inf

    def request(self, now: float, count: int = 1) -> None:
        """Count requests, each once however often it is tried."""
        if now >= self._ends:
            self._turn(now)
        self._requests_by_slot[self._slot] += count
        self._requests += count

    def may_retry(self, now: float) -> bool:
        """Tell whether one more try fits."""
        if now >= self._ends:
            self._turn(now)
        return self._retries < self._floor or self._retries < int(self._requests * self._ratio)

    def retried(self, now: float) -> None:
        """Count a try after the first. Those after a failed connect are not to be counted: they cost no backend."""
        if now >= self._ends:
            self._turn(now)
        self._retries_by_slot[self._slot] += 1
        self._retries += 1

    def _turn(self, now: float) -> None:
        """Go on to the slot of this time, and forget what has left the window."""
        if now >= self._ends + _SLOTS * self._width:
            self._requests_by_slot = [0] * (_SLOTS + 1)
            self._retries_by_slot = [0] * (_SLOTS + 1)
            self._requests = self._retries = 0
            self._ends = now + self._width
            return
        while now >= self._ends:
            self._slot = (self._slot + 1) % (_SLOTS + 1)
            self._requests -= self._requests_by_slot[self._slot]
            self._retries -= self._retries_by_slot[self._slot]
            self._requests_by_slot[self._slot] = self._retries_by_slot[self._slot] = 0
            self._ends += self._width


class LearntLimit:
    """From when on an answer is late, learnt from the answers there were.

    Two generations are remembered: one ends after 30 s if it has enough answers, else it goes on, so that a route
    with little traffic keeps a past; one that has not enough after 10 min is forgotten with all before it.

    Args:
        quantile: of the answers that are not late by themselves.
        factor: by how much an answer must exceed it.
        least: seconds; a limit is never under this.
        before: the limit while there are too few answers.
        answers: how many make a past.
        most: seconds that `stands` never exceeds.
    """

    __slots__ = ("_answers", "_before", "_current", "_factor", "_least", "_most", "_percent", "_previous", "_stands",
                 "_stands_until", "_started", "listens", "stands")  # fmt: skip

    def __init__(
        self,
        *,
        quantile: float = 0.99,
        factor: float = 4.0,
        least: float = 0.05,
        before: float = 1.0,
        answers: int = 20,
        most: float = inf,
    ) -> None:
        self._percent = quantile * 100.0
        self._factor = factor
        self._least = least
        self._before = before
        self._answers = answers
        self._previous = Histogram()
        self._current = Histogram()
        self._started = -inf
        self._most = most
        self._stands = before
        self._stands_until = -inf
        self.stands = min(before, most)
        """The limit as it was worked out last, at an answer: what every request looks at."""
        self.listens = -inf
        """From when on (of `clock`) the next answer is worth recording; while there are few, all are."""

    def record(self, seconds: float, now: float) -> None:
        """Learn how long an answer took to begin."""
        if not self._current.count and not self._previous.count:
            self._started = now
        elif now >= self._started + _GENERATION:
            self._turn(now)
        self._current.record(seconds)
        if self._current.count + self._previous.count >= _MANY:
            self.listens = now + _LISTENS
        if now >= self._stands_until:
            self.limit(now)

    def limit(self, now: float) -> float:
        """Tell after how many seconds an answer that has not begun is late."""
        if now >= self._stands_until:
            self._stands = self._learnt(now)
            self._stands_until = now + _STANDS
            self.stands = min(self._stands, self._most)
        return self._stands

    def _learnt(self, now: float) -> float:
        if now >= self._started + _GENERATION:
            self._turn(now)
        count = self._previous.count + self._current.count
        if count < self._answers:
            return self._before
        past = Histogram()
        past.merge(self._previous)
        past.merge(self._current)
        return max(self._least, self._factor * past.percentile(self._percent))

    def _turn(self, now: float) -> None:
        is_old = now >= self._started + _LONGEST
        if self._current.count < self._answers and not is_old:
            return
        self._previous = Histogram() if is_old else self._current
        self._current = Histogram()
        self._started = now


def backoff(attempt: int, rng: Chance) -> float:
    """Draw how many seconds to wait before trying again where no other backend is left.

    Args:
        attempt: how many tries have failed, from 1. Anything up to 25 ms after the first, doubling to 250 ms; the
            whole of it is jitter, so that requests which failed together do not come back together.
    """
    return min(0.025 * 2.0 ** min(attempt - 1, 4), 0.25) * rng.random()
