"""Sticky sessions: the cookie that is set, and what is believed of one that comes back."""

import pytest

from netfront.filters.sticky import Stickiness
from netfront.http.message import Exchange, Request, Response
from netfront.wire.fields import EMPTY, Fields
from netfront.wire.target import parse_target

KEY = b"0123456789abcdef"


def asking(cookie=None, scheme=b"http"):
    fields = EMPTY if cookie is None else Fields.of((b"Cookie", cookie))
    exchange = Exchange(0.0, None, b"GET", b"/", b"1.1")
    return Request(b"GET", parse_target(b"GET", b"/"), b"1.1", scheme, b"a.test", fields, b"", None, exchange)


def answered(stickiness, request, name=b"http://b1:80"):
    response = Response(200, Fields.of((b"Set-Cookie", b"own=1")), b"")
    stickiness.set_cookie(request, response, name)
    return response.fields.get_all(b"set-cookie")


@pytest.mark.parametrize(("scheme", "secure"), [(b"http", b""), (b"https", b"; Secure")])
def test_who_brings_none_gets_one(scheme, secure):
    stickiness = Stickiness(KEY, b"nf")
    token = stickiness.token(b"http://b1:80")
    own, ours = answered(stickiness, asking(scheme=scheme))
    assert own == b"own=1"
    assert ours == b"nf=%b; Path=/; HttpOnly; SameSite=Lax%b" % (token, secure)


def test_who_comes_back_to_the_same_backend_gets_none():
    stickiness = Stickiness(KEY, b"nf")
    request = asking(b"x=1; nf=" + stickiness.token(b"http://b1:80"))
    assert stickiness.key(request) == stickiness.token(b"http://b1:80")
    assert answered(stickiness, request) == [b"own=1"]
    assert request.exchange.retried == ""


def test_who_was_moved_gets_another_and_the_log_says_so():
    stickiness = Stickiness(KEY, b"nf")
    request = asking(b"nf=" + stickiness.token(b"http://b2:80"))
    assert answered(stickiness, request)[1].startswith(b"nf=" + stickiness.token(b"http://b1:80"))
    assert request.exchange.retried.startswith("moved")


def test_what_was_retried_keeps_its_reason():
    stickiness = Stickiness(KEY, b"nf")
    request = asking(b"nf=other")
    request.exchange.retried = "retried: connection refused"
    answered(stickiness, request)
    assert request.exchange.retried == "retried: connection refused"


def test_a_token_is_the_same_everywhere_and_tells_nothing_of_the_backend():
    token = Stickiness(KEY, b"nf").token(b"http://b1:80")
    assert token == Stickiness(KEY, b"other").token(b"http://b1:80")
    assert token != Stickiness(KEY + b"x", b"nf").token(b"http://b1:80")
    assert token != Stickiness(KEY, b"nf").token(b"http://b2:80")
    assert len(token) == 24
    assert not set(token) & set(b'=;, "')
