"""What holds for every picker, whatever it goes by."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from netfront.policy.pick import PICKERS, make_picker
from tests.policy.candidates import Fake, fakes, pick_many


@pytest.mark.parametrize("name", PICKERS)
def test_nobody_is_picked_of_none(name):
    picker = make_picker(name, random.Random(1))
    assert picker.pick(b"key", (), 0.0) is None
    assert picker.pick(None, (), 0.0) is None
    picker.arrange(fakes(1, 1))
    picker.arrange([])
    assert picker.pick(b"key", (), 0.0) is None
    assert picker.pick(None, [Fake(9)], 0.0) is None


@pytest.mark.parametrize("name", PICKERS)
def test_the_only_one_is_always_picked(name):
    only = Fake(1)
    picker = make_picker(name, random.Random(2))
    picker.arrange([only])
    assert pick_many(picker, 20, key=b"key") == {only: 20}


@pytest.mark.parametrize("name", PICKERS)
def test_the_only_untried_one_is_picked_and_then_nobody(name):
    candidates = fakes(1, 2, 3, 4)
    picker = make_picker(name, random.Random(3))
    picker.arrange(candidates)
    tried = set()
    for _ in candidates:
        picked = picker.pick(b"key", tried, 0.0)
        assert picked in candidates
        assert picked not in tried
        tried.add(picked)
    assert picker.pick(b"key", tried, 0.0) is None


def test_first_is_the_first_in_the_order_given():
    candidates = fakes(1, 5, 1)
    picker = make_picker("first", random.Random(4))
    picker.arrange(candidates)
    assert pick_many(picker, 10) == {candidates[0]: 10}
    assert picker.pick(None, candidates[:1], 0.0) is candidates[1]
    picker.arrange(candidates[::-1])
    assert pick_many(picker, 10) == {candidates[2]: 10}


def test_an_unknown_name_makes_no_picker():
    with pytest.raises(KeyError, match="best"):
        make_picker("best", random.Random(5))


class Container:
    """What can be asked for a candidate and for nothing else."""

    def __init__(self, members):
        self._members = members

    def __contains__(self, member):
        return member in self._members


class Anyone(RuleBasedStateMachine):
    """Any picker under a pool's life: it picks an untried candidate as long as there is one, and nobody else."""

    @initialize(name=st.sampled_from(PICKERS), seed=st.integers(0, 9), count=st.integers(0, 12))
    def start(self, name, seed, count):
        self.picker = make_picker(name, random.Random(seed))
        self.candidates = fakes(*[1] * count)
        self.named = count
        self.out = []
        self.now = 0.0
        self.picker.arrange(self.candidates)

    def load(self, candidate, change):
        candidate.in_flight += change
        if self.picker.follows_load:
            self.picker.moved(candidate)

    @rule(weight=st.floats(0.01, 256.0), place=st.integers(0, 12), in_flight=st.integers(0, 3))
    def comes(self, weight, place, in_flight):
        self.named += 1
        late = Fake(self.named, weight, in_flight)
        self.out += [late] * in_flight
        self.candidates.insert(place, late)
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data())
    def leaves(self, data):
        self.candidates.remove(data.draw(st.sampled_from(self.candidates)))
        self.picker.arrange(self.candidates)

    @rule(weight=st.sampled_from([0.1, 1.0, 7.0]))
    def all_weigh(self, weight):
        for candidate in self.candidates:
            candidate.weight = weight
        self.picker.arrange(self.candidates)

    @rule(data=st.data(), key=st.sampled_from([None, b"", b"a", b"b"]), is_taken=st.booleans())
    def is_picked(self, data, key, is_taken):
        tried = []
        if self.candidates and data.draw(st.booleans()):
            tried = data.draw(st.lists(st.sampled_from(self.candidates), unique=True))
        picked = self.picker.pick(key, data.draw(st.sampled_from([tuple, set, Container]))(tried), self.now)
        if picked is None:
            assert len(tried) == len(self.candidates)
            return
        assert picked in self.candidates
        assert picked not in tried
        if is_taken:
            self.load(picked, 1)
            self.out.append(picked)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), seconds=st.floats(0.0001, 5.0))
    def is_done(self, data, seconds):
        candidate = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        candidate.latency = seconds
        self.now += seconds
        self.load(candidate, -1)

    def teardown(self):
        for candidate in getattr(self, "out", ()):
            self.load(candidate, -1)
            assert candidate.in_flight >= 0
        assert all(candidate.in_flight == 0 for candidate in getattr(self, "candidates", ()))


TestAnyone = Anyone.TestCase
TestAnyone.settings = settings(deadline=None, max_examples=150)
