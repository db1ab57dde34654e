"""Picking by chance, seeded: shares, and that two choices balance."""

import random

import pytest

from netfront.policy.draws import PowerOfTwo, Random
from tests.policy.candidates import fakes, pick_many


@pytest.mark.parametrize("weights", [(1,), (1, 1), (1, 1, 1), (5, 1, 1), (1, 2, 3, 4), (0.5, 1), (1,) * 5])
@pytest.mark.parametrize("make", [Random, PowerOfTwo])
def test_weights_hold_within_five_percent_over_ten_thousand_picks(make, weights):
    candidates = fakes(*weights)
    picker = make(random.Random(11))
    picker.arrange(candidates)
    counts = pick_many(picker, 10_000)
    assert set(counts) == set(candidates)
    for candidate in candidates:
        assert counts[candidate] == pytest.approx(10_000 * candidate.weight / sum(weights), rel=0.05)


@pytest.mark.parametrize("make", [Random, PowerOfTwo])
def test_weights_hold_among_the_untried(make):
    candidates = fakes(5, 3, 2, 1)
    picker = make(random.Random(12))
    picker.arrange(candidates)
    counts = pick_many(picker, 10_000, tried=candidates[:1])
    for candidate in candidates[1:]:
        assert counts[candidate] == pytest.approx(10_000 * candidate.weight / 6, rel=0.05)
    assert pick_many(picker, 10, tried=candidates[:3]) == {candidates[3]: 10}
    assert picker.pick(None, candidates, 0.0) is None


def test_the_second_of_two_is_drawn_by_weight_from_the_others():
    candidates = fakes(1, 2, 3, 4)
    picker = PowerOfTwo(random.Random(17))
    picker.arrange(candidates)
    candidates[1].in_flight = 100  # so that wherever it is drawn the other one is picked
    counts = pick_many(picker, 40_000)
    assert counts[candidates[1]] == 0
    for candidate in (candidates[0], *candidates[2:]):
        assert counts[candidate] == pytest.approx(40_000 * candidate.weight / 8, rel=0.05)


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0 - 2**-53])
@pytest.mark.parametrize("weights", [(1, 1), (1, 2), (1 / 3, 1 / 7, 1e-9), (256, 0.1), (1e-300, 1, 256)])
@pytest.mark.parametrize("make", [Random, PowerOfTwo])
def test_the_ends_of_chance_fall_on_candidates(make, weights, draw):
    class Dictated:
        def random(self):
            return draw

    candidates = fakes(*weights)
    picker = make(Dictated())
    picker.arrange(candidates)
    assert picker.pick(None, (), 0.0) in candidates


@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1, 1), (1,) * 20])
def test_the_less_loaded_of_two_is_picked(weights):
    candidates = fakes(*weights)
    picker = PowerOfTwo(random.Random(13))
    picker.arrange(candidates)
    candidates[0].in_flight = 5
    assert pick_many(picker, 2000)[candidates[0]] == 0


def test_two_choices_keep_a_hundred_backends_level():
    levels = {}
    for make in (Random, PowerOfTwo):
        candidates = fakes(*[1] * 100)
        picker = make(random.Random(14))
        picker.arrange(candidates)
        for _ in range(1000):
            picker.pick(None, (), 0.0).in_flight += 1
        levels[make] = max(candidate.in_flight for candidate in candidates)
    assert levels[PowerOfTwo] <= 13
    assert levels[Random] >= 17


@pytest.mark.parametrize("weights", [(5, 1), (4, 2, 1), (10, 10, 1)])
def test_two_choices_load_by_weight(weights):
    candidates = fakes(*weights)
    picker = PowerOfTwo(random.Random(15))
    picker.arrange(candidates)
    for _ in range(int(sum(weights)) * 20):
        picker.pick(None, (), 0.0).in_flight += 1
    for candidate in candidates:
        assert candidate.in_flight == pytest.approx(20 * candidate.weight, rel=0.3)


def test_two_choices_spare_an_idle_one_of_small_weight():
    candidates = fakes(100, 1)
    picker = PowerOfTwo(random.Random(16))
    picker.arrange(candidates)
    candidates[0].in_flight = 1
    assert pick_many(picker, 1000)[candidates[1]] == 0
