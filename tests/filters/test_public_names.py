"""What names the backend comes to name us."""

import pytest

from netfront.endpoint import Endpoint
from netfront.filters.public_names import public_names
from netfront.http.message import Exchange, Request, Response
from netfront.net.backend import Backend, Member
from netfront.policy.route import parse_scope
from netfront.wire.fields import EMPTY, REQUEST_KINDS, RESPONSE_KINDS, FieldMemory, Fields
from netfront.wire.target import parse_target

MEMBER = Member(Endpoint("http", "localhost", 8000, base="/v2/"), "a", b"localhost:8000", base=b"/v2/")


def rewritten(line, *, scheme=b"http", authority=b"pub.test:81", forwarded=()):
    exchange = Exchange(0.0, None, b"GET", b"/", b"1")
    exchange.backend = Backend(MEMBER)
    target = parse_target(b"GET", b"/")
    request = Request(b"GET", target, b"1", scheme, authority, EMPTY, b"", None, exchange)
    request.route = parse_scope("/api")
    request.forwarded = tuple(FieldMemory(REQUEST_KINDS).fields(list(forwarded)))
    response = Response(302, fields_of(line), b"")
    public_names(request, response)
    return b"".join(response.fields.rendered.splitlines())


def fields_of(line):
    return Fields(FieldMemory(RESPONSE_KINDS).fields([line]))


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"Location: /v2/x?y#z", b"Location: /api/x?y#z"),
        (b"Location: /other", b"Location: /other"),
        (b"Location: http://localhost:8000/v2/x", b"Location: http://pub.test:81/api/x"),
        (b"Location: http://[::1]:8000/v2", b"Location: http://pub.test:81/api"),
        (b"Location: //localhost:8000/v2/x", b"Location: //pub.test:81/api/x"),
        (b"Location: http://pub.test:8000/v2/x", b"Location: http://pub.test:81/api/x"),
        (b"Location: http://pub.test:81/v2/x", b"Location: http://pub.test:81/api/x"),
        (b"Location: //PUB.test:81/v2/x", b"Location: //pub.test:81/api/x"),
        (b"Location: http://pub.test:82/v2/x", b"Location: http://pub.test:82/v2/x"),
        (b"Location: https://pub.test:81/v2/x", b"Location: https://pub.test:81/v2/x"),
        (b"Location: http://other.test/v2/x", b"Location: http://other.test/v2/x"),
        (b"Refresh: 5; url='http://pub.test:81/v2/x'", b"Refresh: 5; url='http://pub.test:81/api/x'"),
        (b"Set-Cookie: a=b; Path=/v2; Domain=localhost", b"Set-Cookie: a=b; Path=/api"),
    ],
)
def test_reference_into_the_backend_leads_to_the_public_side(said, told):
    assert rewritten(said) == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"Location: http://pub.test/v2/x", b"Location: https://pub.test/api/x"),
        (b"Location: https://pub.test/v2/x", b"Location: https://pub.test/api/x"),
        (b"Location: https://pub.test:443/v2/x", b"Location: https://pub.test/api/x"),
        (b"Location: https://pub.test:444/v2/x", b"Location: https://pub.test:444/v2/x"),
    ],
)
def test_reference_that_the_backend_made_of_host_does_too(said, told):
    assert rewritten(said, scheme=b"https", authority=b"pub.test") == told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"Location: http://localhost:8000/v2/x", b"Location: https://shop.test/api/x"),
        (b"Location: //localhost:8000/v2/x", b"Location: //shop.test/api/x"),
        (b"Location: http://pub.test:81/v2/x", b"Location: https://shop.test/api/x"),
    ],
)
def test_reference_leads_to_where_a_trusted_proxy_was_asked(said, told):
    for scheme, host in ((b"https", b"shop.test"), (b"HTTPS, http", b"shop.test, b.internal:8080")):
        forwarded = [b"X-Forwarded-Proto: " + scheme, b"X-Forwarded-Host: " + host]
        assert rewritten(said, forwarded=forwarded) == told


def test_reference_for_who_gave_no_host_is_a_path():
    assert rewritten(b"Location: http://localhost:8000/v2/x?y", authority=b"") == b"Location: /api/x?y"
