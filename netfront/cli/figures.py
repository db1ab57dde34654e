"""What `--live` shows, as plain data: counted of exchanges and passages as they end, and read off the pools.

Figures belong to a backend of a pool, whatever member it has by then; they are forgotten when it has left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from netfront.http.hedge import HEDGED
from netfront.http.message import Exchange
from netfront.net.backend import Backend
from netfront.net.passage import Passage
from netfront.net.pool import Pool
from netfront.policy.stats import RecentHistogram

__all__ = ["BackendRow", "Figures", "ListenerRow", "Totals", "View"]

_LOOK = 0.25
"""Seconds between two looks at the pools for somebody who is not known, at least."""


class Service(Protocol):
    """Whatever has a pool."""

    @property
    def pool(self) -> Pool:
        """Its pool."""
        ...


@dataclass(frozen=True, slots=True)
class BackendRow:
    """One backend.

    Args:
        number: what is typed for it; never that of another, as long as this runs.
        state: "up", "backup", "full", "drained", "down", or "leaving" of one that is no member any more.
        why: it is not well.
        weight: as it counts at the moment, out of `full_weight`.
        most: requests at once that it takes; 0 for any number.
        rate, p50, p99: of its answers in about the last ten seconds; times to the answer's first byte.
        errors: tries that failed and answers of 500 and above, since the start.
        probe: the last verdict; empty where there was none.
        next: what may bring it back, and when: "held 4s" (no request until then), "dial 0.4s", "request" (the next one
            tries it), "trial" (one does), "probe".
    """

    number: int
    pool: str
    label: str
    state: str = "up"
    why: str = ""
    weight: float = 1.0
    full_weight: int = 1
    in_flight: int = 0
    most: int = 0
    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    errors: int = 0
    probe: str = ""
    next: str = ""


@dataclass(frozen=True, slots=True)
class ListenerRow:
    """One listener, and how many connections or flows are open at it."""

    url: str
    open: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """Everything together; the rate and times are of about the last ten seconds, the counts since the start."""

    rate: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    connections: int = 0
    errors: int = 0
    retries: int = 0
    hedges: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """All that is drawn at one moment.

    Args:
        unit: what is counted: "requests", "connections", "flows", or what is "served" where there are several kinds.
        seconds: since the start.
        notes: the last lines that were said, with the time of day.
        typed: what has been typed so far, and `hint` what is to be said to it.
    """

    command: str
    unit: str = "requests"
    seconds: int = 0
    backends: tuple[BackendRow, ...] = ()
    listeners: tuple[ListenerRow, ...] = ()
    totals: Totals = field(default_factory=Totals)
    notes: tuple[str, ...] = ()
    typed: str = ""
    hint: str = ""
    is_stopping: bool = False


class _Counts:
    """What is counted of one backend."""

    __slots__ = ("backend", "errors", "number", "pool", "recent")

    def __init__(self, number: int, pool: Pool, backend: Backend, now: float) -> None:
        self.number = number
        self.pool = pool
        self.backend = backend
        self.recent = RecentHistogram(now)
        self.errors = 0


class Figures:
    """Counts, as an observer of exchanges and of passages.

    Attributes:
        services: whose pools are shown; set anew after a reload.
    """

    def __init__(self) -> None:
        self.services: Mapping[str, Service] = {}
        self._started = self._looked = 0.0
        self._recent = RecentHistogram(0.0)
        self._errors = 0
        self._retries = 0
        self._hedges = 0
        self._counts: dict[Backend, _Counts] = {}
        self._last = 0

    def begin(self, now: float) -> None:
        """Take this for the start: there is no clock before anything runs."""
        self._started = self._looked = now
        self._recent = RecentHistogram(now)

    def exchange(self, exchange: Exchange) -> None:
        """Count a request that has ended; an Observer."""
        now = exchange.ended
        seconds = (exchange.first or now) - exchange.started
        self._recent.record(seconds, now)
        status = exchange.status
        if status >= 500:
            self._errors += 1
        if exchange.tries > 1:
            if exchange.retried == HEDGED:
                self._hedges += 1
            else:
                self._retries += exchange.tries - 1
        if exchange.source == "backend" and (counts := self._of(exchange.backend, now)) is not None:
            counts.recent.record((exchange.first or now) - exchange.asked, now)
            if status >= 500 and status not in counts.pool.rules.eject_on:  # the pool has counted those
                counts.errors += 1

    def passage(self, passage: Passage) -> None:
        """Count a connection or flow that was passed on."""
        now = passage.ended
        seconds = (passage.connected or now) - passage.started
        self._recent.record(seconds, now)
        if passage.outcome and not passage.client_broke:
            self._errors += 1
        self._retries += max(0, passage.tries - 1)
        if passage.connected and (counts := self._of(passage.backend, now)) is not None:
            counts.recent.record(seconds, now)

    def find(self, number: int) -> tuple[Pool, Backend] | None:
        """Give the backend that has this number; None if none has, or it is no member any more."""
        for counts in self._counts.values():
            if counts.number == number and counts.backend in counts.pool.backends:
                return counts.pool, counts.backend
        return None

    def seconds(self, now: float) -> int:
        """Tell how long this has run."""
        return int(now - self._started)

    def rows(self, now: float) -> tuple[BackendRow, ...]:
        """Give a row for each backend, by pool."""
        self._look(now)
        return tuple(self._row(self._counts[backend], now) for _, backend in self._present())

    def totals(self, now: float, connections: int) -> Totals:
        """Sum up."""
        recent = self._recent.recent(now)
        return Totals(
            self._recent.rate(now),
            recent.percentile(50),
            recent.percentile(99),
            connections,
            self._errors,
            self._retries,
            self._hedges,
        )

    def _row(self, counts: _Counts, now: float) -> BackendRow:
        backend, recent = counts.backend, counts.recent.recent(now)
        member = backend.member
        return BackendRow(
            number=counts.number,
            pool=counts.pool.name,
            label=member.label,
            state=backend.state if backend in counts.pool.backends else "leaving",
            why=backend.why,
            weight=backend.weight,
            full_weight=member.weight,
            in_flight=backend.in_flight,
            most=member.max,
            rate=counts.recent.rate(now),
            p50=recent.percentile(50),
            p99=recent.percentile(99),
            errors=backend.failures + counts.errors,
            probe=backend.probed,
            next="" if backend.is_up else _next(backend, now),
        )

    def _of(self, backend: Backend | None, now: float) -> _Counts | None:
        """Find the counts of a backend; None if it is in no pool any more."""
        if backend is None:
            return None
        counts = self._counts.get(backend)
        if counts is None and now - self._looked >= _LOOK:
            self._look(now)
            counts = self._counts.get(backend)
        return counts

    def _present(self) -> Iterable[tuple[Pool, Backend]]:
        for service in self.services.values():
            pool = service.pool
            for backend in pool.backends:
                yield pool, backend
            for backend in pool.leaving:
                if backend.in_flight:
                    yield pool, backend

    def _look(self, now: float) -> None:
        """See who is in the pools."""
        self._looked = now
        present = {}
        for pool, backend in self._present():
            counts = self._counts.get(backend)
            if counts is None:
                self._last += 1
                counts = _Counts(self._last, pool, backend, now)
            present[backend] = counts
        self._counts = present


def _next(backend: Backend, now: float) -> str:
    """Say what may bring a backend back that is down."""
    health = backend.health
    if health.until > now:
        return f"held {health.until - now:.0f}s"
    if health.redial_at < inf:
        return f"dial {max(0.0, health.redial_at - now):.1f}s"
    if health.wants_trial(now):
        return "request"
    return "probe" if backend.probed not in ("", "well") else "trial"
