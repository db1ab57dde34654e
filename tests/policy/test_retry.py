"""The budget of tries against a list of when each was, learnt limits against known pasts, and the back-off's range."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from netfront.policy.retry import IDEMPOTENT, SAFE, LearntLimit, RetryBudget, backoff


@pytest.mark.parametrize(
    ("method", "is_safe", "is_idempotent"),
    [
        (b"GET", True, True),
        (b"HEAD", True, True),
        (b"OPTIONS", True, True),
        (b"TRACE", True, True),
        (b"PUT", False, True),
        (b"DELETE", False, True),
        (b"POST", False, False),
        (b"PATCH", False, False),
        (b"CONNECT", False, False),
        (b"get", False, False),
    ],
)
def test_methods_are_sorted_as_the_standard_says(method, is_safe, is_idempotent):
    assert (method in SAFE, method in IDEMPOTENT) == (is_safe, is_idempotent)


def spend(budget, now):
    """Try again as often as may be."""
    tries = 0
    while budget.may_retry(now):
        budget.retried(now)
        tries += 1
        assert tries <= 10_000
    return tries


@pytest.mark.parametrize(
    ("requests", "tries"), [(0, 10), (1, 10), (50, 10), (54, 10), (55, 11), (100, 20), (1000, 200)]
)
def test_a_fifth_of_the_requests_may_be_tried_again_and_ten_at_least(requests, tries):
    budget = RetryBudget()
    for _ in range(requests):
        budget.request(100.0)
    assert spend(budget, 100.0) == tries


def test_a_budget_comes_back_when_its_window_has_passed():
    budget = RetryBudget()
    assert spend(budget, 100.5) == 10
    assert not budget.may_retry(110.4)
    assert spend(budget, 111.5) == 10


def test_a_budget_does_not_save_up():
    budget = RetryBudget()
    for second in range(100):
        budget.request(float(second))
    assert spend(budget, 100.0) == 10


def test_a_budget_of_other_size():
    budget = RetryBudget(ratio=0.5, floor=1, window=1.0)
    for _ in range(10):
        budget.request(0.0)
    assert spend(budget, 0.0) == 5
    assert spend(budget, 1.2) == 1


class Budget(RuleBasedStateMachine):
    """A budget beside the times of all requests and tries."""

    def __init__(self):
        super().__init__()
        self.now = 500.0
        self.budget = RetryBudget()
        self.requests = []
        self.tries = []

    def within(self, times, seconds):
        return sum(at > self.now - seconds for at in times)

    @rule(count=st.integers(1, 100))
    def request(self, count):
        for _ in range(count):
            self.budget.request(self.now)
            self.requests.append(self.now)

    @rule(count=st.integers(1, 30))
    def try_again(self, count):
        for _ in range(count):
            if self.budget.may_retry(self.now):
                self.budget.retried(self.now)
                self.tries.append(self.now)

    @rule(passed=st.sampled_from([0.01, 0.3, 1.0, 3.3, 9.0, 10.0, 11.0, 60.0]))
    def wait(self, passed):
        self.now += passed

    @invariant()
    def allows_what_is_due(self):
        if self.within(self.tries, 11.01) < 10:
            assert self.budget.may_retry(self.now)
        if self.within(self.tries, 11.01) < int(0.2 * self.within(self.requests, 10.0)):
            assert self.budget.may_retry(self.now)

    @invariant()
    def allows_no_more(self):
        if self.within(self.tries, 10.0) >= max(10, int(0.2 * self.within(self.requests, 11.01))):
            assert not self.budget.may_retry(self.now)


TestBudget = Budget.TestCase


def learn(limit, seconds, count, start, end):
    """Let so many answers of one length come, evenly spread."""
    for n in range(count):
        limit.record(seconds, start + (end - start) * n / count)


@pytest.mark.parametrize(
    ("answers", "seconds", "told"),
    [
        (0, 0.0, 1.0),
        (19, 0.1, 1.0),
        (20, 0.1, 0.4),
        (1000, 0.1, 0.4),
        (1000, 0.001, 0.05),
        (1000, 1.0, 4.0),
    ],
)
def test_a_limit_is_four_times_the_p99_once_there_are_twenty_answers(answers, seconds, told):
    limit = LearntLimit()
    learn(limit, seconds, answers, 10.0, 11.0)
    assert limit.limit(12.0) == pytest.approx(told)


def test_one_slow_answer_in_a_hundred_does_not_raise_the_limit_and_two_do():
    limit = LearntLimit()
    learn(limit, 0.1, 990, 0.0, 1.0)
    learn(limit, 3.0, 9, 1.0, 2.0)
    assert limit.limit(2.0) < 0.42
    learn(limit, 3.0, 9, 2.0, 3.0)
    assert limit.limit(3.0) == pytest.approx(12.0)


def test_the_limit_of_a_p95_hedge_is_the_p95():
    limit = LearntLimit(quantile=0.95, factor=1.0, least=0.001)
    learn(limit, 0.01, 950, 0.0, 1.0)
    learn(limit, 1.0, 50, 1.0, 2.0)
    assert 0.01 <= limit.limit(2.0) <= 0.0104
    quick = LearntLimit(quantile=0.95, factor=1.0, least=0.001)
    learn(quick, 0.0001, 100, 0.0, 1.0)
    assert quick.limit(2.0) == 0.001


def test_a_limit_stands_for_half_a_second():
    limit = LearntLimit()
    assert limit.limit(10.0) == 1.0
    learn(limit, 0.1, 100, 10.0, 10.1)
    assert limit.limit(10.4) == 1.0
    assert limit.limit(10.6) < 0.42


def test_every_answer_is_worth_hearing_until_there_are_many():
    limit = LearntLimit()
    learn(limit, 0.1, 499, 0.0, 1.0)
    assert limit.listens < 0.0
    limit.record(0.1, 2.0)
    assert 2.0 < limit.listens <= 2.005


def test_where_a_quick_one_and_a_slow_one_take_turns_both_are_heard():
    limit = LearntLimit()
    learn(limit, 0.001, 500, 0.0, 1.0)
    now, heard = 1.0, {0.001: 0, 0.06: 0}
    for turn in range(4000):
        seconds = (0.001, 0.06)[turn % 2]
        now += seconds
        if now >= limit.listens:
            limit.record(seconds, now)
            heard[seconds] += 1
    assert heard[0.06] == 2000
    assert limit.limit(now + 1.0) > 0.2


def test_what_every_request_looks_at_is_at_most_so_much_and_the_limit_is_what_was_learnt():
    limit = LearntLimit(most=0.5)
    assert (limit.stands, limit.limit(0.0)) == (0.5, 1.0)
    learn(limit, 1.0, 20, 1.0, 2.0)
    assert limit.limit(2.0) == pytest.approx(4.0)
    assert limit.stands == 0.5
    learn(limit, 0.02, 6000, 2.0, 3.0)
    assert limit.limit(3.0) == limit.stands < 0.5


def test_old_answers_fade():
    limit = LearntLimit()
    learn(limit, 2.0, 1000, 0.0, 20.0)
    assert limit.limit(20.0) == pytest.approx(8.0)
    learn(limit, 0.1, 1000, 20.0, 59.0)
    assert limit.limit(59.0) == pytest.approx(8.0)
    learn(limit, 0.1, 1000, 59.0, 70.0)
    assert limit.limit(70.0) < 0.42


def test_little_traffic_keeps_a_past():
    limit = LearntLimit()
    learn(limit, 0.1, 30, 0.0, 300.0)
    assert limit.limit(300.0) < 0.42


def test_a_past_that_nobody_asked_for_in_ten_minutes_is_none():
    limit = LearntLimit()
    learn(limit, 0.1, 30, 0.0, 20.0)
    assert limit.limit(700.0) == 1.0


def test_a_past_of_long_ago_is_none():
    limit = LearntLimit()
    learn(limit, 0.1, 30, 0.0, 20.0)
    assert limit.limit(500.0) < 0.42
    assert limit.limit(1300.0) == 1.0
    limit.record(0.1, 1300.0)
    assert limit.limit(1301.0) == 1.0


@given(st.lists(st.tuples(st.floats(0.0001, 10.0), st.floats(0.0, 40.0)), max_size=80))
def test_a_limit_lies_between_its_least_and_four_times_the_slowest(answers):
    limit = LearntLimit()
    now = 0.0
    for seconds, passed in answers:
        now += passed
        limit.record(seconds, now)
        told = limit.limit(now)
        assert told == 1.0 or 0.05 <= told <= max(4.0 * max(seconds for seconds, _ in answers), 0.05)
    if len(answers) < 20:
        assert limit.limit(now + 1.0) == 1.0


@pytest.mark.parametrize(
    ("attempt", "most"), [(1, 0.025), (2, 0.05), (3, 0.1), (4, 0.2), (5, 0.25), (6, 0.25), (10_000, 0.25)]
)
def test_back_off_is_anything_up_to_a_doubling_most(attempt, most):
    rng = random.Random(7)
    drawn = [backoff(attempt, rng) for _ in range(2000)]
    assert 0.0 <= min(drawn) < most * 0.01
    assert most * 0.99 < max(drawn) < most
