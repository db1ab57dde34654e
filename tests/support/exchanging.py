"""Requests and answers, as a number has it: how each is framed, cut into pieces, and ends.

The target of a request is its number; both sides then know what the other is to send, and hold each message against it.
"""

import random
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.client import Answer, Client, NotWhole, parse_answers
from tests.support.origins import Connection, Origin, Seen
from tests.support.played import Played, listening, played
from tests.support.wire import Wire, shrink

__all__ = ["HttpBackend", "Plan", "ask", "http_backend"]

_SIZES = (0, 1, 2, 100, 5000, 65_536, 200_000)
_WAYS = ("length", "chunks", "until close", "empty", "hints", "old")
_LAST_WAYS = (*_WAYS, "early", "upgrade", "cut", "cut chunks", "cut until close", "upload cut")


@dataclass
class Plan:
    """What a number stands for: a request, and the answer to it."""

    number: int
    way: str
    method: bytes
    request: bytes
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    answer: bytes
    answer_trailers: list[tuple[bytes, bytes]]

    @classmethod
    def of(cls, number: int) -> "Plan":
        """Work it out; odd tens are the last of their connection."""
        chance = random.Random(number)
        way = chance.choice(_LAST_WAYS if is_last(number) else _WAYS)
        method = b"GET" if way == "upgrade" else chance.choice((b"GET", b"POST", b"PUT", b"HEAD"))
        if way in ("early", "upload cut"):
            method = b"POST"
        has_body = method in (b"POST", b"PUT")
        body = chance.randbytes(chance.choice(_SIZES)) if has_body else b""
        answer = chance.randbytes(chance.choice(_SIZES))
        if way.startswith("cut"):
            answer += b"behind the cut"
        head = b"%b /%d HTTP/1.1\r\nHost: localhost\r\n" % (method, number)
        trailers: list[tuple[bytes, bytes]] = []
        if way == "upgrade":
            head += b"Connection: Upgrade\r\nUpgrade: echo\r\n"
            body = chance.randbytes(chance.choice(_SIZES))
        elif is_last(number):
            head += b"Connection: close\r\n"
        if chance.random() < 0.2 and has_body:
            head += b"Expect: 100-continue\r\n"
        if has_body and chance.random() < 0.5:
            if chance.random() < 0.5:
                trailers = [(b"X-Up", b"%d" % number)]
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            request = head + in_chunks(body, chance, trailers)
        elif has_body:
            request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        else:
            request = head + b"\r\n" + (body if way == "upgrade" else b"")
        down = [(b"X-Down", b"%d" % number)] if chance.random() < 0.5 else []
        return cls(number, way, method, request, body, trailers, answer, down)


def is_last(number: int) -> bool:
    """Tell whether a request is the last of its connection."""
    return number % 10 == 9


def in_chunks(data: bytes, chance: random.Random, trailers: list[tuple[bytes, bytes]]) -> bytes:
    """Frame it in chunks of any sizes."""
    parts = []
    while data:
        part = data[: chance.choice((1, 10, 1000, 70_000))]
        if len(parts) > 50:
            part = data
        data = data[len(part) :]
        extension = b";a=b" if chance.random() < 0.1 else b""
        parts.append(b"%x%b\r\n%b\r\n" % (len(part), extension, part))
    return b"".join((*parts, b"0\r\n", *(b"%b: %b\r\n" % pair for pair in trailers), b"\r\n"))


# -- the backend's side


class _Socket:
    """A wire in the shape of a socket, as far as an origin's Connection asks it of one."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def settimeout(self, seconds: float) -> None:
        """Wires have a patience of their own."""

    def setsockopt(self, *option: object) -> None:
        """It is set."""

    def recv(self, most: int) -> bytes:
        """Give what has come."""
        wire = self.wire
        wire.pump(until=lambda: bool(wire.got))
        data = bytes(wire.got)
        wire.got.clear()
        if not data and wire.ended == "cut":
            raise ConnectionResetError("cut")
        return data

    def sendall(self, data: bytes) -> None:
        """Send it, and receive meanwhile."""
        self.wire.pump(data, until=lambda: True)
        if self.wire.broken:
            raise ConnectionResetError("cut")


class HttpBackend:
    """A server that answers each request as its number has it."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.port: int = sock.getsockname()[1]
        self.seen: Counter[str] = Counter()
        self.cut: set[int] = set()
        """Numbers of upgrades that did not end in good order here."""
        self._context = context
        self._owner = Origin(lambda connection: None, sock)

    def play(self, sock: socket.socket, seed: int) -> None:
        """Play one connection."""
        number = -1
        chance = random.Random(seed)
        try:
            with sock:
                wire = Wire(sock, chance, self._context, idles=True)
                if self._context is not None:
                    wire.shake()
                connection = Connection(_Socket(wire), self._owner)  # type: ignore[arg-type]
                goes_on = True
                while goes_on:
                    seen = connection.read_head()
                    number = int(seen.target[1:])
                    plan = Plan.of(number)
                    self.seen[plan.way] += 1
                    goes_on = self._answer(connection, wire, seen, plan, chance)
                    connection.forget()
        except (EOFError, ConnectionError, ssl.SSLError):
            pass
        except BaseException as fault:
            fault.add_note(f"at the backend, number {number}")
            raise

    def _answer(
        self, connection: Connection, wire: Wire, seen: Seen, plan: Plan, chance: random.Random
    ) -> bool:
        """Answer one request; tell whether the connection goes on."""
        way, content = plan.way, plan.answer
        if way == "upgrade":
            self._upgrade(connection, wire, plan)
            return False
        if seen.get(b"expect") and way != "early" and chance.random() < 0.7:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if way != "early":
            connection.read_body(seen)
            check_request(seen, plan)
        head = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n" % plan.number
        has_body = plan.method != b"HEAD"
        length = b"Content-Length: %d\r\n\r\n" % len(content)
        shown = content if has_body else b""
        if way in ("chunks", "cut chunks"):
            framed = in_chunks(content, chance, plan.answer_trailers) if has_body else b""
            if way == "cut chunks" and has_body:
                framed = framed[: chance.randrange(len(framed) - 1)]
            connection.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + framed)
        elif way == "until close":
            connection.send(head + b"Connection: close\r\n\r\n" + shown)
            wire.pump(end="fin", until=lambda: True)
            return False
        elif way == "cut until close":
            connection.send(head + b"Connection: close\r\n\r\n" + shown[:-14])
            wire.break_off("reset")
            return False
        elif way == "empty":
            connection.send(b"HTTP/1.1 204 No Content\r\nX-Number: %d\r\n\r\n" % plan.number)
        elif way == "hints":
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </%d>\r\n\r\n" % plan.number)
            connection.send(head + length + shown)
        elif way == "old":
            connection.send(head.replace(b"1.1", b"1.0") + length + shown)
            wire.pump(end="fin", until=lambda: True)
            return False
        elif way == "cut" and has_body:
            connection.send(head + length + shown[:-14])
        else:
            connection.send(head + length + shown)
        if way == "early":
            connection.read_body(seen)
            check_request(seen, plan)
        if way.startswith("cut") and has_body:
            wire.break_off("reset" if chance.random() < 0.5 else "cut")
            return False
        return True

    def _upgrade(self, connection: Connection, wire: Wire, plan: Plan) -> None:
        early = bytes(connection.received[connection._at :])
        wire.got[:0] = early
        head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
        wire.pump(head + b"X-Number: %d\r\n\r\n" % plan.number + plan.answer, "fin")
        assert plan.body.startswith(wire.got)
        if wire.ended == "cut":
            self.cut.add(plan.number)
        else:
            assert bytes(wire.got) == plan.body, "a clean end before the end"


def check_request(seen: Seen, plan: Plan) -> None:
    """Hold a request against what was sent."""
    assert (seen.method, seen.body) == (plan.method, plan.body)
    assert seen.trailers == plan.trailers


@contextmanager
def http_backend(context: ssl.SSLContext | None, *, buffer: int = 0) -> Iterator[tuple[HttpBackend, Played]]:
    """Run one for the length of a block, and raise its first fault behind it; give its connections too."""
    with listening(buffer) as sock:
        served = HttpBackend(sock, context)
        with played(sock, served.play) as connections:
            yield served, connections


# -- the client's side


def ask(first: int, port: int, *, context: ssl.SSLContext | None, buffer: int = 0) -> tuple[str, int]:
    """Ask all of a connection's requests, `first` to the last of its ten; give how it ended, and the bytes."""
    chance = random.Random(~first)
    plans = [Plan.of(number) for number in range(first, first // 10 * 10 + 10)]
    with socket.socket() as sock:
        if buffer:
            shrink(sock, buffer)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        wire = Wire(sock, chance, context, name="localhost" if context is not None else None)
        if context is not None:
            wire.shake()
        if chance.random() < 0.1:
            wire.pump(
                b"".join(plan.request for plan in plans),
                most=chance.choice((1, 500, 5000)),
                until=lambda: chance.random() < 0.1,
            )
            wire.break_off("reset" if context is None or chance.random() < 0.5 else "cut")
            return "left", len(wire.got)
        asked: list[Plan] = []
        try:
            if chance.random() < 0.5:
                asked = plans
                send(wire, b"".join(plan.request for plan in plans), plans)
            else:
                for plan in plans:
                    asked.append(plan)
                    if plan is plans[-1]:
                        send(wire, plan.request, plans)
                    else:
                        enough = len(wire.got) + (len(plan.answer) if plan.method != b"HEAD" else 0)
                        if plan.way == "empty":
                            enough = len(wire.got)
                        wire.pump(plan.request, until=lambda size=enough: is_whole(wire, asked, size))
                    assert not wire.ended or plan is plans[-1], f"ended: {wire.ended}"
        except BaseException as error:
            error.add_note(f"asked {[(plan.number, plan.way) for plan in asked]}, got {len(wire.got)}")
            raise
    check_answers(bytes(wire.got), wire.ended, asked)
    return wire.ended, len(wire.got) + sum(len(plan.request) for plan in asked)


def send(wire: Wire, data: bytes, plans: list[Plan]) -> None:
    """Send what ends with the last request of a connection, and receive to the end."""
    last = plans[-1]
    size = sum(len(plan.answer) for plan in plans[:-1] if plan.method != b"HEAD" and plan.way != "empty")
    if last.way == "upload cut":
        wire.pump(
            data[: -max(1, len(last.body) // 3)], until=lambda: is_whole(wire, plans[:-1], size - 1)
        )  # who ends before may be taken for one who leaves
        wire.pump(end="fin")
    elif last.way == "upgrade":
        wire.pump(data, until=lambda: is_whole(wire, plans, size))
        wire.pump(end="fin")
    else:
        wire.pump(data)


def is_whole(wire: Wire, plans: list[Plan], size: int) -> bool:
    """Tell whether all answers have come. `size` bytes at least are needed for that."""
    if len(wire.got) <= size:
        return False
    try:
        first_answers(bytes(wire.got), plans)
    except NotWhole:
        return False
    return True


def check_answers(data: bytes, ended: str, plans: list[Plan]) -> None:
    """Hold all that a client got against what was to come."""
    last = plans[-1]
    where = f"{[(plan.number, plan.way, plan.method) for plan in plans[-2:]]}, {len(data)} bytes, {ended!r}"
    good = plans[:-1]
    is_cut = (last.way.startswith("cut") and last.method != b"HEAD") or last.way == "upload cut"
    if last.way == "upgrade":
        answers, rest = first_answers(data, plans)
        assert answers.pop().status == 101, where
        assert rest == last.answer, where
        assert ended == "clean", where
    elif is_cut:
        answers = cut_answers(data, ended, plans, where)
    else:
        answers = parse_answers(data, [plan.method for plan in plans])
        good = plans
        assert ended == "clean" or last.way == "early", where
    assert len(answers) == len(good) or (is_cut and ended == "cut"), where
    for plan, answer in zip(good, answers, strict=False):
        check_answer(plan, answer)


def cut_answers(data: bytes, ended: str, plans: list[Plan], where: str) -> list[Answer]:
    """Give the answers before one that was cut: by a reset, by a 502 in its place, or by none where the client cut.

    A reset takes with it what of the answers before it has not arrived yet.
    """
    good, rest = first_answers(data, plans[:-1], is_cut=ended == "cut")
    if len(good) < len(plans) - 1:
        return good
    is_ours = plans[-1].way == "upload cut"
    while rest.startswith(b"HTTP/1.1 100 "):
        rest = rest.partition(b"\r\n\r\n")[2]
    try:
        [answer] = parse_answers(rest, [plans[-1].method])
        assert answer.status in ((400, 502) if is_ours else (502,)), where
    except (NotWhole, ValueError):
        assert ended == "cut" or (is_ours and not rest), where
    return good


def first_answers(data: bytes, plans: list[Plan], *, is_cut: bool = False) -> tuple[list[Answer], bytes]:
    """Give the answers to these, and what comes behind them. Raises NotWhole, unless they are cut."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = Client(ours)
        client._held = data
        theirs.close()
        answers = []
        for plan in plans:
            try:
                answers.append(client.read_answer(plan.method))
            except NotWhole:
                if not is_cut:
                    raise
                break
        return answers, client._held


def check_answer(plan: Plan, answer: Answer) -> None:
    """Hold one answer against what was to come."""
    where = (plan.number, plan.way, plan.method)
    assert answer.status == (204 if plan.way == "empty" else 200), (where, answer.status)
    assert answer.get(b"x-number") == b"%d" % plan.number, where
    is_bodiless = plan.way == "empty" or plan.method == b"HEAD"
    assert answer.body == (b"" if is_bodiless else plan.answer), where
    if plan.way == "chunks" and not is_bodiless:
        assert answer.trailers == plan.answer_trailers, where
    if plan.way == "hints":
        assert [one.status for one in answer.interim if one.status != 100] == [103], where
