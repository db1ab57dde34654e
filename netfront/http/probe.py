"""Probes: one question to a backend, and a verdict in few words.

    tcp    a connection can be opened
    tls    and a handshake done; the verdict carries what the certificate says
    http   and a request is answered with a status, and a body, that are wanted

A probe is a function without arguments that gives a `Verdict`; it never raises for what a backend does. Each time it
opens a connection of its own and closes it, so it can neither take a connection from the serving transport
nor be answered on one that happens still to work. One deadline holds over all of it, the look-up of a name included.

Probes run in plain trio tasks, beside a lane or without one; on a connection's task they work as well. Whom to
ask how often is `watch`'s part; what a row of verdicts amounts to is policy.health's.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from netfront.errors import BackendError, BadMessage, words
from netfront.http.body import BodyReader
from netfront.http.pattern import Pattern, TooLong
from netfront.net.backend import Backend
from netfront.net.dial import dial, proxy_line
from netfront.net.lane import Wait, clock, first
from netfront.net.stream import Stream
from netfront.policy.statuses import SUCCESSFUL, StatusSet
from netfront.units import render_duration
from netfront.wire.certificate import parse_certificate
from netfront.wire.framing import NONE, response_framing
from netfront.wire.head import HeadLimits, ResponseHead, ResponseHeads, response_memory

__all__ = [
    "MOST_BODY",
    "Dial",
    "Probe",
    "Question",
    "TlsFacts",
    "Verdict",
    "dialler",
    "http_probe",
    "tcp_probe",
    "tls_probe",
]

MOST_BODY = 65536
"""Bytes of a body that are looked at."""
_MOST_INTERIM = 32
_LIMITS = HeadLimits()
_EXPECTS_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_REQUEST = (
    b"%b %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: netfront-probe\r\nAccept: */*\r\n%bConnection: close\r\n\r\n"
)
_DAY = 86400


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What a backend showed in its handshake.

    Args:
        names: that its certificate is for.
        ends: when the certificate ends, in seconds since 1970.
        days: from the probe to then; negative when it has ended.
        alpn: the protocol agreed on; None for none.
    """

    names: tuple[str, ...]
    ends: float
    days: float
    alpn: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a probe.

    Args:
        why: what was wrong, in few words; empty where nothing was.
        seconds: until it was clear.
        status: of the response, where one came.
        tls: where a handshake was done.
    """

    ok: bool
    why: str
    seconds: float
    status: int | None = None
    tls: TlsFacts | None = None


Probe = Callable[[], Awaitable[Verdict]]
Dial = Callable[[float], Awaitable[Stream]]
"""Opens a connection within so many seconds. Raises BackendError."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an HTTP probe asks, and which answer it wants.

    Args:
        method, path, host: as they go out.
        body: what the answer's body must match, within its first `MOST_BODY` bytes; None for anything.
    """

    path: bytes
    host: bytes
    method: bytes = b"GET"
    statuses: StatusSet = SUCCESSFUL
    body: Pattern | None = None

    @property
    def head(self) -> bytes:
        """The request: on a connection of its own, which ends with it."""
        length = b"Content-Length: 0\r\n" if self.method in _EXPECTS_BODY else b""
        return _REQUEST % (self.method, self.path, self.host, length)


def dialler(backend: Backend, *, port: int | None = None, tls: bool | None = None) -> Dial:
    """Make what opens a probe's connections: as those that serve are, but told from them.

    A backend that expects a PROXY line gets one that says that netfront speaks for itself.

    Args:
        port: another one than it serves on.
        tls: False for none; True also where what is served is passed through, and then nothing is verified; None as
            it is served.
    """
    member = backend.member
    target = backend
    context = None if tls is False else member.tls
    if tls and context is None:
        from netfront.net.tls import client_context  # 6 ms of a start that speaks no TLS

        context = client_context(insecure=True)
    if port is not None or context is not member.tls:
        endpoint = member.endpoint if port is None else replace(member.endpoint, port=port)
        target = Backend(replace(member, endpoint=endpoint, tls=context))
    preamble = proxy_line(member, None)

    async def open_connection(timeout: float) -> Stream:
        return await dial(target, timeout=timeout, preamble=preamble)

    return open_connection


def tcp_probe(dial: Dial, *, timeout: float) -> Probe:
    """Make a probe that connects and closes."""

    async def ask(stream: Stream, began: float) -> Verdict:
        return Verdict(True, "", clock() - began)

    return _probe(dial, ask, timeout)


def tls_probe(
    dial: Dial,
    *,
    timeout: float,
    least_days: float | None = None,
    today: Callable[[], float] = time.time,
) -> Probe:
    """Make a probe that does a TLS handshake and closes.

    Args:
        dial: does the handshake too, and verifies the certificate or not.
        least_days: that the certificate must still last; None for no matter.
        today: seconds since 1970.
    """

    async def ask(stream: Stream, began: float) -> Verdict:
        facts = _tls_facts(stream, today)
        why = ""
        if facts is None:
            why = "tls: no certificate"
        elif least_days is not None and facts.days < least_days:
            why = f"certificate {_left(facts.days)}, wanted {least_days:g} days"
        return Verdict(not why, why, clock() - began, tls=facts)

    return _probe(dial, ask, timeout)


def http_probe(
    dial: Dial, question: Question, *, timeout: float, today: Callable[[], float] = time.time
) -> Probe:
    """Make a probe that sends a request and looks at the response.

    The body is read up to `MOST_BODY` bytes, also where nothing is asked of it: many a server reports a client that
    leaves early. What is asked of it must be found by the deadline; else only a body that breaks off is a failure.
    """
    head = question.head

    async def ask(stream: Stream, began: float) -> Verdict:
        until = began + timeout
        tls = _tls_facts(stream, today)
        await _send(stream, head, until)
        answer, reader = await _read_head(stream, question.method, until)
        seconds = clock() - began
        why = "" if answer.status in question.statuses else f"{answer.status}, wanted {question.statuses}"
        try:
            body = await _read_body(reader, until)
            if not why and question.body is not None:
                why = _judge(question.body, body)
                seconds = clock() - began
        except _Silence:
            if not why and question.body is not None:
                why, seconds = f"no whole body in {render_duration(timeout)}", timeout
        except (OSError, BadMessage) as error:
            why = why or f"body: {_words(error)}"
        return Verdict(not why, why, seconds, answer.status, tls)

    return _probe(dial, ask, timeout)


class _Silence(Exception):
    """The deadline has passed."""


def _probe(dial: Dial, ask: Callable[[Stream, float], Awaitable[Verdict]], timeout: float) -> Probe:
    """Make the probe that asks on a connection of its own."""
    silence = f"no answer in {render_duration(timeout)}"

    async def probe() -> Verdict:
        began = clock()
        stream: Stream | None = None
        try:
            stream = await dial(timeout)
            verdict = await ask(stream, began)
            await stream.aclose()
        except BackendError as error:
            why = f"{error.stage}: {silence}" if error.timed_out else _short(str(error))
        except _Silence:
            why = silence
        except (OSError, BadMessage) as error:
            why = _words(error)
        else:
            return verdict
        finally:
            if stream is not None:
                stream.abort()
        return Verdict(False, why, clock() - began)

    return probe


async def _wait(wait: Wait, until: float) -> None:
    if await first(wait, until=until) is None:
        raise _Silence


async def _send(stream: Stream, data: bytes, until: float) -> None:
    rest = memoryview(data)
    while rest or not stream.push():
        rest = rest[stream.send_now(rest) :] if rest else rest
        if rest or stream.is_held_up:
            await _wait(stream.writable, until)


async def _read_head(stream: Stream, method: bytes, until: float) -> tuple[ResponseHead, BodyReader]:
    """Read up to the head of the final response, past interim ones (RFC 9110 §15.2)."""
    heads = ResponseHeads(_LIMITS, response_memory(remembers=False))
    data = b""
    interim = 0
    while True:
        parsed = heads.parse(data) if data else None
        if parsed is None:
            data += await _receive(stream, until)
            continue
        head, data = parsed
        if head.status >= 200 or head.status == 101:
            block = head.block
            framing = response_framing(method, head.status, block.minor, head.lengths, block.codings)
            return head, BodyReader(stream, framing, b"" if framing.kind == NONE else data, asks=False)
        interim += 1
        if interim > _MOST_INTERIM:
            raise BadMessage(502, "too many interim answers")


async def _receive(stream: Stream, until: float) -> bytes:
    while (data := stream.receive_now()) is None:
        await _wait(stream.readable, until)
    if not data:
        raise ConnectionResetError("closed without an answer")
    return data


async def _read_body(reader: BodyReader, until: float) -> bytes:
    body = b""
    while len(body) < MOST_BODY and not reader.finished:
        data = reader.receive_now()
        if data is None:
            await _wait(reader.readable, until)
        elif data:
            body += data
        if clock() >= until:
            raise _Silence
    return body[:MOST_BODY]


def _judge(wanted: Pattern, body: bytes) -> str:
    try:
        return "" if wanted.is_in(body) else "body does not match"
    except TooLong:
        return "body: the regular expression takes too long"


def _tls_facts(stream: Stream, today: Callable[[], float]) -> TlsFacts | None:
    facts = stream.facts
    if facts.client_cert is None:
        return None
    try:
        certificate = parse_certificate(facts.client_cert)
    except ValueError:
        return None
    ends = certificate.not_after
    return TlsFacts(certificate.names, ends, (ends - today()) / _DAY, facts.alpn)


def _left(days: float) -> str:
    return f"ended {-days:.0f} days ago" if days < 0 else f"ends in {days:.0f} days"


def _words(error: OSError | BadMessage) -> str:
    if isinstance(error, BadMessage):
        return error.why
    return words(error)


def _short(why: str) -> str:
    """Leave out what helps on a command line: a verdict is told again and again."""
    return why.partition("; --")[0].partition("; give ")[0]
