"""Shapes: what a head means is the same whether it was parsed line by line or matched by the shape of earlier ones.

Heads that must pass, those of the conformance tables and damaged ones are read by a parser that remembers every shape
at its first sight, in the midst of heads whose shapes it knows, and by one that remembers nothing.
"""

import os
import random

import pytest

from netfront.wire.fields import RESPONSE_KINDS, FieldMemory
from netfront.wire.head import HeadLimits, RequestHeads, ResponseHeads, request_memory, response_memory
from netfront.wire.shape import Shapes
from tests.conformance import request_chunks, request_fields, request_framing, request_lines, responses
from tests.wire.test_head import read, seen_of

CASES = int(os.environ.get("NETFRONT_MUTATIONS", "400"))
"""Of each of eight seeds."""
REQUESTS = (
    b"GET /a HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nCookie: a=1; b=2\r\n\r\n",
    b"GET /b?c HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\nUser-Agent: some one/1\r\nX-A: b\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello",
    b"POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n0\r\n\r\n",
    b"GET /f HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nVia: x\r\n\r\n",
    b"GET /u HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nServer: o\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nContent-Length: 5\r\nETag: x\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nX-A: b\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nETag: y\r\nX-Powered-By: p\r\n\r\n",
)
PIECES = (
    *(bytes([code]) for code in b"\r\n \t\x00\x0b\x0c\x7f\x80\xa0:,;0159afx_+-\"'"),
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 7\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: x-a\r\n",
    b"Host: b.test\r\n",
    b"  ",
    b": ",
    b"chunked",
)


def read_answer(heads, data):
    """What comes of a response's head, as a value that compares."""
    try:
        parsed = heads.parse(data)
    except Exception as error:
        return type(error).__name__, error.status
    if parsed is None:
        return None
    head, rest = parsed
    block = head.block
    return (head.status, head.reason, rest, head.lengths, block.codings, block.keeps_alive, block.upgrade,
            block.has_date, block.minor, *seen_of(head.fields))  # fmt: skip


def mutated(chance, seeds):
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[at:at] = chance.choice(PIECES)
            case 1:
                del data[at : at + chance.choice((1, 1, 2, 5))]
            case 2:
                data[at : at + 1] = chance.choice(PIECES)
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 4:
                lines = bytes(data).split(b"\r\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                data[:] = b"\r\n".join(lines)
            case _:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other)) :]
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_requests_are_read_the_same(seed):
    chance = random.Random(seed)
    memory = request_memory(sights=1)
    warm = [RequestHeads(HeadLimits(), memory) for _ in REQUESTS]
    for known, data in zip(warm, REQUESTS, strict=True):
        read(known, data)
    for _ in range(CASES):
        data = mutated(chance, REQUESTS)
        expected = read(RequestHeads(HeadLimits(), request_memory(remembers=False)), data)
        for known, own in zip(warm, REQUESTS, strict=True):
            assert read(known, data) == expected, data
            assert isinstance(read(known, own), tuple)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_responses_are_read_the_same(seed):
    chance = random.Random(seed)
    memory = response_memory(sights=1)
    warm = [ResponseHeads(HeadLimits(), memory) for _ in ANSWERS]
    for known, data in zip(warm, ANSWERS, strict=True):
        read_answer(known, data)
    for _ in range(CASES):
        data = mutated(chance, ANSWERS)
        expected = read_answer(ResponseHeads(HeadLimits(), response_memory(remembers=False)), data)
        for known, own in zip(warm, ANSWERS, strict=True):
            assert read_answer(known, data) == expected, data
            assert isinstance(read_answer(known, own), tuple)


def test_the_rows_of_the_tables_are_read_the_same():
    memory = request_memory(sights=1)
    tables = (request_lines, request_fields, request_framing, request_chunks)
    rows = [row.data for table in tables for row in table.ROWS]
    assert len(rows) > 500
    heads = [RequestHeads(HeadLimits(), memory) for _ in range(2)]
    for data in rows + rows[::-1]:
        expected = read(RequestHeads(HeadLimits(), request_memory(remembers=False)), data)
        for known in heads:
            assert read(known, data) == expected, data
    memory = response_memory(sights=1)
    heads = [ResponseHeads(HeadLimits(), memory) for _ in range(2)]
    for row in responses.ROWS * 2:
        expected = read_answer(ResponseHeads(HeadLimits(), response_memory(remembers=False)), row.data)
        for known in heads:
            assert read_answer(known, row.data) == expected, row.data


@pytest.mark.parametrize(
    ("came", "is_matched"),
    [
        (b"HTTP/1.1 200 OK\r\nETag: other\r\nContent-Length: 77\r\n\r\n", True),
        (b"HTTP/1.1 404 Nope\r\nETag: o ther\r\nContent-Length: 1\r\n\r\nx", True),
        (b"HTTP/1.1 200 OK\r\nETag: o\r\nContent-Length: 5, 5\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nETag: o\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: o\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nEtag: o\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag:o\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag:  o\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag: o \r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag: o\x00\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag: o\rContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag: o\r\n folded\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag: \r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nETag: o\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nETag: o\r\nContent-Length: 5\r\n", False),
    ],
)
def test_a_shape_admits_other_values_and_nothing_else(came, is_matched):
    memory = response_memory(sights=1)
    heads = ResponseHeads(HeadLimits(), memory)
    heads.parse(b"HTTP/1.1 200 OK\r\nETag: one\r\nContent-Length: 5\r\n\r\n")
    assert (
        heads._shape is not None
    )  # beside the file: whether the fast way is taken is not to be seen from outside
    assert (heads._shape.match(came) is not None) == is_matched


@pytest.mark.parametrize(
    "line", [b"Host: b.test", b"Connection: close", b"TE: trailers", b"Expect: 100-continuE"]
)
def test_a_line_that_decides_what_a_head_means_may_not_differ(line):
    heads = RequestHeads(HeadLimits(), request_memory(sights=1))
    lines = [b"Host: a.test", b"Connection: keep-alive", b"TE: deflate", b"Expect: 100-continue", b"X: y"]
    whole = b"\r\n".join([b"GET / HTTP/1.1", *lines, b"", b""])
    assert heads.parse(whole) is not None
    assert heads._shape.match(whole) is not None
    name = line.partition(b":")[0]
    other = [line if own.startswith(name) else own for own in lines]
    assert heads._shape.match(b"\r\n".join([b"GET / HTTP/1.1", *other, b"", b""])) is None


def test_a_head_too_large_for_the_limits_is_refused_in_a_known_shape_too():
    heads = RequestHeads(HeadLimits(field=300), request_memory(sights=1))
    assert heads.parse(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: y\r\n\r\n") is not None
    assert read(heads, b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 298 + b"\r\n\r\n") == 431
    assert heads.parse(b"GET / HTTP/1.1\r\nHost: a.test\r\nX: " + b"y" * 280 + b"\r\n\r\n") is not None


def test_the_table_is_bounded_and_shapes_are_made_late():
    shapes = Shapes(rb"(x)\r\n", 1, sights=3)
    memory = FieldMemory(RESPONSE_KINDS)
    made = [shapes.seen(memory.fields([b"X-A: b"]), None) is not None for _ in range(4)]
    assert made == [False, False, True, True]
    for number in range(2000):
        shapes.seen(memory.fields([b"X-%d: b" % number]), None)
    assert len(shapes._known) <= 256
