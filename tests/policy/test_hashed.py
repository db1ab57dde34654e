"""Picking by key: what moves, what is spread, and the bound."""

import random
from collections import Counter
from math import ceil

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from netfront.policy.hashed import Hashed
from tests.policy.candidates import Fake, fakes

KINDS = {
    "numbers": [b"%d" % n for n in range(20_000)],
    "users": [b"user-%08d@example.test" % n for n in range(20_000)],
    "addresses": [bytes([10, 0, n >> 8, n & 255]) for n in range(20_000)],
    "written addresses": [b"10.%d.%d.%d" % (n % 3, n >> 8, n & 255) for n in range(20_000)],
    "paths": [b"/img/%x/%d.webp?v=%d" % (n * 7919, n, n % 4) for n in range(20_000)],
}
KEYS = KINDS["users"]


def arranged(candidates, seed=31):
    picker = Hashed(random.Random(seed))
    picker.arrange(candidates)
    return picker


def owners_of(picker, keys=KEYS, tried=()):
    return [picker.pick(key, tried, 0.0) for key in keys]


def test_one_more_of_a_hundred_moves_at_most_one_and_a_half_percent_of_keys_and_only_to_itself():
    hundred = fakes(*[1] * 100)
    picker = arranged(hundred)
    before = owners_of(picker)
    late = Fake(100)
    picker.arrange([*hundred, late])
    moved = [now for then, now in zip(before, owners_of(picker), strict=True) if now is not then]
    assert set(moved) == {late}
    assert len(moved) <= 0.015 * len(KEYS)
    picker.arrange(hundred)
    assert owners_of(picker) == before


def test_one_that_leaves_moves_only_its_own_keys():
    candidates = fakes(*[1] * 10)
    picker = arranged(candidates)
    before = owners_of(picker)
    gone = candidates.pop(3)
    picker.arrange(candidates)
    for then, now in zip(before, owners_of(picker), strict=True):
        assert now is not gone
        assert now is then or then is gone


def test_keys_lead_to_the_same_in_every_process():
    one, other = fakes(1, 2, 3), fakes(1, 2, 3)
    assert [owner.name for owner in owners_of(arranged(one, seed=1))] == [
        owner.name for owner in owners_of(arranged(other, seed=2))
    ]


@pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (4, 2, 1)])
def test_keys_of_any_kind_are_shared_by_weight(keys, weights):
    counts = Counter(owners_of(arranged(fakes(*weights)), keys))
    assert len(counts) == len(weights)
    for owner, count in counts.items():
        assert count / len(keys) == pytest.approx(owner.weight / sum(weights), abs=0.03)


@pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)
def test_what_a_tried_one_leaves_is_spread_over_all_others(keys):
    candidates = fakes(*[1] * 5)
    picker = arranged(candidates)
    own = [key for key in keys if picker.pick(key, (), 0.0) is candidates[0]]
    counts = Counter(owners_of(picker, own, tried=[candidates[0]]))
    assert set(counts) == set(candidates[1:])
    assert max(counts.values()) <= 1.4 * min(counts.values())


def test_a_key_falls_back_to_the_same_one_each_time():
    candidates = fakes(*[1] * 6)
    picker = arranged(candidates)
    for key in KEYS[:200]:
        own = picker.pick(key, (), 0.0)
        assert len({picker.pick(key, [own], 0.0) for _ in range(3)}) == 1


def test_what_has_no_key_goes_to_the_less_loaded():
    candidates = fakes(1, 1, 1)
    picker = arranged(candidates)
    candidates[0].in_flight = candidates[1].in_flight = 3
    for candidate in candidates:
        picker.moved(candidate)
    counts = Counter(picker.pick(None, (), 0.0) for _ in range(300))
    assert counts[candidates[2]] >= 150
    assert picker.pick(None, candidates, 0.0) is None


@pytest.mark.parametrize("weights", [(1,), (1, 1), (1, 1, 1), (1,) * 30, (5, 1, 1)])
def test_one_hot_key_is_bounded(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    for total in range(300):
        picked = picker.pick(b"hot", (), 0.0)
        picked.in_flight += 1
        picker.moved(picked)
        assert picked.in_flight <= ceil(1.25 * (total + 1) * picked.weight / sum(weights))
    assert sum(candidate.in_flight for candidate in candidates) == 300


def test_a_key_returns_when_its_own_has_room_again():
    candidates = fakes(1, 1, 1)
    picker = arranged(candidates)
    own = picker.pick(b"hot", (), 0.0)
    for candidate in candidates:
        candidate.in_flight = 4 if candidate is own else 2
        picker.moved(candidate)
    assert picker.pick(b"hot", (), 0.0) is not own
    own.in_flight = 3
    picker.moved(own)
    assert picker.pick(b"hot", (), 0.0) is own


def test_only_full_ones_are_left_and_one_is_picked_nevertheless():
    candidates = fakes(1, 1, 1)
    picker = arranged(candidates)
    candidates[0].in_flight, candidates[1].in_flight = 7, 9
    for candidate in candidates:
        picker.moved(candidate)
    for key in KEYS[:50]:
        assert picker.pick(key, candidates[2:], 0.0) is candidates[0]


class Bound(RuleBasedStateMachine):
    """No pick goes above the bound, whoever comes and goes, except where only full ones are untried."""

    @initialize(count=st.integers(1, 6))
    def start(self, count):
        self.candidates = fakes(*[1] * count)
        self.named = count
        self.out = []
        self.picker = arranged(self.candidates)

    @precondition(lambda self: len(self.candidates) < 8)
    @rule(place=st.integers(0, 8), weight=st.sampled_from([1, 1, 2, 256]))
    def comes(self, place, weight):
        self.named += 1
        self.candidates.insert(place, Fake(self.named, weight))
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data())
    def leaves(self, data):
        self.candidates.remove(data.draw(st.sampled_from(self.candidates)))
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), key=st.sampled_from([b"hot", b"a", b"b", b"c"]), count=st.integers(1, 20))
    def is_taken(self, data, key, count):
        tried = data.draw(st.lists(st.sampled_from(self.candidates), unique=True, max_size=2))
        for _ in range(count):
            total = sum(candidate.in_flight for candidate in self.candidates)
            weights = sum(candidate.weight for candidate in self.candidates)
            room = {
                candidate: candidate.in_flight + 1 <= ceil(1.25 * (total + 1) * candidate.weight / weights)
                for candidate in self.candidates
                if candidate not in tried
            }
            picked = self.picker.pick(key, tried, 0.0)
            if not room:
                assert picked is None
                return
            assert picked in room
            assert room[picked] or not any(room.values())
            assert tried or room[picked]
            picked.in_flight += 1
            self.picker.moved(picked)
            self.out.append(picked)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), count=st.integers(1, 10))
    def comes_back(self, data, count):
        for _ in range(min(count, len(self.out))):
            candidate = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
            candidate.in_flight -= 1
            self.picker.moved(candidate)

    @invariant()
    def nothing_is_lost(self):
        if hasattr(self, "out"):
            for candidate in self.candidates:
                assert candidate.in_flight == self.out.count(candidate)


TestBound = Bound.TestCase
TestBound.settings = settings(deadline=None, max_examples=40, stateful_step_count=25)
