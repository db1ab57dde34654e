"""Round robin: shares, how evenly they are spread, and what a coming and going leaves of both."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from netfront.policy.turns import RoundRobin
from tests.policy.candidates import Fake, fakes, pick_many

WEIGHTS = st.one_of(st.integers(1, 256), st.floats(0.1, 256.0))


def arranged(candidates):
    picker = RoundRobin()
    picker.arrange(candidates)
    return picker


def sequence(picker, candidates, count):
    return "".join("abcdefgh"[candidates.index(picker.pick(None, (), 0.0))] for _ in range(count))


@pytest.mark.parametrize(
    ("weights", "picks"),
    [
        ((1,), "aaaa"),
        ((1, 1, 1), "abcabcabc"),
        ((256, 256, 256), "abcabc"),
        ((0.25, 0.25), "abab"),
        ((2, 1), "abaaba"),
        ((3, 1), "abaaabaa"),
        ((5, 1, 1), "abaacaaabaacaa"),
    ],
)
def test_turns_are_taken_in_this_order(weights, picks):
    candidates = fakes(*weights)
    assert sequence(arranged(candidates), candidates, len(picks)) == picks


def test_the_quick_way_takes_the_turns_of_the_other_and_leaves_those_of_weights_to_it():
    candidates = fakes(1, 1, 1)
    picker = arranged(candidates)
    a, b, c = candidates
    assert [picker.next_one(), picker.pick(None, (), 0.0), picker.next_one(), picker.next_one()] == [
        a,
        b,
        c,
        a,
    ]
    assert picker.pick(None, (b,), 0.0) is c  # b was passed over, and is next
    assert [picker.next_one() for _ in range(4)] == [b, a, c, b]
    picker.arrange([a, c])
    assert [picker.next_one() for _ in range(3)] == [a, c, a]
    b.weight = 2
    picker.arrange(candidates)
    assert picker.next_one() is None
    assert arranged([]).next_one() is None


@pytest.mark.parametrize(
    "weights", [(1, 1), (5, 1, 1), (256, 1), (3, 7, 11), (1, 2, 3, 4, 5), (0.1, 1, 1), (256,) * 9 + (1,)]
)
def test_weights_hold_within_one_percent_over_ten_thousand_picks(weights):
    candidates = fakes(*weights)
    counts = pick_many(arranged(candidates), 10_000)
    for candidate in candidates:
        due = 10_000 * candidate.weight / sum(weights)
        assert abs(counts[candidate] - due) <= max(due * 0.01, 1.0)


def test_no_long_runs_with_weights_5_1_1():
    candidates = fakes(5, 1, 1)
    picks = sequence(arranged(candidates), candidates, 7000)
    assert "aaaa" not in picks
    assert "bb" not in picks
    assert "cc" not in picks


def test_a_heavy_one_among_fifty_light_ones_is_every_second():
    candidates = fakes(50, *[1] * 50)
    picker = arranged(candidates)
    picks = "".join("a" if picker.pick(None, (), 0.0) is candidates[0] else "b" for _ in range(1000))
    assert picks.count("a") == 500
    assert "aaa" not in picks
    assert "bbb" not in picks


@given(st.lists(WEIGHTS, min_size=2, max_size=12))
@settings(deadline=None)
def test_nobody_is_a_pick_ahead_or_behind(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    shares = [weight / sum(weights) for weight in weights]
    counts = dict.fromkeys(candidates, 0)
    for picks in range(1, 300):
        counts[picker.pick(None, (), 0.0)] += 1
        for candidate, share in zip(candidates, shares, strict=True):
            assert abs(counts[candidate] - picks * share) < 1.0 + 1e-6


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (1, 5, 1)])
def test_a_late_arrival_has_nothing_to_catch_up(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates[:2])
    pick_many(picker, 10_000)
    picker.arrange(candidates)
    late = candidates[2]
    round_of_all = int(sum(weights))
    for _ in range(20):
        assert pick_many(picker, round_of_all)[late] <= 2
    assert abs(pick_many(picker, round_of_all * 100)[late] - 100) <= 1


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 1, 5)])
def test_one_that_comes_back_has_nothing_to_catch_up(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    pick_many(picker, 100)
    picker.arrange(candidates[:2])
    pick_many(picker, 10_000)
    picker.arrange(candidates)
    round_of_all = int(sum(weights))
    assert pick_many(picker, round_of_all)[candidates[2]] <= weights[2] + 1
    assert abs(pick_many(picker, round_of_all * 100)[candidates[2]] - weights[2] * 100) <= 2


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 1, 1)])
def test_one_that_leaves_after_each_of_its_picks_is_not_favoured(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    counts = dict.fromkeys(candidates, 0)
    for _ in range(400):
        picked = picker.pick(None, (), 0.0)
        counts[picked] += 1
        if picked is candidates[0]:
            picker.arrange(candidates[1:])
            picker.arrange(candidates)
    assert counts[candidates[0]] <= 400 * weights[0] / sum(weights) + 2


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (1, 2, 3), (0.1, 256, 3)])
def test_arranging_the_same_before_each_pick_leaves_the_shares(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    counts = dict.fromkeys(candidates, 0)
    for picks in range(1, 1000):
        picker.arrange(candidates)
        counts[picker.pick(None, (), 0.0)] += 1
        for candidate in candidates:
            assert abs(counts[candidate] - picks * candidate.weight / sum(weights)) < 1.0 + 1e-6


def test_a_weight_that_grows_shifts_the_share_at_once():
    candidates = fakes(0.1, 1, 1)
    picker = arranged(candidates)
    assert pick_many(picker, 210)[candidates[0]] == pytest.approx(10, abs=1)
    candidates[0].weight = 1.0
    picker.arrange(candidates)
    assert pick_many(picker, 210)[candidates[0]] == pytest.approx(70, abs=1)
    candidates[0].weight = 4.0
    picker.arrange(candidates)
    assert pick_many(picker, 210)[candidates[0]] == pytest.approx(140, abs=1)


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 2, 1)])
def test_who_was_passed_over_a_hundred_times_gets_one_turn_for_it(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    for passed_over in candidates:
        counts = pick_many(picker, 100, tried=[passed_over])
        assert counts[passed_over] == 0
        after = pick_many(picker, int(sum(weights)))
        assert after[passed_over] <= passed_over.weight + 1


@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 2, 1)])
def test_who_was_passed_over_gets_no_run_of_turns_among_the_untried_either(weights):
    candidates = fakes(*weights)
    picker = arranged(candidates)
    pick_many(picker, 100, tried=[candidates[0]])
    after = pick_many(picker, 80, tried=[candidates[2]])
    assert abs(after[candidates[1]] - 80 * weights[1] / (weights[0] + weights[1])) <= 2


@pytest.mark.parametrize("weights", [(1, 1), (2, 1)])
def test_none_when_all_were_tried_and_no_turn_is_lost(weights):
    candidates = fakes(*weights)
    picker, calm = arranged(candidates), arranged(candidates)
    for _ in range(20):
        assert picker.pick(None, candidates, 0.0) is None
        assert picker.pick(None, (), 0.0) is calm.pick(None, (), 0.0)


class Turns(RuleBasedStateMachine):
    """Coming, going, other weights, retries; after any of it the shares are those of the weights at once."""

    @initialize(weights=st.lists(WEIGHTS, min_size=1, max_size=6))
    def start(self, weights):
        self.candidates = fakes(*weights)
        self.named = len(weights)
        self.picker = arranged(self.candidates)

    @precondition(lambda self: len(self.candidates) < 8)
    @rule(weight=WEIGHTS, place=st.integers(0, 7))
    def comes(self, weight, place):
        self.named += 1
        self.candidates.insert(place, Fake(self.named, weight))
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data())
    def leaves(self, data):
        self.candidates.remove(data.draw(st.sampled_from(self.candidates)))
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), weight=WEIGHTS)
    def weighs(self, data, weight):
        data.draw(st.sampled_from(self.candidates)).weight = weight
        self.picker.arrange(self.candidates)

    @rule()
    def all_weigh_the_same(self):
        for candidate in self.candidates:
            candidate.weight = 1.0
        self.picker.arrange(self.candidates)

    @precondition(lambda self: self.candidates)
    @rule(data=st.data(), count=st.integers(1, 30))
    def is_tried(self, data, count):
        tried = data.draw(st.lists(st.sampled_from(self.candidates), unique=True))
        for _ in range(count):
            picked = self.picker.pick(None, tried, 0.0)
            assert picked not in tried
            assert (picked is None) == (len(tried) == len(self.candidates))

    @precondition(lambda self: self.candidates)
    @rule(picks=st.integers(1, 200))
    def is_fair(self, picks):
        total = sum(candidate.weight for candidate in self.candidates)
        counts = pick_many(self.picker, picks)
        assert set(counts) <= set(self.candidates)
        for candidate in self.candidates:
            # a newcomer waits a turn, and one passed over is owed a turn, whoever the others are
            ahead = counts[candidate] - picks * candidate.weight / total
            assert abs(ahead) <= 1.0 + len(self.candidates) + 1e-6


TestTurns = Turns.TestCase
TestTurns.settings = settings(deadline=None, max_examples=60)
