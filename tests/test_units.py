"""Quantities: what is read, what is refused, and that what is written is read as the same."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import UsageError
from netfront.units import (
    parse_count,
    parse_duration,
    parse_percent,
    parse_rate,
    parse_size,
    render_duration,
    render_percent,
    render_rate,
    render_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("200ms", 0.2),
        ("30s", 30),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("0s", 0),
        ("0ms", 0),
    ],
)
def test_duration_is_read_in_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "5 s", "5S", "-1s", "+1s", "1e3s", "1h30m", ".5s", "5.s", "٣s", "none", "inf"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_duration(text)
    assert caught.value.faults[0].what == text


def test_duration_without_unit_is_refused_and_seconds_are_proposed():
    with pytest.raises(UsageError, match="needs a unit") as caught:
        parse_duration("30")
    assert caught.value.faults[0].hint == "did you mean 30s"


@pytest.mark.parametrize("text", ["0", "0.01", "7200"])
def test_seconds_that_would_be_refused_are_not_proposed(text):
    with pytest.raises(UsageError, match="needs a unit") as caught:
        parse_duration(text, least=0.1, most=3600)
    assert caught.value.faults[0].hint == "allowed is from 100ms to 1h"


def test_none_is_for_ever_where_it_is_allowed():
    assert parse_duration("none", none=True) == inf


@pytest.mark.parametrize(("text", "why"), [("9ms", "too small"), ("2h", "too large")])
def test_duration_out_of_range_is_told_with_the_range(text, why):
    with pytest.raises(UsageError) as caught:
        parse_duration(text, least=0.01, most=3600)
    fault = caught.value.faults[0]
    assert (fault.why, fault.hint) == (why, "allowed is from 10ms to 1h")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("8192", 8192),
        ("8192b", 8192),
        ("64k", 65536),
        ("64K", 65536),
        ("64KiB", 65536),
        ("64kb", 65536),
        ("10M", 10 * 2**20),
        ("1.5k", 1536),
        ("1g", 2**30),
        ("2TiB", 2**41),
    ],
)
def test_size_is_read_1024_based(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "k", "-1", "1 k", "10x", "0x10", "1.3", "1e3", "٣k", "1ki", "1kk", "none"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError):
        parse_size(text)


def test_size_none_is_no_limit_where_it_is_allowed():
    assert parse_size("none", none=True) is None


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50/s", 50), ("3000/m", 50), ("100/min", 100 / 60), ("1.5/s", 1.5), ("24/d", 1 / 3600)],
)
def test_rate_is_per_second(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["50", "50/", "/s", "50/y", "-1/s", "50 /s"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(UsageError):
        parse_rate(text)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("12.5%", 0.125), ("0%", 0), ("100%", 1)])
def test_percent_is_a_share(text, share):
    assert parse_percent(text) == share


@pytest.mark.parametrize("text", ["1", "%", "101%", "-1%"])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(UsageError):
        parse_percent(text)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1k", "٣", "0x1"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(UsageError):
        parse_count(text)


@given(st.integers(0, 10**10))
def test_duration_survives_render_and_parse(thousandths):
    seconds = thousandths / 1000
    assert parse_duration(render_duration(seconds)) == seconds


@given(st.integers(0, 2**50))
def test_size_survives_render_and_parse(size):
    assert parse_size(render_size(size)) == size


@given(st.integers(0, 10**6), st.sampled_from(["s", "m", "min", "h", "d"]))
def test_rate_survives_parse_and_render(times, unit):
    rate = parse_rate(f"{times}/{unit}")
    assert parse_rate(render_rate(rate)) == rate


@given(st.integers(0, 10_000))
def test_percent_survives_render_and_parse(hundredths):
    share = parse_percent(f"{hundredths / 100}%")
    assert parse_percent(render_percent(share)) == pytest.approx(share)
