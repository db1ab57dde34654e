"""What is told of a client: by us, and continued where a trusted proxy has told of it before."""

from types import SimpleNamespace

import pytest

from netfront.filters.forwarded import forwarded
from netfront.filters.request_key import request_key
from netfront.http.message import Exchange, Request
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY, REQUEST_KINDS, FieldMemory
from netfront.wire.target import parse_target


def told(*lines, scheme=b"http", authority=b"app.test", peer="10.0.0.1", trusted=lambda _: True):
    """Give what the backend hears, of these fields of a proxy that is trusted."""
    client = SimpleNamespace(facts=Facts((peer, 1), ("10.0.0.9", 80)), told=None)
    exchange = Exchange(0.0, client, b"GET", b"/", b"1")
    target = parse_target(b"GET", b"/")
    request = Request(b"GET", target, b"1", scheme, authority, EMPTY, b"", client, exchange)
    request.forwarded = tuple(FieldMemory(REQUEST_KINDS).fields(list(lines)))
    address_of = request_key("ip", trusted=trusted)
    forwarded(trusted=trusted, address_of=address_of, via=False)(lambda request: None)(request)
    return {row.name: row.value for row in request.fields}


@pytest.mark.parametrize(
    ("lines", "port"),
    [
        ([], b"80"),
        ([b"X-Forwarded-Proto: https"], b"443"),
        ([b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop.test:8443"], b"8443"),
        ([b"X-Forwarded-Host: shop.test"], b"80"),
        ([b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 4443"], b"4443"),
        ([b"X-Forwarded-For: 192.0.2.7"], b"80"),
        ([b"X-Forwarded-Proto: HTTPS, http", b"X-Forwarded-Host: shop.test:8443, b.internal:80"], b"8443"),
        ([b"X-Forwarded-Proto: wss"], b"443"),
    ],
)
def test_the_port_is_that_of_what_a_trusted_proxy_says(lines, port):
    assert told(*lines)[b"x-forwarded-port"] == port
    assert told(*lines, authority=b"")[b"x-forwarded-port"] == port


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([b"X-Forwarded-For: 192.0.2.7"], b"192.0.2.7"),
        ([b"X-Forwarded-For: 203.0.113.1, 192.0.2.7, 10.0.0.3"], b"192.0.2.7"),
        ([b"X-Forwarded-Proto: https"], b"10.0.0.1"),
        ([b"X-Forwarded-For: 192.0.2.7", b"X-Real-IP: 192.0.2.8"], b"192.0.2.7"),
        ([b"X-Real-IP: 192.0.2.8"], b"192.0.2.8"),
        ([b"X-Real.IP: 192.0.2.8", b"X.Forwarded.For: 192.0.2.9"], b"10.0.0.1"),
    ],
)
def test_the_address_of_the_client_is_the_one_that_rules_go_by(lines, address):
    assert told(*lines, trusted=lambda peer: peer.startswith("10."))[b"x-real-ip"] == address


def test_where_an_application_begins_is_said_by_trusted_proxies_as_they_say_it():
    lines = [b"SCRIPT_NAME: /app", b"X-Script-Name: /app", b"X_Sendfile_Type: x", b"Daphne.Root.Path: /x"]
    says = told(*lines)
    assert (says[b"script_name"], says[b"x-script-name"]) == (b"/app", b"/app")
    assert not {b"x_sendfile_type", b"daphne.root.path"} & set(says)
    assert not {b"script_name", b"x-script-name"} & set(told(*lines, trusted=lambda _: False))


def test_lists_are_continued_and_single_values_stay():
    rows = told(b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop.test")
    assert rows[b"x-forwarded-for"] == b"192.0.2.7, 10.0.0.1"
    assert rows[b"x-forwarded-proto"] == b"https"
    assert rows[b"x-forwarded-host"] == b"shop.test"


@pytest.mark.parametrize(("size", "is_remembered"), [(256, True), (257, False)])
def test_what_is_told_of_a_client_is_remembered_unless_its_host_is_long(size, is_remembered):
    target, authority = parse_target(b"GET", b"/"), b"a" * size
    client = SimpleNamespace(facts=Facts(("10.0.0.1", 5), ("10.0.0.2", 80)), told=None)
    exchange = Exchange(0.0, client, b"GET", b"/", b"1")
    request = Request(b"GET", target, b"1", b"http", authority, EMPTY, b"", client, exchange)
    forwarded(trusted=lambda _: False)(lambda request: None)(request)
    assert bool(client.told.known) is is_remembered
