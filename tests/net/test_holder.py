"""Who holds a port, a unix socket or a lock: this very process, as the tests see it."""

import fcntl
import os
import socket
import subprocess

import pytest

from netfront.net.holder import who_holds_lock, who_listens, who_listens_at


def this_process():
    with open("/proc/self/comm", encoding="utf-8") as name:
        return f"{name.read().strip()} (pid {os.getpid()})"


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_listener_of_a_port_is_named_and_only_while_it_listens(family, host):
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        port = sock.getsockname()[1]
        assert who_listens(port) == ""
        sock.listen()
        assert who_listens(port) == this_process()
    assert who_listens(port) == ""


def test_listener_of_a_unix_socket_is_named_by_any_path_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("a b")
        assert who_listens_at("a b") == ""
        sock.listen()
        for path in ("a b", str(tmp_path / "a b"), str(tmp_path / "link" / "a b")):
            assert who_listens_at(path) == this_process()
        (tmp_path / "other").mkdir()
        assert who_listens_at(str(tmp_path / "other" / "a b")) == ""


def test_holder_of_a_lock_is_named_and_only_while_it_holds_it(tmp_path):
    path = tmp_path / "lock"
    with path.open("w") as file:
        assert who_holds_lock(str(path)) == ""
        fcntl.flock(file, fcntl.LOCK_EX)
        assert who_holds_lock(str(path)) == this_process()
    assert who_holds_lock(str(path)) == ""
    assert who_holds_lock(str(tmp_path / "none")) == ""


def test_lock_whose_taker_has_ended_is_held_by_who_shares_its_descriptor(tmp_path):
    path = tmp_path / "lock"
    code = 'exec 9>"$0"; flock 9; echo locked; exec sleep 60'
    with subprocess.Popen(["sh", "-c", code, path], stdout=subprocess.PIPE, text=True) as heir:
        try:
            assert heir.stdout.readline() == "locked\n"
            assert who_holds_lock(str(path)) == f"{comm(heir.pid)} (pid {heir.pid})"
        finally:
            heir.kill()


def comm(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as name:
        return name.read().strip()
