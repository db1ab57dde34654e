"""The chunked coding: read, written, split at every byte, refused, and bounded."""

from itertools import pairwise

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage
from netfront.wire.fields import field
from netfront.wire.framing import ChunkedDecoder, encode_chunk, encode_trailers

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def decode(*feeds):
    """Feed a decoder until it has finished; give (body, trailers, rest), or None if the body is not whole."""
    decoder = ChunkedDecoder()
    body = b""
    for data in feeds:
        if decoder.finished:
            decoder.rest += data
        else:
            body += decoder.feed(data)
    return (body, decoder.trailers, decoder.rest) if decoder.finished else None


def bytewise(data):
    return [data[at : at + 1] for at in range(len(data))]


def is_refused(*feeds):
    try:
        decode(*feeds)
    except BadMessage as error:
        return error.status == 400
    return False


@pytest.mark.parametrize(
    ("wire", "body", "trailers"),
    [
        (b"0\r\n\r\n", b"", []),
        (b"000\r\n\r\n", b"", []),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc", []),
        (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde", []),
        (b"0000000000000003\r\nabc\r\n0\r\n\r\n", b"abc", []),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", []),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", []),
        (b"6\r\na\r\n0\r\n\r\n0\r\n\r\n", b"a\r\n0\r\n", []),
        (b"3;a\r\nabc\r\n0;b=c\r\n\r\n", b"abc", []),
        (b'3 ; a="x;y" ;b\r\nabc\r\n0\r\n\r\n', b"abc", []),
        (b"3;\r\nabc\r\n0\r\n\r\n", b"abc", []),
        (b"0\r\nA: b\r\nC:\t d \r\nE:\r\n\r\n", b"", [(b"A", b"b"), (b"C", b"d"), (b"E", b"")]),
        (b"1\r\na\r\n0\r\nX: \xe9\r\n\r\n", b"a", [(b"X", b"\xe9")]),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n", b"\r\n"])
def test_body_is_read(wire, body, trailers, rest):
    assert decode(wire + rest) == (body, trailers, rest)
    assert decode(*bytewise(wire + rest)) == (body, trailers, rest)


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3_0\r\nabc\r\n",
        b"3h\r\nabc\r\n",
        b"g\r\n",
        b";a\r\n",
        b"\xb2\r\nab\r\n",
        "٣\r\nabc\r\n".encode(),
        b"00000000000000003\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\rabc\r\n",
        b"3\r\r\nabc\r\n",
        b"3\n\r\nabc\r\n",
        b"3;a\nb\r\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;a\x00\r\nabc\r\n",
        b"3;a\x7f\r\nabc\r\n",
        b"3\x0b\r\nabc\r\n",
        b"3,4\r\nabc\r\n",
        b"3\r\nabc\n",
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nab\r\n0\r\n\r\n",
        b"3\r\nabc\r0\r\n",
        b"3\r\nabc\n\r0\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n\r\r\n",
        b"0\r\nA\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n",
        b"0\r\nA: b\rC: d\r\n\r\n",
        b"0\r\nA: \x00\r\n\r\n",
        b"0\r\nA: b\x7f\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_body_is_refused_however_it_comes(wire):
    assert is_refused(wire)
    assert is_refused(*bytewise(wire))
    assert is_refused(b"1\r\na\r\n" + wire)


def test_two_bytes_behind_a_chunk_are_no_content():
    # CVE-2025-43859: a reader that skips them unseen reads another second chunk than a reader that looks
    assert is_refused(b"5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\n")


def test_size_line_may_have_256_bytes_and_no_more():
    assert decode(b"1;" + b"x" * 254 + b"\r\na\r\n" + END) == (b"a", [], b"")
    assert is_refused(b"1;" + b"x" * 255 + b"\r\na\r\n" + END)
    assert is_refused(*bytewise(b"1;" + b"x" * 255))
    assert is_refused(b"1;" + b"x" * 100_000)


def test_extensions_of_a_body_may_have_16_kib_and_no_more():
    chunk = b"1;" + b"x" * 127 + b"\r\na\r\n"
    assert decode(chunk * 128 + END) == (b"a" * 128, [], b"")
    assert is_refused(chunk * 128 + b"1;\r\na\r\n")
    assert is_refused(*[chunk] * 128, b"0;x\r\n\r\n")


def test_trailers_may_be_32_and_no_more():
    assert len(decode(b"0\r\n" + b"A: b\r\n" * 32 + b"\r\n")[1]) == 32
    assert is_refused(b"0\r\n" + b"A: b\r\n" * 33 + b"\r\n")


def test_trailers_may_have_8_kib_and_no_more():
    line = b"A: " + b"x" * 507 + b"\r\n"
    assert len(line) == 512
    assert decode(b"0\r\n" + line * 16 + b"\r\n") is not None
    assert is_refused(b"0\r\n" + line * 16 + b"A:\r\n\r\n")
    assert is_refused(b"0\r\nA: " + b"x" * 8192 + b"\r\n\r\n")
    assert is_refused(*bytewise(b"0\r\nA: " + b"x" * 8192))


def test_nothing_but_a_started_line_is_held_between_feeds():
    decoder = ChunkedDecoder()
    data = b"x" * 65536
    assert decoder.feed(b"FFFFFFFFFFFFFFFF\r\n") == b""
    for _ in range(10):
        assert decoder.feed(data) is data
    assert decoder._held == b""


def test_incomplete_body_is_not_finished():
    wire = b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n"
    for size in range(len(wire)):
        assert decode(wire[:size]) is None


BODIES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
CUTS = st.lists(st.integers(0, 400), max_size=8)
TRAILERS = st.lists(
    st.tuples(st.sampled_from([b"A", b"x-b"]), st.sampled_from([b"", b"c", b"d e"])), max_size=3
)


def split(wire, cuts):
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    return [wire[start:end] for start, end in pairwise(edges)]


@given(BODIES, TRAILERS, st.binary(max_size=10), CUTS)
def test_what_is_written_is_read_as_the_same_however_it_is_split(chunks, trailers, rest, cuts):
    wire = b"".join(map(encode_chunk, chunks)) + encode_trailers(field(*pair) for pair in trailers) + rest
    assert decode(*split(wire, cuts)) == (b"".join(chunks), trailers, rest)


MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 120),
        st.integers(0, 3),
        st.sampled_from(
            [b"", b"\r", b"\n", b"\r\n", b" ", b";", b"0", b"3", b"+", b"\x00", b"\xff", b"a", b":"]
        ),
    ),
    max_size=3,
)


def mutate(wire, mutations):
    for at, size, new in mutations:
        wire = wire[:at] + new + wire[at + size :]
    return wire


def outcome(feeds):
    try:
        return decode(*feeds)
    except BadMessage:
        return "refused"


@given(BODIES, TRAILERS, MUTATIONS, CUTS)
def test_verdict_does_not_depend_on_the_splits(chunks, trailers, mutations, cuts):
    wire = b"".join(map(encode_chunk, chunks)) + encode_trailers(field(*pair) for pair in trailers)
    wire = mutate(wire, mutations)
    whole = outcome([wire])
    parts = outcome(split(wire, cuts))
    assert parts == whole
    assert outcome(bytewise(wire)) == whole


def by_h11(wire):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(HEAD + wire)
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
            return body, [(name.lower(), value) for name, value in trailers], connection.trailing_data[0]
        elif event is h11.NEED_DATA:
            return None


class Collected:
    def __init__(self):
        self.body = b""
        self.is_whole = False

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.is_whole = True


def by_httptools(wire):
    collected = Collected()
    try:
        httptools.HttpRequestParser(collected).feed_data(HEAD + wire)
    except httptools.HttpParserError as error:
        return str(error)
    return collected.body if collected.is_whole else None


@given(BODIES, TRAILERS, MUTATIONS)
def test_what_is_taken_others_read_the_same(chunks, trailers, mutations):
    wire = b"".join(map(encode_chunk, chunks)) + encode_trailers(field(*pair) for pair in trailers)
    ours = outcome([mutate(wire, mutations)])
    if ours in (None, "refused"):
        return
    body, trailers, rest = ours
    wire = mutate(wire, mutations)
    assert by_h11(wire) == (body, [(name.lower(), value) for name, value in trailers], rest)
    theirs = by_httptools(wire[: len(wire) - len(rest)])
    assert theirs == body or "chunk extension" in theirs  # of which httptools takes fewer, misleading nobody
