"""Bodies of 1 GiB through a proxy, and the most memory it held meanwhile."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from tests.bench.cpu import CORE_OF_LOAD, peak_kib, pin
from tests.bench.peers import Bench, Proxy
from tests.support.origins import Connection, origin

__all__ = ["TRANSFERS", "backend"]

_SIZE = 1 << 30
_PATIENCE = 300


def _swallow(connection: Connection) -> None:
    """Give 1 GiB to GET, and count what a PUT brings; the body of neither is kept."""
    while True:
        seen = connection.read_head()
        if seen.method == b"GET":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _SIZE)
            part = bytes(1 << 20)
            for _ in range(_SIZE >> 20):
                connection.send(part)
            continue
        size = _count_chunks(connection) if seen.get(b"transfer-encoding") else _count(connection, _SIZE)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(str(size)), size))


def _count(connection: Connection, size: int) -> int:
    left = size
    while left > 0:
        left -= len(connection.read_exactly(min(left, 1 << 16)))
        connection.forget()
    return size


def _count_chunks(connection: Connection) -> int:
    size = 0
    while part := connection.read_chunk():
        size += len(part)
        connection.forget()
    connection.read_fields()
    return size


@contextmanager
def backend(bench: Bench) -> Iterator[Bench]:
    """Run an origin that takes and gives 1 GiB without keeping it; give a bench that has it behind."""
    with origin(_swallow) as served:
        yield replace(bench, origin=served.port)


def _run(proxy: Proxy, *args: str, source: str | None = None) -> str:
    line = ["curl", "-sS", "--fail", "-k", "--max-time", str(_PATIENCE), "-H", "Expect:", *args]
    with open(source or "/dev/null", "rb") as file:
        done = subprocess.run(
            line,
            stdin=file,
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE + 10,
            preexec_fn=partial(pin, CORE_OF_LOAD),
        )
    return done.stdout


def _down(bench: Bench, proxy: Proxy, *, tls: bool) -> float:
    said = _run(proxy, "-o", "/dev/null", "-w", "%{size_download}", proxy.url(tls=tls) + "/1g")
    assert said == str(_SIZE), said
    return peak_kib(proxy.pids) / 1024


def _up(bench: Bench, proxy: Proxy, *, tls: bool) -> float:
    said = _run(proxy, "-T", str(bench.place / "www" / "1g"), proxy.url(tls=tls) + "/up")
    assert said == str(_SIZE), said
    return peak_kib(proxy.pids) / 1024


def _up_chunked(bench: Bench, proxy: Proxy) -> float:
    said = _run(proxy, "-T", "-", proxy.url() + "/up", source=str(bench.place / "www" / "1g"))
    assert said == str(_SIZE), said
    return peak_kib(proxy.pids) / 1024


TRANSFERS: dict[str, Callable[[Bench, Proxy], float]] = {
    "down": partial(_down, tls=False),
    "up": partial(_up, tls=False),
    "up chunked": _up_chunked,
    "down TLS": partial(_down, tls=True),
    "up TLS": partial(_up, tls=True),
}
