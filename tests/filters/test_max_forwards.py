"""Max-Forwards: answered at zero, lessened else, and nothing to any other method (RFC 9110 §7.6.2)."""

import pytest

from netfront.errors import BadMessage
from netfront.filters.max_forwards import max_forwards
from netfront.http.message import Exchange, Request, Response
from netfront.wire.fields import EMPTY, Fields, field
from netfront.wire.target import parse_target


class Client:
    """Somebody who asks."""


async def ask(method, *pairs, raw=b"/x?y"):
    """Give the answer, and the fields that were forwarded, if any were."""
    passed = []

    async def backend(request):
        passed.append([(row.name, row.value) for row in request.fields])
        return Response(203, EMPTY, b"theirs")

    target, client = parse_target(method, raw), Client()
    exchange = Exchange(0.0, client, method, raw, b"1")
    request = Request(method, target, b"1", b"http", b"a.test", Fields.of(*pairs), b"", client, exchange)
    request.forwarded = (field(b"X-Forwarded-For", b"192.0.2.7"),)
    answer = await max_forwards()(backend)(request)
    return answer, passed[0] if passed else None


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize(("came", "went"), [(b"1", b"0"), (b"10", b"9"), (b"007", b"6")])
async def test_it_goes_on_with_one_less(method, came, went):
    answer, passed = await ask(method, (b"A", b"1"), (b"Max-Forwards", came), (b"B", b"2"))
    assert answer.status == 203
    assert passed == [(b"a", b"1"), (b"max-forwards", went), (b"b", b"2")]


async def test_options_is_answered_at_zero():
    answer, passed = await ask(b"OPTIONS", (b"Max-Forwards", b"0"))
    assert (answer.status, answer.body, passed) == (200, b"", None)


async def test_trace_shows_the_request_as_it_came_without_secrets():
    pairs = [(b"User-Agent", b"me"), (b"Max-Forwards", b"0"), (b"Via", b"1.1 one")]
    secrets = [b"Authorization", b"Cookie", b"X-Api-Key", b"X-Auth-Request-User", b"Session-Id"]
    answer, passed = await ask(b"TRACE", *pairs, *((name, b"hidden") for name in secrets))
    assert (answer.status, passed) == (200, None)
    assert answer.fields.get(b"content-type") == b"message/http"
    assert answer.body == (
        b"TRACE /x?y HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.7\r\n"
        b"User-Agent: me\r\nMax-Forwards: 0\r\nVia: 1.1 one\r\n\r\n"
    )


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1.0", b"0x1", b"1, 2", b"1234567890", b"\xb2"])
async def test_malformed_number_is_refused(value):
    with pytest.raises(BadMessage) as raised:
        await ask(b"OPTIONS", (b"Max-Forwards", value))
    assert raised.value.status == 400


async def test_two_numbers_are_refused():
    with pytest.raises(BadMessage):
        await ask(b"TRACE", (b"Max-Forwards", b"1"), (b"max-forwards", b"1"))


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PURGE", b"options"])
@pytest.mark.parametrize("value", [b"0", b"5", b"no number"])
async def test_it_means_nothing_to_other_methods(method, value):
    answer, passed = await ask(method, (b"Max-Forwards", value))
    assert (answer.status, passed) == (203, [(b"max-forwards", value)])


async def test_without_it_both_methods_are_forwarded():
    for method in (b"OPTIONS", b"TRACE"):
        assert (await ask(method, (b"A", b"1")))[1] == [(b"a", b"1")]


async def test_asterisk_is_not_forwarded_so_nothing_is_counted():
    answer, passed = await ask(b"OPTIONS", (b"Max-Forwards", b"0"), raw=b"*")
    assert (answer.status, passed) == (203, [(b"max-forwards", b"0")])
