"""Many clients at once, some of which leave, before an origin that answers in every way: no answer goes astray.

Each request carries a number, and every answer to it is made of that number. A client may get a 502 or see a
response break off; it never gets another's, nor one that looks whole and is not. At the end nothing is left open.
"""

import os
import random
import threading
import time

import pytest

from tests.support.client import Client, NotWhole, connect
from tests.support.netfront import running
from tests.support.origins import Connection, Seen, origin

pytestmark = pytest.mark.usefixtures("modes")
CLIENTS = 16
REQUESTS = int(os.environ.get("NETFRONT_SOAK", "40"))
"""Of each client."""
WAYS = ("length", "chunks", "close", "old", "early", "hints", "pieces", "empty", "cut", "reset", "silent end")
METHODS = (b"GET", b"POST", b"PUT", b"HEAD")


def told(seen: Seen) -> bytes:
    """What the origin says to a request: its number, many times, and what it sent."""
    number = seen.target.rpartition(b"/")[2]
    return (number + b",") * 500 + seen.body


def answer(connection: Connection, seen: Seen, way: str) -> bool:
    """Answer in one of the ways; tell whether the connection goes on."""
    content = b"" if way == "empty" else told(seen)
    head = b"HTTP/1.1 200 OK\r\nX-Number: %b\r\n" % seen.target
    body = b"" if seen.method == b"HEAD" else content
    length = b"Content-Length: %d\r\n\r\n" % len(content)
    match way:
        case "chunks":
            chunks = b"".join(
                b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:700], content[700:]) if part
            )
            connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
            if seen.method != b"HEAD":
                connection.send(chunks + b"0\r\nX-Number: %b\r\n\r\n" % seen.target)
        case "close":
            connection.send(head + b"Connection: close\r\n\r\n" + body)
            return False
        case "old":
            connection.send(head.replace(b"1.1", b"1.0") + length + body)
            return False
        case "hints":
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: <%b>\r\n\r\n" % seen.target)
            connection.send(head + length + body)
        case "pieces":
            for part in (head, length, body[:1000], body[1000:]):
                connection.send(part)
        case "cut" if body:
            connection.send(head + length + body[:-5])
            return False
        case "reset" if body:
            connection.send(head + length + body[:1000])
            connection.reset()
            return False
        case "silent end":
            return False
        case _:
            connection.send(head + length + body)
    return True


def play(connection: Connection) -> None:
    goes_on = True
    while goes_on:
        seen = connection.read_head()
        way = WAYS[int(seen.target.split(b"/")[1])]
        if way == "early":
            seen.body = b"early"
            connection.send(b"HTTP/1.1 200 OK\r\nX-Number: %b\r\n" % seen.target)
            body = b"" if seen.method == b"HEAD" else told(seen)
            connection.send(b"Content-Length: %d\r\n\r\n" % len(told(seen)) + body)
            connection.read_body(seen)
        else:
            connection.read_body(seen)
            goes_on = answer(connection, seen, way)


def ask(client: Client, chance: random.Random, number: int) -> tuple[bytes, int, bytes, bytes]:
    """Send a request of some kind; give its method, its way, its target and its body."""
    method, way = chance.choice(METHODS), chance.randrange(len(WAYS))
    target = b"/%d/%d" % (way, number)
    body = b"" if method in (b"GET", b"HEAD") else b"%d;" % number * chance.choice((1, 100, 30_000))
    head = b"%b %b HTTP/1.1\r\nHost: localhost\r\n" % (method, target)
    if not body:
        client.send(head + b"\r\n")
    elif chance.random() < 0.5:
        client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    else:
        client.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    return method, way, target, body


def check(client: Client, method: bytes, way: int, target: bytes, body: bytes) -> bool:
    """Read an answer and hold it against the request; tell whether the connection goes on."""
    got = client.read_answer(method)
    assert got.status in (200, 502), got
    if got.status == 502:
        assert WAYS[way] in ("cut", "reset", "silent end"), WAYS[way]
        return not got.closes
    assert got.get(b"x-number") == target
    assert all(early.get(b"link") == b"<%b>" % target for early in got.interim)
    number = target.rpartition(b"/")[2]
    sent = b"early" if WAYS[way] == "early" else body
    expected = (number + b",") * 500 + sent
    if method == b"HEAD" or WAYS[way] == "empty":
        expected = b""
    assert got.body == expected, WAYS[way]
    return not got.closes and got.framing != "close"


def converse(port: int, first: int, faults: list[BaseException]) -> None:
    """Be one client, on as many connections as it takes."""
    chance = random.Random(first)
    number = first
    try:
        while number < first + REQUESTS:
            with connect(port) as client:
                goes_on = True
                while goes_on and number < first + REQUESTS:
                    number += 1
                    try:
                        asked = ask(client, chance, number)
                        leaves = chance.random()
                        if leaves < 0.05:
                            client.reset()
                            break
                        if leaves < 0.1:
                            client.receive(100)
                            break
                        goes_on = check(client, *asked)
                    except (NotWhole, ConnectionError):
                        break
    except BaseException as fault:
        faults.append(fault)


def test_no_answer_goes_astray() -> None:
    faults: list[BaseException] = []
    with origin(play) as behind, running("proxy", behind.url) as front:

        def descriptors() -> int:
            return len(os.listdir(f"/proc/{front.process.pid}/fd"))

        at_rest = descriptors()
        clients = [
            threading.Thread(target=converse, args=(front.port, 100_000 * (index + 1), faults))
            for index in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join(60)
        if faults:
            raise faults[0]
        assert len(behind.requests) > CLIENTS * REQUESTS * 0.8
        until = time.monotonic() + 5
        while descriptors() > at_rest + CLIENTS and time.monotonic() < until:
            time.sleep(0.05)
        assert descriptors() <= at_rest + CLIENTS, "more is open than idle connections to the backend"
        assert "netfront's own" not in front.stderr
