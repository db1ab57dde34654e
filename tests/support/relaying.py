"""Conversations through a relay, as a number has it: what each side sends, in which pieces, and how it ends.

A client names the number in its first bytes; both sides then know what the other is to send, and hold every byte and
the kind of each end against it.
"""

import random
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.played import Played, listening, played
from tests.support.wire import Stuck, Wire, shrink

__all__ = ["Backend", "Plan", "backend", "converse"]

_NUMBER = 8
_SIZES = (0, 1, 100, 5000, 60_000, 65_536, 300_000)


@dataclass
class Plan:
    """What a number stands for. `ends` is how each side ends: see Wire.pump."""

    number: int
    up: bytes
    down: bytes
    client_end: str
    backend_end: str
    client_leaves_after: int
    backend_leaves_after: int

    @classmethod
    def of(cls, number: int, *, client_tls: bool, backend_tls: bool, buffer: int) -> "Plan":
        """Work it out; where the kernel holds as much as it likes, there is more to be sent."""
        chance = random.Random(number)
        up, down = (chance.randbytes(chance.choice(_SIZES) * (1 if buffer else 10)) for _ in range(2))
        client, back = chance.choice((("fin", "fin"), ("fin", ""), ("", "fin"), ("fin", "fin")))
        leaves_after = [0, 0]
        if chance.random() < 0.3:
            if chance.random() < 0.5:
                client = "cut" if client_tls and chance.random() < 0.5 else "reset"
                up = up[: chance.randint(0, len(up))]
                leaves_after[0] = chance.choice((0, 1, 1000, 50_000))
            else:
                back = "cut" if backend_tls and chance.random() < 0.5 else "reset"
                down = down[: chance.randint(0, len(down))]
                leaves_after[1] = chance.choice((0, 1, 1000, 50_000))
        return cls(number, up, down, client, back, *leaves_after)

    @property
    def is_cut(self) -> bool:
        """Whether a side breaks off."""
        return not {self.client_end, self.backend_end} <= {"", "fin"}


@dataclass
class Backend:
    """A server that plays its side of each plan."""

    sock: socket.socket
    context: ssl.SSLContext | None
    client_tls: bool
    buffer: int
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def port(self) -> int:
        """Its port."""
        port: int = self.sock.getsockname()[1]
        return port

    def play(self, sock: socket.socket, seed: int) -> None:
        """Play one connection."""
        number = -1
        try:
            with sock:
                wire = Wire(sock, random.Random(seed), self.context, gentle=not self.buffer)
                if self.context is not None:
                    try:
                        wire.shake()
                    except (OSError, ssl.SSLError):
                        return
                wire.pump(until=lambda: len(wire.got) >= _NUMBER)
                if len(wire.got) < _NUMBER:
                    self.seen["unnamed"] += 1
                    return
                number = int.from_bytes(wire.got[:_NUMBER], "big")
                plan = Plan.of(
                    number,
                    client_tls=self.client_tls,
                    backend_tls=self.context is not None,
                    buffer=self.buffer,
                )
                play(wire, plan.down, plan.backend_end, plan.backend_leaves_after)
                got = bytes(wire.got[_NUMBER:])
                self.seen[f"{wire.ended} {plan.client_end or 'waits'}"] += 1
                check(got, plan.up, wire.ended, is_whole=not plan.is_cut, gave_up=plan.backend_end)
        except BaseException as fault:
            fault.add_note(f"at the backend, number {number}")
            raise


def play(wire: Wire, data: bytes, end: str, leaves_after: int) -> None:
    """Send and receive on one side, to the end."""
    if leaves_after:
        wire.pump(data, most=leaves_after, until=lambda: True)
        wire.break_off(end)
        return
    wire.pump(data, end)
    if not end:
        wire.pump(end="fin", until=lambda: True)


def check(got: bytes, sent: bytes, ended: str, *, is_whole: bool, gave_up: str) -> None:
    """Hold what one side got against what the other sent."""
    assert sent.startswith(got), f"other bytes than were sent, from {common(got, sent)} of {len(got)}"
    if gave_up in ("reset", "cut"):
        return
    if is_whole:
        assert ended == "clean", f"{ended!r} after {len(got)} of {len(sent)}"
        assert len(got) == len(sent), f"a clean end after {len(got)} of {len(sent)}"
    else:
        assert ended == "cut", f"a cut became {ended!r} after {len(got)} of {len(sent)}"


def common(one: bytes, other: bytes) -> int:
    """Tell how many bytes two have in common at their beginning."""
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other)
    )


def converse(
    number: int,
    port: int,
    *,
    context: ssl.SSLContext | None,
    backend_tls: bool,
    name: str = "localhost",
    preamble: bytes = b"",
    fragments: bool = False,
    buffer: int = 0,
) -> tuple[str, int]:
    """Be the client of one conversation; give how it ended, and the bytes that passed."""
    plan = Plan.of(number, client_tls=context is not None, backend_tls=backend_tls, buffer=buffer)
    chance = random.Random(~number)
    with socket.socket() as sock:
        if buffer:
            shrink(sock, buffer)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        if preamble:
            at = chance.randrange(len(preamble))
            sock.sendall(preamble[:at])
            sock.sendall(preamble[at:])
        wire = Wire(sock, chance, context, name=name if context is not None else None, gentle=not buffer)
        try:
            if context is not None:
                wire.shake(fragments=fragments)
            data = number.to_bytes(_NUMBER, "big") + plan.up
            play(wire, data, plan.client_end, plan.client_leaves_after)
        except Stuck as error:
            error.add_note(f"at the client, number {number}: {plan.client_end} {plan.backend_end}")
            raise
    try:
        check(bytes(wire.got), plan.down, wire.ended, is_whole=not plan.is_cut, gave_up=plan.client_end)
    except AssertionError as error:
        error.add_note(f"at the client, number {number}: {plan.client_end} {plan.backend_end}")
        raise
    return wire.ended, len(wire.got) + len(plan.up)


@contextmanager
def backend(
    context: ssl.SSLContext | None, *, client_tls: bool, buffer: int = 0
) -> Iterator[tuple[Backend, Played]]:
    """Run one for the length of a block, and raise its first fault behind it; give its connections too."""
    with listening(buffer) as sock:
        served = Backend(sock, context, client_tls, buffer)
        with played(sock, served.play) as connections:
            yield served, connections
