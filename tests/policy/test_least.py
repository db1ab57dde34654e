"""Least loaded: against a search of all, and the shares of idle candidates."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netfront.policy.least import Least
from tests.policy.candidates import Fake, fakes


def arranged(candidates):
    picker = Least()
    picker.arrange(candidates)
    return picker


def take(picker, tried=()):
    picked = picker.pick(None, tried, 0.0)
    picked.in_flight += 1
    picker.moved(picked)
    return picked


def give_back(picker, candidate):
    candidate.in_flight -= 1
    picker.moved(candidate)


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1), (5, 1, 1), (256, 1), (0.1, 1, 1), (1,) * 20])
def test_idle_candidates_are_picked_by_weight(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    counts = dict.fromkeys(candidates, 0)
    for _ in range(5000):
        picked = take(picker)
        counts[picked] += 1
        give_back(picker, picked)
    for candidate in candidates:
        assert abs(counts[candidate] - 5000 * candidate.weight / sum(weights)) <= 2


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1), (5, 2, 1), (256, 1), (1,) * 12])
def test_requests_that_stay_are_spread_by_weight(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    for _ in range(int(sum(weights)) * 10):
        take(picker)
    for candidate in candidates:
        assert candidate.in_flight == pytest.approx(candidate.weight * 10, abs=1)


@pytest.mark.parametrize("count", [2, 3, 8, 9, 30])
def test_equals_take_turns(count):
    candidates = fakes(*[1] * count)
    picker = arranged(candidates)
    for _ in range(3):
        for candidate in candidates:
            assert take(picker) is candidate
            give_back(picker, candidate)


def test_an_idle_one_of_small_weight_does_not_get_every_second_request():
    candidates = fakes(100, 1)
    picker = arranged(candidates)
    held = take(picker)
    counts = dict.fromkeys(candidates, 0)
    for _ in range(1000):
        picked = take(picker)
        counts[picked] += 1
        give_back(picker, held)
        held = picked
    assert counts[candidates[1]] <= 20


def test_a_slow_start_stays_slow_under_load():
    candidates = fakes(1, 1, 0.1)
    picker = arranged(candidates)
    held = [take(picker) for _ in range(12)]
    for _ in range(2000):
        give_back(picker, held.pop(0))
        held.append(take(picker))
        assert candidates[2].in_flight <= 1
    candidates[2].weight = 0.5
    picker.arrange(candidates)
    for _ in range(2000):
        give_back(picker, held.pop(0))
        held.append(take(picker))
        assert candidates[2].in_flight <= 3


@pytest.mark.parametrize("count", [5, 20])
def test_equals_are_never_passed_over_with_fewer_requests(count):
    rng = random.Random(41)
    candidates = fakes(*[1] * count)
    picker = arranged(candidates)
    out = []
    for _ in range(3000):
        if out and rng.random() < 0.5:
            give_back(picker, out.pop(rng.randrange(len(out))))
            continue
        least = min(candidate.in_flight for candidate in candidates)
        out.append(take(picker))
        assert out[-1].in_flight == least + 1


@pytest.mark.parametrize("count", [3, 12])
def test_a_late_arrival_is_filled_up_and_gets_no_more(count):
    candidates = fakes(*[1] * count)
    picker = arranged(candidates[1:])
    for _ in range((count - 1) * 5):
        take(picker)
    picker.arrange(candidates)
    for _ in range(5):
        assert take(picker) is candidates[0]
    for _ in range(count):
        take(picker)
    assert {candidate.in_flight for candidate in candidates} == {6}


def test_a_turn_survives_the_change_between_few_and_many():
    candidates = fakes(*[1] * 9)
    picker = arranged(candidates)
    for candidate in candidates[:4]:
        assert take(picker) is candidate
        give_back(picker, candidate)
    picker.arrange(candidates[:8])
    assert take(picker) is candidates[4]
    give_back(picker, candidates[4])
    picker.arrange(candidates)
    assert take(picker) is candidates[5]


def test_moved_of_a_stranger_is_nothing():
    candidates = fakes(*[1] * 9)
    picker = arranged(candidates)
    picker.moved(Fake(99, in_flight=5))
    assert take(picker) is candidates[0]


class Loads(RuleBasedStateMachine):
    """Few and many, equal and not: among equals nobody with fewer requests is passed over."""

    @initialize(count=st.integers(1, 14))
    def start(self, count):
        self.candidates = fakes(*[1] * count)
        self.named = count
        self.out = []
        self.picker = arranged(self.candidates)

    @rule(place=st.integers(0, 14), weight=st.sampled_from([1, 1, 1, 2, 0.5]))
    def comes(self, place, weight):
        self.named += 1
        self.candidates.insert(place, Fake(self.named, weight))
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data())
    def leaves(self, data):
        self.candidates.remove(data.draw(st.sampled_from(self.candidates)))
        self.picker.arrange(self.candidates)

    @rule()
    def all_weigh_the_same(self):
        for candidate in self.candidates:
            candidate.weight = 1.0
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), count=st.integers(1, 10))
    def is_taken(self, data, count):
        tried = data.draw(st.lists(st.sampled_from(self.candidates), unique=True, max_size=3))
        untried = [candidate for candidate in self.candidates if candidate not in tried]
        for _ in range(count):
            if not untried:
                assert self.picker.pick(None, tried, 0.0) is None
                return
            picked = self.picker.pick(None, tried, 0.0)
            assert picked in untried
            for other in untried:
                # its turn is at most three quarters of a request off
                turn = 0.75 / picked.weight + 0.75 / other.weight
                assert picked.in_flight / picked.weight <= other.in_flight / other.weight + turn
                if other.weight == picked.weight:
                    assert picked.in_flight <= other.in_flight
            picked.in_flight += 1
            self.picker.moved(picked)
            self.out.append(picked)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), count=st.integers(1, 10))
    def comes_back(self, data, count):
        for _ in range(min(count, len(self.out))):
            give_back(self.picker, self.out.pop(data.draw(st.integers(0, len(self.out) - 1))))

    @invariant()
    def nothing_is_lost(self):
        if hasattr(self, "out"):
            for candidate in self.candidates:
                assert candidate.in_flight == self.out.count(candidate)


TestLoads = Loads.TestCase
TestLoads.settings = settings(deadline=None, max_examples=60)
