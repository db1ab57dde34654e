"""policy/limit: exactly so many, whatever the rhythm; none spent when another refuses; memory bounded."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netfront.policy.limit import Counters, Rate, Seats

A = b"a"


def admitted(counters, rate, times, key=A):
    return [counters.spend([key], [rate], now).admitted for now in times]


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.floats(0, 2)), max_size=60),
    st.sampled_from([Rate(0.5, 1), Rate(0.1, 3), Rate(0.02, 10)]),
)
def test_one_key_alone_is_counted_as_keys_together_are(steps, rate):
    alone, together = Counters(), Counters()
    now = 100.0
    for key, pause in steps:
        now += pause * rate.interval
        debt, spent = alone.spend_one(key, rate, now), together.spend([key], [rate], now)
        assert (debt <= rate.bound) == spent.admitted
        assert debt - (0.0 if spent.admitted else rate.interval) == pytest.approx(spent.debts[0])


def test_a_burst_and_no_more_comes_at_once():
    assert admitted(Counters(), Rate(0.02, 10), [5.0] * 12) == [True] * 10 + [False] * 2


def test_after_the_burst_one_comes_each_interval():
    counters, rate = Counters(), Rate(0.5, 1)
    assert admitted(counters, rate, [0.0, 0.49, 0.5, 0.99, 1.0]) == [True, False, True, False, True]


def test_five_hundred_a_second_for_ten_seconds_leave_rate_times_ten_and_the_burst():
    times = [1000.0 + n / 500 for n in range(5000)]
    assert (
        sum(admitted(Counters(), Rate(1 / 50, 10), times)) == 509
    )  # the 510th is due as the ten seconds end


def test_keys_do_not_share():
    counters, rate = Counters(), Rate(1.0, 1)
    assert admitted(counters, rate, [0.0], b"a") == [True]
    assert admitted(counters, rate, [0.0], b"b") == [True]


def test_a_clock_that_stands_still_or_runs_back_gives_nothing():
    counters, rate = Counters(), Rate(1.0, 1)
    assert admitted(counters, rate, [10.0, 10.0, 9.0]) == [True, False, False]


def test_of_two_limits_none_is_spent_when_one_refuses():
    counters = Counters()
    wide, narrow = Rate(0.1, 5), Rate(1.0, 1)
    assert counters.spend([b"w", b"n"], [wide, narrow], 0.0).admitted
    refused = counters.spend([b"w", b"n"], [wide, narrow], 0.0)
    assert not refused.admitted
    assert refused.debts == [0.1, 1.0]


def test_what_is_left_and_how_long_to_wait_agree_with_what_is_admitted():
    counters, rate = Counters(), Rate(0.25, 4)
    spent = counters.spend([A], [rate], 0.0)
    assert (rate.left(spent.debts[0]), rate.wait(spent.debts[0])) == (3, 0.25)
    for _ in range(3):
        spent = counters.spend([A], [rate], 0.0)
    assert (rate.left(spent.debts[0]), rate.wait(spent.debts[0])) == (0, 0.25)
    assert not counters.spend([A], [rate], 0.2).admitted
    assert counters.spend([A], [rate], 0.25).admitted


def test_keys_that_owe_nothing_are_forgotten_when_room_is_short():
    counters, rate = Counters(256), Rate(1.0, 1)
    for number in range(5000):
        assert counters.spend([b"%d" % number], [rate], 2.0 * number).admitted
    assert len(counters) <= 256


def test_inventing_keys_does_not_free_who_is_at_their_limit():
    counters, rate = Counters(2560), Rate(1.0, 5)
    assert admitted(counters, rate, [0.0] * 6) == [True] * 5 + [False]
    for number in range(20_000):
        counters.spend([b"%d" % number], [rate], 0.1)
    assert len(counters) <= 2560
    assert admitted(counters, rate, [0.2]) == [False]


@given(
    gaps=st.lists(st.integers(0, 400), max_size=200),
    interval=st.integers(1, 100),
    burst=st.integers(1, 20),
)
def test_any_rhythm_admits_what_exact_arithmetic_admits(gaps, interval, burst):
    counters, rate = Counters(), Rate(interval / 1000, burst)
    now, free = 0, Fraction(0)
    for gap in gaps:
        now += gap
        free = max(free, Fraction(now))
        wanted = free + interval - now <= interval * burst
        if wanted:
            free += interval
        assert counters.spend([A], [rate], now / 1000).admitted == wanted


@given(
    times=st.lists(st.floats(0, 60), min_size=1, max_size=300),
    interval=st.floats(0.001, 2.0),
    burst=st.integers(1, 50),
)
@settings(max_examples=50)
def test_no_window_admits_more_than_its_rate_and_the_burst(times, interval, burst):
    counters, rate = Counters(), Rate(interval, burst)
    passed = [now for now in sorted(times) if counters.spend([A], [rate], now).admitted]
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed), 5):
            span = passed[last] - passed[first]
            assert last - first + 1 <= burst + span / interval + 1e-6 / interval


class Bounded(RuleBasedStateMachine):
    """Few keys, little room: the bound holds, and nobody owes more than their burst."""

    def __init__(self):
        super().__init__()
        self.counters = Counters(256)
        self.rate = Rate(0.5, 3)
        self.now = 0.0

    @rule(number=st.integers(0, 2000))
    def ask(self, number):
        spent = self.counters.spend([b"%d" % number], [self.rate], self.now)
        assert 0.0 <= spent.debts[0] <= self.rate.most + 1e-6

    @rule(start=st.integers(0, 2000), count=st.integers(1, 300))
    def ask_many(self, start, count):
        for number in range(start, start + count):
            self.counters.spend([b"%d" % number], [self.rate], self.now)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def is_bounded(self):
        assert len(self.counters) <= 256


class Seating(RuleBasedStateMachine):
    """Seats are never more than there are, and none is left when all have gone."""

    def __init__(self):
        super().__init__()
        self.seats = Seats()
        self.held = []

    @rule(keys=st.lists(st.sampled_from([b"a", b"b", b"c"]), unique=True, min_size=1))
    def take(self, keys):
        room = all(sum(key in held for held in self.held) < 2 for key in keys)
        assert self.seats.take(keys, [2] * len(keys)) == room
        if room:
            self.held.append(keys)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data):
        self.seats.free(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))

    @invariant()
    def adds_up(self):
        for key in (b"a", b"b", b"c"):
            assert self.seats.taken(key) == sum(key in held for held in self.held) <= 2
        if not self.held:
            assert len(self.seats) == 0


TestBounded = Bounded.TestCase
TestSeating = Seating.TestCase


def test_to_give_back_what_was_not_taken_is_an_error():
    with pytest.raises(KeyError):
        Seats().free([A])
