"""Probes, and what traffic itself shows: who is ejected, and how it comes back."""

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.echo import tls_server
from tests.support.named import ask, named, tally, until
from tests.support.netfront import running
from tests.support.origins import Connection, resetting

QUICK = "interval=100ms,timeout=200ms"


class Answers:
    """Answers probes as a test says, and requests with its name; `status` 0 leaves a probe without an answer."""

    def __init__(self, backend, path=b"/healthz"):
        self.backend = backend
        self.path = path
        self.status, self.body = 200, b"fine"
        backend.play(self.play)

    def play(self, connection: Connection) -> None:
        while True:
            seen = connection.read_request()
            if seen.target != self.path:
                connection.send(self.backend.answers(seen))
            elif self.status:
                connection.send(
                    b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b"
                    % (self.status, len(self.body), self.body)
                )
            else:
                connection.wait_until_gone()

    @property
    def probes(self):
        return [seen for seen in self.backend.origin.requests if seen.target == self.path]


def is_down(front, backend, why=""):
    until(lambda: f"netfront: {backend.label} is down: {why}" in front.stderr)


def is_up(front, backend, times=1):
    until(lambda: front.stderr.count(f"netfront: {backend.label} is up") == times)


@pytest.fixture(scope="module")
def pair():
    with named(2) as backends:
        yield backends


# -- active ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("modes")
def test_probes_of_a_path_by_status_take_one_out_and_bring_it_back(pair):
    a, b = pair
    probed, _ = Answers(a), Answers(b)
    with running("balance", a.place, b.place, "--health", f"/healthz,{QUICK},rise=2,fall=2") as front:
        assert set(tally(front.port, 4)) == {"a", "b"}
        probed.status = 503
        is_down(front, a, "503, wanted 2xx")
        assert set(tally(front.port, 4)) == {"b"}
        probed.status = 200
        is_up(front, a)
        assert set(tally(front.port, 4)) == {"a", "b"}
        probed.status = 0
        is_down(front, a, "no answer")
        assert [seen.target for seen in a.origin.requests].count(b"/") == 4  # that is what a client asked for


def test_probes_say_what_they_want(pair):
    a, b = pair
    probed = Answers(a, b"/up?deep=1")
    Answers(b, b"/up?deep=1")
    probed.status = 418
    health = f"/up?deep=1,{QUICK},status=2xx,418,host=app.internal,method=OPTIONS,rise=1,fall=1"
    with running("balance", a.place, b.place, "--health", health) as front:
        a.origin.wait_until(lambda _: len(probed.probes) >= 3)
        assert {(seen.method, seen.host) for seen in probed.probes} == {(b"OPTIONS", b"app.internal")}
        assert "is down" not in front.stderr
        probed.status = 404
        is_down(front, a, "404, wanted 2xx,418")


def test_probes_look_for_a_pattern(pair):
    a, b = pair
    probed, _ = Answers(a), Answers(b)
    with running(
        "balance", a.place, b.place, "--health", f"/healthz,{QUICK},fall=1,rise=1", "--health-body", "^fine$"
    ) as front:
        probed.body = b"fine, but for the disk"
        is_down(front, a)
        probed.body = b"fine"
        is_up(front, a)


def test_rise_and_fall_count_in_a_row(pair):
    a, b = pair
    probed, _ = Answers(a), Answers(b)
    with running("balance", a.place, b.place, "--health", f"/healthz,{QUICK},rise=3,fall=4") as front:
        a.origin.wait_until(lambda _: probed.probes)
        before = len(probed.probes)
        probed.status = 500
        is_down(front, a)
        assert len(probed.probes) - before >= 4
        before = len(probed.probes)
        probed.status = 200
        is_up(front, a)
        assert len(probed.probes) - before >= 3


def test_tcp_probes_of_another_port(pair):
    a, b = pair
    a.play(), b.play()
    with named(1) as (beside,):
        health = f"tcp,{QUICK},port={beside.port},fall=1,rise=1"
        with running("balance", a.place, b.place, "--health", health) as front:
            beside.origin.wait_connections(2)
            beside.down()
            is_down(front, a)
            is_down(front, b)
            assert set(tally(front.port, 4)) == {"a", "b"}  # none is up, so all are tried
            beside.up()
            is_up(front, a)


def test_tls_probes_want_a_handshake(tmp_path):
    ca = make_ca()
    pem, key = write_pem(tmp_path, "site", make_leaf(ca, "localhost"))
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    flags = ("--backend-ca", str(tmp_path / "ca.pem"), "--health", f"tls,{QUICK},fall=1")
    with tls_server(pem, key, b"hello") as secure, named(1) as (plain,):
        places = (f"tls://localhost:{secure.port}", f"tls://localhost:{plain.port}")
        with running("balance", "-l", "tcp://127.0.0.1:0", *places, *flags) as front:
            until(lambda: f"tls://localhost:{plain.port} is down" in front.stderr)
            with connect(front.port) as client:
                assert client.read_some(5) == b"hello"


def test_tcp_probes_of_what_is_passed_on(pair):
    a, b = pair
    a.up(), b.up()
    with running(
        "balance", "-l", "tcp://127.0.0.1:0", a.place, b.place, "--health", f"tcp,{QUICK},fall=1,rise=1"
    ) as front:
        b.down()
        until(lambda: f"tcp://{b.place} is down: connect: connection refused" in front.stderr)
        b.up()
        until(lambda: f"tcp://{b.place} is up" in front.stderr)


def test_nobody_is_probed_unless_asked(pair):
    a, b = pair
    a.up(), b.up()
    with running("balance", a.place, b.place) as front:
        until(lambda: "Ctrl-C" in front.stderr)
        assert ask(front.port).status == 200
        assert len(a.origin.requests + b.origin.requests) == 1


# -- passive --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("modes")
def test_three_refusals_eject_and_it_is_used_again_when_it_is_back():
    with named(2) as (a, b), running("balance", a.place, b.place) as front:
        a.down()
        assert set(tally(front.port, 12)) == {"b"}
        is_down(front, a, "connection refused")
        a.up()
        until(lambda: "a" in tally(front.port, 2))
        is_up(front, a)


@pytest.mark.usefixtures("modes")
def test_resets_eject_and_hold_it_out():
    with named(2) as (a, b), running("balance", a.place, b.place) as front:
        a.play(resetting())
        assert set(tally(front.port, 12)) == {"b"}
        is_down(front, a, "connection reset")
        assert len(a.origin.requests) == 3
        before = len(a.origin.connections)
        a.origin.wait_connections(before + 2)  # it is dialled through its hold, which costs no request
        assert set(tally(front.port, 12)) == {"b"}
        assert len(a.origin.requests) == 3


def failing(backend, status):
    def play(connection: Connection) -> None:
        while True:
            connection.read_request()
            connection.send(b"HTTP/1.1 %d Failed\r\nContent-Length: 0\r\n\r\n" % status)

    backend.play(play)


def test_answers_count_as_failures_only_where_asked_for(pair):
    a, b = pair
    a.up(), b.up()
    failing(a, 503)
    with running("balance", a.place, b.place) as front:
        assert tally(front.port, 20) == {"503": 10, "b": 10}
    with running("balance", a.place, b.place, "--eject-on", "502,503,504") as front:
        assert tally(front.port, 20) == {"503": 3, "b": 17}
        is_down(front, a, "answered 503")


def test_a_lone_backend_is_never_out_of_reach(pair):
    a, _ = pair
    a.up()
    failing(a, 503)
    with running("balance", a.place, "--eject-on", "503") as front:
        assert tally(front.port, 10) == {"503": 10}
        a.play()
        assert tally(front.port, 3) == {"a": 3}


@pytest.mark.usefixtures("modes")
def test_all_down_is_502_and_up_again_is_served_again():
    with named(3) as (a, b, c), running("balance", a.place, b.place, c.place) as front:
        for backend in (a, b, c):
            backend.down()
        shares = tally(front.port, 6)
        assert set(shares) <= {"502"}
        for backend in (a, b, c):
            is_down(front, backend)
        b.up()
        until(lambda: tally(front.port, 1) == {"b": 1})
        assert set(tally(front.port, 8)) == {"b"}
        a.up(), c.up()
        until(lambda: set(tally(front.port, 6)) == {"a", "b", "c"})


def test_one_that_speaks_no_tls_where_it_should_is_as_good_as_down():
    with (
        named(2) as (a, b),
        running("balance", f"https://localhost:{a.port}+insecure", f"http://localhost:{b.port}") as front,
    ):
        assert set(tally(front.port, 12)) == {"b"}
        until(lambda: f"https://localhost:{a.port} is down: closed in the tls handshake" in front.stderr)
