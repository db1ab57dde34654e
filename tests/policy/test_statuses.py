"""Sets of statuses, as --health and --eject-on write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import UsageError
from netfront.policy.statuses import SUCCESSFUL, StatusSet, parse_statuses


@pytest.mark.parametrize(
    ("text", "held", "not_held"),
    [
        ("2xx", [200, 204, 299], [199, 300, 503]),
        ("2XX", [200], [404]),
        ("200", [200], [201]),
        ("200-399", [200, 301, 399], [199, 400]),
        ("200,204", [200, 204], [201, 203]),
        ("2xx,401,500-503", [206, 401, 502], [400, 504]),
        ("100", [100], [200]),
    ],
)
def test_a_set_holds_what_it_says(text, held, not_held):
    statuses = parse_statuses(text)
    assert [status for status in held + not_held if status in statuses] == held
    assert parse_statuses(str(statuses)) == statuses


@pytest.mark.parametrize("text", ["", "2x", "xx2", "99", "600", "20", "2xx,", "200-", "200 ", "٢٠٠", "6xx"])
def test_what_is_no_status_is_refused(text):
    with pytest.raises(UsageError, match="not a status"):
        parse_statuses(text)


def test_all_faults_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        parse_statuses("200,abc,399-200,7xx")
    assert [fault.what for fault in caught.value.faults] == ["abc", "399-200", "7xx"]
    assert caught.value.faults[1].hint == "write 200-399"


@given(st.lists(st.tuples(st.integers(100, 599), st.integers(100, 599)).map(sorted).map(tuple), min_size=1))
def test_what_is_written_is_read_as_the_same(ranges):
    statuses = StatusSet(tuple(ranges))
    again = parse_statuses(str(statuses))
    assert all((status in statuses) is (status in again) for status in range(100, 600))


def test_successes_are_2xx():
    assert str(SUCCESSFUL) == "2xx"
