"""Faults under load before `netfront balance`: the cases of tests/bench/faults.py, small.

What is asserted counts results: failed, sent twice, short, broken. How fast it was is for the bench, on a quiet
machine.
"""

import pytest

from tests.bench.faults import CASES, SHORT, run_case


def missed(name, proxy="netfront"):
    """Play a case; give the counts that are not as they must be."""
    report = run_case(name, proxy, SHORT)
    assert report.load.results
    return [str(must) for must in report.missed if must.counts], str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_request_fails_where_another_backend_could_answer(name):
    counts, told = missed(name)
    assert not counts, told


@pytest.mark.slow
@pytest.mark.parametrize("name", ["killed", "hung", "members"])
def test_nor_does_one_without_a_lane(name, monkeypatch):
    monkeypatch.setenv("NETFRONT_NO_LANE", "1")
    counts, told = missed(name)
    assert not counts, told


@pytest.mark.slow
def test_a_backend_that_never_answers_is_seen_by_these_clients():
    """Or the tests above would pass for want of a fault."""
    counts, told = missed("hung", "nginx")
    assert counts, told
