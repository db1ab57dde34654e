"""Issue 4, point 6: a reload may come at any time, and changes all that a plan says."""

import os
import select
import signal
import threading

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.dns import dns_server
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
