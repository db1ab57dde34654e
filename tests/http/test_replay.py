"""Bodies that may be sent twice: whatever was read when the first try ended, the second gets all of it."""

from hypothesis import given
from hypothesis import strategies as st

from netfront.http.body import BodyReader, RequestBody
from netfront.http.replay import Replay
from netfront.wire.framing import CHUNKED, LENGTH, Framing
from tests.support.fakestream import FakeStream
from tests.support.seats import Steps

PARTS = st.lists(st.binary(min_size=1, max_size=20), max_size=12)


def chunked(parts):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-T: 1\r\n\r\n"


def body_of(stream, parts, *, is_chunked):
    length = sum(map(len, parts))
    framing = Framing(CHUNKED, 0) if is_chunked else Framing(LENGTH, length)
    return RequestBody(BodyReader(stream, framing, b"", asks=True), limit=None, patience=5.0)


def read(body, most=99):
    """Take what can be taken without waiting, so many times; tell whether the end was seen."""
    got = b""
    with Steps():
        for _ in range(most):
            data = body.receive_now()
            if data is None:
                return got, False
            if not data:
                return got, True
            got += data
        return got, False


@given(parts=PARTS, is_chunked=st.booleans(), reads=st.lists(st.integers(0, 6), max_size=4), data=st.data())
def test_it_begins_anew_as_often_as_it_is_rewound(parts, is_chunked, reads, data):
    stream = FakeStream()
    replay = Replay(body_of(stream, parts, is_chunked=is_chunked), most=1000)
    whole = b"".join(parts)
    wire = chunked(parts) if is_chunked else whole
    for count in reads:
        cut = data.draw(st.integers(0, len(wire)))
        stream.feed(wire[:cut])
        wire = wire[cut:]
        got, _ = read(replay, count)
        assert whole.startswith(got)
        assert not replay.started
        replay.rewind()
    stream.feed(wire)
    assert read(replay) == (whole, True)
    replay.rewind()
    assert read(replay) == (whole, True)
    assert read(replay, 0) == (b"", False)
    assert read(replay, 1) == (b"", True)


@given(parts=PARTS, most=st.integers(0, 100))
def test_what_is_longer_than_the_limit_is_handed_out_once_and_says_so(parts, most):
    stream = FakeStream()
    replay = Replay(body_of(stream, parts, is_chunked=True), most=most)
    stream.feed(chunked(parts))
    assert read(replay) == (b"".join(parts), True)
    assert replay.started is (sum(map(len, parts)) > most)


def test_what_is_kept_needs_no_waiting():
    stream = FakeStream()
    replay = Replay(body_of(stream, [b"abcdef"], is_chunked=False), most=100)
    assert not replay.readable.is_set
    stream.feed(b"abc")
    assert read(replay) == (b"abc", False)
    assert not replay.readable.is_set
    replay.rewind()
    assert replay.readable.is_set
    assert read(replay, 1) == (b"abc", False)
    assert not replay.readable.is_set


async def test_it_is_read_with_waiting_too():
    stream = FakeStream()
    stream.feed(b"abcdef")
    replay = Replay(body_of(stream, [b"abcdef"], is_chunked=False), most=100)
    for _ in range(2):
        assert await replay.receive_some() == b"abcdef"
        assert await replay.receive_some() == b""
        replay.rewind()


def test_length_and_limit_are_those_of_the_body():
    body = body_of(FakeStream(), [b"abc"], is_chunked=False)
    body.limit = 7
    replay = Replay(body, most=100)
    assert (replay.length, replay.limit) == (3, 7)
