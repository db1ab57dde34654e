"""Cookies of requests: which value a name has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.wire.cookie import cookie_pairs, cookie_value
from netfront.wire.fields import EMPTY, Fields

TOKEN = st.text("abcXYZ09-_.", min_size=1, max_size=8).map(str.encode)
VALUE = st.text("abcXYZ09-_.=!/", max_size=8).map(str.encode)


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([b"a=1"], b"1"),
        ([b"b=2; a=1; c=3"], b"1"),
        ([b"b=2;a=1"], b"1"),
        ([b"b=2;  a=1 ;c"], b"1"),
        ([b"a=1; a=2"], b"1"),
        ([b"b=2", b"a=1"], b"1"),
        ([b"a="], b""),
        ([b"a=x=y"], b"x=y"),
        ([b'a="1"'], b'"1"'),
        ([b"A=1"], None),
        ([b"a"], None),
        ([b"xa=1; ax=2"], None),
        ([b"=1"], None),
        ([b""], None),
        ([], None),
    ],
)
def test_value_is_that_of_the_first_cookie_of_the_name(lines, value):
    assert cookie_value(Fields.of(*((b"Cookie", line) for line in lines)), b"a") == value


def test_other_fields_are_no_cookies():
    assert cookie_value(Fields.of((b"X-Cookie", b"a=1"), (b"Set-Cookie", b"a=1")), b"a") is None
    assert cookie_value(EMPTY, b"a") is None


@given(pairs=st.lists(st.tuples(TOKEN, VALUE), min_size=1, max_size=6))
def test_what_was_written_is_found_again(pairs):
    fields = Fields.of((b"cookie", b"; ".join(b"%b=%b" % pair for pair in pairs)))
    assert list(cookie_pairs(fields)) == pairs
    for name, _ in pairs:
        assert cookie_value(fields, name) == next(value for key, value in pairs if key == name)


@given(line=st.lists(st.integers(0x20, 0x7E) | st.integers(0x80, 0xFF) | st.just(9), max_size=60).map(bytes))
def test_anything_at_all_is_read(line):
    fields = Fields.of((b"Cookie", line))
    assert cookie_value(fields, b"a") == next(
        (value for name, value in cookie_pairs(fields) if name == b"a"), None
    )


def test_all_are_given_over_several_lines():
    fields = Fields.of((b"Cookie", b"a=1; b; =2"), (b"X", b"c=3"), (b"Cookie", b" a = 4"))
    assert list(cookie_pairs(fields)) == [(b"a", b"1"), (b"", b"2"), (b"a ", b" 4")]
