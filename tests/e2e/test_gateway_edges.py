"""What stands at the edge of a gateway, and that streams pass through all of it as streams."""

import hashlib
import json
import os

import pytest

from tests.support.client import connect
from tests.support.named import ask, until
from tests.support.netfront import running
from tests.support.origins import Connection, answering, origin, saying, switching

pytestmark = pytest.mark.usefixtures("modes")
APP = b"Origin: https://app.example"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def passwords(tmp_path):
    path = tmp_path / "htpasswd"
    path.write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    path.chmod(0o600)
    return f"@{path}"


ANN = b"Authorization: Basic YW5uOnNlY3JldA=="


def preflight(port, target, method, *fields):
    return ask(port, target, APP, b"Access-Control-Request-Method: " + method, *fields, method=b"OPTIONS")


def test_a_preflight_needs_no_credentials_and_has_the_rules_of_its_route(passwords):
    with (
        origin(answering()) as behind,
        running(
            "gateway", f"/a={behind.url}", f"PUT /b={behind.url}", "-q", "--basic", passwords, "--limit", "1/h:ip",
            "--cors", "/a: https://app.example,credentials,max-age=1m",
        ) as front,
    ):  # fmt: skip
        for _ in range(3):
            answer = preflight(
                front.port, b"/a/x", b"DELETE", b"Access-Control-Request-Headers: authorization"
            )
            assert answer.status == 204
        assert answer.get(b"access-control-allow-origin") == b"https://app.example"
        assert answer.get(b"access-control-allow-methods") == b"DELETE"
        assert answer.get(b"access-control-allow-headers") == b"authorization"
        assert answer.get(b"access-control-max-age") == b"60"
        assert preflight(front.port, b"/b", b"DELETE").get(b"access-control-allow-origin") is None
        assert not behind.connections


def test_answers_of_every_kind_may_be_read_by_the_script(passwords):
    loud = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok"
    with (
        origin(answering(loud)) as behind,
        running(
            "gateway", f"/a={behind.url}", f"/down={NOBODY}", "-q", "--basic", f"/a: {passwords}",
            "--limit", "/a: 1/h:user", "--cors", "https://app.example",
        ) as front,
    ):  # fmt: skip
        answers = [
            ask(front.port, b"/a", APP),
            ask(front.port, b"/a", APP, ANN),
            ask(front.port, b"/a", APP, ANN),
            ask(front.port, b"/down", APP),
            ask(front.port, b"/nowhere", APP),
        ]
        assert [answer.status for answer in answers] == [401, 200, 429, 502, 404]
        assert {answer.get(b"access-control-allow-origin") for answer in answers} == {b"https://app.example"}
        assert all(b"Origin" in answer.get_all(b"vary") for answer in answers)
        assert (
            ask(front.port, b"/a", b"Origin: https://evil.example", ANN).get(b"access-control-allow-origin")
            is None
        )


def test_a_body_over_ten_megabytes_is_413_unless_more_is_allowed():
    head = b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    with origin(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as behind:
        with running("gateway", behind.url, "-q") as front, connect(front.port) as client:
            client.send(head % (10 * 2**20 + 1))
            assert client.read_answer(b"PUT").status == 413
        with (
            running("gateway", behind.url, "-q", "--max-body", "/: 1k") as front,
            connect(front.port) as client,
        ):
            client.send(head % 1025)
            assert client.read_answer(b"PUT").status == 413


def test_a_request_has_one_name_everywhere(tmp_path):
    log = tmp_path / "log"
    trace = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with (
        origin(answering()) as behind,
        running(
            "gateway", behind.url, f"/down={NOBODY}", "-q", "--access-log", str(log), "--log-format", "json"
        ) as front,
    ):
        answer = ask(front.port, b"/", b"X-Request-Id: theirs", trace)
        made = answer.get(b"x-request-id")
        assert len(made) == 32
        (seen,) = behind.requests
        assert seen.get(b"x-request-id") == made
        assert seen.get(b"traceparent") == trace[13:]
        failed = ask(front.port, b"/down").get(b"x-request-id")
        until(lambda: len(log.read_bytes().splitlines()) == 2)
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        assert [line["id"] for line in lines] == [made.decode(), failed.decode()]
        assert lines[0]["trace"] == "0af7651916cd43dd8448eb211c80319c"
    with origin(answering()) as behind:
        with running("gateway", behind.url, "-q", "--trust-proxy", "127.0.0.1") as front:
            assert ask(front.port, b"/", b"X-Request-Id: theirs").get(b"x-request-id") == b"theirs"
        with running("gateway", behind.url, "-q", "--no-request-id") as front:
            assert ask(front.port).get(b"x-request-id") is None


def test_fields_that_protect_users_are_on_every_answer():
    own = b"HTTP/1.1 200 OK\r\nX-Frame-Options: DENY\r\nContent-Length: 0\r\n\r\n"
    with (
        origin(answering(own)) as behind,
        running("gateway", f"/a={behind.url}", f"/down={NOBODY}", "-q", "--secure-headers") as front,
    ):
        assert ask(front.port, b"/a").get(b"x-frame-options") == b"DENY"
        for target, status in ((b"/a", 200), (b"/down", 502), (b"/x", 404)):
            answer = ask(front.port, target)
            assert (answer.status, answer.get(b"x-content-type-options")) == (status, b"nosniff")


# -- streams -----------------------------------------------------------------------------------------------


def guarded(url, passwords, *words):
    """Run a gateway with all that could hold a stream up."""
    return running(
        "gateway", url, "-q", "--basic", passwords, "--limit", "100/s:ip", "--limit", "100/s:user",
        "--concurrency", "9:ip", "--cors", "*", "--secure-headers", *words,
    )  # fmt: skip


def test_events_come_as_they_are_sent(passwords):
    seen = []

    def told(connection: Connection) -> None:
        connection.read_request()
        connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for at in range(3):
            until(lambda at=at: len(seen) == at)
            connection.send(b"9\r\ndata: 1\n\n\r\n")
        connection.send(b"0\r\n\r\n")

    with (
        origin(told) as behind,
        guarded(behind.url, passwords) as front,
        connect(front.port) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + ANN + b"\r\n\r\n")
        head = client.read_head()
        assert (head.status, head.get(b"access-control-allow-origin")) == (200, b"*")
        for _ in range(3):
            seen.append(client.read_chunk())
        assert seen == [b"data: 1\n\n"] * 3


def test_an_upgrade_is_guarded_and_then_a_stream(passwords):
    upgrade = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    with origin(switching(b"websocket")) as behind, guarded(behind.url, passwords) as front:
        with connect(front.port) as client:
            client.send(upgrade + b"\r\n")
            assert client.read_answer().status == 401
        assert not behind.connections
        with connect(front.port) as client:
            client.send(upgrade + ANN + b"\r\n\r\n")
            assert client.read_head().status == 101
            for word in (b"ping", b"pong"):
                client.send(word)
                assert client.read_some(4) == word


@pytest.mark.slow
def test_a_gibibyte_goes_up_unbuffered(passwords):
    part = os.urandom(2**20)
    count = 1024

    def play(connection: Connection) -> None:
        connection.read_head()
        early = bytes(connection.received).partition(b"\r\n\r\n")[2]
        left, whole = count * len(part) - len(early), hashlib.blake2b(early)
        while left and (data := connection.socket.recv(len(part))):
            whole.update(data)
            left -= len(data)
        digest = whole.hexdigest().encode()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(digest), digest))

    with (
        origin(play) as behind,
        guarded(behind.url, passwords, "--max-body", "2G") as front,
        connect(front.port, 50.0) as client,
    ):
        whole = hashlib.blake2b()
        client.send(b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % (count * len(part)))
        client.send(ANN + b"\r\n\r\n")
        for _ in range(count):
            whole.update(part)
            client.send(part)
        assert client.read_answer(b"PUT").body == whole.hexdigest().encode()
        with open(f"/proc/{front.process.pid}/status") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        assert peak < 200 * 1024
