"""Peak EWMA by its values, and the quickest among backends that answer in known times."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.policy.latency import Latency, PeakEwma
from tests.policy.candidates import fakes, pick_many


def test_a_peak_is_believed_at_once_and_comes_down_slowly():
    ewma = PeakEwma()
    assert (ewma.peak, ewma.value(5.0)) == (0.0, 0.0)
    ewma.record(0.1, 100.0)
    assert ewma.value(100.0) == 0.1
    ewma.record(2.0, 100.0)
    assert ewma.value(100.0) == 2.0
    ewma.record(0.1, 100.0)
    assert ewma.value(100.0) == 2.0
    ewma.record(0.1, 110.0)
    assert ewma.value(110.0) == pytest.approx(0.1 + 1.9 / math.e)


def test_a_latency_fades_while_nothing_is_recorded():
    ewma = PeakEwma()
    ewma.record(1.0, 50.0)
    assert ewma.value(60.0) == pytest.approx(1 / math.e)
    assert ewma.value(300.0) < 1e-9
    assert ewma.peak == 1.0


@given(st.lists(st.tuples(st.floats(0.0001, 100.0), st.floats(0.0, 60.0)), min_size=1, max_size=40))
def test_a_peak_lies_between_the_last_and_the_highest(times):
    ewma = PeakEwma()
    now = 0.0
    for seconds, passed in times:
        now += passed
        ewma.record(seconds, now)
        assert seconds * (1 - 1e-9) <= ewma.value(now) <= max(seconds for seconds, _ in times) * (1 + 1e-9)


class Served:
    """Backends that take known times to answer, under so many clients."""

    def __init__(self, *seconds, clients, weights=None, seed=21):
        self.candidates = fakes(*(weights or [1] * len(seconds)))
        self.seconds = dict(zip(self.candidates, seconds, strict=True))
        self.ewmas = {candidate: PeakEwma() for candidate in self.candidates}
        self.picker = Latency(random.Random(seed))
        self.picker.arrange(self.candidates)
        self.clients = clients
        self.now = 0.0
        self.under_way = []

    def serve(self, count):
        counts = Counter()
        for _ in range(count):
            if len(self.under_way) == self.clients:
                self.under_way.sort(key=lambda row: row[0])
                self.now, begun, candidate = self.under_way.pop(0)
                candidate.in_flight -= 1
                self.ewmas[candidate].record(self.now - begun, self.now)
                candidate.latency = self.ewmas[candidate].peak
            picked = self.picker.pick(None, (), self.now)
            picked.in_flight += 1
            self.under_way.append((self.now + self.seconds[picked], self.now, picked))
            counts[picked] += 1
        return [counts[candidate] for candidate in self.candidates]


@pytest.mark.parametrize("seconds", [(0.01, 0.1), (0.01, 0.1, 0.1), (0.01, 0.05, 0.1, 0.2)])
def test_the_quickest_gets_nearly_all_of_one_client(seconds):
    counts = Served(*seconds, clients=1).serve(2000)
    assert counts[0] >= 1950
    assert all(counts)


def test_clients_are_spread_by_quickness():
    quick, slow = Served(0.01, 0.03, clients=8).serve(4000)
    # the slow one is worth it while three requests or more are at the quick one
    assert 0.1 <= slow / quick <= 0.4


def test_equally_quick_ones_share():
    for count in (2, 3, 20):
        counts = Served(*[0.01] * count, clients=count * 2).serve(count * 500)
        assert min(counts) >= 350
        assert max(counts) <= 650


def test_the_quickest_of_many_is_found_and_kept():
    counts = Served(*[0.1] * 29, 0.005, clients=1).serve(3000)
    assert counts[-1] >= 2700


@pytest.mark.parametrize("count", [3, 20])
def test_one_that_never_answers_gets_no_second_request_once_others_have_answered(count):
    served = Served(*[0.01] * (count - 1), math.inf, clients=8)
    assert served.serve(8)[-1] <= 3
    served.serve(500)
    assert served.candidates[-1].in_flight <= 3
    assert served.serve(2000)[-1] == 0


def test_one_that_has_become_quick_again_is_found_within_a_minute():
    served = Served(0.01, 1.0, clients=1)
    served.serve(1000)
    served.seconds[served.candidates[1]] = 0.001
    start = served.now
    while served.serve(100)[1] < 90:
        assert served.now < start + 60.0


def test_weight_divides_the_latency():
    heavy, light = Served(0.02, 0.015, clients=1, weights=(2, 1)).serve(1000)
    assert heavy > 900
    assert light < 100


def test_tried_ones_are_out_of_the_question_also_the_last_picked():
    for count in (3, 9):
        candidates = fakes(*[1] * count)
        for candidate in candidates:
            candidate.latency = 0.1
        candidates[1].latency = 0.01
        picker = Latency(random.Random(22))
        picker.arrange(candidates)
        pick_many(picker, 50)
        for candidate in candidates:
            candidate.in_flight = 1
        assert pick_many(picker, 50)[candidates[1]] == 50
        assert pick_many(picker, 50, tried=[candidates[1]])[candidates[1]] == 0
        assert picker.pick(None, candidates, 0.0) is None
        picker.arrange([candidates[0], *candidates[2:]])
        assert pick_many(picker, 50)[candidates[1]] == 0


def test_who_was_away_being_full_is_no_stranger_when_it_comes_back():
    slow, quick = fakes(1, 1)
    slow.latency, quick.latency = 0.5, 0.01
    latency = Latency(random.Random(1))
    latency.arrange([slow, quick])
    assert latency.pick(None, (), 0.0) in (slow, quick)
    latency.pick(None, (slow,), 0.0)
    latency.pick(None, (quick,), 0.0)
    for turn in range(1, 20):
        latency.arrange([quick])
        latency.arrange([slow, quick])
        assert latency.pick(None, (), turn / 100) is quick


def test_of_those_that_come_and_go_for_ever_few_are_remembered():
    latency = Latency(random.Random(1))
    for _ in range(100):
        latency.arrange(fakes(*[1] * 10))
    assert len(latency._picked_at) < 100
