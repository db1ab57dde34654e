"""What a request is hashed by."""

import pytest

from netfront.filters.request_key import request_key
from netfront.http.message import Exchange, Request
from netfront.net.stream import Facts
from netfront.wire.fields import Fields
from netfront.wire.target import parse_target


class Client:
    def __init__(self, address):
        self.facts = Facts((address, 1), ("192.0.2.2", 80))


def asking(address="192.0.2.1", target=b"/a/b?c=d", *fields):
    client = Client(address)
    exchange = Exchange(0.0, client, b"GET", target, b"1.1")
    return Request(b"GET", parse_target(b"GET", target), b"1.1", b"http", b"a.test", Fields.of(*fields), b"", client,
                   exchange)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        ("ip", "", b"192.0.2.1"),
        ("url", "", b"a.test/a/b?c=d"),
        ("path", "", b"/a/b"),
        ("header", "x-user", b"jo"),
        ("header", "x-other", None),
        ("cookie", "s", b"1"),
        ("cookie", "S", None),
    ],
)
def test_key_is_what_was_named(kind, name, key):
    request = asking("192.0.2.1", b"/a/b?c=d", (b"X-User", b"jo"), (b"Cookie", b"r=0; s=1"))
    assert request_key(kind, name)(request) == key


def test_a_client_without_address_has_no_key():
    assert request_key("ip")(asking("")) is None


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([(b"X-Forwarded-For", b"203.0.113.7")], b"203.0.113.7"),
        ([(b"X-Forwarded-For", b"198.51.100.9, 203.0.113.7, 192.0.2.1")], b"203.0.113.7"),
        ([(b"X-Forwarded-For", b"203.0.113.7:4711, 192.0.2.1:80")], b"203.0.113.7"),
        ([(b"X-Forwarded-For", b"[2001:db8::1]:4711")], b"2001:db8::1"),
        ([(b"X-Forwarded-For", b"203.0.113.7"), (b"X-Forwarded-For", b"203.0.113.8")], b"203.0.113.8"),
        (
            [(b"Forwarded", b"for=198.51.100.9")],
            b"192.0.2.1",
        ),  # what passes on one of the two may not know the other
        ([(b"Forwarded", b"for=198.51.100.9"), (b"X-Forwarded-For", b"203.0.113.7")], b"203.0.113.7"),
        ([(b"X-Forwarded-For", b"192.0.2.1")], b"192.0.2.1"),
        ([(b"X-Real-IP", b"203.0.113.7")], b"192.0.2.1"),
        ([(b"X-Forwarded-For", b"203.0.113.7" + b"," * 60)], b"203.0.113.7"),
        ([(b"X-Forwarded-For", b"203.0.113.7" + b"," * 64)], b"192.0.2.1"),
    ],
)
def test_behind_trusted_proxies_an_address_is_the_nearest_that_is_none_of_theirs(lines, address):
    request = asking("192.0.2.1")
    request.forwarded = Fields.of(*lines).rows
    assert request_key("ip", trusted=lambda told: told == "192.0.2.1")(request) == address
    assert request_key("ip", trusted=lambda told: False)(request) == b"192.0.2.1"
