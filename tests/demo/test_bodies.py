"""The demo origin's bodies: bytes by number and by range, delays, events in time."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from netfront.demo.bodies import pattern
from netfront.demo.origin import demo_origin
from netfront.errors import ClientGone
from tests.demo.asking import Visitor, get, make, read

# bytes


@pytest.mark.parametrize(
    ("asked", "size"), [(b"0", 0), (b"1", 1), (b"65521", 65521), (b"200000", 200_000), (b"1M", 1 << 20)]
)
def test_bytes_are_as_many_as_asked_and_always_the_same(asked, size):
    response = get(b"/bytes/" + asked)
    assert response.body == pattern(0, size)
    assert len(response.body) == size


def test_bytes_tell_their_length_ahead():
    async def run():
        return (await demo_origin()(make(b"/bytes/1G"))).body.length

    assert trio.run(run) == 1 << 30


def test_bytes_without_a_length_when_asked_for_chunked():
    async def run():
        body = (await demo_origin()(make(b"/bytes/100k?chunked"))).body
        return body.length, await read(body)

    assert trio.run(run) == (None, pattern(0, 102_400))


def test_no_piece_of_a_large_body_is_large():
    async def run():
        body = (await demo_origin()(make(b"/bytes/10M"))).body
        largest = 0
        while piece := await body.receive_some():
            largest = max(largest, len(piece))
        return largest

    assert trio.run(run) <= 65536


@pytest.mark.parametrize("rest", [b"", b"-1", b"x", b"2T", b"1.2.3"])
def test_what_is_no_number_of_bytes_is_refused(rest):
    assert get(b"/bytes/" + rest).status == 400


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        (b"bytes=0-0", 0, 1),
        (b"bytes=10-99999999", 10, 70_000),
        (b"bytes=69999-", 69_999, 70_000),
        (b"bytes=-5", 69_995, 70_000),
    ],
)
def test_range_gives_its_part(asked, start, end):
    response = get(b"/bytes/70000", (b"Range", asked))
    assert response.status == 206
    assert response.fields.get(b"content-range") == b"bytes %d-%d/70000" % (start, end - 1)
    assert response.body == pattern(start, end - start)


@pytest.mark.parametrize("asked", [b"bytes=70000-", b"bytes=-0"])
def test_range_behind_the_end_is_416(asked):
    response = get(b"/bytes/70000", (b"Range", asked))
    assert response.status == 416
    assert response.fields.get(b"content-range") == b"bytes */70000"


@pytest.mark.parametrize("asked", [b"bytes=5-1", b"bytes=0-1,5-6", b"items=0-1", b"bytes=-", b"bytes=a-b"])
def test_range_that_is_not_understood_gives_the_whole(asked):
    assert get(b"/bytes/100", (b"Range", asked)).status == 200


def test_if_range_of_another_version_gives_the_whole():
    part = (b"Range", b"bytes=0-0")
    tag = get(b"/bytes/100").fields.get(b"etag")
    assert get(b"/bytes/100", part, (b"If-Range", tag)).status == 206
    assert get(b"/bytes/100", part, (b"If-Range", b'"other"')).status == 200


def test_version_the_client_has_already_is_304():
    tag = get(b"/bytes/100").fields.get(b"etag")
    assert get(b"/bytes/100", (b"If-None-Match", tag)).status == 304


@given(st.integers(0, 300_000), st.integers(0, 140_000), st.integers(0, 140_000))
def test_pattern_depends_on_the_place_alone(start, first, second):
    assert pattern(start, first) + pattern(start + first, second) == pattern(start, first + second)


# delay and events


def elapsed(request):
    async def run():
        began = trio.current_time()
        response = await demo_origin()(request)
        times = []
        if not isinstance(response.body, bytes):
            while piece := await response.body.receive_some():
                times.append((round(trio.current_time() - began, 3), piece))
        return response.status, trio.current_time() - began, times

    return trio.run(run, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(("rest", "seconds"), [(b"0", 0.0), (b"1.5", 1.5), (b"3600", 3600.0)])
def test_delay_takes_its_time(rest, seconds):
    status, took, _ = elapsed(make(b"/delay/" + rest))
    assert status == 200
    assert took == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("rest", [b"", b"-1", b"1e3", b"3601", b"nan", b"inf"])
def test_what_is_no_delay_is_refused(rest):
    assert get(b"/delay/" + rest).status == 400


def leaves_after(seconds, use):
    """How long `use(request)` went on when its client left after so many seconds."""

    async def run():
        client = Visitor()
        async with trio.open_nursery() as nursery:

            async def leave():
                await trio.sleep(seconds)
                client.gone.set()

            nursery.start_soon(leave)
            with pytest.raises(ClientGone):
                await use(client)
            return trio.current_time()

    clock = MockClock(autojump_threshold=0)
    began = clock.current_time()
    return trio.run(run, clock=clock) - began


def test_delay_ends_when_the_client_leaves():
    async def use(client):
        await demo_origin()(make(b"/delay/100", client=client))

    assert leaves_after(2, use) == pytest.approx(2, abs=0.1)


def test_events_end_when_the_client_leaves():
    async def use(client):
        await read((await demo_origin()(make(b"/sse?n=0&interval=60", client=client))).body)

    assert leaves_after(100, use) == pytest.approx(100, abs=0.1)


def test_events_come_one_by_one_in_time():
    _, _, events = elapsed(make(b"/sse?n=3&interval=0.5"))
    assert events == [
        (0.0, b'id: 1\ndata: {"event": 1, "of": 3}\n\n'),
        (0.5, b'id: 2\ndata: {"event": 2, "of": 3}\n\n'),
        (1.0, b'id: 3\ndata: {"event": 3, "of": 3}\n\n'),
    ]


def test_events_go_on_behind_the_last_one_seen():
    _, _, events = elapsed(make(b"/sse?n=3", (b"Last-Event-ID", b"2")))
    assert [piece.split(b"\n")[0] for _, piece in events] == [b"id: 3"]


def test_no_more_events_is_204_so_that_a_browser_stays_away():
    assert get(b"/sse?n=3", (b"Last-Event-ID", b"3")).status == 204


@pytest.mark.parametrize("query", [b"n=x", b"n=-1", b"interval=x", b"n=99999999"])
def test_what_are_no_events_is_refused(query):
    assert get(b"/sse?" + query).status == 400
