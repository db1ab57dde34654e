"""Drained backends, backups, so many requests at once with a queue before them, and slow starts."""

import re
import signal
import threading
from contextlib import ExitStack

import pytest

from tests.support.client import connect
from tests.support.named import ask, named, tally, until
from tests.support.netfront import running
from tests.support.origins import Connection

in_both_modes = pytest.mark.usefixtures("modes")
GET = b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Gate:
    """Holds requests for /held until it is opened."""

    def __init__(self, backend):
        self.backend = backend
        self.opened = threading.Event()

    def play(self, connection: Connection) -> None:
        while True:
            seen = connection.read_request()
            if seen.target == b"/held":
                assert self.opened.wait(10)
            connection.send(self.backend.answers(seen))


def state_of(front):
    """Ask for what is going on, and give the last that it said of that."""
    said = front.stderr.count("backend connections:")
    front.process.send_signal(signal.SIGQUIT)
    until(lambda: front.stderr.count("backend connections:") > said)
    return front.stderr[front.stderr.rindex("netfront: connections:") :]


def held(backend):
    gate = Gate(backend)
    backend.play(gate.play)
    return gate


def test_weight_0_gets_nothing_even_if_all_else_is_down():
    with named(2) as (a, b), running("balance", f"{a.place}+weight=0", b.place, "-q") as front:
        assert set(tally(front.port, 6)) == {"b"}
        b.down()
        assert ask(front.port).status == 502
        assert a.requests == []


def test_backups_serve_while_nobody_else_does():
    with (
        named(3) as (a, b, c),
        running("balance", a.place, f"{b.place}+backup", f"{c.place}+backup") as front,
    ):
        assert set(tally(front.port, 4)) == {"a"}
        a.down()
        assert set(tally(front.port, 8)) == {"b", "c"}
        a.up()
        until(lambda: set(tally(front.port, 2)) == {"a"})


@in_both_modes
def test_what_is_more_than_max_waits_its_turn_and_more_than_the_queue_is_told_when_to_come_again():
    with (
        named(1) as (a,),
        running("balance", f"{a.place}+max=1", "--queue", "1", "--queue-timeout", "8s") as front,
    ):
        gate = held(a)
        with connect(front.port) as first, connect(front.port) as second:
            first.send(GET)
            a.origin.wait_requests(1)
            second.send(GET)
            until(lambda: busy(front) == 2)
            refused = ask(front.port)
            assert (refused.status, refused.get(b"retry-after")) == (503, b"1")
            assert len(a.origin.requests) == 1
            gate.opened.set()
            assert first.read_answer().body == second.read_answer().body == b"a"
        assert ask(front.port).status == 200


def busy(front):
    """How many connections have a request under way, as SIGQUIT tells."""
    front.process.send_signal(signal.SIGQUIT)
    told = re.findall(r"(\d+) busy", front.stderr)
    return int(told[-1]) if told else 0


def test_who_waits_for_too_long_is_told_when_to_come_again():
    with named(1) as (a,), running("balance", f"{a.place}+max=1", "--queue-timeout", "100ms") as front:
        gate = held(a)
        with connect(front.port) as first:
            first.send(GET)
            a.origin.wait_requests(1)
            refused = ask(front.port)
            assert (refused.status, refused.get(b"retry-after")) == (503, b"1")
            gate.opened.set()
            assert first.read_answer().status == 200


@in_both_modes
def test_max_of_one_sends_the_rest_elsewhere():
    with named(2) as (a, b), running("balance", f"{a.place}+max=2", b.place, "--lb", "first") as front:
        gate = held(a)
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(front.port)) for _ in range(2)]
            for number, client in enumerate(clients, 1):
                client.send(GET)
                a.origin.wait_requests(number)
            assert set(tally(front.port, 5)) == {"b"}
            gate.opened.set()
            for client in clients:
                assert client.read_answer().body == b"a"
        assert set(tally(front.port, 5)) == {"a"}


def test_a_cookie_stays_where_its_backend_is_merely_full():
    with named(2) as (a, b), running("balance", f"{a.place}+max=1", b.place, "--lb", "sticky") as front:
        cookie = b""
        while not cookie:
            answer = ask(front.port)
            if answer.body == b"a":
                cookie = b"Cookie: " + answer.get(b"set-cookie").partition(b";")[0]
        gate = held(a)
        with connect(front.port) as first:
            first.send(GET.replace(b"\r\n\r\n", b"\r\n" + cookie + b"\r\n\r\n"))
            a.origin.wait_requests(1)
            elsewhere = ask(front.port, b"/", cookie)
            assert (elsewhere.body, elsewhere.get(b"set-cookie")) == (b"b", None)
            gate.opened.set()
            assert first.read_answer().body == b"a"
        again = ask(front.port, b"/", cookie)
        assert (again.body, again.get(b"set-cookie")) == (b"a", None)


@in_both_modes
def test_who_leaves_the_queue_is_not_waited_for():
    with named(1) as (a,), running("balance", f"{a.place}+max=1", "--queue", "1") as front:
        gate = held(a)
        with connect(front.port) as first:
            first.send(GET)
            a.origin.wait_requests(1)
            for _ in range(3):
                with connect(front.port) as leaves:
                    leaves.send(GET)
                    leaves.reset()
            until(lambda: "connections: 1 open" in state_of(front))
            gate.opened.set()
            assert first.read_answer().status == 200
        assert ask(front.port).status == 200
        assert [seen.target for seen in a.requests] == [b"/held", b"/"]


def test_slow_start_lets_one_that_came_back_in_by_degrees_but_not_at_the_start():
    with named(2) as (a, b), running("balance", a.place, b.place, "--slow-start", "60s") as front:
        assert tally(front.port, 20) == {"a": 10, "b": 10}
        a.down()
        until(lambda: tally(front.port, 4) and f"{a.label} is down" in front.stderr)
        a.up()
        until(lambda: ask(front.port) and f"{a.label} is up" in front.stderr)
        shares = tally(front.port, 55)
        assert 2 <= shares["a"] <= 16  # a tenth against a whole is 5 of 55
