"""Regular expressions that cannot stall the process."""

import signal

import pytest

from netfront.errors import UsageError
from netfront.http.pattern import Pattern, TooLong

ENDLESS = b"a" * 60_000 + b"b"


@pytest.mark.parametrize(
    ("text", "data", "is_in"),
    [
        ("ok", b"all is ok\n", True),
        ("^ok$", b"not ok\n", False),
        ("(?i)READY", b"ready", True),
        ("grün", "alles grün".encode(), True),
        (r'"status":\s*"(up|ok)"', b'{"status": "up"}', True),
        ("", b"", True),
    ],
)
def test_it_is_looked_for_anywhere(text, data, is_in):
    assert Pattern(text).is_in(data) is is_in


@pytest.mark.parametrize("text", ["(a+)+$", "(a|aa)+$", ".*.*.*x"])
def test_a_search_that_would_not_end_is_cut(text):
    with pytest.raises(TooLong):
        Pattern(text).is_in(ENDLESS)


def test_what_was_cut_rests():
    pattern = Pattern("(a+)+$")
    with pytest.raises(TooLong):
        pattern.is_in(ENDLESS)
    with pytest.raises(TooLong):
        pattern.is_in(b"a")


def test_signal_and_timer_are_put_back():
    def other(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGVTALRM, other)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 1000)
        assert Pattern("a").is_in(b"a")
        with pytest.raises(TooLong):
            Pattern("(a+)+$").is_in(ENDLESS)
        assert signal.getsignal(signal.SIGVTALRM) is other
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 900
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("text", ["(", "[a", "a{2,1}", "*", r"\d(?P<x", "a" * 1001, "\udc80"])
def test_what_is_none_is_refused(text):
    with pytest.raises(UsageError, match="regular expression"):
        Pattern(text)
