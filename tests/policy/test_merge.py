"""How parts become one answer."""

import pytest

from netfront.policy.merge import cookies_of, merge, strictest, varying
from netfront.wire.fields import Fields


def sections(*values):
    return [Fields.of(*[(b"Cache-Control", value)] if value else []) for value in values]


def test_keys_stand_as_written_and_values_as_they_came():
    document, clashes = merge([("z", b"1.0"), ("a", b"[ 2 ]"), (None, [("m", b"3"), ("b", b"4")])])
    assert document == b'{"z":1.0,"a":[ 2 ],"m":3,"b":4}'
    assert clashes == []


def test_keys_of_earlier_parts_win_and_clashes_are_told():
    parts = [("a", b"1"), (None, [("b", b"2"), ("a", b"3")]), (None, [("b", b"4"), ("a", b"5")]), ("b", b"6")]
    assert merge(parts) == (b'{"a":1,"b":2}', ["a", "b"])


def test_nothing_is_an_object_still():
    assert merge([(None, [])]) == (b"{}", [])


@pytest.mark.parametrize(
    ("values", "value"),
    [
        ([b""], b""),
        ([b"", b""], b""),
        ([b"max-age=60"], b"max-age=60"),
        ([b"max-age=60", b"max-age=10"], b"max-age=10"),
        ([b"max-age=60", b""], b"max-age=0"),
        ([b"max-age=60", b"private, max-age=10"], b"private, max-age=10"),
        ([b"public, max-age=60", b"public, max-age=30"], b"public, max-age=30"),
        ([b"public, max-age=60", b"max-age=30"], b"max-age=30"),
        ([b"max-age=60", b"No-Store"], b"no-store"),
        ([b"max-age=60", b"no-cache"], b"no-cache, max-age=0"),
        ([b"max-age=60, must-revalidate", b"max-age=30"], b"max-age=30, must-revalidate"),
        ([b"s-maxage=100, max-age=60", b"max-age=80"], b"max-age=60, s-maxage=80"),
        ([b"s-maxage=100, max-age=60", b"private, max-age=80"], b"private, max-age=60"),
        ([b'private="a,max-age=5", max-age=60'], b"private, max-age=60"),
        ([b'max-age="60"'], b"max-age=60"),
        ([b"max-age=-1"], b"max-age=0"),
        ([b"max-age=9999999999999999999999"], b"max-age=0"),
        ([b"max-age=60, immutable", b"max-age=60, immutable"], b"max-age=60, immutable"),
        (
            [b"max-age=1, stale-if-error=9", b"max-age=2, stale-if-error=5"],
            b"max-age=1, stale-if-error=5",
        ),
    ],
)
def test_the_strictest_of_the_parts_holds(values, value):
    assert strictest(sections(*values)) == value


def test_what_has_passed_of_a_life_is_taken_off():
    aged = Fields.of((b"Cache-Control", b"max-age=60"), (b"Age", b"45"))
    assert strictest([aged]) == b"max-age=15"


def test_expires_is_a_life_too():
    date = (b"Date", b"Tue, 01 Jan 2030 00:00:00 GMT")
    assert strictest([Fields.of(date, (b"Expires", b"Tue, 01 Jan 2030 00:01:00 GMT"))]) == b"max-age=60"
    assert strictest([Fields.of(date, (b"Expires", b"0"))]) == b"max-age=0"
    assert strictest([Fields.of((b"Expires", b"Tue, 01 Jan 2030 00:01:00 GMT"))]) == b"max-age=0"


def test_pragma_counts_where_cache_control_says_nothing():
    assert strictest([Fields.of((b"Pragma", b"no-cache"))]) == b"no-cache, max-age=0"


def test_the_whole_varies_by_what_its_parts_vary_by():
    one = Fields.of((b"Vary", b"Accept-Encoding, Cookie"))
    other = Fields.of((b"Vary", b"accept"), (b"vary", b"Origin, cookie"))
    assert varying([one, other]) == b"cookie, origin"
    assert varying([one, Fields.of((b"Vary", b"*"))]) == b"*"
    assert varying([]) == b""


def test_cookies_pass_by_name_the_first_of_each():
    one = Fields.of((b"Set-Cookie", b"sid=1; Path=/"), (b"Set-Cookie", b"other=1"))
    other = Fields.of((b"Set-Cookie", b"sid=2"), (b"Set-Cookie", b"lang=en"))
    assert cookies_of([one, other], frozenset({b"sid", b"lang"})) == [b"sid=1; Path=/", b"lang=en"]


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        ([b"max-age=60", b"public, max-age=30, s-maxage=90"], b"private, max-age=30"),
        ([b"max-age=60", b"max-age=5, must-revalidate"], b"private, max-age=5, must-revalidate"),
        ([b"public, max-age=60", b"max-age=30, s-maxage=90"], b"max-age=30, s-maxage=60"),
        ([b"max-age=60, must-revalidate"], b"max-age=60, must-revalidate"),
    ],
)
def test_no_part_lets_others_answers_to_credentials_be_shared(values, whole):
    """A shared cache keeps none that does not say it may (RFC 9111 §3.5)."""
    sections = [Fields.of((b"Cache-Control", value)) for value in values]
    assert strictest(sections, is_authorized=True) == whole
    assert b"private" not in strictest(sections)
