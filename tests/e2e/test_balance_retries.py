"""No failed request where another backend could have answered, and none sent twice that must not."""

import re
import socket
import threading
from collections import Counter

import pytest

from tests.support.client import NotWhole, connect
from tests.support.named import ask, get, named, tally, until
from tests.support.netfront import running
from tests.support.origins import Connection, closed_port, cutting, full_queue, resetting, saying, silent

in_both_modes = pytest.mark.usefixtures("modes")
POST = {"method": b"POST", "body": b"buy one"}


@pytest.fixture
def pair():
    with named(2) as backends:
        yield backends


def sent(backends):
    return Counter(seen.method for backend in backends for seen in backend.requests)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PATCH", b"DELETE"])
def test_any_method_goes_elsewhere_where_one_refuses(pair, method):
    a, _ = pair
    with closed_port() as port, running("balance", f":{port}", a.place, "--lb", "first") as front:
        assert ask(front.port, method=method, body=b"x").body == b"a"
        assert [seen.body for seen in a.requests] == [b"x"]


@in_both_modes
def test_any_method_goes_elsewhere_beside_one_that_is_silent_when_dialled(pair):
    a, _ = pair
    with full_queue() as port, running("balance", f"127.0.0.1:{port}", a.place, "--lb", "first") as front:
        assert ask(front.port, **POST).body == b"a"
        assert len(a.requests) == 1


@in_both_modes
@pytest.mark.parametrize("fault", [resetting(), cutting(b""), cutting(b"HTTP/1.1 200 OK\r\nContent-Le")])
def test_a_get_that_gets_no_answer_goes_elsewhere_and_a_post_never_does(pair, fault):
    a, b = pair
    a.play(fault)
    with running("balance", a.place, b.place, "--lb", "first", "-v") as front:
        assert ask(front.port).body == b"b"
        assert ask(front.port, **POST).status == 502
        assert sent([a])[b"POST"] + sent([b])[b"POST"] == 1
        assert ask(front.port, method=b"PUT", body=b"x").body == b"b"
        until(lambda: "(2 tries, retried: " in front.stderr)


@in_both_modes
def test_a_post_on_a_kept_connection_that_has_ended_goes_on_another(pair):
    a, b = pair
    a.play(answering_once(a))
    with running("balance", a.place, b.place, "--lb", "first") as front, connect(front.port) as client:
        for _ in range(5):
            assert get(client, **POST).status == 200
        assert sent(pair)[b"POST"] == 5


def answering_once(backend):
    """The end comes with the answer: who sees the one can know of the other."""

    def play(connection: Connection) -> None:
        seen = connection.read_request()
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        connection.send(backend.answers(seen))
        connection.socket.shutdown(socket.SHUT_WR)

    return play


def test_retry_on_none_repeats_nothing_that_was_sent(pair):
    a, b = pair
    a.play(resetting())
    with running("balance", a.place, b.place, "--lb", "first", "--retry-on", "none") as front:
        assert ask(front.port).status == 502
        assert sent(pair)[b"GET"] == 1
        a.down()
        assert ask(front.port, **POST).body == b"b"


def failing(status, times):
    """Answer so many requests with a status, all connections together, and the others well."""
    left = [times]
    lock = threading.Lock()

    def play(connection: Connection) -> None:
        while True:
            connection.read_request()
            with lock:
                fails, left[0] = left[0] > 0, left[0] - 1
            word = b"%d Failed" % status if fails else b"200 OK"
            connection.send(b"HTTP/1.1 %b\r\nContent-Length: 1\r\n\r\na" % word)

    return play


def test_retry_on_statuses_tries_elsewhere_what_may_be_repeated(pair):
    a, b = pair
    a.play(failing(503, 3))
    with running("balance", a.place, b.place, "--lb", "first", "--retry-on", "502,503,reset") as front:
        assert ask(front.port).body == b"b"
        assert ask(front.port, **POST).status == 503
        assert ask(front.port, method=b"PUT", body=b"x").body == b"b"
        assert sent([b]) == {b"GET": 1, b"PUT": 1}
        b.play(failing(502, 2))
        a.play(failing(503, 2))
        assert ask(front.port).status == 502  # the last answer there was


@in_both_modes
def test_an_answer_stays_where_the_try_after_it_fails(pair):
    a, b = pair
    a.play(saying(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"))
    b.play(resetting())
    with running("balance", a.place, b.place, "--lb", "first", "--retry-on", "503") as front:
        answer = ask(front.port)
        assert (answer.status, answer.get(b"retry-after"), answer.body) == (503, b"7", b"busy")


@in_both_modes
def test_one_that_hangs_costs_nobody_the_time_that_a_timeout_leaves(pair):
    a, b = pair
    b.play(silent)
    with running("balance", a.place, b.place, "--timeout", "800ms") as front:
        assert [ask(front.port).body for _ in range(8)] == [b"a"] * 8


def test_a_body_is_sent_again_as_far_as_it_is_kept(pair):
    a, b = pair
    a.play(resetting())
    with running("balance", a.place, b.place, "--lb", "first", "--retry-body", "4k") as front:
        assert ask(front.port, method=b"PUT", body=b"x" * 4096).body == b"b"
        assert b.requests[-1].body == b"x" * 4096
        assert ask(front.port, method=b"PUT", body=b"x" * 300_000).status == 502
        with connect(front.port) as client:  # one whose length nobody knows yet
            client.send(
                b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            )
            assert client.read_answer(b"PUT").body == b"b"
        assert b.requests[-1].body == b"abc"


def test_three_tries_are_enough():
    with named(5) as backends:
        for backend in backends:
            backend.play(resetting())
        with running("balance", *[backend.place for backend in backends]) as front:
            assert ask(front.port).status == 502
            assert sent(backends)[b"GET"] == 3


def test_retries_have_a_budget(pair):
    """A fifth of the requests, and ten in any case: a failing half must not double the load on the other."""
    a, b = pair
    a.play(failing(503, 10**6))
    with running("balance", a.place, b.place, "--retry-on", "503") as front:
        shares = tally(front.port, 100)
        assert shares["b"] + shares["503"] == 100
        again = sent([b])[b"GET"] - 50
        assert 10 <= again <= 25
        assert shares["503"] == 50 - again


def test_why_a_body_broke_off_is_told_in_words(pair):
    a, b = pair
    a.play(resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
    with running("balance", a.place, b.place, "--lb", "first", "-v") as front:
        with pytest.raises(NotWhole):
            ask(front.port)
        until(lambda: "[body: connection reset by peer]" in front.stderr)


def test_garbage_and_a_cut_body_never_look_whole(pair):
    a, b = pair
    a.play(saying(b"220 smtp.example ready\r\n"))
    with running("balance", a.place, b.place, "--lb", "first") as front:
        assert ask(front.port).body == b"b"
        assert ask(front.port, **POST).status == 502
        a.play(cutting(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
        with connect(front.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.read_head().status == 200
            assert client.read_some(4) == b"half"
            assert client.ends()


# -- hedging --------------------------------------------------------------------------------------------------


@in_both_modes
def test_one_that_hangs_is_hedged_and_in_the_end_ejected(pair):
    a, b = pair
    a.play(silent)
    with running("balance", a.place, b.place, "-v") as front:
        assert tally(front.port, 30) == {"b": 30}
        until(lambda: f"{a.label} is down: silent while another answered" in front.stderr)
        assert len(a.requests) == 3


def test_only_what_is_safe_is_hedged(pair):
    a, b = pair
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        assert going.wait(10)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")

    a.play(play)
    with running("balance", a.place, b.place, "--lb", "first", "--hedge", "p95") as front:
        with connect(front.port) as posts, connect(front.port) as puts, connect(front.port) as gets:
            posts.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            puts.send(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert get(gets).body == b"b"  # which took as long as it takes until it is late
            going.set()
            assert posts.read_answer(b"POST").body == puts.read_answer(b"PUT").body == b"a"
        assert sent([b]) == {b"GET": 1}


def test_hedge_none_waits_for_whom_it_asked(pair):
    a, b = pair
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        assert going.wait(10)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")

    a.play(play)
    with (
        running("balance", a.place, b.place, "--lb", "first", "--hedge", "none") as front,
        connect(front.port) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        a.origin.wait_requests(1)
        client.socket.settimeout(1.3)  # by default it would have been asked for elsewhere after a second
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        going.set()
        assert client.read_answer().body == b"a"
        assert b.requests == []


@in_both_modes
def test_hedge_p95_answers_the_slow_ones_from_elsewhere(pair):
    a, b = pair
    count = [0]

    def play(connection: Connection) -> None:
        while True:
            seen = connection.read_request()
            count[0] += 1
            if count[0] % 20 == 0:
                connection.wait_until_gone()  # one in twenty is never answered, and the netfront leaves it
                return
            connection.send(a.answers(seen))

    a.play(play)
    with running("balance", a.place, b.place, "--hedge", "p95", "-v") as front:
        shares = tally(front.port, 400)
        assert set(shares) == {"a", "b"}
        extra = len(a.requests) + len(b.requests) - 400
        assert extra >= count[0] // 20
        assert extra <= 100  # its budget is a fifth, and ten
        silences = [float(took) for took in re.findall(r"hedged\) (\d+\.\d+) ms", front.stderr)]
        assert len(silences) >= 5
        long = [took for took in silences if took >= 50.0]
        if len(long) < 3:  # else the machine was so slow that they were more than slow answers
            assert "is down" not in front.stderr


@in_both_modes
def test_answers_that_are_slow_everywhere_fail_nobody(pair):
    a, b = pair
    going = threading.Event()

    def slow(backend):
        def play(connection: Connection) -> None:
            seen = connection.read_request()
            assert going.wait(10)
            connection.send(backend.answers(seen))

        return play

    a.play(slow(a)), b.play(slow(b))
    with running("balance", a.place, b.place) as front, connect(front.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        a.origin.wait_requests(1)
        b.origin.wait_requests(1)  # the hedge
        going.set()
        assert client.read_answer().status == 200
        assert sent(pair)[b"GET"] == 2
        assert "is down" not in front.stderr


@pytest.mark.parametrize("method", [b"PUT", b"DELETE", b"GET"])
def test_what_may_be_repeated_is_asked_elsewhere_once_its_time_is_over(method):
    with named(2) as (hangs, well):
        hangs.play(silent)
        with (
            running(
                "balance", hangs.place, well.place, "--lb", "first", "--hedge", "none", "--timeout", "1s"
            ) as front,
            connect(front.port) as client,
        ):
            client.send(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            assert client.read_answer(method).body == b"b"
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            assert client.read_answer(b"POST").status == 504
