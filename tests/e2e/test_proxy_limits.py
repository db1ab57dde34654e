"""What runs out: descriptors, connections, memory for clients that only ask."""

import os
import select
import socket
import time

from tests.support.client import connect
from tests.support.netfront import running
from tests.support.origins import OK, Connection, answering, origin

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def cpu_seconds(front):
    """Give the CPU that a netfront has used."""
    return time.clock_gettime((~front.process.pid << 3) | 2)


def test_out_of_descriptors_it_goes_on_serving_and_does_not_spin():
    with (
        origin(answering(OK)) as behind,
        running(
            "proxy", behind.url, "-q", "--max-connections", "10000", prefix=("prlimit", "--nofile=80:80")
        ) as front,
        connect(front.port) as kept,
    ):
        kept.send(GET)
        assert kept.read_answer().status == 200
        crowd = [socket.create_connection(("127.0.0.1", front.port), timeout=10) for _ in range(150)]
        time.sleep(0.3)
        before = cpu_seconds(front)
        time.sleep(1)
        assert cpu_seconds(front) - before < 0.1, "it spins"
        for _ in range(3):
            kept.send(GET)
            assert kept.read_answer().status == 200
        for sock in crowd:
            sock.close()
        with connect(front.port) as late:
            late.send(GET)
            assert late.read_answer().status == 200


def test_the_soft_limit_of_descriptors_is_raised():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q", prefix=("prlimit", "--nofile=64:4096")) as front,
    ):
        with open(f"/proc/{front.process.pid}/limits") as file:
            limits = next(line for line in file if line.startswith("Max open files"))
        assert limits.split()[3:5] == ["4096", "4096"]


def test_a_client_that_asks_and_asks_and_never_reads_is_held_back():
    with (
        origin(answering(OK)) as behind,
        running("proxy", behind.url, "-q") as front,
        connect(front.port, 1.0) as client,
    ):
        sent = 0
        try:
            while sent < 64_000_000:
                sent += client.socket.send(GET * 1000)
        except TimeoutError:
            pass
        assert sent < 64_000_000
        with open(f"/proc/{front.process.pid}/status") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        assert peak < 100_000


def test_slow_heads_by_the_hundred_do_not_hinder_others():
    with origin(answering(OK)) as behind, running("proxy", behind.url, "-q", "--head-timeout", "2s") as front:
        crowd = [socket.create_connection(("127.0.0.1", front.port), timeout=10) for _ in range(300)]
        for sock in crowd:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        start = time.perf_counter()
        with connect(front.port) as client:
            client.send(GET)
            assert client.read_answer().status == 200
        assert not select.select(crowd, (), (), 0)[0]
        for sock in crowd:
            assert b" 408 " in sock.recv(65536)
            sock.close()
        assert time.perf_counter() - start < 8


def test_no_descriptor_is_left_behind():
    def play(connection: Connection) -> None:
        seen = connection.read_head()
        if seen.target == b"/cut":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        elif seen.target == b"/ok":
            connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    def descriptors():
        return len(os.listdir(f"/proc/{front.process.pid}/fd"))

    with origin(play) as behind, running("proxy", behind.url, "-q") as front:
        with connect(front.port) as client:
            client.send(GET.replace(b" / ", b" /ok "))
            client.read_answer()
        time.sleep(0.2)
        before = descriptors()
        for target in (b"/ok", b"/cut", b"/none", b"/bad target") * 25:
            with connect(front.port) as client:
                client.send(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if target != b"/none":
                    client.receive()
        until = time.monotonic() + 5
        while descriptors() > before and time.monotonic() < until:
            time.sleep(0.05)
        assert descriptors() <= before
