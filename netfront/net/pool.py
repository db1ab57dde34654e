"""Pools: the backends of one service, which of them is used next, and what comes back from each use.

`Pool.take` decides without waiting and gives a `Lease`; the lease is handed back exactly once with its outcome,
the only source of load and of whether a backend is well. Connections belong to the transport, not to the pool.

Who may be picked is worked out when it changes, not when somebody picks (`_arrange`): the first tier in which anybody
is up, less those that are full. If nobody is up in any tier, all are tried, since being ejected is an opinion and an
error is a fact.
"""

import math
import random
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

from netfront.errors import BackendError, NoBackend
from netfront.net.backend import Backend, Member
from netfront.net.lane import Signal, clock, first
from netfront.policy.hashed import Hashed
from netfront.policy.health import Health, HealthRules
from netfront.policy.pick import Picker, make_picker
from netfront.policy.retry import RetryBudget
from netfront.policy.sticky import Sticky
from netfront.policy.turns import RoundRobin

__all__ = ["DONE", "GIVEN_UP", "Lease", "Pool", "PoolRules"]

DONE = "done"
"""The outcome of a lease that went well; any other is a few words on what went wrong."""
GIVEN_UP = "given up"
"""The outcome of a lease whose client left: says nothing of the backend."""
_LEFT = "silent until its clients left"
_QUICKEST = 1e-6
"""Seconds: on loopback a connection may be there within one turn of the lane, in no time."""
_PATIENT = 1.0
"""Seconds for which a trial waits for a request that may be sent twice; then any will do."""


@dataclass(frozen=True, slots=True)
class PoolRules:
    """How a pool picks, and what it thinks of failures.

    Args:
        lb: one of policy.pick.PICKERS.
        eject_on: statuses of answers that count as failures.
        queue: most requests that wait while every backend has its `max`, and `queue_time` how long each.
    """

    lb: str = "rr"
    health: HealthRules = field(default_factory=HealthRules)
    eject_on: Container[int] = frozenset()
    queue: int = 100
    queue_time: float = 5.0


class Lease:
    """One use of a backend. `done` exactly once.

    Attributes:
        fault: set where an answer that came whole is to count as a failure all the same.
        is_trial: whether the backend is down, so that this use may decide on its return.
    """

    __slots__ = ("_pool", "backend", "fault", "is_trial")

    def __init__(self, pool: "Pool", backend: Backend) -> None:
        self._pool: Pool | None = pool
        self.backend = backend
        self.fault = ""
        self.is_trial = not backend.health.is_up
        backend.in_flight += 1

    def done(self, outcome: str, *, connected: bool = True) -> None:
        """Hand it back.

        Args:
            outcome: DONE, GIVEN_UP, or what went wrong.
            connected: whether there was a connection when it went wrong.
        """
        pool, self._pool = self._pool, None
        if pool is None:
            raise RuntimeError("a lease was handed back twice")
        backend = self.backend
        backend.in_flight -= 1
        if outcome is DONE and not self.fault:
            backend.served += 1
            if not backend.is_suspect and not pool.follows:
                return
        pool.handed_back(self, self.fault if outcome is DONE else outcome, connected=connected)

    def failed(self, error: BackendError) -> None:
        """Hand it back for a failure, unless that says nothing of the backend."""
        self.done(GIVEN_UP if error.is_ours else error.why, connected=error.connected)

    def answered(self, seconds: float | None = None) -> None:
        """Note that an answer has begun: that decides a trial, however long the rest of it takes.

        Args:
            seconds: that the backend took to connect or to answer, where nobody else notes it.
        """
        pool = self._pool
        if seconds is not None and pool is not None and pool.rules.lb == "latency":
            self.backend.answered(max(seconds, _QUICKEST), clock())
        if self.is_trial and not self.fault and pool is not None:
            self.is_trial = False
            pool.trial_answered(self.backend)

    def judge(self, status: int) -> None:
        """Note the status of the answer: it may count as a failure though it comes whole (--eject-on)."""
        pool = self._pool
        if pool is not None and status in pool.rules.eject_on:
            self.fault = f"answered {status}"


class Pool:
    """The backends of one service.

    Args:
        notice: told when a backend comes or goes, or is drained or brought back by hand.
        picker: in place of the one that the rules name.

    Attributes:
        budget: of tries after the first.
        follows: whether each lease's end is news to the pool, and not failures alone.
        has_trials: whether one that is down waits for a request to be tried by.
    """

    def __init__(
        self,
        name: str,
        members: Iterable[Member],
        notice: Callable[[Backend], None] | None = None,
        *,
        rules: PoolRules | None = None,
        rng: random.Random | None = None,
        picker: Picker[Backend] | None = None,
    ) -> None:
        self.name = name
        self.rules = rules or PoolRules()
        self.changed = Signal()
        """Set when somebody came or went; a held request waits for it, and clears it before."""
        self.is_awaited = False
        """Whether its first members are still being looked up: then an empty pool is not yet a reason to refuse."""
        self.renewed = Signal()
        """Set when the members changed; whoever probes them clears it."""
        self.ejected = Signal()
        """Set while somebody is down: whoever dials them waits for it."""
        self.budget = RetryBudget()
        self.requests = 0
        """How many there were, however often each was tried; counted by whoever forwards them."""
        self.backends: list[Backend] = []
        self.leaving: list[Backend] = []
        """Those that are no longer picked, and have leases or connections left."""
        self.follows = False
        self.has_trials = False
        self._notice = notice
        self._rng = rng or random.Random()
        self._picker: Picker[Backend] = picker or make_picker(self.rules.lb, self._rng)
        self._keeps_full = isinstance(self._picker, Hashed)
        """Whether those that are full stay arranged, and are passed over when somebody picks: to work out who owns
        which key takes milliseconds, and they fill and empty with each request."""
        self._turns: RoundRobin[Backend] | None = None
        """Whose turn it is, where nothing else has to be looked at for a request that has been nowhere yet."""
        self._lone: RoundRobin[Backend] | None = None
        """The turns of one alone, where it takes any number of requests: nothing is to be decided."""
        self._follows_load = False
        self._has_max = False
        self._has_room = True
        self._tier = math.inf
        """The tier of those that are picked; inf where nobody is up."""
        self._trials: dict[Backend, float] = {}
        """Those that wait for a request to be tried by, and since when."""
        self._waiting: deque[Signal] = deque()
        self._standing_by: list[Signal] = []
        """Those that have failed somewhere and wait for one of the others: they hold up nobody who has the choice."""
        self._counted = 0
        self._enter(list(members))
        self._arrange(_now())

    # -- picking --------------------------------------------------------------------------------------------

    def take(
        self,
        key: bytes | None,
        tried: Container[Backend],
        now: float,
        may_repeat: bool = True,
        *,
        has_waited: bool = False,
    ) -> Lease:
        """Pick a backend.

        Args:
            key: what a hashed pick goes by.
            tried: those this request has been to already.
            may_repeat: whether the request can be sent elsewhere if this one fails.
            has_waited: whether it has stood in the queue, or has had a backend before.
        Raises:
            NoBackend: there is none, or all were tried, or all are full: then `is_full`, and `wait_for_lease` helps.
        """
        turns = self._turns
        if turns is not None and not tried:
            picked = turns.next_one()
            if picked is not None:
                return Lease(self, picked)
        if self._waiting and not has_waited:
            raise NoBackend("all backends are busy", is_full=True)  # not past those who wait already
        picked = self._trial(key, tried, now, may_repeat) if self._trials else None
        if picked is None:
            picked = self._pick(key, tried, now)
        return self._lease(picked if picked is not None else self._last_resort(tried))

    def _pick(self, key: bytes | None, tried: Container[Backend], now: float) -> Backend | None:
        passes_full = self._keeps_full and self._has_max
        return self._picker.pick(key, _OrFull(tried) if passes_full else tried, now)

    def take_beside(
        self, key: bytes | None, tried: Container[Backend], now: float, *, has_waited: bool = False
    ) -> Lease | None:
        """Pick another one that is up, for one more try while another goes on; None if there is none.

        Args:
            has_waited: whether it has stood in the queue for it.
        """
        if self._waiting and not has_waited:
            return None
        picked = self._pick(key, tried, now)
        if picked is None or not picked.is_up:
            picked = self._other(tried)
        return self._lease(picked) if picked is not None else None

    def has_beside(self, tried: Container[Backend]) -> bool:
        """Tell whether `take_beside` would give one."""
        return not self._waiting and self._other(tried) is not None

    def is_queued_for(self, tried: Container[Backend]) -> bool:
        """Tell whether requests wait for one that is up and was not tried, and one more may."""
        if not 0 < self.waiting < self.rules.queue:
            return False
        return any(one.is_up and not one.takes_none and one not in tried for one in self.backends)

    def _other(self, tried: Container[Backend]) -> Backend | None:
        """Give the best of those that are up and were not tried, whatever their tier; None if there is none."""
        others = [
            one
            for one in self.backends
            if one.is_up and not (one.is_full or one.takes_none) and one not in tried
        ]
        return min(others, key=_preference, default=None)

    def again(self, backend: Backend) -> Lease:
        """Take the same backend once more: a kept connection to it had died, which says nothing of it."""
        return self._lease(backend)

    def _lease(self, backend: Backend) -> Lease:
        lease = Lease(self, backend)
        if self._follows_load:
            self._picker.moved(backend)
        if self._has_max and backend.is_full:
            self._arrange(_now())
        return lease

    @property
    def waiting(self) -> int:
        """How many requests, or connections, wait for a place."""
        return len(self._waiting) + len(self._standing_by)

    @property
    def has_several(self) -> bool:
        """Whether there is anybody to turn to when one fails."""
        return len(self.backends) > 1

    async def wait_for_lease(
        self,
        take: Callable[[], Lease],
        gone: Signal,
        has_left: Callable[[], bool],
        *,
        stands_by: bool = False,
    ) -> Lease | None:
        """Wait until one of the backends takes another request, first come, first served.

        Only who stands first is woken when there may be room, and stands there until it has a lease: nobody goes past,
        unless there is room for all. Who cannot go to all of them stands aside, as those behind may well go where it
        cannot; it is woken as they are.

        Args:
            take: takes the lease.
            gone: set when who waits may have left; then `has_left` tells.
            stands_by: whether only some of the backends will do: it has been to the others, or speaks otherwise.
        Returns:
            None if who waits has left.
        Raises:
            NoBackend: too many wait already, or it took too long, or there is nobody left to wait for.
        """
        if self.waiting >= self.rules.queue:
            raise NoBackend(f"all backends are busy and {self.rules.queue} wait already")
        turn = Signal()
        line = self._standing_by if stands_by else self._waiting
        line.append(turn)
        until = clock() + self.rules.queue_time
        try:
            while True:
                got = await first(turn, gone, until=until)
                if got is None:
                    raise NoBackend("all backends are busy")
                if got is turn:
                    turn.clear()
                    try:
                        return take()
                    except NoBackend as error:
                        if not error.is_full:
                            raise
                elif has_left():
                    return None
        finally:
            line.remove(turn)
            self._let_one_go_on()

    def _let_one_go_on(self) -> None:
        """Wake who stands first, and who stands by, where they may get something, or nothing ever."""
        may = self._has_room or bool(self._trials)
        if self._standing_by and (may or any(not (one.is_full or one.takes_none) for one in self.backends)):
            for turn in self._standing_by:
                turn.set()
        if self._waiting and may:
            self._waiting[0].set()

    def is_bound(self, key: bytes | None, backend: Backend) -> bool:
        """Tell whether a request with this key has to be answered by this backend, as long as that is up."""
        return backend.is_up and isinstance(self._picker, Sticky) and self._picker.names(key, backend)

    def left_by(self, backend: Backend, asked: float, now: float, limit: float) -> None:
        """Heed that a client has left without an answer of this backend: what may not be asked twice tells so alone.

        It says nothing where the others were as silent meanwhile.
        """
        others = any(other.heard_at > asked for other in self.backends if other is not backend)
        if others and backend.is_up and backend.is_left(asked, now, limit):
            backend.failures += 1
            backend.is_suspect = True
            backend.health.failed(_LEFT, now, connected=True, trial=False)
            self._settle(backend, was_up=True)

    def _trial(
        self, key: bytes | None, tried: Container[Backend], now: float, may_repeat: bool
    ) -> Backend | None:
        """Give a backend that is down and wants to be tried, if this request may be the one."""
        bound = self._picker.bound(key) if isinstance(self._picker, Sticky) else None
        if bound is not None and bound not in tried:
            return None
        for backend, since in self._trials.items():
            if backend in tried or backend.is_full or backend.takes_none:
                continue
            if may_repeat or now > since + _PATIENT:
                backend.health.begin_trial(now)
                del self._trials[backend]
                self._look_what_counts()
                return backend
        return None

    def _last_resort(self, tried: Container[Backend]) -> Backend:
        """Pick where none of those that were arranged is left: another one, if that is better than to wait."""
        rest = [backend for backend in self.backends if backend not in tried and not backend.takes_none]
        up = [backend for backend in rest if backend.is_up]
        if up and not tried:  # those that are preferred are full; who has been turned away takes a backup
            best = min(backend.member.tier for backend in up)
            up = [backend for backend in up if backend.member.tier == best]
        if free := [backend for backend in up or rest if not backend.is_full]:
            return min(free, key=_preference)
        if rest:
            raise NoBackend("all backends are busy", is_full=True)
        if not all(backend.takes_none for backend in self.backends):
            raise NoBackend("all backends were tried")
        raise NoBackend("no backend takes requests" if self.backends else "the pool is empty")

    # -- what comes back ------------------------------------------------------------------------------------

    def handed_back(self, lease: Lease, outcome: str, *, connected: bool) -> None:
        """Heed how a lease ended; called by the lease alone."""
        backend, health = lease.backend, lease.backend.health
        was_up = health.is_up
        if outcome is GIVEN_UP:
            if lease.is_trial:
                health.trial_given_up(clock())
        elif outcome and outcome is not DONE:
            backend.failures += 1
            backend.is_suspect = True
            health.failed(outcome, clock(), connected=connected, trial=lease.is_trial)
        elif backend.is_suspect:
            health.succeeded(clock(), trial=lease.is_trial)
            # one that was under way at the ejection does not bring it back, and the one that does must be news
            backend.heard()
        self._settle(backend, was_up=was_up)
        if self._follows_load:
            self._picker.moved(backend)
        if self._has_max and 0 < backend.member.max <= backend.in_flight + 1:
            self._arrange(_now())

    def trial_answered(self, backend: Backend) -> None:
        """Heed that a trial has its answer; called by its lease alone."""
        was_up = backend.is_up
        backend.health.succeeded(clock(), trial=True)
        backend.heard()
        self._settle(backend, was_up=was_up)

    def _settle(self, backend: Backend, *, was_up: bool) -> None:
        """Heed what has become of a backend: whether it is up, and if not, what it waits for."""
        if backend.is_up is not was_up:
            self._came_or_went(backend)
        elif not backend.is_up:
            self._note_trials()

    def dialled(self, backend: Backend, why: str, now: float) -> None:
        """Heed what came of dialling one that is down: `why` is empty where it went well."""
        was_up = backend.is_up
        backend.health.dialled(not why, why, now)
        self._settle(backend, was_up=was_up)

    def probed(self, backend: Backend, *, ok: bool, why: str, now: float) -> None:
        """Heed the verdict of a probe."""
        was_up = backend.is_up
        backend.probed = why or "well"
        backend.health.probed(ok, why, now)
        self._settle(backend, was_up=was_up)

    def unprobed(self, now: float) -> None:
        """Heed that nobody is probed any more: what the probes said last is worth nothing from here on."""
        for backend in (*self.backends, *self.leaving):  # one that leaves may come back
            was_up = backend.is_up
            backend.probed = ""
            backend.health.unprobed(now)
            if backend not in self.leaving:
                self._settle(backend, was_up=was_up)

    def drain(self, backend: Backend, *, is_drained: bool) -> None:
        """Take one out by hand, or bring it back; what it has under way ends as it will."""
        if backend.is_drained is is_drained:
            return
        backend.is_drained = is_drained
        self._arrange(_now())
        self.changed.set()
        if self._notice is not None:
            self._notice(backend)

    def may_spend(self, now: float) -> bool:
        """Tell whether the budget has a try left: ask before you pick somebody for it, whose turn would be lost."""
        self._count(now)
        return self.budget.may_retry(now)

    def spend(self, now: float) -> bool:
        """Take one more try out of the budget; False if there is none left."""
        if not self.may_spend(now):
            return False
        self.budget.retried(now)
        return True

    def sweep(self, now: float) -> None:
        """Do what falls due with time; call it every second or so."""
        self._count(now)
        if any(one.health.share(now) < 1.0 or one.weight != one.member.weight for one in self.backends):
            self._arrange(now)
        self._let_one_go_on()  # who cannot be repeated may be a trial after a while
        if self.leaving:
            self.leaving = [backend for backend in self.leaving if backend.in_flight or backend.idle]

    def _count(self, now: float) -> None:
        """Tell the budget of the requests since last time."""
        self.budget.request(now, self.requests - self._counted)
        self._counted = self.requests

    def _came_or_went(self, backend: Backend) -> None:
        self._note_trials()
        self._arrange(_now())
        self.changed.set()
        if self._notice is not None:
            self._notice(backend)

    def _note_trials(self) -> None:
        now = _now()
        wanting = [backend for backend in self.backends if backend.health.wants_trial(now)]
        # where others are preferred one is taken as well without a trial: no request is to go there just to find out
        spared = [backend for backend in wanting if backend.member.tier > self._tier]
        for backend in spared:
            backend.health.succeeded(now, trial=True)
            backend.is_suspect = False
            wanting.remove(backend)
        self._trials = {backend: self._trials.get(backend, now) for backend in wanting}
        self._look_what_counts()
        # a lone backend goes on being picked: its next request tells as much as a dial would
        if self.has_several and any(not backend.is_up for backend in self.backends):
            self.ejected.set()
        else:
            self.ejected.clear()
        self._let_one_go_on()
        for backend in spared:
            self._came_or_went(backend)

    def _look_what_counts(self) -> None:
        """Work out whether anything but the picker decides who is picked."""
        self.has_trials = bool(self._trials)
        picker = self._picker
        self._turns = self._lone
        if self._lone is None and isinstance(picker, RoundRobin) and not (self.follows or self._trials):
            self._turns = picker

    # -- who is in it ---------------------------------------------------------------------------------------

    def replace(self, members: Sequence[Member]) -> None:
        """Change who is in the pool; what is known of a member that stays is kept.

        One that leaves is picked no more and drains: its leases end as they will, and its connections are closed as
        they turn idle. If it comes back while it drains, it is the same backend again.
        """
        self._enter(members)
        self._note_trials()  # one that comes back may be down still
        self._arrange(_now())
        self.changed.set()
        self.renewed.set()

    def go_by(self, rules: PoolRules, picker: Picker[Backend] | None = None) -> None:
        """Go by other rules from here on; what is under way, and what is known of backends, stays.

        What they say of health holds for those that are in the next `replace`.

        Args:
            picker: in place of the one there is; None keeps that.
        """
        self.rules = rules
        if picker is not None:
            self._picker = picker
            self._keeps_full = isinstance(picker, Hashed)
            self._arrange(_now())

    def leave(self) -> None:
        """Take note that nobody comes here any more: connections are closed as they turn idle, flows go elsewhere.

        What is under way may still be tried again, so all members stay.
        """
        for backend in self.backends:
            backend.generation += 1

    def _enter(self, members: Sequence[Member]) -> None:
        known = {backend.member.identity: backend for backend in (*self.leaving, *self.backends)}
        rules = self.rules.health
        if len(members) == 1:
            rules = replace(
                rules, failures=1
            )  # it goes on being picked; what changes is what people are told
        self.backends = []
        for member in members:
            backend = known.pop(member.identity, None)
            if backend is None:
                backend = Backend(member, Health(rules, self._rng))
            else:
                if backend.member.addresses != member.addresses:
                    backend.addresses = ()
                    if not set(backend.member.addresses) <= set(member.addresses):
                        backend.generation += 1
                if backend.member.tls_terms != member.tls_terms:
                    backend.generation += 1
                backend.health.follow(rules)
            backend.member = member
            self.backends.append(backend)
        for backend in known.values():
            if backend not in self.leaving:
                backend.generation += 1
        self.leaving = [backend for backend in known.values() if backend.in_flight or backend.idle]
        self._has_max = any(member.max for member in members)

    def _arrange(self, now: float) -> None:
        """Work out who may be picked."""
        backends = self.backends
        for backend in backends:
            backend.weight = backend.member.weight * backend.health.share(now)
        usable = [backend for backend in backends if not backend.takes_none]
        up = [backend for backend in usable if backend.is_up]
        self._tier = min((backend.member.tier for backend in up), default=math.inf)
        arranged = [backend for backend in up if backend.member.tier == self._tier] or usable
        free = [backend for backend in arranged if not backend.is_full]
        self._picker.arrange(arranged if self._keeps_full else free)
        self._follows_load = self._picker.follows_load
        self.follows = self._follows_load or self._has_max
        is_lone = len(backends) == 1 and len(usable) == 1 and not self._has_max
        self._lone = RoundRobin() if is_lone else None
        if self._lone is not None:
            self._lone.arrange(backends)
        self._look_what_counts()
        self._has_room = bool(free) or not arranged  # where nobody is left there is nothing to wait for
        self._let_one_go_on()
        if any(backend.member.tier > self._tier for backend in self._trials):
            self._note_trials()


class _OrFull(Container[Backend]):
    """Those that were tried, and those that take no more at present."""

    def __init__(self, tried: Container[Backend]) -> None:
        self._tried = tried

    def __contains__(self, backend: object) -> bool:
        return (isinstance(backend, Backend) and backend.is_full) or backend in self._tried


def _preference(backend: Backend) -> tuple[int, int]:
    return backend.member.tier, backend.in_flight


def _now() -> float:
    """Tell the time; before anything runs there is none, and nothing that depends on it."""
    try:
        return clock()
    except RuntimeError:
        return 0.0
