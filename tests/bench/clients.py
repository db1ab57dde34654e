"""The clients of a fault: a process with kept-alive connections at a steady pace, each result of which is counted.

    python -m tests.bench.clients '{"port": 8080, "clients": 16, "rate": 800, …}'

It runs until its stdin ends and then writes all results to stdout as JSON. Each client sends one request at a time,
and waits at most `patience` for the whole answer; one that is late with its next request sends it at once but does not
make up for those it has missed. A kept connection that turns out closed before a byte of the answer has come is
replaced, as RFC 9110 §9.2.2 lets clients do with idempotent requests; all else that goes wrong is a failure.
"""

import json
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.backend import content

__all__ = ["OK", "WRONG", "Load", "Plan", "Result", "Socket", "loaded"]

OK = "ok"
WRONG = "wrong bytes"
"""An answer that looks whole and is not what was asked for: what no proxy may ever let through."""
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ").match
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)").search
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked").search
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close").search
_BACKEND = re.compile(rb"(?i)\r\nx-backend: *(\w+)").search


@dataclass(frozen=True)
class Plan:
    """A load.

    Args:
        rate: requests a second, of all clients together.
        patience: seconds that a client waits for an answer.
        sockets: WebSockets that are held open and used four times a second.
    """

    port: int
    clients: int = 16
    rate: float = 800
    patience: float = 2.0
    method: str = "GET"
    sockets: int = 0


@dataclass(frozen=True)
class Result:
    """What came of one request. `began` is on the machine's monotonic clock; `backend` is empty where none answered."""

    number: int
    began: float
    seconds: float
    outcome: str
    backend: str

    @property
    def ended(self) -> float:
        """When its outcome was known."""
        return self.began + self.seconds


@dataclass(frozen=True)
class Socket:
    """What came of one WebSocket: `broken` says what broke it; empty while it lasts."""

    backend: str
    echoes: int
    broken: str


@dataclass
class Load:
    """A load that runs; when it has ended, what came of it."""

    results: list[Result] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    replaced: int = 0

    @property
    def failed(self) -> list[Result]:
        """The requests that did not get their answer."""
        return [result for result in self.results if result.outcome != OK]

    @property
    def outcomes(self) -> Counter[str]:
        """How many failed in which way."""
        return Counter(result.outcome for result in self.failed)

    def percentile(self, share: float) -> float:
        """Give the seconds within which this share of the requests had its outcome."""
        times = sorted(result.seconds for result in self.results)
        return times[min(len(times) - 1, int(share * len(times)))] if times else 0.0


@contextmanager
def loaded(plan: Plan) -> Iterator[Load]:
    """Put load on a port as long as the block lasts; the results are there after it."""
    line = [sys.executable, "-m", "tests.bench.clients", json.dumps(asdict(plan))]
    process = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    load = Load()
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 20)
        if not readable or process.stdout.readline() != b"going\n":
            raise RuntimeError("the clients did not start")
        yield load
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    told = json.loads(out)
    load.results += [Result(*row) for row in told["results"]]
    load.sockets += [Socket(*row) for row in told["sockets"]]
    load.replaced = told["replaced"]
    load.results.sort(key=lambda result: result.began)


# -- the process itself -------------------------------------------------------------------------------------


class _Failed(Exception):
    """Why a request failed. `is_stale`: the connection ended before a byte of the answer."""

    def __init__(self, why: str, *, is_stale: bool = False) -> None:
        super().__init__(why)
        self.is_stale = is_stale


class _Connection:
    """A connection to the proxy."""

    def __init__(self, port: int, until: float) -> None:
        self._until = until
        try:
            self._sock = socket.create_connection(("127.0.0.1", port), timeout=self._left())
        except TimeoutError:
            raise _Failed("connect timed out") from None
        except OSError as error:
            raise _Failed(f"connect: {(error.strerror or str(error)).lower()}") from error
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = b""
        self.is_used = False

    def _left(self) -> float:
        return max(0.001, self._until - time.monotonic())

    def ask(self, data: bytes, until: float) -> tuple[int, bytes, bytes]:
        """Send a request; give status, head and body."""
        self._until = until
        try:
            self._sock.settimeout(self._left())
            self._sock.sendall(data)
        except OSError as error:
            raise _Failed("reset", is_stale=True) from error
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            self._fill("no answer", is_stale=not self._held)
        head, self._held = self._held[: end + 2], self._held[end + 4 :]
        status = _STATUS(head)
        if status is None:
            raise _Failed("not HTTP")
        if status[1] == b"101":
            return 101, head, b""
        body = self._body(head)
        if _CLOSE(head):
            self.close()
        self.is_used = True
        return int(status[1]), head, body

    def _body(self, head: bytes) -> bytes:
        if _CHUNKED(head):
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                self._line()
            self._line()
            return body
        if length := _LENGTH(head):
            return self._exactly(int(length[1]))
        while True:
            try:
                self._fill("body")
            except _Failed as failed:
                if "closed" in str(failed):
                    return self._held
                raise

    def _line(self) -> bytes:
        while (end := self._held.find(b"\r\n")) < 0:
            self._fill("body")
        line, self._held = self._held[:end], self._held[end + 2 :]
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._fill("body")
        data, self._held = self._held[:size], self._held[size:]
        return data

    def _fill(self, stage: str, *, is_stale: bool = False) -> None:
        try:
            self._sock.settimeout(self._left())
            data = self._sock.recv(65536)
        except TimeoutError:
            raise _Failed(f"{stage}: timed out") from None
        except OSError as error:
            raise _Failed(f"{stage}: reset", is_stale=is_stale) from error
        if not data:
            raise _Failed(f"{stage}: closed", is_stale=is_stale)
        self._held += data

    def echo(self, data: bytes, until: float) -> None:
        """Send a frame and wait for it to come back."""
        self._until = until
        try:
            self._sock.settimeout(self._left())
            self._sock.sendall(b"\x81%c\0\0\0\0%b" % (0x80 | len(data), data))
        except OSError as error:
            raise _Failed("reset") from error
        if self._exactly(2 + len(data)) != b"\x81%c%b" % (len(data), data):
            raise _Failed(WRONG)

    @property
    def is_open(self) -> bool:
        return self._sock.fileno() >= 0

    def close(self) -> None:
        self._sock.close()


class _Program:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results: list[tuple[int, float, float, str, str]] = []
        self.sockets: list[tuple[str, int, str]] = []
        self.replaced = 0
        self.ending = threading.Event()

    def run(self) -> None:
        threads = [threading.Thread(target=self._hold)] if self.plan.sockets else []
        threads += [threading.Thread(target=self._client, args=(i,)) for i in range(self.plan.clients)]
        ready = threading.Event()
        if not self.plan.sockets:
            ready.set()
        self.ready = ready
        for thread in threads:
            thread.start()
        ready.wait()
        sys.stdout.write("going\n")
        sys.stdout.flush()
        sys.stdin.read()
        self.ending.set()
        for thread in threads:
            thread.join()
        told = {"results": self.results, "sockets": self.sockets, "replaced": self.replaced}
        json.dump(told, sys.stdout)

    def _client(self, index: int) -> None:
        plan = self.plan
        apart = plan.clients / plan.rate
        due = time.monotonic() + apart * index / plan.clients
        number = index
        connection: _Connection | None = None
        while not self.ending.wait(max(0.0, due - time.monotonic())):
            connection = self._request(number, connection)
            number += plan.clients
            due = max(due + apart, time.monotonic())

    def _request(self, number: int, connection: _Connection | None) -> _Connection | None:
        """Send one request and note what came of it; give the connection to go on with."""
        plan = self.plan
        began = time.monotonic()
        until = began + plan.patience
        body = content(number) if plan.method == "POST" else b""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        data = f"{plan.method} /{number} HTTP/1.1\r\nHost: app.test\r\n{length}\r\n".encode() + body
        backend = ""
        try:
            while True:
                if connection is None or not connection.is_open:
                    connection = _Connection(plan.port, until)
                try:
                    status, head, got = connection.ask(data, until)
                    break
                except _Failed as failed:
                    if not (failed.is_stale and connection.is_used and plan.method == "GET"):
                        raise
                    connection.close()
                    self.replaced += 1
            outcome = OK if status == 200 else f"status {status}"
            if status == 200 and got != content(number):
                outcome = WRONG
            if match := _BACKEND(head):
                backend = match[1].decode()
        except (_Failed, ValueError) as failed:
            outcome = str(failed)
            if connection is not None:
                connection.close()
        self.results.append((number, began, time.monotonic() - began, outcome, backend))
        return connection

    def _hold(self) -> None:
        """Open the WebSockets and use them, one after the other and again."""
        plan = self.plan
        held: list[tuple[_Connection, str]] = []
        ask = (
            b"GET /-1 HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        echoes: Counter[int] = Counter()
        broken: dict[int, str] = {}
        for index in range(plan.sockets):
            connection = _Connection(plan.port, time.monotonic() + plan.patience)
            status, head, _ = connection.ask(ask, time.monotonic() + plan.patience)
            match = _BACKEND(head)
            held.append((connection, match[1].decode() if match else ""))
            if status != 101:
                broken[index] = f"status {status}"
        self.ready.set()
        while not self.ending.wait(0.25):
            for index, (connection, _) in enumerate(held):
                if index not in broken:
                    try:
                        connection.echo(b"%d %d" % (index, echoes[index]), time.monotonic() + plan.patience)
                        echoes[index] += 1
                    except _Failed as failed:
                        broken[index] = str(failed)
        self.sockets = [(name, echoes[index], broken.get(index, "")) for index, (_, name) in enumerate(held)]


if __name__ == "__main__":
    _Program(Plan(**json.loads(sys.argv[1]))).run()
