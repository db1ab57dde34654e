"""An @file written anew, or read again on SIGHUP, changes what serves and breaks nothing."""

import signal
import socket
import ssl
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.dns import dns_server
from tests.support.echo import datagram_echo
from tests.support.named import ask, get, named, tally, until
from tests.support.netfront import run, running
from tests.support.origins import PATIENCE, Connection
from tests.support.servers import free_port

UPGRADE = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Load:
    """Clients on kept connections who ask without a pause, and what came of it."""

    def __init__(self, port, target=b"/"):
        self.port = port
        self.target = target
        self.answers = Counter()
        self.failed = []
        self._stop = threading.Event()
        self._more = threading.Condition()

    def play(self):
        while not self._stop.is_set():
            try:
                with connect(self.port) as client:
                    for _ in range(25):
                        answer = get(client, self.target)
                        with self._more:
                            self.answers[answer.body if answer.status == 200 else answer.status] += 1
                            if answer.status != 200:
                                self.failed.append(answer)
                            self._more.notify_all()
                        if self._stop.wait(0.002):
                            return
            except Exception as error:
                self.failed.append(error)

    def go_on(self, count=60):
        """Return after so many more answers."""
        with self._more:
            wanted = self.answers.total() + count
            assert self._more.wait_for(lambda: self.answers.total() >= wanted or self.failed, 10)

    def go_on_anew(self):
        """The same, and count only those that were asked for from here on."""
        self.go_on(10)  # some may be on their way
        with self._more:
            self.answers.clear()
        self.go_on()

    def stop(self):
        self._stop.set()


@contextmanager
def loaded(port, clients=3):
    load = Load(port)
    threads = [threading.Thread(target=load.play) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        load.go_on()
        yield load
        load.go_on()
    finally:
        load.stop()
        for thread in threads:
            thread.join(10)
    assert load.failed == []


def speaking(backend):
    """Answer with a name, or echo after an upgrade."""

    def play(connection: Connection) -> None:
        while True:
            seen = connection.read_request()
            if seen.target != b"/ws":
                connection.send(backend.answers(seen))
                continue
            connection.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                + backend.name.encode()
            )
            while data := connection.receive():
                connection.send(data)
            return

    return play


@contextmanager
def upgraded(port):
    with connect(port) as client:
        client.send(UPGRADE)
        assert client.read_head().status == 101
        client.name = client.read_some(1).decode()
        yield client


def echoes(client):
    client.send(b"?")
    return client.read_some(1) == b"?"


@pytest.mark.usefixtures("modes")
def test_members_change_under_load_and_nothing_breaks(file):
    with named(4) as (a, b, c, d):
        for backend in (a, b, c, d):
            backend.play(speaking(backend))
        file.write(a.place, b.place, c.place)
        with running("balance", str(file)) as front, loaded(front.port) as load, ExitStack() as stack:
            sockets = {}
            while len(sockets) < 3:
                client = stack.enter_context(upgraded(front.port))
                sockets[client.name] = client
            file.rewrite(front, a.place, b.place, d.place)
            load.go_on_anew()
            assert set(load.answers) == {b"a", b"b", b"d"}
            assert all(map(echoes, sockets.values()))  # one that leaves drains: it is not cut
            file.rewrite(front, f"{a.place}+weight=0", b.place, d.place, hup=True)
            load.go_on_anew()
            assert set(load.answers) == {b"b", b"d"}
            assert all(map(echoes, sockets.values()))
            file.rewrite(front, a.place, b.place, c.place, hup=True)
            load.go_on_anew()
            assert set(load.answers) == {b"a", b"b", b"c"}
            assert all(map(echoes, sockets.values()))


def test_way_of_picking_changes_under_load(file):
    with named(3) as backends:
        places = [backend.place for backend in backends]
        file.write(*places)
        with running("balance", str(file)) as front, loaded(front.port) as load:
            for policy in ("first", "hash:path", "sticky", "least", "rr"):
                file.rewrite(front, *places, f"--lb {policy}", hup=True)
                load.go_on()
            file.rewrite(front, *places, "--lb first", hup=True)
            load.go_on_anew()
            assert set(load.answers) == {b"a"}


@pytest.mark.parametrize("before", ["rr", "sticky"])
@pytest.mark.parametrize("after", ["latency", "hash:url", "sticky"])
def test_who_is_down_stays_so_as_the_way_of_picking_changes(file, before, after):
    with named(2) as (a, b):
        gone = f"127.0.0.1:{free_port()}"
        file.write(a.place, gone, f"--lb {before}")
        with running("balance", str(file)) as front:
            until(lambda: [ask(front.port) for _ in range(4)] and " is down" in front.stderr)
            file.rewrite(front, a.place, gone, b.place, f"--lb {after}", hup=True)
            until(lambda: "joined" in front.stderr)
            assert set(tally(front.port, 20)) <= {"a", "b"}
            assert front.stderr.count(" is down") == 1


def test_the_quicker_is_known_once_it_is_picked(file):
    def slow(connection: Connection) -> None:
        while True:
            connection.read_request()
            time.sleep(0.03)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")

    with named(2) as (a, b):
        a.play(slow)
        file.write(a.place, b.place)
        with running("balance", str(file)) as front:
            file.rewrite(front, a.place, b.place, "--lb latency", hup=True)
            assert tally(front.port, 30).get("a", 0) < 6


def test_names_come_in_place_of_addresses_under_load(file):
    with dns_server() as names, named(2) as (a, b):
        names.set("db.internal", "A", "127.0.0.1")
        file.write(a.place, f"other.internal:{a.port}")
        with (
            running("balance", str(file), "--resolver", f"127.0.0.1:{names.port}") as front,
            loaded(front.port) as load,
        ):
            names.fail("db.internal", "hold")
            file.rewrite(front, f"db.internal:{b.port}", hup=True)
            names.wait_until_asked("db.internal", "A")
            load.go_on()
            names.heal("db.internal")
            until(lambda: "left" in front.stderr)
            load.go_on_anew()
            assert set(load.answers) == {b"b"}


BAD = [
    ("--lb rround", "--lb rround: no such way to pick as rround\n  did you mean"),
    (":3001+weight=300", ":3001+weight=300: +weight=300: "),
    ("--slow-strat 3s", "--slow-strat: no such flag"),
    (":99999", ":99999: "),
    ("@other.nf", "@other.nf: a file names no other file"),
    ("udp://127.0.0.1:53", "udp://127.0.0.1:53: no listener is for udp://"),
]


@pytest.mark.parametrize("line", ["--help", "-h", "--explain", "--new-key bob"])
def test_what_serves_nothing_ends_nothing_that_is_served(file, line):
    with named(1) as (a,):
        file.write(a.place)
        with running("gateway", str(file)) as front:
            file.rewrite(front, a.place, line, says="what was before goes on", hup=True)
            assert "it serves nothing" in front.stderr
            assert ask(front.port).body == b"a"


def test_a_bad_file_is_told_by_its_line_and_the_old_plan_stays(file):
    with named(2) as (a, b):
        file.write(a.place)
        with running("balance", str(file)) as front:
            for line, words in BAD:
                file.rewrite(front, "# comment", b.place, line, says="what was before goes on", hup=True)
                assert f"not reloaded: {file.path}:3: {words.split(chr(10))[0]}" in front.stderr, front.stderr
                assert set(tally(front.port, 2)) == {"a"}
            file.path.unlink()
            said = front.stderr.count("what was before goes on")
            front.process.send_signal(signal.SIGHUP)
            until(lambda: front.stderr.count("what was before goes on") > said)
            assert f"@{file.path}: no such file or directory" in front.stderr
            assert set(tally(front.port, 2)) == {"a"}
            file.write(b.place)
            front.process.send_signal(signal.SIGHUP)
            until(lambda: set(tally(front.port, 2)) == {"b"})


def test_another_way_to_pick_goes_on_with_the_connections_there_are(file):
    with named(1) as (a,):
        file.write(a.place)
        with running("balance", str(file)) as front:
            assert ask(front.port).body == b"a"
            file.rewrite(front, a.place, "--lb least")
            assert ask(front.port).body == b"a"
            asked = [len(one.requests) for one in a.origin.connections if one.requests]
            assert asked == [2]  # a probe of the start asks nothing


def test_another_route_leaves_no_connections_behind(file):
    with named(1) as (a,):
        file.write(a.place)
        with running("balance", str(file)) as front:
            assert ask(front.port).body == b"a"
            before = [one for one in a.origin.connections if not one.ended.is_set()]
            assert before
            file.rewrite(front, f"GET /={a.place}")
            assert ask(front.port).body == b"a"
            assert all(one.ended.wait(PATIENCE / 2) for one in before)  # the origin itself would end them
            assert any(not one.ended.is_set() for one in a.origin.connections)


def test_the_same_line_is_refused_at_the_start(file):
    file.write("# comment", ":3001", "--lb rround")
    told = run("balance", str(file))
    assert told.returncode == 2
    assert f"{file.path}:3: --lb rround" in told.stderr


def test_listeners_come_and_go(file):
    one, two, bytes_port = free_port(), free_port(), free_port()
    with named(2) as (a, b):
        file.write(f"-l http://127.0.0.1:{one}", a.place)
        with running("balance", str(file)) as front, connect(one) as kept:
            assert get(kept).body == b"a"
            file.rewrite(
                front,
                f"-l http://127.0.0.1:{one}",
                f"-l http://127.0.0.1:{two}",
                b.place,
                says="1 listener opened",
            )
            assert ask(two).body == b"b"
            assert get(kept).body == b"b"  # connections that are open go by the new plan
            file.rewrite(
                front, f"-l http://127.0.0.1:{two}", f"-l tcp://127.0.0.1:{bytes_port}", f"http://{b.place}", f"tcp://{a.place}",
                says="1 listener opened, 1 closed",
            )  # fmt: skip
            assert ask(bytes_port).body == b"a"
            with pytest.raises(ConnectionRefusedError):
                ask(one)
            assert kept.ends(), "an idle connection ends with its listener"
            assert ask(two).body == b"b"


def test_what_a_listener_speaks_can_change(file, tmp_path):
    port = free_port()
    with named(1) as (a,):
        file.write(f"-l http://127.0.0.1:{port}", a.place)
        with running("balance", str(file)) as front:
            assert ask(port).body == b"a"
            file.rewrite(front, f"-l tcp://127.0.0.1:{port}", f"tcp://{a.place}", f"http://{a.place}")
            with connect(port) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n\r\n")
                assert client.read_answer().body == b"a"
            assert a.requests[-1].get(b"via") is None
            file.rewrite(front, f"-l https://127.0.0.1:{port}", a.place)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with (
                socket.create_connection(("127.0.0.1", port), 10) as plain,
                context.wrap_socket(plain) as secure,
            ):
                secure.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert secure.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_place_that_is_taken_is_told_and_the_old_plan_stays(file):
    with named(2) as (a, b), socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write(a.place)
        with running("balance", str(file), "-l", "http://127.0.0.1:0") as front:
            file.rewrite(front, b.place, f"-l http://127.0.0.1:{port}", says="what was before goes on")
            assert f"cannot listen on http://127.0.0.1:{port}" in front.stderr
            assert ask(front.port).body == b"a"


def test_what_cannot_change_is_told(file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef")
    with named(1) as (a,):
        file.write(a.place)
        with running("balance", str(file)) as front:
            file.rewrite(
                front, a.place, f"other.internal:{a.port}", "--resolver 127.0.0.1:1", "--json",
                f"--sticky-key @{secret}", "--lb sticky",
            )  # fmt: skip
            until(lambda: front.stderr.count("stays as it was") == 3)
            for flag in ("--resolver", "--json", "--sticky-key"):
                assert f"netfront: {flag} stays as it was" in front.stderr


def test_udp_flows_and_passed_on_connections_outlast_a_reload(file):
    tcp, udp = free_port(), free_port()
    with named(2) as (a, b), datagram_echo(b"") as echo:
        for backend in (a, b):
            backend.play(speaking(backend))
        lines = (f"-l tcp://127.0.0.1:{tcp}", f"-l udp://127.0.0.1:{udp}", f"udp://127.0.0.1:{echo.port}")
        file.write(*lines, f"tcp://{a.place}")
        with (
            running("balance", str(file)) as front,
            upgraded(tcp) as client,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow,
        ):
            flow.settimeout(10)
            flow.connect(("127.0.0.1", udp))
            flow.send(b"1")
            assert flow.recv(10) == b"1"
            file.rewrite(front, *lines, f"tcp://{b.place}")
            assert ask(tcp).body == b"b"
            assert echoes(client)
            flow.send(b"2")
            assert flow.recv(10) == b"2"
            assert len(set(echo.peers)) == 1, "the flow has another socket"


def test_new_certificates_are_taken(file, tmp_path):
    ca = make_ca()
    pem, key = write_pem(tmp_path, "site", make_leaf(ca, "one.test"))

    def shown(port):
        context = ssl.create_default_context(cadata=ca.pem.decode())
        context.check_hostname = False
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            context.wrap_socket(plain, server_hostname="one.test") as secure,
        ):
            return [value for _, value in secure.getpeercert()["subjectAltName"]]

    with (
        named(1) as (a,),
        running("balance", a.place, "-l", "https://127.0.0.1:0", "--cert", pem, "--key", key) as front,
    ):
        assert shown(front.port) == ["one.test"]
        write_pem(tmp_path, "site", make_leaf(ca, "one.test", "two.test"))
        front.process.send_signal(signal.SIGHUP)
        until(lambda: shown(front.port) == ["one.test", "two.test"])


def test_sighup_without_anything_to_read_says_so():
    with named(1) as (a,), running("balance", a.place) as front:
        front.process.send_signal(signal.SIGHUP)
        until(lambda: "nothing to reload" in front.stderr)
        assert ask(front.port).body == b"a"


def test_health_is_kept_and_goes_where_its_probes_go(file):
    """A reload forgets nobody's health; without --health what probes had said does not count any more."""
    with named(3) as (a, b, c):
        a.play(lambda connection: failing_probes(connection, a))
        file.write(a.place, b.place, "--health /healthz,interval=100ms,fall=1,rise=1")
        with running("balance", str(file)) as front:
            until(lambda: f"{a.label} is down" in front.stderr)
            probed = len(a.requests)
            file.rewrite(
                front, a.place, b.place, c.place, "--health /healthz,interval=1h,fall=1,rise=1", hup=True
            )
            assert set(tally(front.port, 6)) == {"b", "c"}
            file.rewrite(front, a.place, b.place, c.place, hup=True)
            until(lambda: f"{a.label} is up" in front.stderr)
            assert set(tally(front.port, 6)) == {"a", "b", "c"}
            assert len(a.requests) >= probed


def failing_probes(connection, backend):
    while True:
        seen = connection.read_request()
        is_probe = seen.target == b"/healthz"
        connection.send(
            b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if is_probe else backend.answers(seen)
        )
