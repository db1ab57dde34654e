"""Whether a backend may be picked: what its traffic shows, what its probes say, and how it comes back.

Two opinions are kept apart, and a backend is up when both say so. Active: a row of `fall` bad verdicts of its probe
is down, a row of `rise` good ones is up again. Passive, from the requests themselves:

    WELL     three failures in ten seconds: to OUT
    OUT      ejected; dialled again and again (`redial_at`). A dial that succeeds, and no hold is left: to READY
    READY    the next request that asks `wants_trial` is let through: to TRIAL
    TRIAL    one request is on its way. Answered: to WELL. Failed: to OUT. Given up by its client: to OUT, and dialled

A backend that refuses connections thus costs no request until it accepts again, and then serves at once. One that
accepts and then fails passes every dial, so failures after a successful connect have a hold: 5 s in which there is
no trial, doubling to 60 s with each, from the start again once it was well for 60 s.

But a process that is killed also breaks the requests under way, after a successful connect. So a backend that is
ejected into a hold is dialled at once and through it: if it refuses, it is gone and not broken, and the hold is
lifted. Not so after a failed trial, or one that crashes at each request would get one at each start.

A request that was under way when its backend was ejected says nothing new, well or not: only those begun since
(`trial`) do, which are the trial and, where all backends are down and all are tried, any.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from netfront.policy.chance import Chance

__all__ = ["Health", "HealthRules"]


@dataclass(frozen=True, slots=True)
class HealthRules:
    """When a backend goes and when it comes back; times in seconds.

    Args:
        failures: that eject it, where they come within so many seconds.
        redial: between two dials of an ejected one, give or take a fifth.
        hold: without a trial after a failure that followed a successful connect; doubled each time.
        most_hold: how long a hold may become, and how long it must be well for the next to be short again.
        rise: good verdicts in a row that bring it up.
        fall: bad verdicts in a row that take it down.
        slow_start: in which its share grows from a tenth to the whole after it came back; 0 for at once.
    """

    failures: int = 3
    within: float = 10.0
    redial: float = 0.5
    hold: float = 5.0
    most_hold: float = 60.0
    rise: int = 2
    fall: int = 3
    slow_start: float = 0.0


class _Traffic(Enum):
    """What the requests show."""

    WELL = auto()
    OUT = auto()
    READY = auto()
    TRIAL = auto()


class Health:
    """The health of one backend. It starts up: nothing is known against it."""

    __slots__ = ("_back_at", "_failures", "_holds", "_is_gone_if_refused", "_probe_row", "_probe_why", "_probes_say_up",
                 "_rng", "_rules", "_traffic", "_traffic_why", "is_up", "redial_at", "until", "why")  # fmt: skip

    def __init__(self, rules: HealthRules, rng: Chance) -> None:
        self._rules = rules
        self._rng = rng
        self.is_up = True
        """Whether it may be picked."""
        self.why = ""
        """Why not."""
        self.redial_at = inf
        """When it wants to be dialled."""
        self.until = 0.0
        """When its hold ends; 0.0 if it has none."""
        self._traffic = _Traffic.WELL
        self._traffic_why = ""
        self._failures: deque[float] = deque(maxlen=rules.failures)
        self._holds = 0
        """In a row, with never a well time of `most_hold` between two."""
        self._is_gone_if_refused = False
        """Whether a refused dial lifts the hold."""
        self._probes_say_up = True
        self._probe_why = ""
        self._probe_row = 0
        """Verdicts in a row that contradict what the probes say so far."""
        self._back_at = -inf

    def __repr__(self) -> str:
        return f"<Health {self._traffic.name} {'up' if self.is_up else 'down: ' + self.why}>"

    def failed(self, why: str, now: float, *, connected: bool, trial: bool = False) -> bool:
        """Take note that a request failed for a fault of the backend's.

        Args:
            why: in a few words.
            connected: the failure came after a successful connect.
            trial: the request was begun while the backend was down.
        Returns:
            Whether `is_up` changed.
        """
        if self._traffic is _Traffic.WELL:
            self._failures.append(now)
            if len(self._failures) == self._rules.failures and now - self._failures[0] <= self._rules.within:
                self._eject(why, now, connected=connected)
        elif trial:
            self._fail_again(why, now, connected=connected)
        return self._settle(now)

    def succeeded(self, now: float, *, trial: bool = False) -> bool:
        """Take note that a request went well.

        Args:
            trial: it was begun while the backend was down.
        Returns:
            Whether `is_up` changed.
        """
        if self._traffic is _Traffic.WELL or not trial:
            return False
        self._traffic = _Traffic.WELL
        self._traffic_why = ""
        self.redial_at = inf
        self.until = 0.0
        return self._settle(now)

    def probed(self, ok: bool, why: str, now: float) -> bool:
        """Take note of the verdict of an active probe.

        Returns:
            Whether `is_up` changed.
        """
        if not ok:
            self._probe_why = why
        if ok is self._probes_say_up:
            self._probe_row = 0
        else:
            self._probe_row += 1
            if self._probe_row >= (self._rules.rise if ok else self._rules.fall):
                self._probes_say_up = ok
                self._probe_row = 0
        return self._settle(now)

    def unprobed(self, now: float) -> bool:
        """Forget what the probes said: there are none any more.

        Returns:
            Whether `is_up` changed.
        """
        self._probes_say_up = True
        self._probe_row = 0
        self._probe_why = ""
        return self._settle(now)

    def follow(self, rules: HealthRules) -> None:
        """Go by other rules from here on; what is known stays."""
        if rules.failures != self._rules.failures:
            self._failures = deque(self._failures, maxlen=rules.failures)
        self._rules = rules

    def dialled(self, ok: bool, why: str, now: float) -> None:
        """Take note of how the dial that `redial_at` asked for went: a connect, and a handshake where TLS is spoken."""
        if self._traffic is not _Traffic.OUT:
            return
        if not ok:
            self._refused(why, now)
        elif now < self.until:
            self._redial(now)
        else:
            self._traffic = _Traffic.READY
            self.redial_at = inf
            self.until = 0.0
        self._settle(now)

    def wants_trial(self, now: float) -> bool:
        """Tell whether a request is to be let through to see whether it is well; better one that may be repeated."""
        return self._traffic is _Traffic.READY and self._probes_say_up

    def begin_trial(self, now: float) -> None:
        """Take note that a request goes out as the trial; it ends in `failed`, `succeeded` or `trial_given_up`."""
        if self._traffic is _Traffic.READY:
            self._traffic = _Traffic.TRIAL

    def trial_given_up(self, now: float) -> None:
        """Take note that the trial's client left, which says nothing; the next trial waits for a dial."""
        if self._traffic is _Traffic.TRIAL:
            self._traffic = _Traffic.OUT
            self._redial(now)

    def share(self, now: float) -> float:
        """Tell by what its weight is to be multiplied: 1.0, or less in a slow start, in ten steps.

        The first is a tenth, and each lasts a tenth of `slow_start`; the caller arranges anew when it has grown.
        """
        passed = now - self._back_at
        if passed >= self._rules.slow_start:
            return 1.0
        return (int(passed / self._rules.slow_start * 10.0) + 1) / 10.0

    def _eject(self, why: str, now: float, *, connected: bool) -> None:
        self._traffic = _Traffic.OUT
        self._traffic_why = why
        self._failures.clear()
        if now - self._back_at >= self._rules.most_hold:
            self._holds = 0
        if connected:
            self._hold(now)
            self._is_gone_if_refused = True
            self.redial_at = now
        else:
            self._redial(now)

    def _fail_again(self, why: str, now: float, *, connected: bool) -> None:
        """Note a failure of a request that was let through while it was down."""
        self._traffic_why = why
        if not connected:
            self._traffic = _Traffic.OUT
            self._refused(why, now)
        elif now >= self.until:
            self._traffic = _Traffic.OUT
            self._hold(now)
            self._is_gone_if_refused = False
            self.redial_at = self.until

    def _refused(self, why: str, now: float) -> None:
        if now < self.until:
            if not self._is_gone_if_refused:
                return
            self._holds -= 1
        self.until = 0.0
        self._traffic_why = why
        # where all are down requests are refused all the time: they must not put off the dial that is due
        if not now < self.redial_at < inf:
            self._redial(now)

    def _redial(self, now: float) -> None:
        self.redial_at = now + self._rules.redial * (0.8 + 0.4 * self._rng.random())
        if now < self.until:
            self.redial_at = min(self.redial_at, self.until)

    def _hold(self, now: float) -> None:
        longest = min(self._rules.hold * 2.0**self._holds, self._rules.most_hold)
        self.until = now + longest * (0.9 + 0.1 * self._rng.random())
        self._holds = min(self._holds + 1, 16)

    def _settle(self, now: float) -> bool:
        """Draw up what both opinions come to."""
        before = self.is_up
        self.is_up = self._traffic is _Traffic.WELL and self._probes_say_up
        if self.is_up:
            self.why = ""
            if not before:
                self._back_at = now
        else:
            self.why = self._traffic_why if self._traffic is not _Traffic.WELL else self._probe_why
        return self.is_up is not before
