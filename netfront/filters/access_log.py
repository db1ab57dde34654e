"""The access log: one line for each exchange, and for each connection or flow passed on, made after its last byte.

What came from outside is escaped, so that no request can write a line of its own or colour a terminal.
"""

import json
import re
from collections.abc import Callable

from netfront.http.message import Exchange, Observer
from netfront.net.passage import Passage
from netfront.net.stream import Facts

__all__ = ["FORMATS", "PASSAGE_FORMATS", "access_log", "passage_log"]

Wall = Callable[[float], float]
"""From the lane's clock to the time of day, in seconds since 1970."""
Format = Callable[[Exchange, "_Stamp"], bytes]
PassageFormat = Callable[[Passage, str, "_Stamp"], bytes]
_UNSAFE = re.compile(rb'[\x00-\x1f\x7f-\xff"\\]')
_NO_WORD = re.compile(rb'[^\x21-\x7e]|["\\]')
_BARE = re.compile(r'[^\s\x00-\x20\x7f-\x9f"=\\]+').fullmatch
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?").fullmatch
"""A traceparent (Trace Context §3.2); its trace-id."""
_VERSIONS = {b"0": b" HTTP/1.0", b"1": b" HTTP/1.1", b"": b""}
"""By the minor version; a request that was refused may have none."""
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class _Stamp:
    """The time of day as the formats write it, made once a second."""

    def __init__(self, wall: Wall, calendar: Callable[[float], tuple[int, ...]]) -> None:
        self._wall = wall
        self._calendar = calendar
        self._second = -1
        self.common = b""
        self.iso = ""

    def set(self, now: float) -> None:
        wall = self._wall(now)
        second = int(wall)
        if second != self._second:
            self._second = second
            year, month, day, hour, minute, seconds, *_ = self._calendar(second)
            clock = f"{hour:02}:{minute:02}:{seconds:02}"
            self.common = f"[{day:02}/{_MONTHS[month - 1]}/{year}:{clock} +0000]".encode()
            self.iso = f"{year}-{month:02}-{day:02}T{clock}Z"


def access_log(
    format: str, write: Callable[[bytes], None], wall: Wall, calendar: Callable[[float], tuple[int, ...]]
) -> Observer:
    """Make the observer that writes a line for each exchange.

    Args:
        format: one of FORMATS.
        write: takes a line with its line feed.
        calendar: from seconds since 1970 to (year, month, day, hour, minute, second, ...) in UTC.
    """
    line, stamp = FORMATS[format], _Stamp(wall, calendar)

    def observe(exchange: Exchange) -> None:
        stamp.set(exchange.ended)
        write(line(exchange, stamp))

    return observe


def passage_log(
    format: str,
    kind: str,
    write: Callable[[bytes], None],
    wall: Wall,
    calendar: Callable[[float], tuple[int, ...]],
) -> Callable[[Passage], None]:
    """Make the observer that writes a line for each passage.

    Args:
        format: one of PASSAGE_FORMATS.
        kind: "tcp" or "udp", for the log alone.
        write, wall, calendar: as for `access_log`.
    """
    line, stamp = PASSAGE_FORMATS[format], _Stamp(wall, calendar)

    def observe(passage: Passage) -> None:
        stamp.set(passage.ended)
        write(line(passage, kind, stamp))

    return observe


def _escaped(value: bytes) -> bytes:
    if _UNSAFE.search(value) is None:
        return value
    return _UNSAFE.sub(lambda match: b"\\x%02x" % match[0][0], value)


def _peer(facts: Facts) -> bytes:
    return facts.peer[0].encode() or b"-"


def _user(name: str) -> bytes:
    return _NO_WORD.sub(lambda match: b"\\x%02x" % match[0][0], name.encode(errors="surrogatepass"))


def _common(exchange: Exchange, stamp: _Stamp) -> bytes:
    line = b'%b - %b %b "%b %b%b"' % (
        _peer(exchange.client.facts),
        _user(exchange.user) if exchange.user else b"-",
        stamp.common,
        exchange.method,
        _escaped(exchange.target),
        _VERSIONS[exchange.version],
    )
    return b"%b %d %d\n" % (line, exchange.status, exchange.sent)


def _combined(exchange: Exchange, stamp: _Stamp) -> bytes:
    fields = exchange.request_fields
    referer, agent = fields.get(b"referer"), fields.get(b"user-agent")
    return b'%b "%b" "%b"\n' % (
        _common(exchange, stamp)[:-1],
        b"-" if referer is None else _escaped(referer),
        b"-" if agent is None else _escaped(agent),
    )


def _facts(exchange: Exchange, stamp: _Stamp) -> dict[str, object]:
    facts: dict[str, object] = {
        "time": stamp.iso,
        "client": exchange.client.facts.peer[0] or "unix",
        "method": exchange.method.decode("latin-1"),
        "target": exchange.target.decode("latin-1"),
        "status": exchange.status,
        "sent": exchange.sent,
        "received": exchange.received,
        "seconds": round(exchange.ended - exchange.started, 6),
        "source": exchange.source,
    }
    if exchange.user:
        facts["user"] = exchange.user
    if exchange.backend is not None:
        facts["backend"] = exchange.backend.member.label
        facts["tries"] = exchange.tries
    if exchange.retried:
        facts["retried"] = exchange.retried
    if exchange.first:
        facts["first"] = round(exchange.first - exchange.started, 6)
    if exchange.id is not None:
        facts["id"] = exchange.id.decode("latin-1")
        trace = _TRACE(exchange.request_fields.get(b"traceparent") or b"")
        if trace is not None:
            facts["trace"] = trace[1].decode()
    if exchange.outcome:
        facts["outcome"] = exchange.outcome
    return facts


def _json(exchange: Exchange, stamp: _Stamp) -> bytes:
    return _as_json(_facts(exchange, stamp))


def _logfmt(exchange: Exchange, stamp: _Stamp) -> bytes:
    return _as_logfmt(_facts(exchange, stamp))


def _as_json(facts: dict[str, object]) -> bytes:
    return json.dumps(facts).encode() + b"\n"


def _as_logfmt(facts: dict[str, object]) -> bytes:
    pairs = []
    for key, value in facts.items():
        text = str(value)
        pairs.append(f"{key}={text}" if _BARE(text) and text.isascii() else f"{key}={json.dumps(text)}")
    return " ".join(pairs).encode() + b"\n"


def _passage_common(passage: Passage, kind: str, stamp: _Stamp) -> bytes:
    """Write what is there in the places that readers of such logs look at.

    In place of a request line stands where the client came; the status is 200 of what ended in good order, 499 where
    the client broke it, and 502 else.
    """
    facts = passage.facts
    status = 200 if not passage.outcome else 499 if passage.client_broke else 502
    return b'%b - - %b "%b %b:%d" %d %d\n' % (
        _peer(facts), stamp.common, kind.upper().encode(), _escaped(passage.name), facts.local[1], status, passage.sent,
    )  # fmt: skip


def _passage_combined(passage: Passage, kind: str, stamp: _Stamp) -> bytes:
    return _passage_common(passage, kind, stamp)[:-1] + b' "-" "-"\n'


def _passage_facts(passage: Passage, kind: str, stamp: _Stamp) -> dict[str, object]:
    facts: dict[str, object] = {
        "time": stamp.iso,
        "client": passage.facts.peer[0] or "unix",
        "protocol": kind,
        "port": passage.facts.local[1],
        "sent": passage.sent,
        "received": passage.received,
        "seconds": round(passage.ended - passage.started, 6),
    }
    if passage.name:
        facts["name"] = passage.name.decode("latin-1")
    if passage.backend is not None:
        facts["backend"] = passage.backend.member.label
        facts["tries"] = passage.tries
    if passage.retried:
        facts["retried"] = passage.retried
    if passage.connected:
        facts["first" if kind == "udp" else "connected"] = round(passage.connected - passage.started, 6)
    if passage.outcome:
        facts["outcome"] = passage.outcome
    return facts


def _passage_json(passage: Passage, kind: str, stamp: _Stamp) -> bytes:
    return _as_json(_passage_facts(passage, kind, stamp))


def _passage_logfmt(passage: Passage, kind: str, stamp: _Stamp) -> bytes:
    return _as_logfmt(_passage_facts(passage, kind, stamp))


FORMATS: dict[str, Format] = {"common": _common, "combined": _combined, "json": _json, "logfmt": _logfmt}
PASSAGE_FORMATS: dict[str, PassageFormat] = {
    "common": _passage_common,
    "combined": _passage_combined,
    "json": _passage_json,
    "logfmt": _passage_logfmt,
}
