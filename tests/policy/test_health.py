"""Health: ejection, dials, holds and trials by their times, probes beside them, and all of it in any order."""

import random
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netfront.policy.health import Health, HealthRules

START = 1000.0
REFUSED = "connection refused"
RESET = "connection reset"


class Dictated:
    """Chance that always draws the same."""

    def __init__(self, drawn):
        self.drawn = drawn

    def random(self):
        return self.drawn


def health_of(drawn=0.5, **rules):
    """Make one whose jitter is known: with 0.5 a dial comes after exactly 0.5 s and a hold is 0.95 of its length."""
    return Health(HealthRules(**rules), Dictated(drawn))


def ejected(health, now=START, *, connected, why=None):
    for _ in range(3):
        health.failed(why or (RESET if connected else REFUSED), now, connected=connected)
    assert not health.is_up
    return health


def tried(health, now, **outcome):
    """Let the trial go out and come back."""
    assert health.wants_trial(now)
    health.begin_trial(now)
    if outcome:
        return health.failed(RESET, now, trial=True, **outcome)
    return health.succeeded(now, trial=True)


def broken_again(health, holds):
    """Let so many trials in a row fail after a connect, each as soon as it may be; returns how long each hold was."""
    lengths = []
    now = START
    for _ in range(holds):
        now = max(now, health.until, health.redial_at)
        health.dialled(True, "", now)
        tried(health, now, connected=True)
        lengths.append(health.until - now)
    return lengths


def test_it_starts_up_with_its_whole_share():
    health = health_of(slow_start=30.0)
    assert (health.is_up, health.why, health.redial_at, health.until) == (True, "", inf, 0.0)
    assert health.share(0.0) == health.share(START) == 1.0
    assert not health.wants_trial(START)


@pytest.mark.parametrize(
    ("times", "is_up"),
    [
        ([0.0], True),
        ([0.0, 0.0], True),
        ([0.0, 0.0, 0.0], False),
        ([0.0, 5.0, 10.0], False),
        ([0.0, 5.0, 10.1], True),
        ([0.0, 5.0, 10.1, 14.9], False),
        ([0.0, 9.0, 18.0, 27.0, 36.0], True),
    ],
)
def test_three_failures_in_ten_seconds_eject(times, is_up):
    health = health_of()
    changes = [health.failed(REFUSED, START + at, connected=False) for at in times]
    assert health.is_up is is_up
    assert changes == [False] * (len(times) - 1) + [not is_up]
    assert health.why == ("" if is_up else REFUSED)


def test_answers_between_them_do_not_save_it():
    health = health_of()
    for _ in range(3):
        health.succeeded(START)
        health.failed(RESET, START, connected=True)
    assert not health.is_up


def test_other_numbers_are_kept_to():
    health = health_of(failures=1)
    assert health.failed(REFUSED, START, connected=False)
    health = health_of(failures=5, within=1.0)
    for _ in range(4):
        health.failed(REFUSED, START, connected=False)
    assert health.is_up
    health.failed(REFUSED, START + 1.0, connected=False)
    assert not health.is_up


def test_a_refusing_backend_is_dialled_every_half_second_and_tried_as_soon_as_it_accepts():
    health = ejected(health_of(), connected=False)
    assert health.until == 0.0
    now = START
    for _ in range(20):
        assert health.redial_at == pytest.approx(now + 0.5)
        now = health.redial_at
        assert not health.wants_trial(now)
        health.dialled(False, REFUSED, now)
    now = health.redial_at
    health.dialled(True, "", now)
    assert health.wants_trial(now)
    assert health.redial_at == inf
    assert not health.is_up
    assert tried(health, now)
    assert (health.is_up, health.why, health.until) == (True, "", 0.0)


def test_dials_are_spread_by_a_fifth():
    waits = []
    for seed in range(200):
        health = ejected(Health(HealthRules(), random.Random(seed)), connected=False)
        waits.append(health.redial_at - START)
    assert 0.4 <= min(waits) < 0.41
    assert 0.59 < max(waits) <= 0.6


def test_one_trial_at_a_time():
    health = ejected(health_of(), connected=False)
    health.dialled(True, "", START + 0.5)
    assert health.wants_trial(START + 60.0)
    health.begin_trial(START + 60.0)
    assert not health.wants_trial(START + 60.0)


def test_a_trial_that_is_refused_goes_back_to_dials_without_a_hold():
    health = ejected(health_of(), connected=False)
    health.dialled(True, "", START + 0.5)
    assert not tried(health, START + 0.6, connected=False)
    assert (health.is_up, health.until) == (False, 0.0)
    assert health.redial_at == pytest.approx(START + 1.1)


def test_a_trial_given_up_by_its_client_is_another_dial_and_no_failure():
    health = ejected(health_of(), connected=False, why="because")
    health.dialled(True, "", START + 0.5)
    health.begin_trial(START + 1.0)
    health.trial_given_up(START + 2.0)
    assert (health.why, health.until) == ("because", 0.0)
    assert not health.wants_trial(START + 2.0)
    assert health.redial_at == pytest.approx(START + 2.5)
    health.dialled(True, "", START + 2.5)
    assert tried(health, START + 2.5)


def test_failures_after_a_connect_are_held_for_five_seconds():
    health = ejected(health_of(), connected=True)
    assert health.until == pytest.approx(START + 4.75)
    now = START
    while now < health.until:
        assert health.redial_at <= health.until
        now = max(now, health.redial_at)
        before = health.until
        health.dialled(True, "", now)
        assert health.wants_trial(now) is (now >= before)
    assert health.wants_trial(now)
    assert now == pytest.approx(START + 4.75)


def test_holds_double_up_to_a_minute_while_trials_fail():
    health = ejected(health_of(1.0), connected=True)
    assert health.until == START + 5.0
    assert broken_again(health, 6) == pytest.approx([10.0, 20.0, 40.0, 60.0, 60.0, 60.0])


def test_jitter_only_shortens_a_hold():
    lengths = []
    for seed in range(200):
        health = ejected(Health(HealthRules(), random.Random(seed)), connected=True)
        lengths.append(health.until - START)
    assert 4.5 <= min(lengths) < 4.52
    assert 4.98 < max(lengths) <= 5.0


def test_a_hold_after_a_failed_trial_is_dialled_at_its_end_only():
    health = ejected(health_of(), connected=False)
    health.dialled(True, "", START + 0.5)
    tried(health, START + 0.5, connected=True)
    assert health.redial_at == health.until == pytest.approx(START + 0.5 + 4.75)
    health.dialled(False, REFUSED, START + 1.0)
    assert health.redial_at == health.until == pytest.approx(START + 0.5 + 4.75)


def test_a_killed_backend_is_dialled_at_once_and_its_hold_is_lifted_when_it_refuses():
    health = ejected(health_of(), connected=True)
    assert health.redial_at == START
    health.dialled(False, REFUSED, START + 0.001)
    assert (health.until, health.why) == (0.0, REFUSED)
    assert health.redial_at == pytest.approx(START + 0.501)
    health.dialled(True, "", START + 0.501)
    assert tried(health, START + 0.501)


def test_a_lifted_hold_does_not_lengthen_the_next():
    health = ejected(health_of(1.0), connected=True)
    health.dialled(False, REFUSED, START)
    health.dialled(True, "", START + 0.6)
    tried(health, START + 0.6)
    ejected(health, START + 1.0, connected=True)
    assert health.until == START + 6.0


@pytest.mark.parametrize(("well_for", "hold"), [(0.0, 20.0), (59.0, 20.0), (60.0, 5.0), (3600.0, 5.0)])
def test_a_hold_is_short_again_once_it_was_well_for_a_minute(well_for, hold):
    health = ejected(health_of(1.0), connected=True)
    broken_again(health, 1)
    now = health.until
    health.dialled(True, "", now)
    tried(health, now)
    now += well_for
    ejected(health, now, connected=True)
    assert health.until == pytest.approx(now + hold)


def test_requests_that_were_under_way_when_it_was_ejected_say_nothing():
    health = ejected(health_of(), connected=False)
    before = (health.is_up, health.why, health.redial_at, health.until)
    for _ in range(10):
        assert not health.succeeded(START + 0.1)
        assert not health.failed(RESET, START + 0.1, connected=True)
    assert (health.is_up, health.why, health.redial_at, health.until) == before
    health.dialled(True, "", START + 0.5)
    health.begin_trial(START + 0.5)
    assert not health.failed(RESET, START + 0.6, connected=True)
    assert health.succeeded(START + 0.7, trial=True)


def test_where_all_are_down_and_all_are_tried_any_success_brings_it_up():
    for connected in (False, True):
        health = ejected(health_of(), connected=connected)
        assert health.succeeded(START + 0.1, trial=True)
        assert (health.is_up, health.redial_at, health.until) == (True, inf, 0.0)


def test_where_all_are_down_refused_requests_do_not_put_off_the_dial():
    health = ejected(health_of(), connected=False)
    due = health.redial_at
    for tick in range(400):
        health.failed(REFUSED, START + tick / 1000, connected=False, trial=True)
    assert health.redial_at == due


def test_where_all_are_down_many_failures_at_once_are_one_hold():
    health = ejected(health_of(1.0), connected=False)
    for _ in range(50):
        health.failed(RESET, START + 1.0, connected=True, trial=True)
    assert health.until == START + 6.0


def test_old_failures_do_not_count_against_one_that_came_back():
    health = ejected(health_of(), connected=False)
    health.dialled(True, "", START + 0.5)
    tried(health, START + 0.5)
    for _ in range(2):
        assert not health.failed(REFUSED, START + 0.6, connected=False)
    assert health.failed(REFUSED, START + 0.6, connected=False)


def test_a_dial_nobody_waits_for_changes_nothing():
    health = health_of()
    health.dialled(False, REFUSED, START)
    assert (health.is_up, health.redial_at) == (True, inf)
    ejected(health, connected=False)
    health.dialled(True, "", START + 0.5)
    health.dialled(False, REFUSED, START + 0.6)
    assert health.wants_trial(START + 0.6)


@pytest.mark.parametrize(
    ("verdicts", "ups"),
    [
        ("---", "^^v"),
        ("--+--+---", "^^^^^^^^v"),
        ("---+-++", "^^vvvv^"),
        ("---+-+-+", "^^vvvvvv"),
        ("+++---++---", "^^^^^vv^^^v"),
    ],
)
def test_probes_take_it_down_by_three_and_up_by_two(verdicts, ups):
    health = health_of()
    seen = ""
    was_up = True
    for verdict in verdicts:
        changed = health.probed(verdict == "+", "answered 500", START)
        assert changed is (health.is_up is not was_up)
        was_up = health.is_up
        assert health.why == ("" if was_up else "answered 500")
        seen += "^" if was_up else "v"
    assert seen == ups
    assert health.redial_at == inf


def test_probes_and_traffic_add_up_and_neither_clears_the_other():
    health = ejected(health_of(), connected=False)
    for _ in range(5):
        assert not health.probed(True, "", START)
    assert (health.is_up, health.why) == (False, REFUSED)
    for _ in range(3):
        assert not health.probed(False, "answered 500", START)
    health.dialled(True, "", START + 0.5)
    assert not health.wants_trial(START + 0.5)
    assert not health.succeeded(START + 0.5, trial=True)
    assert (health.is_up, health.why) == (False, "answered 500")
    assert not health.probed(True, "", START + 1.0)
    assert health.probed(True, "", START + 2.0)
    assert health.is_up


def test_one_that_its_probe_took_down_is_still_ejected_by_its_traffic():
    health = health_of()
    for _ in range(3):
        health.probed(False, "answered 500", START)
    for _ in range(3):
        assert not health.failed(REFUSED, START, connected=False, trial=True)
    assert health.redial_at < inf
    for _ in range(2):
        assert not health.probed(True, "", START)
    assert (health.is_up, health.why) == (False, REFUSED)


def test_a_share_grows_in_tenths_after_a_return():
    health = ejected(health_of(slow_start=30.0), connected=False)
    health.dialled(True, "", START + 0.5)
    tried(health, START + 0.5)
    shares = [health.share(START + 0.5 + second + 0.01) for second in range(0, 33, 3)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0])
    assert health.share(START + 0.5) == 0.1
    assert health.share(START + 30.5) == 1.0


def test_a_return_by_probes_is_a_slow_start_too_and_without_the_rule_there_is_none():
    for slow_start, share in ((10.0, 0.1), (0.0, 1.0)):
        health = health_of(slow_start=slow_start)
        for verdict in (False, False, False, True, True):
            health.probed(verdict, "answered 500", START)
        assert health.is_up
        assert health.share(START) == share


class Life(RuleBasedStateMachine):
    """Everything that may happen to a backend, in any order, beside the plainest account of it."""

    def __init__(self):
        super().__init__()
        self.now = START
        self.failures = []
        self.is_well = True
        self.accepts = False
        """Whether it has been dialled well since it last failed."""
        self.is_in_trial = False
        self.row = []
        self.probes_say_up = True

    @initialize(seed=st.integers(0, 99), slow_start=st.sampled_from([0.0, 20.0]))
    def start(self, seed, slow_start):
        self.health = Health(HealthRules(slow_start=slow_start), random.Random(seed))

    def told(self, changed, was_up):
        assert changed is (self.health.is_up is not was_up)

    @rule(passed=st.sampled_from([0.001, 0.2, 0.6, 2.0, 5.0, 9.0, 61.0]))
    def time_passes(self, passed):
        self.now += passed

    @precondition(lambda self: self.health.redial_at < inf)
    @rule()
    def time_passes_until_the_dial(self):
        self.now = max(self.now, self.health.redial_at)

    @rule(connected=st.booleans(), count=st.integers(1, 4))
    def fails(self, connected, count):
        for _ in range(count):
            was_up = self.health.is_up
            self.told(self.health.failed(RESET, self.now, connected=connected), was_up)
            if self.is_well:
                self.failures = [at for at in self.failures if self.now - at <= 10.0] + [self.now]
                if len(self.failures) >= 3:
                    self.is_well = self.accepts = False

    @rule(connected=st.booleans())
    def fails_though_all_are_down(self, connected):
        if not self.is_well:
            self.told(self.health.failed(RESET, self.now, connected=connected, trial=True), False)
            self.accepts = self.is_in_trial = False

    @rule(trial=st.booleans())
    def answers(self, trial):
        was_up = self.health.is_up
        self.told(self.health.succeeded(self.now, trial=trial), was_up)
        if trial and not self.is_well:
            self.is_well, self.failures, self.is_in_trial = True, [], False

    @precondition(lambda self: self.health.redial_at <= self.now)
    @rule(ok=st.booleans())
    def is_dialled(self, ok):
        held = self.now < self.health.until
        self.health.dialled(ok, REFUSED, self.now)
        self.accepts = ok and not held
        assert self.health.redial_at > self.now

    @precondition(lambda self: self.health.wants_trial(self.now))
    @rule()
    def is_tried(self):
        assert not self.is_well
        assert self.accepts
        assert self.now >= self.health.until
        self.health.begin_trial(self.now)
        self.is_in_trial = True

    @precondition(lambda self: self.is_in_trial)
    @rule(outcome=st.sampled_from(["answered", "reset", "refused", "given up"]))
    def trial_ends(self, outcome):
        was_up = self.health.is_up
        self.is_in_trial = self.accepts = False
        if outcome == "given up":
            self.health.trial_given_up(self.now)
        elif outcome == "answered":
            self.told(self.health.succeeded(self.now, trial=True), was_up)
            self.is_well, self.failures = True, []
        else:
            connected = outcome == "reset"
            self.told(self.health.failed(outcome, self.now, connected=connected, trial=True), was_up)
            assert (self.now < self.health.until) is connected

    @rule(ok=st.booleans(), count=st.integers(1, 3))
    def is_probed(self, ok, count):
        for _ in range(count):
            was_up = self.health.is_up
            self.told(self.health.probed(ok, "answered 500", self.now), was_up)
            self.row = [*self.row[-2:], ok]
            if self.row[-2:] == [True, True]:
                self.probes_say_up = True
            if self.row == [False] * 3:
                self.probes_say_up = False

    @invariant()
    def is_up_when_both_say_so(self):
        assert self.health.is_up is (self.is_well and self.probes_say_up)
        assert bool(self.health.why) is not self.health.is_up

    @invariant()
    def is_never_forgotten(self):
        waits = self.health.redial_at < inf
        is_ready = self.accepts and not self.is_in_trial
        assert [self.is_well, waits, is_ready and not self.is_well, self.is_in_trial].count(True) == 1
        if waits:
            assert self.health.redial_at <= max(self.now + 0.6, self.health.until)

    @invariant()
    def holds_and_shares_are_bounded(self):
        assert self.health.until <= self.now + 60.0
        assert 0.1 <= self.health.share(self.now) <= 1.0

    @invariant()
    def there_is_no_trial_of_a_well_one_or_in_a_hold(self):
        if self.health.wants_trial(self.now):
            assert not self.health.is_up
            assert self.now >= self.health.until


TestLife = Life.TestCase
TestLife.settings = settings(deadline=None, max_examples=150)


def test_who_is_probed_no_more_is_up_again_unless_its_traffic_says_no():
    health = health_of(fall=1)
    assert health.probed(False, "answered 500", START)
    assert health.unprobed(START)
    assert health.is_up
    ejected(health, connected=False)
    health.probed(False, "answered 500", START)
    assert not health.unprobed(START)
    assert not health.is_up


def test_other_rules_leave_what_is_known():
    health = health_of()
    health.failed(REFUSED, START, connected=False)
    health.failed(REFUSED, START, connected=False)
    health.follow(HealthRules(rise=1))
    assert health.failed(REFUSED, START, connected=False)
    health.follow(HealthRules(failures=1))
    assert not health.is_up
