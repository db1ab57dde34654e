"""Probes: which verdict on which backend, in plain trio tasks beside a lane and without one."""

import socket
import ssl
import time
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import trio.testing

from netfront.endpoint import parse_place
from netfront.errors import BackendError
from netfront.http.pattern import Pattern
from netfront.http.probe import MOST_BODY, Question, dialler, http_probe, tcp_probe, tls_probe
from netfront.net.backend import Backend, Member
from netfront.net.stream import Facts
from netfront.net.tls import client_context
from netfront.policy.statuses import parse_statuses
from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.lane import running_lane
from tests.support.memory import TrioStream
from tests.support.origins import (
    answering,
    closed_port,
    cutting,
    full_queue,
    origin,
    resetting,
    saying,
    silent,
)
from tests.support.servers import free_port, nginx

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CA = make_ca()


@pytest.fixture(params=["beside a lane", "without a lane"])
def beside(request):
    """What a test runs in: a lane that steps nobody, or nothing."""

    @asynccontextmanager
    async def nothing():
        yield

    return running_lane if request.param == "beside a lane" else nothing


def backend(place, **facts):
    endpoint = parse_place(str(place))
    return Backend(Member(endpoint, "app", b"app.test", **facts))


def asking(place, *, timeout=5.0, port=None, facts=None, **question):
    return http_probe(
        dialler(backend(place, **(facts or {})), port=port),
        Question(**{"path": b"/healthz", "host": b"app.test", **question}),
        timeout=timeout,
    )


async def verdict_on(script, beside, **how):
    with origin(script) as behind:
        async with beside():
            verdict = await asking(behind.url, **how)()
    return verdict, behind


# -- http


async def test_an_answer_that_is_wanted_is_good(beside):
    verdict, behind = await verdict_on(answering(OK), beside)
    assert (verdict.ok, verdict.why, verdict.status, verdict.tls) == (True, "", 200, None)
    assert 0 < verdict.seconds < 5
    (seen,) = behind.requests
    assert seen.raw == (
        b"GET /healthz HTTP/1.1\r\nHost: app.test\r\nUser-Agent: netfront-probe\r\nAccept: */*\r\n"
        b"Connection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (answering(OK.replace(b"200 OK", b"503 No")), "503, wanted 2xx"),
        (answering(OK.replace(b"200 OK", b"301 Go")), "301, wanted 2xx"),
        (answering(OK.replace(b"200 OK", b"101 Go")), "101, wanted 2xx"),
        (cutting(b""), "closed without an answer"),
        (cutting(b"HTTP/1.1 200 OK\r\nContent-"), "closed without an answer"),
        (resetting(), "connection reset by peer"),
        (saying(b"SSH-2.0-OpenSSH_9.9\r\n"), "not an HTTP response"),
        (saying(b"\x16\x03\x01" + bytes(200)), "not an HTTP response"),
        (saying(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), None),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), None),
        (saying(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000), "a head of over 32768 bytes"),
        (saying(b"HTTP/1.1 103 E\r\n\r\n" * 40 + OK), "too many interim answers"),
        (
            cutting(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
            "body: closed before the body was whole",
        ),
        (saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n"), None),
    ],
)
async def test_a_bad_answer_is_told_in_few_words(script, why, beside):
    verdict, _ = await verdict_on(script, beside)
    assert not verdict.ok
    assert verdict.why == why if why else verdict.why
    assert len(verdict.why) < 80


async def test_a_status_that_is_wanted_may_be_any(beside):
    answer = answering(OK.replace(b"200 OK", b"401 No"))
    verdict, _ = await verdict_on(answer, beside, statuses=parse_statuses("2xx,401"))
    assert verdict.ok


async def test_interim_answers_are_passed_over(beside):
    verdict, _ = await verdict_on(saying(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK), beside)
    assert (verdict.ok, verdict.status) == (True, 200)


@pytest.mark.parametrize(
    ("method", "length"), [(b"HEAD", None), (b"OPTIONS", None), (b"POST", b"0"), (b"PUT", b"0")]
)
async def test_a_method_is_asked_with(method, length, beside):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" if method == b"HEAD" else OK
    verdict, behind = await verdict_on(saying(answer), beside, method=method)
    assert verdict.ok, verdict
    assert (behind.requests[0].method, behind.requests[0].get(b"content-length")) == (method, length)


async def test_nobody_there_is_told(beside):
    async with beside():
        with closed_port() as port:
            verdict = await asking(f"127.0.0.1:{port}")()
    assert (verdict.ok, verdict.why) == (False, "connect: connection refused")


async def test_a_name_that_does_not_resolve_is_told(beside):
    async with beside():
        verdict = await asking("nobody.invalid:80")()
    assert not verdict.ok
    assert verdict.why.startswith("resolve: nobody.invalid: ")


async def test_silence_ends_at_the_deadline(beside):
    with origin(silent) as behind:
        async with beside():
            verdict = await asking(behind.url, timeout=0.2)()
        assert (verdict.ok, verdict.why) == (False, "no answer in 200ms")
        assert verdict.seconds >= 0.2
        assert behind.wait_connections(1)[0].ended.wait(5)


async def test_a_full_accept_queue_is_silence(beside):
    with full_queue() as port:
        async with beside():
            verdict = await asking(f"127.0.0.1:{port}", timeout=0.1)()
    assert (verdict.ok, verdict.why) == (False, "connect: no answer in 100ms")


@pytest.mark.parametrize("wanted", [None, "done"])
async def test_one_deadline_holds_over_an_answer_that_trickles(wanted, beside):
    def trickle(connection):
        connection.read_request()
        for byte in OK.replace(b"OK", b"OK" + b"k" * 2000):
            connection.send(bytes([byte]))
            time.sleep(0.001)

    verdict, _ = await verdict_on(trickle, beside, timeout=0.1, body=Pattern(wanted) if wanted else None)
    assert (verdict.ok, verdict.why) == (False, "no answer in 100ms")


# -- what the body says


@pytest.mark.parametrize(
    ("body", "wanted", "why"),
    [
        (b'{"status":"up"}', '"status": *"up"', ""),
        (b'{"status":"down"}', '"status": *"up"', "body does not match"),
        (b"", "up", "body does not match"),
        (b"x" * (MOST_BODY - 2) + b"up" + b"x" * 9, "up", ""),
        (b"x" * MOST_BODY + b"up", "up", "body does not match"),
        (b"a" * 50_000, "(a+)+$b", "body: the regular expression takes too long"),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_body_is_matched(body, wanted, why, framing, beside):
    if framing == "chunked":
        parts = [body[at : at + 9999] for at in range(0, len(body), 9999)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % framed
    else:
        length = b"Content-Length: %d\r\n" % len(body) if framing == "length" else b""
        answer = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (length, body)
    verdict, _ = await verdict_on(saying(answer), beside, body=Pattern(wanted))
    assert (verdict.ok, verdict.why, verdict.status) == (not why, why, 200)


async def test_a_body_without_end_is_not_waited_for(beside):
    def flood(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(10_000):
            connection.send(bytes(100_000))

    verdict, _ = await verdict_on(flood, beside)
    assert verdict.ok


@pytest.mark.parametrize(("wanted", "why", "timeout"), [(None, "", 10), ("x", "no whole body in 1s", 1)])
async def test_a_body_that_stops_is_bad_only_where_it_is_looked_at(wanted, why, timeout, beside):
    def stop(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        connection.wait_until_gone()

    body = Pattern(wanted) if wanted else None
    verdict, _ = await verdict_on(stop, beside, timeout=timeout, body=body)
    assert (verdict.ok, verdict.why) == (not why, why)


async def test_a_server_that_sends_its_body_later_is_not_cut_off(beside):
    gone = []

    def later(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        connection.send(b"o")
        connection.send(b"k")
        connection.send_eof()
        gone.append(connection.wait_until_gone())

    with origin(later) as behind:
        async with beside():
            verdict = await asking(behind.url)()
        assert behind.connections[0].ended.wait(5)  # leaving the block would cut it off
    assert verdict.ok
    assert gone


# -- where it dials


async def test_another_port_may_be_asked(beside):
    with closed_port() as port, origin(answering(OK)) as behind:
        async with beside():
            verdict = await asking(f"127.0.0.1:{port}", port=behind.port)()
    assert verdict.ok


async def test_a_unix_socket_is_asked(tmp_path, beside):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.recv(9999)
                connection.sendall(OK)

        async with beside(), trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, serve)
            assert (await asking(f"unix:{path}")()).ok
        async with beside():
            listening.close()
            assert (await asking(f"unix:{path}")()).why == "connect: connection refused"


@pytest.mark.parametrize(("version", "line"), [(1, b"PROXY UNKNOWN\r\n"), (2, b"\r\n\r\n\0\r\nQUIT\n\x20")])
async def test_a_proxy_line_says_that_it_is_ours(version, line, beside):
    first = []

    def play(connection):
        while b"GET /healthz" not in connection.received:
            connection.receive()
        first.append(bytes(connection.received))
        connection.send(OK)

    verdict, _ = await verdict_on(play, beside, facts={"proxy": version})
    assert verdict.ok
    assert first[0].startswith(line)


async def test_a_probe_can_be_cancelled_and_leaves_nothing_open(beside):
    with origin(silent) as behind:
        async with beside(), trio.open_nursery() as nursery:
            nursery.start_soon(asking(behind.url, timeout=60))
            await trio.to_thread.run_sync(behind.wait_requests, 1)
            nursery.cancel_scope.cancel()
        assert behind.connections[0].ended.wait(5)


async def test_every_probe_has_a_connection_of_its_own(beside):
    with origin(answering(OK)) as behind:
        async with beside():
            probe = asking(behind.url)
            assert [(await probe()).ok for _ in range(3)] == [True] * 3
        assert len(behind.connections) == 3


# -- tcp


async def test_who_can_be_connected_to_is_up(beside):
    with origin(silent) as behind, closed_port() as closed:
        async with beside():
            verdict = await tcp_probe(dialler(backend(behind.url), tls=False), timeout=5)()
            assert (verdict.ok, verdict.why) == (True, "")
            verdict = await tcp_probe(dialler(backend(f":{closed}"), tls=False), timeout=5)()
    assert (verdict.ok, verdict.why) == (False, "connect: connection refused")


# -- tls


@contextmanager
def tls_origin(directory, leaf, *, alpn=()):
    """An origin that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pem(directory, "leaf", leaf))
    if alpn:
        context.set_alpn_protocols(list(alpn))

    def play(connection):
        try:
            connection.socket = context.wrap_socket(connection.socket, server_side=True)
        except ssl.SSLError:
            return
        answering(OK)(connection)

    with origin(play) as behind:
        yield behind


def trusting(directory, **facts):
    file = directory / "ca.pem"
    file.write_bytes(CA.pem)
    return {"tls": client_context(ca=str(file)), "server_name": "app.test", **facts}


async def test_a_handshake_tells_the_certificate(tmp_path, beside):
    leaf = make_leaf(CA, "app.test", "127.0.0.1", days=20)
    with tls_origin(tmp_path, leaf, alpn=["http/1.1"]) as behind:
        async with beside():
            served = backend(f"https://127.0.0.1:{behind.port}", **trusting(tmp_path))
            verdict = await tls_probe(dialler(served), timeout=5)()
    assert verdict.ok
    assert verdict.tls.names == ("app.test", "127.0.0.1")
    assert 18.9 < verdict.tls.days < 19.1
    assert verdict.tls.ends == leaf.certificate.not_valid_after_utc.timestamp()
    assert verdict.tls.alpn == "http/1.1"


@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (
            make_leaf(CA, "app.test", begins=-30, days=20),
            "tls: certificate verify failed: certificate has expired",
        ),
        (
            make_leaf(CA, "other.test"),
            "tls: certificate verify failed: hostname mismatch, certificate is not valid for 'app.test'",
        ),
        (make_leaf(None, "app.test"), "tls: certificate verify failed: self-signed certificate"),
    ],
    ids=["ended", "another name", "nobody's"],
)
async def test_a_certificate_that_does_not_hold_is_told(leaf, why, tmp_path, beside):
    with tls_origin(tmp_path, leaf) as behind:
        async with beside():
            served = backend(f"https://127.0.0.1:{behind.port}", **trusting(tmp_path))
            for probe in (
                tls_probe(dialler(served), timeout=5),
                asking(behind.url, facts=trusting(tmp_path)),
            ):
                verdict = await probe()
                assert (verdict.ok, verdict.why) == (False, why)


async def test_what_is_passed_through_is_looked_at_and_not_judged(tmp_path, beside):
    with tls_origin(tmp_path, make_leaf(None, "other.test", begins=-30, days=20)) as behind:
        async with beside():
            dial = dialler(backend(f"tcp://127.0.0.1:{behind.port}"), tls=True)
            verdict = await tls_probe(dial, timeout=5)()
            assert verdict.ok
            assert -10.1 < verdict.tls.days < -9.9
            verdict = await tls_probe(dial, timeout=5, least_days=14)()
    assert (verdict.ok, verdict.why) == (False, "certificate ended 10 days ago, wanted 14 days")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (answering(OK), "tls: it does not speak TLS"),
        (saying(b"220 hello\r\n"), "tls: it does not speak TLS"),
        (cutting(b""), "tls: closed in the tls handshake"),
        (silent, "tls: no answer in 200ms"),
    ],
)
async def test_a_handshake_that_fails_is_told(script, why, beside):
    def play(connection):
        connection.receive()
        if script is silent:
            connection.wait_until_gone()
        else:
            connection.send(b"HTTP/1.1 400 No\r\n\r\n" if why.endswith("TLS") else b"")

    with origin(play) as behind:
        async with beside():
            dial = dialler(backend(f"tcp://127.0.0.1:{behind.port}"), tls=True)
            verdict = await tls_probe(dial, timeout=0.2 if script is silent else 5)()
    assert (verdict.ok, verdict.why) == (False, why)


async def test_http_is_asked_over_tls(tmp_path, beside):
    with tls_origin(tmp_path, make_leaf(CA, "app.test")) as behind:
        async with beside():
            verdict = await asking(f"https://127.0.0.1:{behind.port}", facts=trusting(tmp_path))()
    assert (verdict.ok, verdict.status, verdict.tls.names) == (True, 200, ("app.test",))


# -- on memory streams, where an hour takes no time


async def test_the_deadline_is_kept_to_the_second(autojump_clock):
    async def dial(timeout):
        await trio.sleep(7)
        near, _far = trio.testing.memory_stream_pair()
        ends.append(_far)
        return TrioStream(near, Facts(("", 0), ("", 0)))

    ends = []
    began = trio.current_time()
    verdict = await http_probe(dial, Question(b"/", b"app.test"), timeout=30)()
    assert (verdict.why, verdict.seconds) == ("no answer in 30s", 30)
    assert trio.current_time() - began == 30


async def test_a_dial_that_fails_is_told(autojump_clock):
    async def dial(timeout):
        await trio.sleep(timeout)
        raise BackendError("connect", retry_safe=True, why="no answer", timed_out=True)

    assert (await tcp_probe(dial, timeout=3)()).why == "connect: no answer in 3s"


# -- a real server


async def test_nginx_is_probed(tmp_path, beside):
    server = """
      location = /healthz { return 200 "ready\\n"; }
      location = /down { return 503; }
      location = /host { if ($http_host != app.test) { return 400; } return 204; }
    """
    with nginx(server, {"large.bin": bytes(1_000_000)}) as served:
        async with beside():
            assert (await asking(served.url, body=Pattern("ready"))()).ok
            assert (await asking(served.url, path=b"/down")()).why == "503, wanted 2xx"
            assert (await asking(served.url, path=b"/host")()).status == 204
            assert (await asking(served.url, path=b"/large.bin")()).ok
            assert (await asking(served.url, path=b"/large.bin", method=b"HEAD")()).ok
            assert (await tcp_probe(dialler(backend(served.url)), timeout=5)()).ok
        served.process.terminate()
        served.process.wait(10)
        async with beside():
            assert (await asking(served.url)()).why == "connect: connection refused"


async def test_nginx_with_tls_is_probed_on_another_port(tmp_path, beside):
    cert, key = write_pem(tmp_path, "leaf", make_leaf(CA, "app.test"))
    port = free_port()
    server = f"listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};"
    with nginx(server, {"healthz": b"fine"}) as served:
        async with beside():
            place = f"https://127.0.0.1:{served.port}"
            verdict = await asking(place, port=port, facts=trusting(tmp_path), body=Pattern("^fine$"))()
    assert verdict.ok, verdict.why
    assert verdict.tls.names == ("app.test",)
