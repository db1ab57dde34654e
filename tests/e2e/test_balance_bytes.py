"""TCP and UDP as they come: relayed by halves, routed by SNI, with TLS ended or passed on."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import time

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.echo import datagram_echo, tls_server
from tests.support.named import ask, named, until
from tests.support.netfront import running
from tests.support.origins import Connection, closed_port, full_queue, origin
from tests.support.servers import free_port, nginx

TCP = ("-l", "tcp://127.0.0.1:0")
UDP = ("-l", "udp://127.0.0.1:0")
KEPT = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
in_both_modes = pytest.mark.usefixtures("modes")


def echoing_to_the_end(connection: Connection) -> None:
    """Read to the end, and only then send it all back."""
    while connection.receive():
        pass
    connection.send(bytes(connection.received))
    connection.send_eof()


# -- TCP ------------------------------------------------------------------------------------------------------


@in_both_modes
def test_the_end_of_one_half_is_passed_on_and_the_other_goes_on():
    with origin(echoing_to_the_end) as behind, running("balance", *TCP, f":{behind.port}", "-v") as front:
        with connect(front.port) as client:
            client.send(b"x" * 300_000)
            client.send_eof()
            assert client.read_to_end() == b"x" * 300_000
        line = re.compile(rf" -> tcp://localhost:{behind.port} \d+\.\d s 300000 B in, 300000 B out\n")
        until(lambda: line.search(front.stderr))


@in_both_modes
def test_a_server_that_speaks_first_is_heard_at_once():
    def greeting(connection: Connection) -> None:
        connection.send(b"220 ready\r\n")
        connection.wait_until_gone()

    with (
        origin(greeting) as behind,
        running("balance", *TCP, f":{behind.port}") as front,
        connect(front.port) as client,
    ):
        assert client.read_some(11) == b"220 ready\r\n"


@in_both_modes
def test_a_reset_passes_as_a_reset_both_ways():
    def resets(connection: Connection) -> None:
        connection.send(b"half")
        connection.receive()
        connection.reset()

    with (
        origin(resets, expect_faults=True) as behind,
        running("balance", *TCP, f":{behind.port}", "-q") as front,
        connect(front.port) as client,
    ):
        assert client.read_some(4) == b"half"
        client.send(b"go")
        with pytest.raises(ConnectionResetError):
            client.socket.recv(10)

    seen = []

    def sees(connection: Connection) -> None:
        connection.send(b"hello")
        try:
            while connection.socket.recv(100):
                pass
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    with origin(sees) as behind, running("balance", *TCP, f":{behind.port}", "-q") as front:
        with connect(front.port) as client:
            assert client.read_some(5) == b"hello"
            client.reset()
        behind.wait_connections(1)[0].ended.wait(10)
    assert seen == ["reset"]


@in_both_modes
def test_one_that_refuses_and_one_that_is_silent_cost_no_connection():
    with named(1) as (a,), closed_port() as refuses, full_queue() as is_silent:
        places = (f"127.0.0.1:{refuses}", f"127.0.0.1:{is_silent}", a.place)
        with running("balance", *TCP, *places, "--lb", "first", "-v") as front:
            for _ in range(4):
                assert ask(front.port).body == b"a"
            until(lambda: "(3 tries, retried: no answer)" in front.stderr)


@in_both_modes
def test_nobody_there_is_a_reset_and_no_silent_end():
    with (
        closed_port() as port,
        running("balance", *TCP, f"127.0.0.1:{port}") as front,
        pytest.raises(ConnectionResetError),
        connect(front.port) as client,
    ):
        client.socket.recv(10)  # unless the reset was faster than connect


def test_max_bounds_connections():
    with named(2) as (a, b), running("balance", *TCP, f"{a.place}+max=1", b.place, "--lb", "first") as front:
        with connect(front.port) as held:
            held.send(b"G")
            until(lambda: any(one.received == b"G" for one in a.origin.connections))  # the start dials too
            assert ask(front.port).body == b"b"
        until(lambda: ask(front.port).body == b"a")


@in_both_modes
def test_connections_wait_for_a_place_and_who_leaves_holds_up_nobody():
    with (
        named(1) as (a,),
        running("balance", *TCP, f"{a.place}+max=1", "-v") as front,
        contextlib.ExitStack() as stack,
    ):
        with connect(front.port) as held:
            held.send(KEPT)
            assert held.read_answer().body == b"a"
            leaver, *waiting = (stack.enter_context(connect(front.port)) for _ in range(3))
            for client in waiting:
                client.send(KEPT)
                client.send_eof()
            time.sleep(0.2)  # by then they wait, of which nobody is told
            leaver.reset()
            until(lambda: "[client: it left]" in front.stderr)
            assert len(a.origin.requests) == 1
        for client in waiting:
            assert client.read_answer().body == b"a"


@in_both_modes
@pytest.mark.parametrize("words", [("--queue", "0"), ("--queue-timeout", "100ms")])
def test_who_finds_no_place_is_reset(words):
    with named(1) as (a,), running("balance", *TCP, f"{a.place}+max=1", *words, "-v") as front:
        with connect(front.port) as held:
            held.send(KEPT)
            assert held.read_answer().body == b"a"
            with pytest.raises(ConnectionResetError), connect(front.port) as client:
                client.socket.recv(10)  # unless the reset was faster than connect
        until(lambda: "all backends are busy" in front.stderr)
        until(lambda: f"{len(KEPT)} B in" in front.stderr)
        assert ask(front.port).body == b"a"


def test_clients_of_one_address_stay_where_they_are():
    with named(3) as backends:
        places = [backend.place for backend in backends]
        with running("balance", *TCP, *places, "--lb", "hash:ip", "-v") as front:
            bodies = set()
            for number in range(1, 10):
                bodies.add(ask(front.port).body)
                until(lambda: front.stderr.count(" B out\n") == number)  # noqa: B023
            assert len(bodies) == 1
        with running("balance", *TCP, *places) as front:
            assert len({ask(front.port).body for _ in range(9)}) == 3


@in_both_modes
def test_a_connection_without_a_byte_is_given_up():
    with (
        origin(echoing_to_the_end) as behind,
        running("balance", *TCP, f":{behind.port}", "--stream-timeout", "300ms") as front,
        connect(front.port) as client,
        pytest.raises(ConnectionResetError),
    ):
        client.socket.recv(10)


# -- the PROXY protocol ---------------------------------------------------------------------------------------


def first_bytes(connection: Connection) -> None:
    while b"hello" not in connection.received:
        if not connection.receive():
            return
    connection.send(b"ok")
    connection.wait_until_gone()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_proxy_line_is_sent(version):
    with (
        origin(first_bytes) as behind,
        running("balance", *TCP, f":{behind.port}+proxy={version}", "-q") as front,
        connect(front.port) as client,
    ):
        client.send(b"hello")
        assert client.read_some(2) == b"ok"
        port = client.socket.getsockname()[1]
        received = bytes(behind.connections[0].received)
    if version == "v1":
        assert received == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello" % (port, front.port)
    else:
        addresses = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", port, front.port)
        assert received == b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", 12) + addresses + b"hello"


@in_both_modes
def test_a_proxy_line_is_read_and_passed_on():
    flags = ("--accept-proxy", "--trust-proxy", "127.0.0.1")
    asked = (
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    other = free_port()
    with (
        nginx(f"listen 127.0.0.1:{other} proxy_protocol; return 200 $proxy_protocol_addr;"),
        running("balance", *TCP, f"127.0.0.1:{other}+proxy=v2", *flags, "-v") as front,
    ):
        with connect(front.port) as client:
            client.send(asked)
            assert client.read_answer().body == b"192.0.2.7"
        until(lambda: "192.0.2.7:4711 -> " in front.stderr)


# -- TLS ------------------------------------------------------------------------------------------------------


def test_bytes_and_datagrams_of_one_port_have_backends_of_their_own():
    """Who takes no connections may well answer datagrams."""
    port = free_port()
    with datagram_echo(b"one ") as one, named(1, ports=[free_port()]) as (a,):
        words = ("-l", f"tcp://127.0.0.1:{port}", "-l", f"udp://127.0.0.1:{port}")
        with running("balance", *words, f":{port}=:{one.port},:{a.port}", "--lb", "first", "-v") as front:
            for _ in range(6):
                assert ask(port).body == b"a"
            until(lambda: f"tcp://localhost:{one.port} is down: connection refused" in front.stderr)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.sendto(b"x", ("127.0.0.1", port))
                assert client.recv(100) == b"one x"
            assert "udp://" not in front.stderr.partition("stop with")[2]


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    place = tmp_path_factory.mktemp("tls")
    authority = make_ca()
    (place / "ca.pem").write_bytes(authority.pem)
    return authority, place


@contextlib.contextmanager
def secured(ca, port, name, *alpn):
    context = ssl.create_default_context(cadata=ca[0].pem.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    context.check_hostname = name is not None
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        yield secure


@in_both_modes
def test_tls_is_ended_and_spoken_anew(ca):
    pem, key = write_pem(ca[1], "site", make_leaf(ca[0], "db.test", "localhost"))
    with named(1) as (a,), tls_server(pem, key, b"secret") as secret:
        line = ("balance", "-l", "tls://127.0.0.1:0", "--cert", pem, "--key", key)
        with running(*line, a.place) as front, secured(ca, front.port, "db.test") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).endswith(b"\r\n\r\na")
        with (
            running(*line, f"tls://localhost:{secret.port}", "--backend-ca", str(ca[1] / "ca.pem")) as front,
            secured(ca, front.port, "db.test") as client,
        ):
            assert client.recv(100) == b"secret"
            client.sendall(b"echo")
            assert client.recv(100) == b"echo"


def test_ended_tls_is_routed_by_its_name(ca):
    pem, key = write_pem(ca[1], "two", make_leaf(ca[0], "a.test", "b.test"))
    with named(2) as (a, b):
        routes = (f"a.test={a.place}", f"b.test={b.place}")
        with running("balance", "-l", "tls://127.0.0.1:0", "--cert", pem, "--key", key, *routes) as front:
            for name, body in (("a.test", b"a"), ("b.test", b"b")):
                with secured(ca, front.port, name) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert client.recv(1000).endswith(b"\r\n\r\n" + body)


@in_both_modes
def test_names_and_protocols_route_without_ending_tls(ca):
    with contextlib.ExitStack() as stack:

        def server(stem, name, *alpn):
            pem, key = write_pem(ca[1], stem, make_leaf(ca[0], name))
            return stack.enter_context(tls_server(pem, key, stem.encode(), alpn=alpn))

        one, two = server("one", "a.example", "http/1.1"), server("two", "a.example", "h2")
        wild, other = server("wild", "x.b.example"), server("other", "c.example")
        front = stack.enter_context(
            running(
                "balance",
                *TCP,
                f"a.example=:{one.port},:{two.port}+alpn=h2",
                f"*.b.example=:{wild.port}",
                f":{other.port}",
            )
        )

        def greeted(name, *alpn):
            with secured(ca, front.port, name, *alpn) as client:
                return client.recv(100)

        assert greeted("a.example") == b"one"
        assert greeted("a.example", "http/1.1") == b"one"
        assert greeted("a.example", "h2", "http/1.1") == b"two"
        assert two.protocols == ["h2"]
        assert greeted("x.b.example") == b"wild"
        assert greeted("c.example") == b"other"
        line = ["openssl", "s_client", "-connect", f"127.0.0.1:{front.port}", "-servername", "A.Example"]
        shown = subprocess.run(
            line, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        ).stdout
        assert b"CN = a.example" in shown or b"CN=a.example" in shown


def test_a_name_without_a_route_is_rejected(ca):
    pem, key = write_pem(ca[1], "only", make_leaf(ca[0], "a.example"))
    with tls_server(pem, key, b"only") as only, running("balance", *TCP, f"a.example=:{only.port}") as front:
        with pytest.raises(OSError), secured(ca, front.port, "b.example"):
            pass
        with secured(ca, front.port, "a.example") as client:
            assert client.recv(10) == b"only"


# -- UDP ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def flow(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        yield client


def said(client, data):
    client.send(data)
    return client.recv(65536)


@in_both_modes
def test_a_flow_keeps_its_backend_and_its_datagrams_whole():
    with (
        datagram_echo(b"one ") as one,
        datagram_echo(b"two ") as two,
        running("balance", *UDP, f":{one.port}", f":{two.port}", "-v", "--udp-timeout", "1s") as front,
        flow(front.port) as a,
        flow(front.port) as b,
    ):
        first, second = said(a, b"x")[:4], said(b, b"y")[:4]
        assert {first, second} == {b"one ", b"two "}
        assert [said(a, b"z" * size) for size in (0, 1, 1400, 9000)] == [
            first + b"z" * size for size in (0, 1, 1400, 9000)
        ]
        assert said(b, b"q") == second + b"q"
        assert len(set(one.peers)) == len(set(two.peers)) == 1
        until(lambda: front.stderr.count(" B out\n") == 2)  # both ended for want of datagrams
        assert said(a, b"again")[4:] == b"again"


@in_both_modes
def test_a_datagram_that_is_refused_goes_elsewhere():
    with (
        closed_port() as port,
        datagram_echo(b"") as one,
        running("balance", *UDP, f"127.0.0.1:{port}", f"127.0.0.1:{one.port}", "--lb", "first") as front,
        flow(front.port) as client,
    ):
        assert said(client, b"x") == b"x"


# -- all kinds at once ----------------------------------------------------------------------------------------


def test_listeners_of_every_kind_in_one_process(ca):
    pem, key = write_pem(ca[1], "mixed", make_leaf(ca[0], "localhost"))
    http, https, tcp, tls, udp = (free_port() for _ in range(5))
    with named(3) as (a, b, c), datagram_echo(b"") as echo:
        places = {"http": http, "https": https, "tcp": tcp, "tls": tls, "udp": udp}
        flags = [word for kind, port in places.items() for word in ("-l", f"{kind}://127.0.0.1:{port}")]
        routes = (f"http://{a.place}", f"/b=http://{b.place}", f":{tcp}={b.place}", f"tcp://{c.place}")
        routes += (f"udp://127.0.0.1:{echo.port}",)
        with running("balance", *flags, *routes, "--cert", pem, "--key", key) as front:
            assert ask(http).body == b"a"
            assert ask(http, b"/b").body == b"b"
            assert ask(tcp).body == b"b"  # its own route comes before the one for all
            with flow(udp) as client:
                assert said(client, b"x") == b"x"
            for port, body in ((https, b"a"), (tls, b"c")):
                with secured(ca, port, "localhost") as client:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert client.recv(1000).endswith(b"\r\n\r\n" + body)
            assert len(front.ports) == 5


def test_of_two_udp_listeners_one_has_its_own():
    one, two = free_port(), free_port()
    with datagram_echo(b"all ") as for_all, datagram_echo(b"own ") as own:
        flags = ("-l", f"udp://127.0.0.1:{one}", "-l", f"udp://127.0.0.1:{two}")
        routes = (f"127.0.0.1:{for_all.port}", f":{two}=127.0.0.1:{own.port}")
        with running("balance", *flags, *routes), flow(one) as first, flow(two) as second:
            assert said(first, b"x") == b"all x"
            assert said(second, b"x") == b"own x"


def test_a_unix_socket_behind(tmp_path):
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with running("balance", *TCP, f"unix:{path}", "-q") as front, connect(front.port) as client:
            accepted, _ = listening.accept()
            with accepted:
                accepted.sendall(b"hello")
                assert client.read_some(5) == b"hello"


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "127.0.0.1"])
@in_both_modes
def test_who_comes_by_ipv4_is_told_of_as_such_and_so_is_what_was_dialled(host):
    """A socket for all addresses is one of IPv6, which knows 127.0.0.1 as ::ffff:127.0.0.1."""
    with (
        named(1) as (a,),
        running("balance", a.place, "-l", f"http://{host}:0", "--forwarded") as front,
    ):
        assert ask(front.port).status == 200
        [seen] = a.requests
        assert (seen.get(b"x-forwarded-for"), seen.get(b"x-real-ip")) == (b"127.0.0.1", b"127.0.0.1")
        assert seen.get(b"forwarded").startswith(b"for=127.0.0.1;")
    with (
        origin(first_bytes) as behind,
        running("balance", f":{behind.port}+proxy=v1", "-l", f"tcp://{host}:0") as front,
        connect(front.port) as client,
    ):
        client.send(b"hello")
        assert client.read_some(2) == b"ok"
        port = client.socket.getsockname()[1]
        received = b"".join(bytes(connection.received) for connection in behind.connections)
        assert b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\nhello" % (port, front.port) in received
