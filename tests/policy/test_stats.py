"""Histograms against a sorted list, and what the recent one forgets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netfront.policy.stats import Histogram, RecentHistogram, edge

TIMES = st.floats(min_value=1e-6, max_value=4000.0)


def histogram_of(times):
    histogram = Histogram()
    for seconds in times:
        histogram.record(seconds)
    return histogram


@pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
def test_an_empty_histogram_says_zero(percent):
    histogram = Histogram()
    assert histogram.percentile(percent) == 0.0
    assert (histogram.count, histogram.most) == (0, 0.0)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, 2**-20),
        (-1.0, 2**-20),
        (math.nan, 2**-20),
        (2**-20, 2**-20),
        (0.001, 0.001),
        (1.0, 1.0),
        (4096.0, 4096.0),
        (1e9, 1e9),
        (math.inf, math.inf),
    ],
)
def test_a_single_time_is_told_as_it_was_within_the_bounds(seconds, told):
    histogram = histogram_of([seconds])
    assert histogram.percentile(50) == told
    assert histogram.count == sum(histogram.counts) == 1


def test_percentiles_of_a_known_row():
    histogram = histogram_of(n / 1000 for n in range(1, 1001))
    for percent in (1, 10, 50, 90, 99, 99.5):
        assert percent / 100 <= histogram.percentile(percent) <= percent / 100 * 1.032
    assert 0.001 <= histogram.percentile(0) <= 0.00104
    assert histogram.percentile(100) == histogram.most == 1.0


def test_the_slowest_in_a_hundred_is_seen_by_p99_5_and_not_by_p99():
    histogram = histogram_of([0.001] * 99 + [5.0])
    assert histogram.percentile(99) < 0.00104
    assert histogram.percentile(99.5) == 5.0


def test_parts_follow_each_other_without_a_gap():
    for part in range(1024):
        assert histogram_of([edge(part)]).counts[part + 1] == 1
        assert histogram_of([math.nextafter(edge(part), 0.0)]).counts[part] == 1


@given(st.lists(TIMES, min_size=1, max_size=60), st.floats(min_value=0.1, max_value=100.0))
def test_a_percentile_is_the_true_one_or_at_most_a_part_above(times, percent):
    true = sorted(times)[max(math.ceil(len(times) * percent / 100), 1) - 1]
    assert true <= histogram_of(times).percentile(percent) <= max(true * 1.032, 1e-6)


@given(st.lists(TIMES, max_size=30), st.lists(TIMES, max_size=30))
def test_merging_is_recording_both(left, right):
    merged = histogram_of(left)
    merged.merge(histogram_of(right))
    both = histogram_of(left + right)
    assert merged.counts == both.counts
    assert (merged.count, merged.most) == (both.count, both.most)


def test_a_merge_leaves_the_other_alone():
    other = histogram_of([1.0])
    mine = histogram_of([2.0])
    mine.merge(other)
    mine.record(3.0)
    assert (other.count, other.most) == (1, 1.0)


def test_the_rate_is_over_what_is_remembered():
    recent = RecentHistogram(100.0)
    assert recent.rate(100.0) == 0.0
    for tick in range(200):
        recent.record(0.01, 100.0 + tick / 10)
    assert recent.rate(119.95) == pytest.approx(10.0, rel=0.05)
    assert recent.rate(200.0) == 0.0


class Recent(RuleBasedStateMachine):
    """A recent histogram beside the list of all that was recorded and when."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.recent = RecentHistogram(self.now, span=10.0)
        self.recorded = []

    @rule(seconds=TIMES)
    def record(self, seconds):
        self.recent.record(seconds, self.now)
        self.recorded.append((self.now, seconds))

    @rule(passed=st.sampled_from([0.1, 1.0, 2.5, 4.0, 5.0, 7.0, 12.0]))
    def wait(self, passed):
        self.now += passed

    @invariant()
    def holds_the_last_half_span_and_nothing_beyond_a_whole(self):
        count = self.recent.recent(self.now).count
        assert count >= sum(at > self.now - 5.0 for at, _ in self.recorded)
        assert count <= sum(at >= self.now - 10.0 for at, _ in self.recorded)

    @precondition(lambda self: self.recorded)
    @rule()
    def forgets_everything_in_time(self):
        self.now += 10.0
        assert self.recent.recent(self.now).count == 0
        self.recorded.clear()


TestRecent = Recent.TestCase
