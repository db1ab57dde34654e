"""The command lines that `balance` is known by, run as they stand but for ports and names that are the test's own."""

import socket
import ssl
from contextlib import ExitStack

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.dns import dns_server
from tests.support.echo import datagram_echo, tls_server
from tests.support.named import ask, get, named, named_in_a_row, tally, until
from tests.support.netfront import running
from tests.support.origins import closed_port
from tests.support.servers import free_port


def said(port, data=b"hi"):
    with connect(port) as client:
        client.send(data)
        client.send_eof()
        return client.read_to_end()


def test_a_range_of_ports_is_shared():
    with named_in_a_row(3) as (a, _, c), running("balance", f"{a.port}-{c.port}") as front:
        assert tally(front.port, 9) == {"a": 3, "b": 3, "c": 3}


def test_weights_a_backup_least_and_health():
    with (
        named(2) as (a, b),
        closed_port() as backup,
        running(
            "balance",
            f":{a.port}+weight=3",
            f":{b.port}",
            f":{backup}+backup",
            "--lb",
            "least",
            "--health",
            "/healthz",
        ) as front,
    ):
        assert tally(front.port, 40) == {"a": 30, "b": 10}
        for backend in (a, b):
            backend.origin.wait_until(lambda me: any(seen.target == b"/healthz" for seen in me.requests))


def test_tcp_to_two_names_one_of_them_a_backup():
    with dns_server() as names, named(2) as (a, b):
        for name in ("db1", "db2"):
            names.set(name, "A", "127.0.0.1")
        with running(
            "balance",
            "-l",
            "tcp://:0",
            f"db1:{a.port}",
            f"db2:{b.port}+backup",
            "--resolver",
            f"127.0.0.1:{names.port}",
        ) as front:
            until(lambda: tells(front.port) == "a")
            a.down()
            assert tells(front.port) == "b"
            a.up()
            until(lambda: tells(front.port) == "a")


def tells(port):
    try:
        return ask(port).body.decode()
    except Exception:
        return ""


def test_udp_to_two():
    with (
        datagram_echo(b"one ") as one,
        datagram_echo(b"two ") as two,
        running("balance", "-l", "udp://:0", f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}") as front,
    ):
        heard = set()
        for _ in range(4):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.connect(("127.0.0.1", front.port))
                for word in (b"x", b"y"):
                    client.send(word)
                    heard.add(client.recv(100))
        assert heard == {b"one x", b"one y", b"two x", b"two y"}


def test_tcp_by_the_name_in_the_client_hello(tmp_path):
    ca = make_ca()
    with ExitStack() as stack:
        ports = {}
        for name in ("a.example", "b.example"):
            pem, key = write_pem(tmp_path, name, make_leaf(ca, name))
            ports[name] = stack.enter_context(tls_server(pem, key, name.encode())).port
        front = stack.enter_context(
            running(
                "balance",
                "-l",
                "tcp://:0",
                f"a.example=:{ports['a.example']}",
                f"b.example=127.0.0.1:{ports['b.example']}",
            )
        )
        for name in ports:
            context = ssl.create_default_context(cadata=ca.pem.decode())
            with (
                socket.create_connection(("127.0.0.1", front.port), 10) as plain,
                context.wrap_socket(plain, server_hostname=name) as secure,
            ):
                assert secure.recv(100) == name.encode()  # it checked that name: nobody ended TLS between


def test_two_tcp_listeners_each_with_its_own():
    first, second = free_port(), free_port()
    with named(3) as (a, b, c), dns_server() as names:
        for name in ("db1", "db2", "cache"):
            names.set(name, "A", "127.0.0.1")
        with running(
            "balance", "-l", f"tcp://:{first}", "-l", f"tcp://:{second}", f":{first}=db1:{a.port},db2:{b.port}",
            f":{second}=cache:{c.port}", "--resolver", f"127.0.0.1:{names.port}", "-v",
        ) as front:  # fmt: skip
            until(lambda: tells(first))
            assert {tells(first) for _ in range(4)} == {"a", "b"}
            assert {tells(second) for _ in range(4)} == {"c"}
            until(lambda: "Ctrl-C" in front.stderr)
            assert f"  :{first} -> tcp://db1:{a.port}, tcp://db2:{b.port} (answers)\n" in front.stderr
            assert f"  :{second} -> tcp://cache:{c.port} (answers)\n" in front.stderr


def test_a_service_by_srv_hashed_by_a_header():
    with dns_server() as names, named(2) as (a, b):
        names.set(
            "_http._tcp.shop.internal", "SRV", f"10 5 {a.port} one.internal.", f"10 5 {b.port} two.internal."
        )
        for name in ("one.internal", "two.internal"):
            names.set(name, "A", "127.0.0.1")
        with running(
            "balance",
            "srv://_http._tcp.shop.internal",
            "--lb",
            "hash:header:X-User",
            "--resolver",
            f"127.0.0.1:{names.port}",
        ) as front:
            until(lambda: "Ctrl-C" in front.stderr)
            assert "-> http://_http._tcp.shop.internal (answers)" in front.stderr
            with connect(front.port) as client:
                first = {number: get(client, b"/", b"X-User: %d" % number).body for number in range(20)}
                again = {number: get(client, b"/other", b"X-User: %d" % number).body for number in range(20)}
            assert first == again
            assert set(first.values()) == {b"a", b"b"}


def test_a_file_of_targets(tmp_path):
    with named(2) as (a, b):
        (tmp_path / "pool.nf").write_text(
            f"# the shop\n:{a.port}\n:{b.port}+weight=2  # the big one\n--lb least\n"
        )
        with running("balance", f"@{tmp_path / 'pool.nf'}") as front:
            assert tally(front.port, 30) == {"a": 10, "b": 20}


def test_it_listens_on_8080_where_nothing_else_is_said():
    from tests.support.netfront import run

    told = run("balance", "3001-3003", "--explain")
    assert "http://localhost:8080" in told.stdout
