"""Who reads what netfront says, and stops reading, holds up nobody else: it is one process that serves all."""

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.support.client import connect
from tests.support.named import get
from tests.support.netfront import ROOT, command

LONG = b"/" + b"x" * 1500
MANY = 1000
"""Requests whose lines are more than is held."""


@contextmanager
def said_to_nobody(name, tmp_path, *words):
    """A netfront of which one of stdout and stderr is a pipe that nobody reads, and that pipe; the other is a file."""
    reads, writes = os.pipe()
    ready, told = os.pipe()
    other = tmp_path / "other"
    ports = tmp_path / "ports"
    line = command("proxy", "demo:", "-l", "http://127.0.0.1:0", *words)
    with other.open("wb") as file:
        files = {"stdout": file, "stderr": file, name: writes}
        process = subprocess.Popen(
            [*line, "--port-file", str(ports), "--ready-fd", str(told)], cwd=ROOT, pass_fds=(told,), **files
        )
    os.close(writes)
    os.close(told)
    try:
        os.read(ready, 100)
        yield process, int(ports.read_text()), reads, other
    finally:
        process.kill()
        process.wait()
        os.close(ready)
        os.close(reads)


def read_to_end(fd):
    parts = []
    while more := os.read(fd, 65536):
        parts.append(more)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("name", "words", "mark"),
    [
        ("stdout", ("--access-log", "-"), b" /xxx"),
        ("stdout", ("--json", "-v"), b'"target": "/xxx'),
        ("stderr", ("-v",), b" GET /xxx"),
    ],
)
def test_nobody_waits_for_them(name, words, mark, tmp_path):
    with said_to_nobody(name, tmp_path, *words) as (process, port, reads, other):
        with connect(port) as client:
            for _ in range(MANY):
                assert get(client, LONG).status == 404
        process.send_signal(signal.SIGQUIT)  # says a lot, too
        with connect(port) as client:
            assert get(client).status == 200
        process.send_signal(signal.SIGTERM)
        if name == "stdout":
            assert process.wait(10) == 0
        said = read_to_end(reads)
        assert process.wait(10) == 0
        assert 20 < said.count(mark) < MANY
        if name == "stderr":
            assert b"lines were lost here: the reader is too slow" in said
        else:
            assert b" lost" in other.read_bytes()


@pytest.mark.parametrize("words", [("--access-log", "-"), ("--json", "-v")])
def test_who_goes_on_reading_gets_what_was_held(words, tmp_path):
    with said_to_nobody("stdout", tmp_path, *words) as (process, port, reads, other):
        with connect(port) as client:
            for _ in range(80):
                assert get(client, LONG).status == 404
        process.send_signal(signal.SIGTERM)
        said = read_to_end(reads)
        assert process.wait(10) == 0
        assert said.count(b"/xxx") == 80
        assert all(line.count(b"/xxx") <= 1 for line in said.splitlines())
        assert b" lost" not in other.read_bytes()


def test_a_reader_that_is_gone_is_told_of_once(tmp_path):
    with said_to_nobody("stdout", tmp_path, "--json", "-v") as (process, port, reads, other):
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), reads)  # closes the pipe
        with connect(port) as client:
            end = time.monotonic() + 1.0  # what is held is looked after several times by then
            while time.monotonic() < end:
                assert get(client).status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        said = other.read_text()
        assert said.count(" lost") == 1
        assert "netfront: stdout: broken pipe; events are being lost" in said


def test_what_is_no_pipe_is_asked_before_it_is_written_to(tmp_path):
    """A socket cannot be opened once more, as stdout of a service is under systemd."""
    ours, theirs = socket.socketpair()
    ready, told = os.pipe()
    ports = tmp_path / "ports"
    line = command("proxy", "demo:", "-l", "http://127.0.0.1:0", "--access-log", "-", "-q")
    with theirs:
        process = subprocess.Popen(
            [*line, "--port-file", str(ports), "--ready-fd", str(told)],
            cwd=ROOT,
            stdout=theirs.fileno(),
            pass_fds=(told,),
        )
    os.close(told)
    try:
        os.read(ready, 100)
        with connect(int(ports.read_text())) as client:
            for _ in range(MANY):
                assert get(client, LONG).status == 404
        process.send_signal(signal.SIGTERM)
        said = read_to_end(ours.fileno())
        assert process.wait(10) == 0
        assert 20 < said.count(b" /xxx") < MANY
    finally:
        process.kill()
        process.wait()
        os.close(ready)
        ours.close()
