"""Lines of the access log: what each format writes, and that nothing from outside steers it."""

import json
import time

import pytest

from netfront.endpoint import Endpoint
from netfront.filters.access_log import FORMATS, PASSAGE_FORMATS, access_log, passage_log
from netfront.http.message import Exchange
from netfront.net.backend import Backend, Member
from netfront.net.passage import Passage
from netfront.net.stream import Facts

DB = Backend(Member(Endpoint("tcp", "db", 5432), "db:5432", b"db"))


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


@pytest.mark.parametrize(
    ("user", "written"),
    [("", b"-"), ("ann", b"ann"), ('a "b\\\n', b"a\\x20\\x22b\\x5c\\x0a"), ("é", b"\\xc3\\xa9")],
)
def test_who_asked_is_one_word(user, written):
    exchange = Exchange(1.0, Somebody(), b"GET", b"/", b"1")
    exchange.user = user
    lines = []
    for shape in ("common", "json"):
        access_log(shape, lines.append, lambda _: 0.0, time.gmtime)(exchange)
    assert lines[0].startswith(b"192.0.2.1 - %b [01/Jan/" % written)
    assert json.loads(lines[1]).get("user", "") == user


def test_json_and_logfmt_say_why():
    assert json.loads(line("json", status=400, outcome="no Host field"))["outcome"] == "no Host field"
    assert b'outcome="no Host field"' in line("logfmt", status=400, outcome="no Host field")
    assert b'outcome="a\\u001b[2Jb"' in line("logfmt", status=400, outcome="a\x1b[2Jb")


def test_backend_tries_and_why_there_were_more_are_told():
    exchange = Exchange(1.0, Somebody(), b"GET", b"/", b"1")
    exchange.backend, exchange.tries, exchange.retried = DB, 2, "retried: connection refused"
    lines = []
    for shape in ("json", "logfmt"):
        access_log(shape, lines.append, lambda _: 0.0, time.gmtime)(exchange)
    told = json.loads(lines[0])
    assert (told["backend"], told["tries"], told["retried"]) == ("db:5432", 2, "retried: connection refused")
    assert b'backend=db:5432 tries=2 retried="retried: connection refused"' in lines[1]


def test_of_what_went_well_at_once_no_reason_is_told():
    exchange = Exchange(1.0, Somebody(), b"GET", b"/", b"1")
    exchange.backend, exchange.tries = DB, 1
    lines = []
    access_log("json", lines.append, lambda _: 0.0, time.gmtime)(exchange)
    assert "retried" not in json.loads(lines[0])


def passage(**facts):
    made = Passage(Somebody.facts, 1.0, b"a.example", DB, received=3, sent=7, connected=1.25, ended=1.5)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def passage_line(shape, *, kind="tcp", **facts):
    lines = []
    passage_log(shape, kind, lines.append, lambda _: 0.0, time.gmtime)(passage(**facts))
    assert lines[0].endswith(b"\n")
    return lines[0][:-1]


def test_connection_that_was_passed_on_has_a_line_of_its_own():
    assert json.loads(passage_line("json", tries=2, why=("connection refused",))) == {
        "time": "1970-01-01T00:00:00Z",
        "client": "192.0.2.1",
        "protocol": "tcp",
        "port": 80,
        "sent": 7,
        "received": 3,
        "seconds": 0.5,
        "name": "a.example",
        "backend": "db:5432",
        "tries": 2,
        "retried": "retried: connection refused",
        "connected": 0.25,
    }
    assert passage_line("logfmt", kind="udp", name=b"", tries=1) == (
        b"time=1970-01-01T00:00:00Z client=192.0.2.1 protocol=udp port=80 sent=7 received=3 seconds=0.5 "
        b"backend=db:5432 tries=1 first=0.25"
    )


@pytest.mark.parametrize(
    ("outcome", "status"), [("", b"200"), ("client: connection reset by peer", b"499"), ("no route", b"502")]
)
def test_common_log_has_connections_in_the_places_of_requests(outcome, status):
    start = b'192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] "TCP a.example:80" %b 7' % status
    assert passage_line("common", outcome=outcome) == start
    assert passage_line("combined", outcome=outcome) == start + b' "-" "-"'


@pytest.mark.parametrize("shape", sorted(PASSAGE_FORMATS))
def test_a_name_that_was_asked_for_steers_no_line(shape):
    written = passage_line(shape, name=b'\r\n" \x1b[31m\x9b\xff')
    assert written.isascii()
    assert written.decode().isprintable()
