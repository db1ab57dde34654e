"""Every row of the response table: one netfront between a strict client and an origin that says what it is told.

The client's connection stays open where it may, and asks again: the next answer must be its own, and nothing that a
backend sent behind its response may be taken for it.
"""

from collections.abc import Iterator

import pytest

from tests.conformance.responses import ROWS, Row
from tests.support.client import Answer, Client, NotWhole, connect
from tests.support.netfront import Running, running
from tests.support.origins import Connection, Origin, origin

_NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"


def _recite(connection: Connection) -> None:
    """Answer `/N` with row N and close; anything else with `next`."""
    while True:
        seen = connection.read_request()
        if not seen.target[1:].isdigit():
            connection.send(_NEXT)
            continue
        connection.send(ROWS[int(seen.target[1:])].data)
        connection.send_eof()
        connection.wait_until_gone()
        return


@pytest.fixture(scope="module")
def behind() -> Iterator[Origin]:
    with origin(_recite, expect_faults=True) as served:
        yield served


@pytest.fixture(scope="module")
def front(behind: Origin) -> Iterator[Running]:
    with running("proxy", behind.url, "-q") as served:
        yield served


@pytest.fixture(scope="module")
def plain(behind: Origin) -> Iterator[Running]:
    """Run one whose connections are plain trio tasks."""
    with running("proxy", behind.url, "-q", NETFRONT_NO_LANE="1") as served:
        yield served


@pytest.mark.parametrize("manner", ["cold", "warm", "plain"])
@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.label for row in ROWS])
def test_response(number: int, manner: str, front: Running, plain: Running) -> None:
    row = ROWS[number]
    with connect((plain if manner == "plain" else front).port) as client:
        if manner != "cold":
            for _ in range(2):
                _ask_next(client)
        client.send(b"%b /%d HTTP/1.1\r\nHost: www.example.test\r\n\r\n" % (row.method, number))
        if row.outcome == "cut":
            _check_cut(client)
            return
        answer = client.read_answer(row.method)
        if row.outcome == "bad":
            assert answer.status == 502
            assert answer.get(b"x-smuggled") is None
            assert b"hello" not in answer.body
        else:
            _check_good(row, answer)
        if answer.framing == "close" or answer.closes:
            assert client.ends()
        else:
            _ask_next(client)


def _check_good(row: Row, answer: Answer) -> None:
    assert (answer.status, answer.body) == (row.status, row.body)
    assert tuple(answer.trailers) == row.trailers
    assert tuple(early.status for early in answer.interim) == row.interim
    for name, value in row.has.items():
        assert answer.get(name) == value, name


def _check_cut(client: Client) -> None:
    try:
        answer = client.read_answer()
    except NotWhole:
        return
    assert answer.status == 502
    assert b"hello" not in answer.body


def _ask_next(client: Client) -> None:
    client.send(b"GET /next HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
    answer = client.read_answer()
    assert (answer.status, answer.body, answer.interim) == (200, b"next", [])


def test_labels_are_unique() -> None:
    labels = [row.label for row in ROWS]
    assert len(set(labels)) == len(labels)
