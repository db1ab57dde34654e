"""Lines of the access log: what each format writes, and that nothing from outside steers it."""

import json
import time

import pytest

from netfront.filters.access_log import FORMATS, access_log
from netfront.http.message import Exchange
from netfront.net.stream import Facts


class Somebody:
    facts = Facts(("192.0.2.1", 5), ("192.0.2.2", 80))


def line(shape, method=b"GET", target=b"/x", version=b"1", status=200, outcome=""):
    exchange = Exchange(1.0, Somebody(), method, target, version)
    exchange.ended, exchange.status, exchange.sent, exchange.outcome = 1.5, status, 7, outcome
    lines = []
    access_log(shape, lines.append, lambda _: 0.0, time.gmtime)(exchange)
    assert lines[0].endswith(b"\n")
    return lines[0][:-1]


@pytest.mark.parametrize(
    ("version", "written"), [(b"1", b"GET /x HTTP/1.1"), (b"0", b"GET /x HTTP/1.0"), (b"", b"GET /x")]
)
def test_version_is_that_of_the_request_if_it_had_one(version, written):
    start = b'192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] "%b" 200 7' % written
    assert line("common", version=version) == start
    assert line("combined", version=version) == start + b' "-" "-"'


@pytest.mark.parametrize("shape", sorted(FORMATS))
def test_what_came_from_outside_is_escaped(shape):
    written = line(shape, b"-", b'\x16\r\n" \x1b[31m\x9b\xff', b"", 400, "not an HTTP request")
    assert written.isascii()
    assert written.decode().isprintable()


def test_json_and_logfmt_say_why():
    assert json.loads(line("json", status=400, outcome="no Host field"))["outcome"] == "no Host field"
    assert b'outcome="no Host field"' in line("logfmt", status=400, outcome="no Host field")
