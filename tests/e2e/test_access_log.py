"""The access log as the disk and log rotation treat it."""

import json
import signal
import socket
import time
import urllib.request

import pytest

from tests.support.netfront import running
from tests.support.origins import answering, closed_port, full_queue, origin

PATIENCE = 10.0


def wait_until(is_so):
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(netfront, path="/json"):
    with urllib.request.urlopen(netfront.url + path, timeout=PATIENCE) as answer:
        return answer.read()


def test_full_disk_holds_nothing_up_and_the_lost_lines_are_counted():
    with running("proxy", "demo:", "--access-log", "/dev/full") as netfront:
        ask(netfront)
        wait_until(lambda: "access log: no space left on device" in netfront.stderr)
        ask(netfront)
        netfront.process.send_signal(signal.SIGQUIT)
        wait_until(lambda: "access log: lines lost: 1" in netfront.stderr)
        assert netfront.stop() == 0
        assert "netfront: access log: 2 lines were lost" in netfront.stderr


@pytest.mark.parametrize("shape", ["common", "combined", "json", "logfmt"])
def test_renamed_log_is_opened_anew_on_sigusr1(tmp_path, shape):
    path, old = tmp_path / "log", tmp_path / "old"
    with running("proxy", "demo:", "--access-log", str(path), "--log-format", shape) as netfront:
        ask(netfront, "/json?1")
        wait_until(lambda: b"/json?1" in path.read_bytes())
        path.rename(old)
        netfront.process.send_signal(signal.SIGUSR1)
        wait_until(path.exists)
        ask(netfront, "/json?2")
    assert (old.read_bytes().count(b"\n"), path.read_bytes().count(b"/json?2")) == (1, 1)


def parroting(connection):
    connection.socket.sendall(connection.receive())


def told(path):
    wait_until(lambda: path.exists() and path.read_bytes().endswith(b"\n"))
    return json.loads(path.read_text().splitlines()[-1])


def test_request_that_was_refused_elsewhere_says_so(tmp_path, modes):
    log = tmp_path / "log"
    with closed_port() as gone, origin(answering()) as good:
        urls = [f"http://127.0.0.1:{gone}", good.url]
        flags = ["--lb", "first", "-v", "--access-log", str(log), "--log-format", "json"]
        with running("balance", *urls, *flags) as netfront:
            ask(netfront, "/")
            line = told(log)
            assert (line["backend"], line["tries"]) == (good.url, 2)
            assert line["retried"] == "retried: connection refused"
            said = f"200 GET / -> {good.url} (2 tries, retried: connection refused) "
            wait_until(lambda: said in netfront.stderr)


def test_backend_that_is_silent_when_dialled_is_the_reason_for_another(tmp_path, modes):
    log = tmp_path / "log"
    with full_queue() as port, origin(answering()) as good:
        urls = [f"http://127.0.0.1:{port}", good.url]
        flags = ["--lb", "first", "--access-log", str(log), "--log-format", "json"]
        with running("balance", *urls, *flags) as netfront:
            ask(netfront, "/")
            line = told(log)
            assert (line["backend"], line["tries"]) == (good.url, 2)
            assert line["retried"] == "retried: no answer"


def test_connection_that_was_passed_on_is_logged(tmp_path, modes):
    log = tmp_path / "log"
    with closed_port() as gone, origin(parroting) as good:
        places = [f"127.0.0.1:{gone}", f"127.0.0.1:{good.port}"]
        flags = ["--lb", "first", "-v", "--access-log", str(log), "--log-format", "json"]
        with running("balance", "-l", "tcp://127.0.0.1:0", *places, *flags) as netfront:
            with socket.create_connection(("127.0.0.1", netfront.port), PATIENCE) as client:
                client.sendall(b"hello")
                assert client.recv(5, socket.MSG_WAITALL) == b"hello"
            line = told(log)
            assert (line["protocol"], line["port"], line["sent"]) == ("tcp", netfront.port, 5)
            assert (line["backend"], line["tries"]) == (f"tcp://{places[1]}", 2)
            assert line["retried"] == "retried: connection refused"
            wait_until(lambda: "(2 tries, retried: connection refused)" in netfront.stderr)
