"""Responses that were damaged at random: what netfront lets pass is what everybody else would have read there.

Lawful responses of every framing are mutated and spliced by a seeded generator. The client gets a 502 of netfront's
own, a response that visibly breaks off, or one that h11 and httptools read in the backend's own bytes too. The next
request on the client's connection gets its own answer, whatever the backend sent behind.
"""

import os
import random
from collections.abc import Iterator

import h11
import httptools
import pytest

from tests.support.client import Answer, Client, NotWhole, connect
from tests.support.netfront import Running, running
from tests.support.origins import Connection, origin

CASES = int(os.environ.get("NETFRONT_MUTATIONS", "150"))
"""Of each of eight seeds."""
_BEHIND = b"HTTP/1.1 200 OK\r\nX-Smuggled: yes\r\nContent-Length: 8\r\n\r\nsmuggled"
_NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_SEEDS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_BEHIND), _BEHIND),
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
    b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" + b"hello" * 5,
    _CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    _CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BEHIND), _BEHIND),
    _CHUNKED + b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-T: c\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
)
_PIECES = (
    *(bytes([code]) for code in b"\r\n \t\x00\x0b\x0c\x7f\x80\xa0:,;0159afx_+-\"'"),
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\n\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: keep-alive\r\n",
    b"chunked",
    b"0\r\n\r\n",
    b"HTTP/1.1 101 Yes\r\n",
    b"204",
    b"199",
    _BEHIND,
)


class _Stage:
    """What the origin says next."""

    said = b""


def _recite(connection: Connection) -> None:
    while connection.read_request().target != b"/damaged":
        connection.send(_NEXT)
    connection.send(_Stage.said)
    connection.send_eof()
    connection.wait_until_gone()


@pytest.fixture(scope="module", params=["lane", "plain"])
def front(request: pytest.FixtureRequest) -> Iterator[Running]:
    environment = {"NETFRONT_NO_LANE": "1"} if request.param == "plain" else {}
    with origin(_recite) as behind, running("proxy", behind.url, "-q", **environment) as served:
        yield served


@pytest.mark.parametrize("seed", range(4))
def test_damaged_responses(seed: int, front: Running) -> None:
    chance = random.Random(seed)
    for _ in range(CASES):
        _Stage.said = _mutated(chance)
        method = chance.choice((b"GET", b"GET", b"POST", b"HEAD"))
        try:
            _check(front.port, method)
        except (AssertionError, Exception) as error:
            error.add_note(f"{method!r} was answered with: {_Stage.said!r}")
            raise


def _mutated(chance: random.Random) -> bytes:
    data = bytearray(chance.choice(_SEEDS))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[at:at] = chance.choice(_PIECES)
            case 1:
                del data[at : at + chance.choice((1, 1, 2, 5))]
            case 2:
                data[at : at + 1] = chance.choice(_PIECES)
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 4:
                data[at:at] = data[at : at + chance.randrange(1, 30)]
            case _:
                other = chance.choice(_SEEDS)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)


def _check(port: int, method: bytes) -> None:
    with connect(port) as client:
        client.send(b"%b /damaged HTTP/1.1\r\nHost: www.example.test\r\nContent-Length: 0\r\n\r\n" % method)
        try:
            answer = client.read_answer(method)
        except NotWhole:
            return
        if not (answer.status == 502 and answer.get_all(b"content-type")):
            _check_passed(answer, method)
        if answer.framing != "close" and not answer.closes:
            _ask_next(client)


def _check_passed(answer: Answer, method: bytes) -> None:
    """Hold what the client got against what two others read in the backend's bytes."""
    passed = answer.status, answer.body
    assert passed == _read_by_h11(_Stage.said, method)
    heard = _read_by_httptools(_Stage.said, method)
    assert heard is None or heard == passed


def _ask_next(client: Client) -> None:
    client.send(b"GET /next HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
    answer = client.read_answer()
    assert (answer.status, answer.body, answer.interim) == (200, b"next", [])


def _read_by_h11(data: bytes, method: bytes) -> tuple[int, bytes]:
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"a")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data)
    reader.receive_data(b"")
    while isinstance(head := reader.next_event(), h11.InformationalResponse):
        pass
    assert isinstance(head, h11.Response), head
    body = b""
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    return head.status_code, body


class _Heard:
    """What httptools tells of the final response: each head begins anew."""

    def __init__(self) -> None:
        self.body = b""
        self.found: tuple[int, bytes] | None = None
        self.reader: httptools.HttpResponseParser | None = None

    def on_message_begin(self) -> None:
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert self.reader is not None
        status = self.reader.get_status_code()
        if self.found is None and status >= 200:
            self.found = status, self.body


def _read_by_httptools(data: bytes, method: bytes) -> tuple[int, bytes] | None:
    """Give what it reads as the first final response; None where it cannot tell: it knows no HEAD, and no end."""
    if method == b"HEAD":
        return None
    heard = _Heard()
    heard.reader = httptools.HttpResponseParser(heard)
    try:
        heard.reader.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        pass
    return heard.found
