"""A backend as a process that can be killed, stopped and told to misbehave.

    python -m tests.bench.backend PORT NAME LOG

`GET /N` is answered with 1 KiB that depends on N, so that a client can tell whose answer it got; X-Backend is NAME. An
Upgrade becomes a WebSocket that echoes. Each request's number is appended to LOG as it is read whole, which outlives
SIGKILL: from it one knows what was sent twice. A line on stdin changes the mode:

    ok             answer
    hang           read and never answer
    reset          read and reset
    cut            answer with half a body and reset
    garbage        answer with what is no HTTP
    close          read and close
    slow S T       answer a share S of the requests after T seconds
"""

import os
import random
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.servers import free_port

__all__ = ["SIZE", "Backend", "backends", "content"]

SIZE = 1024
PATIENCE = 20.0
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)").search
_UPGRADE = re.compile(rb"(?i)\r\nupgrade: *websocket").search


def content(number: int) -> bytes:
    """Give the body of an answer."""
    return b"%08d" % (number % 10**8) * (SIZE // 8)


class Backend:
    """A backend process, from outside. It keeps its port over restarts."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.port = free_port()
        self._log = place / f"{name}.log"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.begin()
        self.wait_until_ready()

    def begin(self) -> None:
        """Start it."""
        line = [sys.executable, "-m", "tests.bench.backend", str(self.port), self.name, str(self._log)]
        self._process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )

    def wait_until_ready(self) -> None:
        """Wait until it listens. Raises RuntimeError: it does not come to that."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], PATIENCE)
        if not readable or process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{self.name} did not start")

    def behave(self, mode: str) -> None:
        """Change what it does with requests that come from here on."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(mode.encode() + b"\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once (SIGKILL), if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(PATIENCE)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()

    def arrivals(self) -> list[int]:
        """Give the numbers of the requests it has read, in their order; WebSockets left out."""
        return [number for number in map(int, self._log.read_bytes().split()) if number >= 0]


@contextmanager
def backends(count: int, place: Path) -> Iterator[list[Backend]]:
    """Run so many backends, named a, b, c…"""
    with ExitStack() as stack:
        made = [Backend("abcdefgh"[index], place) for index in range(count)]
        for backend in made:
            stack.callback(backend.kill)
            backend.begin()
        for backend in made:
            backend.wait_until_ready()
        yield made


# -- the process itself -------------------------------------------------------------------------------------


class _Program:
    def __init__(self, port: int, name: str, log: str) -> None:
        self.name = name.encode()
        self.mode = "ok"
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND)
        self.listening = socket.create_server(("127.0.0.1", port), backlog=512)

    def run(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            self.mode = line.strip()

    def _accept(self) -> None:
        while True:
            sock, _ = self.listening.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._converse(sock)
            except (OSError, EOFError):
                pass

    def _converse(self, sock: socket.socket) -> None:
        held = b""
        while True:
            while (end := held.find(b"\r\n\r\n")) < 0:
                held += _more(sock)
            head, held = held[: end + 2], held[end + 4 :]
            length = int(match[1]) if (match := _LENGTH(head)) else 0
            while len(held) < length:
                held += _more(sock)
            held = held[length:]
            number = int(head.split(b" ", 2)[1].rpartition(b"/")[2])
            os.write(self.log, b"%d\n" % number)
            if _UPGRADE(head):
                self._echo(sock, held)
                return
            if not self._answer(sock, number):
                return

    def _answer(self, sock: socket.socket, number: int) -> bool:
        """Answer as the mode is; tell whether the connection goes on."""
        mode, *args = self.mode.split()
        body = content(number)
        head = b"HTTP/1.1 200 OK\r\nX-Backend: %b\r\nContent-Length: %d\r\n\r\n" % (self.name, SIZE)
        if mode == "slow" and random.random() < float(args[0]):
            time.sleep(float(args[1]))
        if mode in ("ok", "slow"):
            sock.sendall(head + body)
            return True
        if mode == "hang":
            sock.recv(1)  # until the other side is tired of it
        elif mode == "cut":
            sock.sendall(head + body[: SIZE // 2])
            time.sleep(0.005)  # so that what was sent arrives before the reset takes it back
            _reset(sock)
        elif mode == "garbage":
            sock.sendall(b"\x16\x03\x01" + body)
        elif mode == "reset":
            _reset(sock)
        return False

    def _echo(self, sock: socket.socket, held: bytes) -> None:
        """Be a WebSocket: give back short frames, which clients mask with zeros (RFC 6455 §5.2)."""
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Backend: %b\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" % self.name
        )
        while True:
            while len(held) < 2 or len(held) < 6 + (held[1] & 0x7F):
                held += _more(sock)
            size = held[1] & 0x7F
            frame, held = held[6 : 6 + size], held[6 + size :]
            sock.sendall(b"\x81%c%b" % (size, frame))


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise EOFError
    return data


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


if __name__ == "__main__":
    _Program(int(sys.argv[1]), sys.argv[2], sys.argv[3]).run()
