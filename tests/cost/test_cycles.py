"""What a request leaves to the garbage collector: nothing. A collection holds up every connection for tens of ms."""

import signal

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
    (tmp_path / "sitecustomize.py").write_text(WATCHED)
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
        # trio's own waits leave cycles: it is the lane that leaves none
        with running(command, *line, "-q", PYTHONPATH=str(tmp_path), NETFRONT_NO_LANE="") as front:

            def found_after(requests):
                told = front.stderr.count("found")
                for _ in range(requests):
                    assert ask(front.port, target, ann).status == 200
                front.process.send_signal(signal.SIGURG)
                until(lambda: front.stderr.count("found") > told)
                return int(front.stderr.split()[-1])

            found_after(MANY)
            assert found_after(MANY) < MANY // 10  # what goes on beside requests may leave something
