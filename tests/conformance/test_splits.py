"""Where the bytes are cut changes nothing: each cut of a pipeline of requests, and each cut of a row of responses."""

import time
from collections.abc import Iterator

import pytest

from tests.support.client import connect, parse_answers
from tests.support.netfront import Running, running
from tests.support.origins import Connection, Origin, Seen, answering, origin

_PAUSE = 0.001
"""Long enough that netfront mostly reads the two parts apart; were they read at once the test would still hold."""
_PIPELINE = (
    b"POST /a HTTP/1.1\r\nHost: a.example.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: b\r\n\r\n"
    b"GET /b HTTP/1.1\r\nHost: a.example.test\r\n\r\n"
    b"PUT /c HTTP/1.1\r\nHost: a.example.test\r\nContent-Length: 5\r\n\r\nhello"
    b"\r\nGET /b HTTP/1.1\r\nHost: a.example.test\r\nConnection: close\r\n\r\n"
)
_ASKED = ((b"/a", b"hello world"), (b"/b", b""), (b"/c", b"hello"), (b"/b", b""))
_GET = b"GET / HTTP/1.1\r\nHost: a.example.test\r\n\r\n"
_RESPONSES = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
)


@pytest.fixture(params=["lane", "plain"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"NETFRONT_NO_LANE": "1"} if request.param == "plain" else {}


def _naming(seen: Seen) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen.target), seen.target)


@pytest.fixture
def pair(environment: dict[str, str]) -> Iterator[tuple[Origin, Running]]:
    with origin(answering(_naming)) as behind, running("proxy", behind.url, "-q", **environment) as front:
        yield behind, front


def test_every_cut_of_a_pipeline_gives_the_same(pair: tuple[Origin, Running]) -> None:
    behind, front = pair
    for cut in range(1, len(_PIPELINE)):
        behind.forget()
        with connect(front.port) as client:
            client.send(_PIPELINE[:cut])
            time.sleep(_PAUSE)
            client.send(_PIPELINE[cut:])
            answers = parse_answers(client.read_to_end(), [b"POST", b"GET", b"PUT", b"GET"])
        assert [answer.body for answer in answers] == [target for target, _ in _ASKED], cut
        assert tuple((seen.target, seen.body) for seen in behind.requests) == _ASKED, cut
        assert behind.requests[0].trailers == [(b"X-T", b"b")], cut


def test_a_pipeline_byte_by_byte_gives_the_same(pair: tuple[Origin, Running]) -> None:
    behind, front = pair
    with connect(front.port) as client:
        for index in range(len(_PIPELINE)):
            client.send(_PIPELINE[index : index + 1])
            time.sleep(_PAUSE)
        answers = parse_answers(client.read_to_end(), [b"POST", b"GET", b"PUT", b"GET"])
    assert [answer.body for answer in answers] == [target for target, _ in _ASKED]
    assert tuple((seen.target, seen.body) for seen in behind.requests) == _ASKED


def test_every_cut_of_responses_gives_the_same(environment: dict[str, str]) -> None:
    def play(connection: Connection) -> None:
        for response in _RESPONSES:
            for cut in range(1, len(response)):
                connection.read_request()
                connection.send(response[:cut])
                time.sleep(_PAUSE)
                connection.send(response[cut:])

    with (
        origin(play) as behind,
        running("proxy", behind.url, "-q", **environment) as front,
        connect(front.port) as client,
    ):
        for response in _RESPONSES:
            for cut in range(1, len(response)):
                client.send(_GET)
                answer = client.read_answer()
                assert (answer.status, answer.body) == (200, b"hello world"), cut
                assert len(answer.interim) == response.count(b"103 Early"), cut
                assert len(answer.trailers) == response.count(b"X-T"), cut
        assert len(behind.connections) == 1
