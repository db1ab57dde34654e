"""Every row of the request tables, through one netfront in front of one strict origin.

The differential part: what the origin received, byte for byte, is read again by h11 and by httptools; both must see
the one request that was meant. Where they cannot, `_BEYOND_ASCII` and `_KNOWN_METHODS` say why.
"""

import re
from collections.abc import Iterator

import h11
import httptools
import pytest

from tests.conformance import request_chunks, request_fields, request_framing, request_lines
from tests.conformance.rows import HIDDEN, Passes, Refused, Row, Want, unique
from tests.support.client import Answer, NotWhole, connect, parse_answers
from tests.support.netfront import Running, running
from tests.support.origins import Origin, Seen, answering, origin

_ROWS = unique(
    request_lines.ROWS + request_fields.ROWS + request_framing.ROWS + request_chunks.ROWS,
)
_WARM = b"GET /warm HTTP/1.1\r\nHost: www.example.test\r\n\r\n"
_PROBE = b"GET /probe HTTP/1.1\r\nHost: probe.example.test\r\nConnection: close\r\n\r\n"
_OLD = re.compile(rb"[^\r\n]* HTTP/1\.0\r\n").match
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]").search
"""In a target: RFC 3986 has no such bytes and both refuse them, but servers take UTF-8 there."""
_KNOWN_METHODS = frozenset(b"GET HEAD POST PUT DELETE OPTIONS PATCH TRACE PROPFIND M-SEARCH".split())
"""Those of our rows that httptools has on its list; any token is a method (RFC 9110 §9.1)."""


@pytest.fixture(scope="module")
def behind() -> Iterator[Origin]:
    with origin(answering(), expect_faults=True) as served:
        yield served


@pytest.fixture(scope="module")
def front(behind: Origin) -> Iterator[Running]:
    with running("proxy", behind.url, "-q") as served:
        yield served


@pytest.fixture(scope="module")
def plain(behind: Origin) -> Iterator[Running]:
    with running("proxy", behind.url, "-q", NETFRONT_NO_LANE="1") as served:
        yield served


@pytest.mark.parametrize("manner", ["cold", "warm", "split", "plain"])
@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row.label)
def test_request(row: Row, manner: str, front: Running, plain: Running, behind: Origin) -> None:
    """A row on a new connection, on one where requests with the same Host were answered, and in two pieces.

    The last manner is in two pieces too, to a netfront whose connections are plain trio tasks.
    """
    behind.forget()
    received_before = len(behind.faults)
    raw, ended = _converse((plain if manner == "plain" else front).port, row, manner)
    methods = [want.method for want in row.passes.wants] if row.passes else [b"GET"]
    answers = parse_answers(raw, [*methods, b"GET", b"GET"])
    assert ended == "closed", f"the connection ended with: {ended}"
    if row.passes and (not row.refused or answers[0].status == 200):
        _check_passed(row.passes, answers, behind.requests)
    else:
        assert row.refused is not None
        _check_refused(row.refused, answers, behind.requests)
    assert behind.faults[received_before:] == []


def _converse(port: int, row: Row, manner: str) -> tuple[bytes, str]:
    """Send a row and what follows it; give all that came back, and how it ended."""
    old = row.passes is not None and _OLD(row.data) is not None
    follows = b"" if old else _PROBE if row.passes else HIDDEN
    parts = []
    with connect(port) as client:
        half = 0
        if manner == "warm":
            for _ in range(3):
                client.send(_WARM)
                assert client.read_answer().status == 200
        elif manner in ("split", "plain"):
            half = len(row.data) // 2
        try:
            if half:
                client.send(row.data[:half])
            client.send(row.data[half:] + follows)
        except ConnectionError:
            pass  # refused before all of it was sent: the answer is there all the same
        try:
            while more := client.receive():
                parts.append(more)
        except TimeoutError:
            return b"".join(parts), "open"
        except ConnectionError:
            return b"".join(parts), "reset"
    return b"".join(parts), "closed"


def _check_passed(wanted: Passes, answers: list[Answer], seen: list[Seen]) -> None:
    old = len(answers) == len(wanted.wants)
    assert [answer.status for answer in answers] == [200] * (len(wanted.wants) + (not old))
    # one that is not whole is left from a row before: its body was refused while the origin was reading it
    requests = [one for one in seen if one.is_whole and one.target not in (b"/probe", b"/warm")]
    assert [(one.method, one.target, one.body) for one in requests] == [
        (want.method, want.target, want.body) for want in wanted.wants
    ]
    for want, one in zip(wanted.wants, requests, strict=True):
        _check_seen(want, one)
        assert read_by_h11(one) == (one.method, one.target, one.body)
        assert read_by_httptools(one) == (one.method, one.target, one.body)


def _check_seen(want: Want, seen: Seen) -> None:
    assert seen.version == b"HTTP/1.1"
    assert len(seen.get_all(b"host")) == 1
    assert len(seen.get_all(b"content-length") + seen.get_all(b"transfer-encoding")) <= 1
    for name, value in want.has.items():
        assert seen.get(name) == value, name
    assert tuple(seen.trailers) == want.trailers


def _check_refused(wanted: Refused, answers: list[Answer], seen: list[Seen]) -> None:
    assert len(answers) == 1, f"{len(answers)} answers"
    answer = answers[0]
    assert answer.status in wanted.statuses, answer
    assert answer.closes, "it does not say that it closes"
    whole = [one for one in seen if one.target != b"/warm" and (one.target == b"/hidden" or one.is_whole)]
    assert whole == []


def read_by_h11(seen: Seen) -> tuple[bytes, bytes, bytes]:
    if _BEYOND_ASCII(seen.target):
        return seen.method, seen.target, seen.body
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(seen.raw)
    asked = reader.next_event()
    assert isinstance(asked, h11.Request)
    body = b""
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert reader.trailing_data == (b"", False)
    return asked.method, asked.target, body


class _Heard:
    """What httptools tells of a message."""

    def __init__(self) -> None:
        self.target = self.body = b""
        self.ended = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


def read_by_httptools(seen: Seen) -> tuple[bytes, bytes, bytes]:
    if seen.method not in _KNOWN_METHODS or _BEYOND_ASCII(seen.target):
        return seen.method, seen.target, seen.body
    heard = _Heard()
    reader = httptools.HttpRequestParser(heard)
    try:
        reader.feed_data(seen.raw)
    except httptools.HttpParserUpgrade:
        pass
    assert heard.ended == 1
    return reader.get_method(), heard.target, heard.body


def test_no_row_is_answered_by_a_hang(front: Running) -> None:
    """A head that ends half-way with the connection is refused or dropped, not waited for."""
    with connect(front.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a")
        client.send_eof()
        try:
            assert client.read_answer().status == 400
        except NotWhole:
            pass
        assert client.ends()


@pytest.mark.parametrize("target", [b"*", b"http://www.example.test"])
def test_options_of_the_whole_server_is_answered_here(target: bytes, front: Running, behind: Origin) -> None:
    """RFC 9110 §9.3.7, RFC 9112 §3.2.4: an absolute form without path and query is the same."""
    behind.forget()
    with connect(front.port) as client:
        client.send(b"OPTIONS %b HTTP/1.1\r\nHost: www.example.test\r\n\r\n" % target)
        answer = client.read_answer()
        assert answer.status == 200
        assert b"GET" in (answer.get(b"allow") or b"")
        client.send(_PROBE)
        assert client.read_answer().status == 200
    # what an earlier row had under way when it was refused may come in only now
    own = [seen.target for seen in behind.requests if seen.method == b"OPTIONS" or seen.target == b"/probe"]
    assert own == [b"/probe"]
