"""Requests that were damaged at random: whatever netfront lets pass, everybody else must read as it did.

Lawful requests, framed in each way and with a hidden one inside, are mutated and spliced by a seeded generator. Then:

- the strict origin never sees anything malformed, and h11 and httptools read each request there as it did;
- what reaches the origin is what h11 reads in the client's own bytes, in order, from the first one on;
- each request that reached it was answered, and at most one answer of netfront's own came behind.
"""

import os
import random
from collections.abc import Iterator

import h11
import pytest

from tests.conformance.rows import HIDDEN, HOST, request
from tests.conformance.test_requests import read_by_h11, read_by_httptools
from tests.support.client import NotWhole, connect, parse_answers
from tests.support.netfront import Running, running
from tests.support.origins import Origin, answering, origin

CASES = int(os.environ.get("NETFRONT_MUTATIONS", "200"))
"""Of each of twelve seeds."""
_INSIDE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
_SEEDS = (
    request(b"Accept: */*", b"X-A: b"),
    request(b"Content-Length: 5", method=b"POST", body=b"hello"),
    request(b"Content-Length: %d" % len(HIDDEN), method=b"POST", body=HIDDEN),
    request(b"Transfer-Encoding: chunked", method=b"POST", body=b"5\r\nhello\r\n0\r\n\r\n"),
    request(b"Transfer-Encoding: chunked", method=b"POST", body=_INSIDE),
    request(b"Transfer-Encoding: chunked", method=b"POST", body=b"5;a=b\r\nhello\r\n0\r\nX-T: c\r\n\r\n"),
    request(b"X-Note: " + HIDDEN[:20].strip(), target=b"/a?b=c"),
    request(b"Connection: keep-alive, x-a", b"X-A: b", target=b"http://abs.example.test/x"),
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
    b"Connection: content-length\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"chunked",
    b"0\r\n\r\n",
    b"HTTP/1.0",
    HOST + b"\r\n",
    HIDDEN,
)


_PLAIN = bytes(code if code < 0x80 else 0x7A for code in range(256))
"""h11 takes no byte over 0x7e in a target; for it they are all z."""


def _mutated(chance: random.Random) -> bytes:
    data = bytearray(b"".join(chance.choices(_SEEDS, k=chance.choice((1, 1, 2)))))
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
                part = bytes(data[at : at + chance.randrange(1, 30)])
                data[at:at] = part
            case _:
                other = chance.choice(_SEEDS)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)


def _read_in_bytes(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Read as many whole requests as h11 finds in what a client sent.

    One empty line before each is taken away: we let it pass (RFC 9112 §2.2), h11 does not.
    """
    found = []
    while data:
        reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        reader.receive_data(data.removeprefix(b"\r\n"))
        reader.receive_data(b"")
        try:
            asked = reader.next_event()
            if not isinstance(asked, h11.Request):
                break
            body = b""
            while isinstance(event := reader.next_event(), h11.Data):
                body += event.data
        except h11.ProtocolError:
            break
        if not isinstance(event, h11.EndOfMessage):
            break
        found.append((asked.method, asked.target, body))
        if reader.their_state is h11.MUST_CLOSE:
            break
        data = reader.trailing_data[0]
    return found


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
    """Run one whose connections are plain trio tasks: every other seed is for it."""
    with running("proxy", behind.url, "-q", NETFRONT_NO_LANE="1") as served:
        yield served


@pytest.mark.parametrize("seed", range(12))
def test_damaged_requests(seed: int, front: Running, plain: Running, behind: Origin) -> None:
    chance = random.Random(seed)
    port = (plain if seed % 2 else front).port
    for _ in range(CASES):
        data = _mutated(chance)
        try:
            _check(data, port, behind)
        except (AssertionError, Exception) as error:
            error.add_note(f"sent: {data!r}")
            raise


def _check(data: bytes, port: int, behind: Origin) -> None:
    behind.forget()
    raw = _converse(port, data)
    seen = [one for one in behind.requests if one.is_whole]
    assert behind.faults == []
    for one in seen:
        assert read_by_h11(one) == (one.method, one.target, one.body)
        assert read_by_httptools(one) == (one.method, one.target, one.body)
    plain = data.translate(_PLAIN)
    meant = [(method, _origin_form(target), body) for method, target, body in _read_in_bytes(plain)]
    reached = [(one.method, one.target.translate(_PLAIN), one.body.translate(_PLAIN)) for one in seen]
    assert reached == meant[: len(reached)]
    try:
        answers = parse_answers(raw, [one.method for one in seen] + [b"GET"])
    except NotWhole:
        return  # the last one was cut, with the upload that it belonged to
    assert [answer.status for answer in answers[: len(seen)]] == [200] * len(seen)
    assert all(answer.status >= 400 for answer in answers[len(seen) :])


def _origin_form(target: bytes) -> bytes:
    """Give the target as the origin gets it (RFC 9112 §3.2.2)."""
    if not target.lower().startswith((b"http://", b"https://")):
        return target
    _, _, rest = target.partition(b"//")
    ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    path = rest[min(ends) :] if ends else b""
    return path if path.startswith(b"/") else b"/" + path


def _converse(port: int, data: bytes) -> bytes:
    parts = []
    with connect(port) as client:
        try:
            client.send(data)
            client.send_eof()
            while more := client.receive():
                parts.append(more)
        except ConnectionError:
            pass
    return b"".join(parts)
