"""Who stands in for a backend that hangs or fails while others are well, and where nobody may."""

import re
import threading
import time

import pytest

from tests.support.client import connect
from tests.support.named import ask, get, named, tally, until
from tests.support.netfront import running
from tests.support.origins import Connection, closed_port, resetting, saying, silent

pytestmark = pytest.mark.usefixtures("modes")
FIRST = ("--lb", "first", "--timeout", "8s", "-v")
SOON = 4.0
"""Well under the time-out; a hung one is taken for late after a second."""
COOKIE = re.compile(rb"(netfront-backend=[^;]+);")


def took(port):
    """The body of an answer, which came soon."""
    began = time.monotonic()
    body = ask(port).body
    assert time.monotonic() - began < SOON
    return body


def test_where_the_stand_in_refuses_a_third_one_answers():
    with named(2) as (hangs, well), closed_port() as refuses:
        hangs.play(silent)
        places = (hangs.place, f"127.0.0.1:{refuses}", well.place)
        with running("balance", *places, *FIRST) as front:
            assert took(front.port) == b"b"
            assert len(hangs.requests) == 1


def test_where_the_first_resets_and_the_next_hangs_a_third_one_answers():
    with named(3) as (resets, hangs, well):
        resets.play(resetting())
        hangs.play(silent)
        with running("balance", resets.place, hangs.place, well.place, *FIRST) as front:
            assert took(front.port) == b"c"
            assert [len(one.requests) for one in (resets, hangs, well)] == [1, 1, 1]


def test_a_backup_stands_in_for_one_that_hangs_until_that_is_ejected():
    with named(2) as (hangs, backup):
        hangs.play(silent)
        with running("balance", hangs.place, f"{backup.place}+backup", *FIRST) as front:
            for _ in range(3):
                assert took(front.port) == b"b"
            until(lambda: f"{hangs.label} is down: silent while another answered" in front.stderr)
            assert took(front.port) == b"b"


def test_what_was_answered_is_not_tried_again_where_it_hung():
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"
    with named(2) as (hangs, is_busy):
        hangs.play(silent)
        is_busy.play(saying(busy))
        with running("balance", hangs.place, is_busy.place, *FIRST, "--retry-on", "503") as front:
            began = time.monotonic()
            assert ask(front.port).body == b"busy"
            assert time.monotonic() - began < 8.0  # till then the other may be no more than slow
            assert len(hangs.requests) == 1


def test_a_slow_page_of_a_session_is_nobody_elses_to_answer():
    """Another backend knows nothing of the session: its answer, "log in" with a new cookie, would end it."""
    gate = threading.Event()

    def is_slow(connection: Connection) -> None:
        while (seen := connection.read_request()) is not None:
            if seen.target == b"/report":
                assert gate.wait(10)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")

    with named(2) as (a, b), running("balance", a.place, b.place, "--lb", "sticky", "-v") as front:
        a.play(is_slow)
        with connect(front.port) as client:
            while (answer := get(client)).body != b"a":
                pass
            found = COOKIE.match(answer.get(b"set-cookie") or b"")
            assert found is not None
            before = len(b.requests)
            client.send(b"GET /report HTTP/1.1\r\nHost: localhost\r\nCookie: %b\r\n\r\n" % found[1])
            time.sleep(1.5)
            gate.set()
            assert client.read_answer().body == b"a"
            assert len(b.requests) == before


def test_no_request_is_sent_to_a_backup_to_see_whether_it_is_back():
    with named(2) as (primary, backup):
        primary.down()
        backup.down()
        with running("balance", primary.place, f"{backup.place}+backup", *FIRST) as front:
            for _ in range(4):
                assert ask(front.port).status == 502
            until(lambda: front.stderr.count(" is down") == 2)
            primary.up()
            until(lambda: ask(front.port).body == b"a")
            backup.up()
            until(lambda: f"{backup.label} is up" in front.stderr)
            assert set(tally(front.port, 20)) == {"a"}
            assert backup.requests == []


def test_no_session_is_sent_elsewhere_to_see_whether_that_is_back():
    with named(2) as (a, b):
        b.down()
        with running("balance", a.place, b.place, "--lb", "sticky", *FIRST[2:]) as front:
            found = COOKIE.match(ask(front.port).get(b"set-cookie") or b"")
            assert found is not None
            for _ in range(6):
                ask(front.port)
            until(lambda: f"{b.label} is down" in front.stderr)
            b.up()
            end = (
                time.monotonic() + 1.5
            )  # by then it has been dialled, and waits for a request to be tried by
            while time.monotonic() < end:
                assert ask(front.port, b"/", b"Cookie: " + found[1]).body == b"a"
            until(lambda: "b" in tally(front.port, 2))
            until(lambda: f"{b.label} is up" in front.stderr)
