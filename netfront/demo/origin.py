"""The built-in origin as a Handler: what stands at which path, and what each answers.

It is an origin, not a proxy: what a proxy takes out of a request because only it may say so (X-Forwarded-*,
Client-Cert) is for an origin to read. So its server reads heads by `ORIGIN_KINDS`.
"""

import json
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from math import inf
from urllib.parse import parse_qsl, quote

from netfront.demo.bodies import EventBody, PatternBody
from netfront.demo.conversation import EchoConversation
from netfront.demo.page import arrival_rows, page, page_fields, request_fields
from netfront.demo.websocket import opening_fields
from netfront.errors import ClientGone, Refusal, UsageError
from netfront.http.message import Handler, Request, Response
from netfront.net.lane import clock, first
from netfront.units import parse_size
from netfront.wire.fields import EMPTY, FORWARDED, IDENTITY, PLAIN, REQUEST_KINDS, Field, Fields, field

__all__ = ["ORIGIN_KINDS", "demo_origin"]

ORIGIN_KINDS = {
    name: PLAIN if kind in (FORWARDED, IDENTITY) else kind for name, kind in REQUEST_KINDS.items()
}
"""What the fields of a request are to an origin: those that a proxy speaks in are plain ones."""

_READS = frozenset({b"GET", b"HEAD"})
_LONGEST_DELAY = 3600.0
_MOST_BYTES = 1 << 40
_MOST_EVENTS = 1_000_000
_MOST_REDIRECTS = 50
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BODILESS = frozenset({204, 205, 304})
_INTERIM = frozenset({100, 102, 103})
_SECONDS = re.compile(r"\d{1,6}(?:\.\d{1,9})?", re.ASCII).fullmatch
_NUMBER = re.compile(r"\d{1,7}", re.ASCII).fullmatch
_RANGE = re.compile(rb"bytes=(\d{0,15})-(\d{0,15})").fullmatch
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII).fullmatch
_COOKIE_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"
_SAMPLE = {
    "name": "netfront",
    "kind": "sample",
    "ready": True,
    "items": [
        {"id": 1, "title": "one line", "price": 9.5, "tags": ["proxy", "tls"]},
        {"id": 2, "title": "zwei Zeilen \u2013 \u00fcbersetzt", "price": 12, "tags": []},
        {"id": 3, "title": "\u4e09\u884c", "price": None, "tags": ["gateway"]},
    ],
    "next": None,
}
_EXTRA = {
    401: ((b"WWW-Authenticate", b'Basic realm="demo"'),),
    405: ((b"Allow", b"GET, HEAD"),),
    416: ((b"Content-Range", b"bytes */0"),),
    426: ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")),
    429: ((b"Retry-After", b"1"),),
    503: ((b"Retry-After", b"1"),),
}
"""Fields that a status must not come without (RFC 9110 §15), or is of little use without."""

Place = Callable[[Request, str], Awaitable[Response]]


def demo_origin() -> Handler:
    """Make the origin's handler. Its server reads heads with `request_memory(ORIGIN_KINDS)`."""

    async def handle(request: Request) -> Response:
        try:
            response = await _answer(request)
        except Refusal as refusal:
            added = [field(name, value) for name, value in refusal.fields]
            response = _text(refusal.status, refusal.why, *added)
        response.fields = response.fields.plus(_SERVER)
        return response

    return handle


_SERVER = field(b"Server", b"netfront-demo")


async def _answer(request: Request) -> Response:
    if request.target.form == "asterisk":
        return Response(204, Fields([field(b"Allow", b"GET, HEAD, OPTIONS")]), b"")
    name, _, rest = request.target.path[1:].decode("latin-1").partition("/")
    known = _PLACES.get(name)
    if known is None:
        raise Refusal(404, f"nothing stands at /{quote(name)}; see /")
    place, methods, takes_rest = known
    if rest and not takes_rest:
        raise Refusal(404, f"nothing stands below /{name}; see /")
    if methods is not None and request.method not in methods:
        allow = b", ".join(sorted(methods))
        if request.method == b"OPTIONS":
            return Response(204, Fields([field(b"Allow", allow + b", OPTIONS")]), b"")
        raise Refusal(405, f"/{name} is for {allow.decode()}", ((b"Allow", allow),))
    return await place(request, rest)


# the places


async def _page(request: Request, _: str) -> Response:
    return Response(200, page_fields(), page(request))


async def _headers(request: Request, _: str) -> Response:
    rows = request_fields(request)
    joined: dict[str, str] = {}
    for name, value in rows:
        lower = name.lower()
        between = "; " if lower == "cookie" else ", "
        joined[lower] = f"{joined[lower]}{between}{value}" if lower in joined else value
    arrival = dict(arrival_rows(request))
    return _json(
        {
            "method": request.method.decode("latin-1"),
            "target": request.target.raw.decode("latin-1"),
            "version": f"HTTP/1.{request.version.decode()}",
            "peer": arrival["peer"],
            "headers": joined,
            "lines": [f"{name}: {value}" for name, value in rows],
        }
    )


async def _status(request: Request, rest: str) -> Response:
    status = int(rest) if len(rest) == 3 and _NUMBER(rest) else 0
    if status in _INTERIM:
        hint = Fields.of((b"Link", b"</json>; rel=preload; as=fetch")) if status == 103 else EMPTY
        await request.client.interim(status, hint)
        return _text(200, f"the answer behind an interim {status}")
    if not 200 <= status <= 599:
        raise Refusal(400, "a status is 200 to 599, or 100, 102 or 103 ahead of a 200; a real 101 is at /ws")
    added = [field(name, value) for name, value in _EXTRA.get(status, ())]
    if status in _REDIRECTS:
        added.append(field(b"Location", b"/"))
    if status in _BODILESS:
        return Response(status, Fields(added), b"")
    return _text(status, f"{status} {_phrase(status)}".strip(), *added)


async def _bytes(request: Request, rest: str) -> Response:
    try:
        size = parse_size(rest, most=_MOST_BYTES)
    except UsageError as error:
        raise Refusal(400, f"/bytes/N: {error.faults[0].why}") from error
    assert size is not None
    tag = b'"demo-%d"' % size
    fields = Fields.of(
        (b"Content-Type", b"application/octet-stream"), (b"Accept-Ranges", b"bytes"), (b"ETag", tag)
    )
    if "chunked" in _query(request):
        return Response(200, fields, PatternBody(0, size, is_counted=False))
    if request.fields.get(b"if-none-match") in (tag, b"*"):
        return Response(304, fields, b"")
    part = _range(request.fields, tag, size) if request.method == b"GET" else None
    if part is None:
        return Response(200, fields, PatternBody(0, size))
    start, end = part
    if start >= end:
        raise Refusal(416, "no such range", ((b"Content-Range", b"bytes */%d" % size),))
    told = field(b"Content-Range", b"bytes %d-%d/%d" % (start, end - 1, size))
    return Response(206, fields.plus(told), PatternBody(start, end))


async def _delay(request: Request, rest: str) -> Response:
    seconds = _seconds(rest, "/delay/N")
    until = clock() + seconds
    while await first(request.client.gone, until=until) is not None:
        if request.client.has_left():
            raise ClientGone
    return _text(200, f"after {rest} seconds")


async def _echo(request: Request, _: str) -> Response:
    if request.expects_continue:
        await request.client.interim(100, EMPTY)
    kept = [row for row in request.fields if row.name in (b"content-type", b"content-encoding")]
    return Response(200, Fields(kept), request.body)


async def _events(request: Request, _: str) -> Response:
    query = _query(request)
    count = _number(query.get("n", "10"), "n", _MOST_EVENTS)
    interval = _seconds(query.get("interval", "1"), "interval")
    seen = (request.fields.get(b"last-event-id") or b"0").decode("latin-1")
    start = int(seen) + 1 if _NUMBER(seen) else 1
    last = count or inf
    if start > last:
        return Response(204, EMPTY, b"")  # what ends an EventSource's coming back
    fields = Fields.of((b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store"))
    return Response(200, fields, EventBody(start, last, interval, request.client))


async def _websocket(request: Request, _: str) -> Response:
    return Response(101, opening_fields(request.upgrade, request.fields), EchoConversation())


async def _cookies(request: Request, _: str) -> Response:
    came: dict[str, str] = {}
    for line in request.fields.get_all(b"cookie"):
        for pair in line.decode("latin-1").split(";"):
            name, _, value = pair.strip().partition("=")
            if name:
                came[name] = value
    asked = _query(request)
    added: list[Field] = []
    for name, value in asked.items():
        if _TOKEN(name) is None:
            raise Refusal(400, "a cookie's name is a token (RFC 6265 section 4.1.1)")
        text = f"{name}={quote(value, safe=_COOKIE_SAFE)}; Path=/; SameSite=Lax"
        added.append(field(b"Set-Cookie", text.encode("ascii")))
    return _json({"came": came, "set": asked}, *added)


async def _redirect(request: Request, rest: str) -> Response:
    left = _number(rest or "1", "/redirect/N", _MOST_REDIRECTS)
    query = _query(request)
    status = _number(query.get("status", "302"), "status", 999)
    if status not in _REDIRECTS:
        raise Refusal(400, "status is 301, 302, 303, 307 or 308")
    if not left:
        return _text(200, "here the redirects end")
    to = b"/" if left == 1 and not rest else b"/redirect/%d" % (left - 1)
    if left > 1 and request.target.query:
        to += b"?" + request.target.query
    if "absolute" in query:
        to = b"http://" + _own_authority(request) + to
    return _text(status, "further along", field(b"Location", to))


async def _sample(_: Request, __: str) -> Response:
    return _json(_SAMPLE)


_PLACES: dict[str, tuple[Place, frozenset[bytes] | None, bool]] = {
    "": (_page, None, False),
    "status": (_status, None, True),
    "bytes": (_bytes, _READS, True),
    "delay": (_delay, None, True),
    "headers": (_headers, None, False),
    "echo": (_echo, None, False),
    "sse": (_events, _READS, False),
    "ws": (_websocket, frozenset({b"GET"}), False),
    "cookies": (_cookies, _READS, False),
    "redirect": (_redirect, None, True),
    "json": (_sample, _READS, False),
}
"""What stands where: how it answers, its methods (None: any), and whether more of a path may follow."""


# what they share


def _text(status: int, text: str, *added: Field) -> Response:
    return Response(
        status, Fields([field(b"Content-Type", b"text/plain; charset=utf-8"), *added]), text.encode() + b"\n"
    )


def _json(value: object, *added: Field) -> Response:
    body = json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
    return Response(200, Fields([field(b"Content-Type", b"application/json"), *added]), body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _query(request: Request) -> dict[str, str]:
    query = (request.target.query or b"").decode("latin-1")
    return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))


def _number(text: str, what: str, most: int) -> int:
    if _NUMBER(text) is None or int(text) > most:
        raise Refusal(400, f"{what}: a number from 0 to {most}")
    return int(text)


def _seconds(text: str, what: str) -> float:
    if _SECONDS(text) is None or float(text) > _LONGEST_DELAY:
        raise Refusal(400, f"{what}: seconds from 0 to {_LONGEST_DELAY:.0f}, as in 1.5")
    return float(text)


def _own_authority(request: Request) -> bytes:
    """Name this origin as no client of a proxy knows it: by the address the connection came in on."""
    host, port = request.client.facts.local
    if not host:
        return request.authority
    return f"[{host}]:{port}".encode() if ":" in host else f"{host}:{port}".encode()


def _range(fields: Fields, tag: bytes, size: int) -> tuple[int, int] | None:
    """Read which bytes are asked for, as (start, end); None for all of them (RFC 9110 §14.2).

    A range that cannot be met comes out empty. Several ranges are answered with the whole.
    """
    match = _RANGE(fields.get(b"range") or b"")
    condition = fields.get(b"if-range")
    if match is None or (condition is not None and condition != tag):
        return None
    begin, end = match.groups()
    if not begin:
        return (max(0, size - int(end)), size) if end else None
    if end and int(end) < int(begin):
        return None
    return int(begin), min(size, int(end) + 1) if end else size
