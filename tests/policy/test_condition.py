"""Conditions of routes: what is read, what is refused, and when one holds."""

import pytest

from netfront.errors import UsageError
from netfront.policy.condition import parse_condition
from netfront.wire.fields import Fields

CARRIED = Fields.of(
    (b"X-Version", b"2"), (b"X-Version", b"3"), (b"X-Empty", b""), (b"Cookie", b"a=1; beta=on; none")
)
QUERY = b"v=2&flag&e=&sp+ace=a%26b&v=3"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("header:X-Version", True),
        ("header:x-version=2", True),
        ("header:x-version=3", True),
        ("header:x-version=2, 3", False),
        ("header:x-version=", False),
        ("header:x-empty", True),
        ("header:x-empty=", True),
        ("header:x-other", False),
        ("cookie:beta", True),
        ("cookie:beta=on", True),
        ("cookie:beta=off", False),
        ("cookie:Beta", False),
        ("cookie:none", False),
        ("query:v", True),
        ("query:v=2", True),
        ("query:v=3", True),
        ("query:v=4", False),
        ("query:flag", True),
        ("query:flag=", True),
        ("query:e=", True),
        ("query:sp ace=a&b", True),
        ("query:other", False),
    ],
)
def test_condition_holds_where_a_request_carries_it(text, holds):
    condition = parse_condition(text)
    assert condition.holds(CARRIED, QUERY) == holds
    assert str(condition).lower() == text.lower()


@pytest.mark.parametrize("text", ["header:x", "cookie:x", "query:x"])
def test_nothing_carries_nothing(text):
    assert not parse_condition(text).holds(Fields(), None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a condition"),
        ("header", "not a condition"),
        ("body:x=1", "not a condition"),
        ("header:", "no name of a header"),
        ("header:a b", "no name of a header"),
        ("cookie:a;b", "no name of a cookie"),
        ("query:=x", "no name of a query"),
        ("header:Host=x", "cannot go by Host"),
        ("header:X-Forwarded-For=1", "cannot go by X-Forwarded-For"),
        ("header:Connection", "cannot go by Connection"),
        ("header:x=a\x01", "control character"),
    ],
)
def test_what_is_no_condition_is_refused(text, why):
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert why in str(caught.value)


def test_a_route_may_go_by_credentials_and_not_by_what_is_gone_by_then():
    assert parse_condition("header:Authorization").name == b"authorization"
    for name in ("X-HTTP-Method-Override", "X-Original-URL", "Authorization", "X-Version"):
        assert parse_condition(f"header:{name}=1").name == name.lower().encode()
    for name in ("Host", "X-Request-Id", "Connection", "X-Forwarded-For"):
        with pytest.raises(UsageError):
            parse_condition(f"header:{name}")
