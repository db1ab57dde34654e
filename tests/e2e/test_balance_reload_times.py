"""A reload may come at any time, and changes all that a plan says."""

import os
import select
import signal
import socket
import threading

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.dns import dns_server
from tests.support.echo import datagram_echo
from tests.support.named import ask, get, named, until
from tests.support.netfront import running
from tests.support.origins import Connection
from tests.support.servers import free_port

pytestmark = pytest.mark.usefixtures("modes")
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_while_it_starts_and_waits_for_names(file):
    """Nothing is accepted yet; a listener that comes is opened with the others, one that goes is closed."""
    stays, goes, comes = free_port(), free_port(), free_port()
    with dns_server() as names, named(1) as (a,):
        names.fail("db.internal", "hold")
        lines = (f"-l tcp://127.0.0.1:{stays}", f"tcp://{a.place}", f"tcp://db.internal:{a.port}")
        file.write(*lines, f"-l tcp://127.0.0.1:{goes}")
        with running("balance", str(file), "--resolver", f"127.0.0.1:{names.port}") as front:
            names.wait_until_asked("db.internal", "A")
            file.rewrite(front, *lines, f"-l tcp://127.0.0.1:{comes}", hup=True)
            assert "1 listener opened, 1 closed" in front.stderr
            assert (ask(stays).body, ask(comes).body) == (b"a", b"a")
            with pytest.raises(ConnectionRefusedError):
                ask(goes)
            names.heal("db.internal")


def test_while_names_are_looked_up_that_the_reload_takes_away(file):
    """Whoever waited for them waits for the others alone."""
    with dns_server() as names, named(1) as (a,):
        for name in ("a.internal", "b.internal", "c.internal"):
            names.fail(name, "hold")
        names.set("new.internal", "A", "127.0.0.1")
        port = a.place.rpartition(":")[2]
        there = f"http://{a.place}"
        file.write(f"http://a.internal:{port}", f"http://b.internal:{port}", there)
        with running("balance", str(file), "--resolver", f"127.0.0.1:{names.port}") as front:
            names.wait_until_asked("b.internal", "A")
            file.rewrite(front, f"http://a.internal:{port}", there, hup=True)
            assert ask(front.port).body == b"a"
            file.rewrite(front, f"http://c.internal:{port}", hup=True)
            names.wait_until_asked("c.internal", "A")
            file.rewrite(front, f"http://new.internal:{port}", hup=True)
            until(lambda: "joined" in front.stderr)
            assert ask(front.port).body == b"a"
            for name in ("a.internal", "b.internal", "c.internal"):
                names.heal(name)


def test_while_it_stops_nothing_is_reloaded_and_what_is_under_way_is_finished(file):
    going = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe")
        assert going.wait(10)
        connection.send(b"ld")

    with named(1) as (a,):
        a.play(play)
        file.write(a.place)
        with running("balance", str(file)) as front, connect(front.port) as client:
            client.send(GET)
            assert client.read_head().status == 200
            front.process.send_signal(signal.SIGTERM)
            until(lambda: "finishing 1 request" in front.stderr)
            lines = (a.place, f"-l http://127.0.0.1:{free_port()}")
            file.rewrite(front, *lines, says="nothing is reloaded: this is stopping", hup=True)
            going.set()
            assert client.read_some(4) == b"held"
            assert front.process.wait(10) == 0


def test_after_a_file_is_gone_that_it_named(file, tmp_path):
    """What is wrong is told, and what served goes on."""
    ca, _ = write_pem(tmp_path, "ca", make_ca())
    with named(1) as (a,):
        file.write(a.place, f"/x=https://127.0.0.1:1+ca={ca}")
        with running("balance", str(file)) as front:
            os.unlink(ca)
            front.process.send_signal(signal.SIGHUP)
            until(lambda: "what was before goes on" in front.stderr)
            assert ca in front.stderr
            assert ask(front.port).body == b"a"


def test_files_that_are_named_anew_are_watched_too(file, tmp_path):
    """A backend whose certificate is of another CA answers 502 until the file of that CA is put in place."""
    right, wrong = make_ca(), make_ca()
    pem, key = write_pem(tmp_path, "site", make_leaf(right, "127.0.0.1"))
    ca, _ = write_pem(tmp_path, "ca", wrong)
    with (
        named(1) as (a,),
        running("balance", a.place, "-l", "https://127.0.0.1:0", "--cert", pem, "--key", key) as behind,
    ):
        file.write(a.place)
        with running("balance", str(file)) as front:
            file.rewrite(front, f"https://127.0.0.1:{behind.port}+ca={ca}")
            assert ask(front.port).status == 502
            write_pem(tmp_path, "ca", right)
            until(lambda: ask(front.port).body == b"a")


def test_a_backend_whose_certificate_is_to_be_verified_from_now_on_is_connected_to_anew(file, tmp_path):
    """A connection that was made without a look at it is not used for long."""
    pem, key = write_pem(tmp_path, "site", make_leaf(make_ca(), "127.0.0.1"))
    with (
        named(1) as (a,),
        running("balance", a.place, "-l", "https://127.0.0.1:0", "--cert", pem, "--key", key) as behind,
    ):
        place = f"https://127.0.0.1:{behind.port}"
        file.write(f"{place}+insecure")
        with running("balance", str(file)) as front:
            assert ask(front.port).body == b"a"
            file.rewrite(front, place, hup=True)
            until(lambda: ask(front.port).status == 502)
            assert "is spoken to by other terms of TLS" in front.stderr


def test_how_many_connections_are_let_in_changes_at_once_and_back_to_what_it_is_without_the_flag(file):
    with named(1) as (a,):
        file.write(a.place, "--max-connections 1")
        with running("balance", str(file)) as front, connect(front.port) as one:
            assert get(one).body == b"a"
            with connect(front.port) as other, connect(front.port) as third:
                for client in (other, third):
                    client.send(GET)
                file.rewrite(front, a.place, "--max-connections 2", hup=True)
                answered = waited_for(other, third)
                assert len(answered) == 1, "the other one waits still"
                file.rewrite(front, a.place, hup=True)
                for client in {other, third} - set(answered):
                    assert client.read_answer().body == b"a"


def waited_for(*clients):
    """Give those that have an answer, once one has."""
    answered = []
    until(lambda: answered.extend(one for one in clients if has_bytes(one)) or answered)
    return [one for one in answered if one.read_answer().body == b"a"]


def has_bytes(client):
    return bool(select.select([client.socket], [], [], 0)[0])


def test_what_connections_are_allowed_changes_for_those_that_are_open(file):
    with named(1) as (a,):
        file.write(a.place)
        with running("balance", str(file)) as front, connect(front.port) as kept:
            assert get(kept).body == b"a"
            file.rewrite(front, a.place, "--idle-timeout 100ms", hup=True)
            assert get(kept).body == b"a"
            assert kept.ends()


def test_what_is_under_way_at_a_listener_that_goes_is_finished_and_told_to_the_log_of_now(file, tmp_path):
    """A request, a connection that is passed on and a UDP flow, each begun by a plan that logged elsewhere."""
    going = threading.Event()

    def play(connection: Connection) -> None:
        seen = connection.read_request()
        assert going.wait(10)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + seen.target[-1:])
        connection.read_request()

    old, new = tmp_path / "old.log", tmp_path / "new.log"
    http, tcp, udp = free_port(), free_port(), free_port()
    with named(1) as (a,), datagram_echo(b"") as echo:
        a.play(play)
        file.write(
            f"-l http://127.0.0.1:{http}", f"-l tcp://127.0.0.1:{tcp}", f"-l udp://127.0.0.1:{udp}",
            f"http://{a.place}", f"tcp://{a.place}", f"udp://127.0.0.1:{echo.port}",
            f"--access-log {old}", "--log-format logfmt",
        )  # fmt: skip
        with (
            running("balance", str(file)) as front,
            connect(http) as asking,
            connect(tcp) as passed,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow,
        ):
            flow.settimeout(10)
            flow.connect(("127.0.0.1", udp))
            flow.send(b"1")
            assert flow.recv(10) == b"1"
            asking.send(b"GET /1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            passed.send(b"GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: len(a.requests) == 2)
            file.rewrite(front, f"http://{a.place}", f"--access-log {new}", "--log-format logfmt")
            going.set()
            assert asking.read_answer().body == b"1"
            assert asking.ends()
            assert passed.read_answer().body == b"2"
            passed.socket.close()
            until(
                lambda: all(word in new.read_text() for word in ("target=/1", "protocol=tcp", "protocol=udp"))
            )
        assert old.read_text() == ""


def test_what_is_refused_leaves_nothing_open(file, tmp_path):
    with named(1) as (a,), socket.create_server(("127.0.0.1", 0)) as taken:
        file.write(a.place)
        with running("balance", str(file)) as front:
            assert ask(front.port).body == b"a"
            descriptors = os.listdir(f"/proc/{front.process.pid}/fd")
            for number in range(3):
                file.rewrite(
                    front, "demo:", f"--access-log {tmp_path / str(number)}",
                    f"-l http://127.0.0.1:{taken.getsockname()[1]}",
                    says="what was before goes on", hup=True,
                )  # fmt: skip
            assert len(os.listdir(f"/proc/{front.process.pid}/fd")) <= len(descriptors)
            assert ask(front.port).body == b"a"
