"""The access log as the disk and log rotation treat it."""

import signal
import time
import urllib.request

import pytest

from tests.support.netfront import running

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
