"""filters/cors, request_id and secure_headers: what stands at the edge."""

import random
import re

import pytest

from netfront.filters.cors import CorsRules, cors, cors_here
from netfront.filters.edit_fields import hides
from netfront.filters.request_id import fresh_lines, request_id
from netfront.filters.secure_headers import SECURE_FIELDS, secure_headers
from netfront.http.message import Response, stack
from netfront.wire.fields import EMPTY, ID, RESPONSE_KINDS, Fields
from tests.filters.requests import as_received, asking
from tests.filters.test_limit import through

APP = (b"Origin", b"https://app.example")
ONE = CorsRules([b"https://app.example", b"https://*.b.example"], credentials=True, max_age=60)
ANY = CorsRules([b"*"])


def answering(*pairs, status=200):
    async def answer(_):
        return Response(status, Fields.of(*pairs), b"")

    return answer


def never(_):
    raise AssertionError("it came through")


def by_method(request, method):
    return ONE if method in (b"GET", b"PUT") else None


def preflight(*pairs, method=b"PUT", then=never):
    request = asking(*pairs, (b"Access-Control-Request-Method", method), method=b"OPTIONS")
    return through(cors(by_method)(then), request)


def test_a_preflight_is_answered_for_the_method_asked_for():
    response = preflight(APP, (b"Access-Control-Request-Headers", b"authorization, x-a"))
    assert response.status == 204
    assert {row.name: row.value for row in response.fields} == {
        b"access-control-allow-origin": b"https://app.example",
        b"access-control-allow-credentials": b"true",
        b"access-control-allow-methods": b"PUT",
        b"access-control-allow-headers": b"authorization, x-a",
        b"access-control-max-age": b"60",
        b"vary": b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


def test_a_preflight_of_another_origin_is_403_without_leave():
    response = preflight((b"Origin", b"https://evil.example"))
    assert response.status == 403
    assert not [row for row in response.fields if row.name.startswith(b"access-control")]


def test_where_no_rules_hold_a_preflight_goes_on():
    assert preflight(APP, method=b"DELETE", then=answering(status=405)).status == 405


@pytest.mark.parametrize("names", [b"a b", b"x,\xff", b"x" * 3000])
def test_names_of_fields_that_are_none_are_not_repeated(names):
    response = preflight(APP, (b"Access-Control-Request-Headers", names))
    assert response.fields.get(b"access-control-allow-headers") is None


def test_plain_options_and_requests_without_origin_are_no_preflights():
    assert through(cors(by_method)(answering()), asking(APP, method=b"OPTIONS")).status == 200
    request = asking((b"Access-Control-Request-Method", b"PUT"), method=b"OPTIONS")
    assert through(cors(by_method)(answering()), request).status == 200


def read_by(origin, rules, *pairs, status=200):
    handler = stack(cors(by_method), cors_here(rules), then=answering(*pairs, status=status))
    asked = asking(*([(b"Origin", origin)] if origin else []))
    return through(handler, asked).fields


@pytest.mark.parametrize("status", [200, 401, 429, 502])
def test_answers_of_any_status_may_be_read(status):
    fields = read_by(b"https://app.example", ONE, status=status)
    assert fields.get(b"access-control-allow-origin") == b"https://app.example"
    assert fields.get(b"access-control-allow-credentials") == b"true"
    assert fields.get(b"vary") == b"Origin"
    assert b"RateLimit" in fields.get(b"access-control-expose-headers")


def test_any_origin_needs_no_vary():
    fields = read_by(b"https://x.example", ANY)
    assert fields.get(b"access-control-allow-origin") == b"*"
    assert fields.get(b"access-control-expose-headers") == b"*"
    assert fields.get(b"vary") is None


@pytest.mark.parametrize("origin", [None, b"https://evil.example", b"null", b"https://app.example.evil"])
def test_others_may_not_and_caches_are_told_that_it_differs(origin):
    fields = read_by(origin, ONE)
    assert fields.get(b"access-control-allow-origin") is None
    assert fields.get(b"vary") == b"Origin"


def test_what_the_backend_says_is_replaced():
    fields = read_by(
        b"https://app.example",
        ONE,
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Access-Control-Allow-Headers", b"x"),
        (b"Access-Control-Expose-Headers", b"X-Total"),
        (b"Vary", b"Accept, Origin"),
    )
    assert fields.get_all(b"access-control-allow-origin") == [b"https://app.example"]
    assert fields.get(b"access-control-allow-headers") is None
    assert fields.get_all(b"access-control-expose-headers")[0] == b"X-Total"
    assert fields.get_all(b"vary") == [b"Accept, Origin"]


@pytest.mark.parametrize(("said", "vary"), [(b"X-Original-Host", 2), (b"Accept,ORIGIN", 1), (b"*", 1)])
def test_an_answer_says_that_it_differs_by_origin_unless_it_did(said, vary):
    assert len(read_by(b"https://app.example", ONE, (b"Vary", said)).get_all(b"vary")) == vary


def test_without_rules_the_backend_speaks_for_itself():
    handler = cors(by_method)(answering((b"Access-Control-Allow-Origin", b"*")))
    assert through(handler, asking(APP)).fields.get_all(b"access-control-allow-origin") == [b"*"]


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (b"https://app.example", True),
        (b"https://x.b.example", True),
        (b"https://x.y.b.example", True),
        (b"https://b.example", False),
        (b"https://evil/.b.example", False),
        (b"http://app.example", False),
        (b"https://app.example:8443", False),
        (b"https://xb.example", False),
    ],
)
def test_origins_are_told_apart(origin, may):
    assert ONE.allows(origin) == may


class Peer:
    class facts:
        peer = ("192.0.2.1", 1)


def identified(*pairs, trusted=False):
    """Give the request as the backend and the client see it: their lines of its id, and the rest."""
    request = asking(*pairs, client=Peer())
    handler = request_id(
        iter([b"X-Request-Id: made1\r\n", b"X-Request-Id: made2\r\n"]).__next__, lambda _: trusted
    )(answering())
    through(handler, request)
    assert request.lines == request.answer_lines
    return request, request.lines


def test_an_id_is_made_and_told_everywhere():
    request, told = identified((b"X-Request-Id", b"theirs"), (b"X_Request_Id", b"theirs"))
    assert told == b"X-Request-Id: made1\r\n"
    assert request.exchange.id == b"made1"
    assert not request.fields.rows


def test_what_a_backend_calls_it_is_dropped():
    fields = ((b"X-Request-Id", b"mine"), (b"X_Request_Id", b"mine"), (b"X-A", b"1"), (b"Server", b"s"))
    response = Response(200, as_received(*fields, kinds=RESPONSE_KINDS), b"")
    hides(1 << ID)(asking(), response)
    assert [row.name for row in response.fields] == [b"x-a", b"server"]


def test_ids_are_all_different_and_of_128_bits():
    lines = fresh_lines(random.Random(7))
    made = {next(lines) for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(rb"X-Request-Id: [0-9a-f]{32}\r\n", one) for one in made)


def test_a_trusted_proxy_has_given_one_already():
    assert identified((b"X-Request-Id", b"theirs"), trusted=True)[1] == b"X-Request-Id: theirs\r\n"


@pytest.mark.parametrize("bad", [b"", b"a b", b"x" * 201])
def test_one_that_is_none_is_made_anew(bad):
    assert identified((b"X-Request-Id", bad), trusted=True)[1] == b"X-Request-Id: made1\r\n"


def test_a_trace_goes_on_and_none_is_begun():
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert identified((b"traceparent", parent))[0].fields.get(b"traceparent") == parent
    assert not identified()[0].fields.rows


def test_secure_fields_are_added_where_the_backend_sets_none():
    handler = secure_headers()(answering((b"X-Frame-Options", b"DENY"), (b"X-Generator", b"cms 1")))
    fields = through(handler, asking()).fields
    assert fields.get_all(b"x-frame-options") == [b"DENY"]
    assert fields.get(b"x-generator") is None
    assert all(len(fields.get_all(name.lower())) == 1 for name, _ in SECURE_FIELDS)


def test_an_upgrade_is_left_as_it_is():
    handler = stack(secure_headers(), cors(by_method), cors_here(ANY), then=answering(status=101))
    assert through(handler, asking(APP)).fields.rows == EMPTY.rows
