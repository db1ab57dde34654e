"""filters/concurrency: a seat is held until the answer has ended, by whatever it ends."""

import pytest

from netfront.filters.concurrency import Seating, concurrency
from netfront.http.message import Response
from netfront.net.lane import Signal
from netfront.policy.limit import Seats
from netfront.wire.fields import EMPTY
from tests.filters.requests import asking
from tests.filters.test_limit import through

ALL = Seating(b"1", "2", 2, lambda _: b"")


class Piece:
    """A body of a few pieces."""

    length = None
    started = False
    trailers = EMPTY
    readable = Signal(True)

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.aborted = 0

    def due(self):
        return 0.0

    def receive_now(self):
        if self.pieces and self.pieces[0] is ValueError:
            raise ValueError
        return self.pieces.pop(0) if self.pieces else b""

    async def receive_some(self):
        return self.receive_now()

    def abort(self, why=None):
        self.aborted += 1


class Relayed:
    """A stream taken over."""

    def __init__(self, fails=False):
        self.fails = fails

    async def run(self, stream, early):
        if self.fails:
            raise OSError

    def abort(self, why=None):
        pass


def opened(seats, body, status=200, request=None):
    async def answer(_):
        return Response(status, EMPTY, body)

    return through(concurrency([ALL], seats)(answer), request or asking())


def test_a_body_in_hand_holds_its_seat_until_it_has_been_sent():
    seats = Seats()
    request = asking()
    assert opened(seats, b"x", request=request).status == 200
    assert len(seats) == 1
    request.exchange.give_back()  # as the server does then
    assert len(seats) == 0


def test_a_body_that_comes_holds_its_seat_to_the_end_and_a_third_is_429():
    seats = Seats()
    first, second = opened(seats, Piece(b"a", b"b")), opened(seats, Piece(b"a"))
    third = opened(seats, Piece())
    assert third.status == 429
    assert third.fields.get(b"retry-after") == b"1"
    assert third.fields.get(b"ratelimit-policy") == b'"2";q=2;qu="concurrent-requests"'
    assert [first.body.receive_now() for _ in range(3)] == [b"a", b"b", b""]
    assert seats.taken(b"1") == 1
    request = asking()
    assert opened(seats, b"x", request=request).status == 200
    request.exchange.give_back()
    through(lambda _: second.body.receive_some(), None)
    through(lambda _: second.body.receive_some(), None)
    assert len(seats) == 0


def test_a_body_given_up_gives_its_seat_back_once():
    seats = Seats()
    body = Piece(b"a")
    response = opened(seats, body)
    response.body.abort()
    response.body.abort()
    assert (len(seats), body.aborted) == (0, 2)


def test_a_body_that_breaks_off_gives_its_seat_back():
    seats = Seats()
    response = opened(seats, Piece(ValueError))
    with pytest.raises(ValueError):
        response.body.receive_now()
    assert len(seats) == 0


def test_who_is_not_answered_has_no_seat():
    async def fail(_):
        raise OSError

    seats = Seats()
    with pytest.raises(OSError):
        through(concurrency([ALL], seats)(fail), asking())
    assert len(seats) == 0


@pytest.mark.parametrize("fails", [False, True])
def test_an_upgraded_stream_holds_its_seat_until_it_is_let_go(fails):
    seats = Seats()
    response = opened(seats, Relayed(fails), 101)
    assert seats.taken(b"1") == 1
    try:
        through(lambda _: response.body.run(None, b""), None)
    except OSError:
        assert fails
    assert len(seats) == 0


def test_a_part_sits_on_the_seat_of_the_whole():
    seats = Seats()

    async def answer(request):
        part = asking()
        part.counted, part.part_of = request.counted, object()
        response = await concurrency([ALL], seats)(inner)(part)
        return Response(response.status, EMPTY, b"%d" % seats.taken(b"1"))

    async def inner(_):
        return Response(200, EMPTY, b"")

    assert through(concurrency([ALL], seats)(answer), asking()).body == b"1"
