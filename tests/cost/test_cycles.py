"""What a request leaves to the garbage collector: nothing. A collection holds up every connection for tens of ms."""

import signal
import socket
from contextlib import contextmanager

import pytest

from tests.support.named import ask, until
from tests.support.netfront import running
from tests.support.origins import answering, origin

JSON = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a":"b"}'
WATCHED = """
import gc, signal, sys

def tell(*_):
    sys.stderr.write(f"found {gc.collect()}\\n")
    sys.stderr.flush()

signal.signal(signal.SIGURG, tell)
"""
MANY = 100


@pytest.mark.parametrize(
    ("command", "words", "target"),
    [
        ("proxy", ("URL",), b"/"),
        ("balance", ("URL", "URL/b"), b"/"),
        ("balance", ("PLACE", "-l", "tcp://127.0.0.1:0"), b"/"),
        (
            "gateway",
            ("URL", "--basic", "/: @USERS", "--limit", "9999/s:user", "--pass-identity", "X-User=sub"),
            b"/",
        ),
        ("gateway", ("/p=URL", "--compose", "/home = a:/p/a + b:/p/b + c:/p/{a.a}"), b"/home"),
        (
            "gateway",
            ("URL", "--limit", "9999/s:ip", "--concurrency", "99:ip", "--cors", "https://a.test"),
            b"/",
        ),
    ],
)
def test_requests_and_their_connections_leave_nothing_to_the_collector(tmp_path, command, words, target):
    users = tmp_path / "users"
    users.write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    users.chmod(0o600)
    ann = b"Authorization: Basic YW5uOnNlY3JldA=="
    with origin(answering(JSON)) as behind:
        line = [
            word.replace("URL", behind.url)
            .replace("PLACE", f"127.0.0.1:{behind.port}")
            .replace("USERS", str(users))
            for word in words
        ]
        with watched(tmp_path, command, *line) as (front, found):

            def found_after(requests):
                for _ in range(requests):
                    assert ask(front.port, target, ann).status == 200
                return found()

            found_after(MANY)
            assert found_after(MANY) < MANY // 10  # what goes on beside requests may leave something


def break_off(port, target):
    """Begin an upload, and leave once it is waited for."""
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        fields = (
            b"Host: a\r\nContent-Type: application/json\r\nContent-Length: 99999\r\nExpect: 100-continue\r\n"
        )
        client.sendall(b"POST %b HTTP/1.1\r\n%b\r\n" % (target, fields))
        assert client.recv(4096).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"x" * 9999)


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"/whole", None), (b"/fails", 502), (b"/lacks", 200), (b"/each", 502)],
)
def test_nor_do_those_that_fail_or_are_broken_off(tmp_path, target, status):
    with (
        origin(answering(JSON)) as good,
        origin(answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")) as bad,
    ):
        composed = (
            "POST /whole = a:POST /plain < body",
            "/fails = a:/plain + b:/bad",
            "/lacks = a:/plain + b?:/bad",
            "/each = a:/plain | {a: [a, a]} + b[]:/bad?{a.a[]}",
        )
        words = [word for one in composed for word in ("--compose", one)]
        with watched(tmp_path, "gateway", f"/plain={good.url}", f"/bad={bad.url}", *words) as (front, found):

            def found_after(requests):
                for _ in range(requests):
                    if status is None:
                        break_off(front.port, target)
                    else:
                        assert ask(front.port, target).status == status
                return found()

            found_after(MANY)
            assert found_after(MANY) < MANY // 10


@contextmanager
def watched(folder, command, *line):
    """Run netfront with the lane, as trio's own waits leave cycles; give it, and what tells how much was left over."""
    (folder / "sitecustomize.py").write_text(WATCHED)
    with running(command, *line, "-q", PYTHONPATH=str(folder), NETFRONT_NO_LANE="") as front:

        def found():
            told = front.stderr.count("found")
            front.process.send_signal(signal.SIGURG)
            until(lambda: front.stderr.count("found") > told)
            return int(front.stderr.split()[-1])

        yield front, found
