"""The client's side: the keep-alive loop of one connection (RFC 9112 §9).

One request at a time, answered in order; pipelined ones wait in the socket. What was malformed is answered once
and the connection closed, and nothing more is parsed from it. A response that breaks off never looks complete.

The connection is kept when the client wants it, the request was read to its end, and we are not draining. After
an answer to a request whose body was not read, a bounded rest is read before the socket closes (lingering close),
or the client would see a reset in place of the answer.
"""

import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus

from netfront.errors import BackendError, BadMessage, ClientGone, Overdue, words
from netfront.http.body import JOINED, SLICE, BodyReader, RequestBody
from netfront.http.date import DateLine
from netfront.http.message import AnsweringBody, Body, Exchange, Handler, Observer, Request, Response
from netfront.net.lane import Signal, breathe, clock, deadline, first, lane, ready
from netfront.net.stream import CHUNK, Stream
from netfront.wire.fields import Fields
from netfront.wire.framing import NONE, encode_chunk, encode_trailers, request_framing
from netfront.wire.head import HeadLimits, HeadMemory, RequestBlock, RequestHeads, request_memory
from netfront.wire.requestline import read_request_line
from netfront.wire.target import parse_target

__all__ = ["HttpServer", "ServerLimits"]

_log = logging.getLogger("netfront")
_HALF_CLOSED = 0.05
"""Seconds after a request within which the client's end of sending is taken for a half-close (`printf | nc -N`)
and not for its leaving: the two look alike."""
_LINGER = 2.0
_LINGER_BYTES = 1 << 20
_LOOK = 0.01
"""Seconds between two looks whether a client has what was sent: nobody tells."""
_IN_HAND = 1 << 18
"""Bytes of an unread request body that are read over to keep the connection, if they are here already."""
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_BODILESS = frozenset({204, 304})
_EXPECTED = (BackendError, BadMessage, ClientGone, OSError, Overdue)
"""What may befall an exchange without being a fault of our own."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a client is allowed. Times in seconds, sizes in bytes.

    Args:
        head_time: for a whole head, from its first byte; and for the first byte on a new connection.
        idle_time: between requests.
        body_time: between two reads of a body.
        send_time: without progress, for a client that does not read.
        body: most bytes of a request's body; None for any.
    """

    head_time: float = 10.0
    idle_time: float = 60.0
    body_time: float = 30.0
    send_time: float = 60.0
    body: int | None = None
    head: HeadLimits = field(default_factory=HeadLimits)


class HttpServer:
    """Serves HTTP/1 on streams: `serve` is a StreamHandler.

    Args:
        handler: answers each request.
        refuse: makes the response to what is no request.
        observers: told of each exchange after its last byte.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: ServerLimits,
        refuse: Callable[[BadMessage], Response],
        observers: tuple[Observer, ...] = (),
        scheme: bytes = b"http",
        remembers: bool = True,
        memory: HeadMemory[RequestBlock] | None = None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.refuse = refuse
        self.observers = observers
        self.scheme = scheme
        self.memory = memory or request_memory(remembers=remembers)
        self.date = DateLine()
        self.is_draining = False
        self.open: set[_Connection] = set()
        """The connections being served."""

    def serve(self, stream: Stream) -> Awaitable[None]:
        """Serve one connection until it ends; closes the stream."""
        return _Connection(self, stream).serve()

    def become(self, other: "HttpServer") -> None:
        """Serve what comes next on open connections as another one would; how long a head may be stays."""
        self.handler, self.limits, self.refuse, self.observers = (
            other.handler, other.limits, other.refuse, other.observers,
        )  # fmt: skip

    def drain(self) -> None:
        """Answer what is under way and no more: idle connections end at once, the others after their answer."""
        self.is_draining = True
        for connection in self.open:
            if connection.is_idle:
                connection.stream.wake_reader()

    @property
    def busy(self) -> int:
        """How many connections have a request under way."""
        return sum(not connection.is_idle for connection in self.open)


class _Connection:
    """One client connection; also what a Request knows as its client."""

    __slots__ = (
        "_body",
        "_has_begun",
        "_heads",
        "_is_11",
        "_refused",
        "_server",
        "_whole_since",
        "due",
        "facts",
        "is_idle",
        "stream",
        "told",
    )

    def __init__(self, server: HttpServer, stream: Stream) -> None:
        self._server = server
        self.stream = stream
        self.facts = stream.facts
        self.told: object = None
        self.is_idle = True
        self._heads = RequestHeads(server.limits.head, server.memory)
        self._body: RequestBody | None = None
        self._has_begun = False
        """Whether a part of an answer is sent: nothing but the rest of it may follow."""
        self._refused = b""
        """What came of a request that is refused: the log tells its first line."""
        self.due = deadline()
        self._whole_since = 0.0
        self._is_11 = True

    # -- what a Request's client offers -----------------------------------------------------------------

    @property
    def gone(self) -> Signal:
        """Set when the client has ended its sending: then ask `has_left`."""
        return self.stream.hung

    def has_left(self) -> bool:
        """Tell whether nobody will read the answer. A half-close right behind the request is no leaving."""
        if self.stream.is_lost:
            return True
        body = self._body
        since = self._whole_since if body is None else body.whole_since
        if since is None or self.stream.ended_at - since < _HALF_CLOSED:
            self.stream.hung.clear()
            return False
        return True

    async def interim(self, status: int, fields: Fields) -> None:
        """Send an interim answer; an HTTP/1.0 client gets none (RFC 9110 §15.2). Raises ClientGone, Overdue."""
        if self._is_11:
            phrase = _PHRASES.get(status, b"")
            try:
                await self._send(b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, phrase, fields.rendered))
            except OSError as error:
                raise ClientGone from error

    # -- the loop ---------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        server, stream = self._server, self.stream
        server.open.add(self)
        try:
            await self._loop(server, stream)
            await stream.aclose()
        except BadMessage as error:
            await self._refuse(error)
        except Overdue as error:
            if error.which == "head":
                await self._refuse(BadMessage(408, "the request did not come in time"))
            elif error.which == "idle":
                await stream.aclose()
        except (OSError, ClientGone):
            pass
        finally:
            server.open.discard(self)
            stream.abort()

    async def _loop(self, server: HttpServer, stream: Stream) -> None:
        parse, due = self._heads.parse, self.due
        patience = server.limits.head_time
        data = b""
        while True:
            if data or stream.readable.is_set:
                await _take_turns()
            if not data:
                self.is_idle = True
                due.which = "idle"
                due.at = clock() + patience
                if not stream.readable.is_set and not server.is_draining:
                    await ready(stream.readable)
                while (more := stream.receive_now()) is None:
                    if server.is_draining:
                        return
                    await ready(stream.readable)
                if not more:
                    return
                data = more
                self.is_idle = False
                patience = server.limits.idle_time
            try:
                parsed = parse(data)
                if parsed is None:
                    parsed, data = await self._receive_rest(data)
                due.at = math.inf
                request, data = self._request(*parsed)
            except (BadMessage, Overdue):
                self._refused = self._refused or data
                raise
            try:
                response = await server.handler(request)
            except ClientGone:
                request.exchange.outcome = "the client left"
                request.exchange.status = 499
                self._conclude(request.exchange)
                raise  # not within a call: its frame and the error would hold each other, and all that it knows
            except Exception as error:
                response = self._failed(request, error)
            body = response.body
            if self._body is None and isinstance(body, bytes) and response.status != 101:
                if not await self._respond(request, response, body):
                    await self._part(data)
                    return
            else:
                keep, data = await self._respond_at_length(request, response, data)
                if not keep:
                    return
            del request, response, body  # which may be large, and the next request may be long in coming

    async def _receive_rest(
        self, data: bytes
    ) -> tuple[tuple[bytes, bytes, RequestBlock, Fields, bytes], bytes]:
        """Receive the rest of a head of which some has come; give it parsed, and as it came."""
        due, stream = self.due, self.stream
        due.which = "head"
        due.at = clock() + self._server.limits.head_time
        try:
            while True:
                while (more := stream.receive_now()) is None:
                    await ready(stream.readable)
                if not more:
                    raise BadMessage(400, "ended within a head")
                data += more
                parsed = self._heads.parse(data)
                if parsed is not None:
                    return parsed, data
        except (BadMessage, Overdue):
            self._refused = data
            raise

    def _failed(self, request: Request, error: Exception) -> Response:
        """Make the answer where a handler raised: what came was none of a request's, or the fault is our own."""
        exchange = request.exchange
        if isinstance(error, BadMessage):
            exchange.outcome = error.why
            request.keeps_alive = False
            return self._server.refuse(error)
        _log.error("an error of netfront's own while answering", exc_info=error)
        exchange.outcome = f"{type(error).__name__}: {error}"
        return self._server.refuse(BadMessage(500, "an error of the proxy's own"))

    def _request(
        self, method: bytes, raw: bytes, block: RequestBlock, fields: Fields, data: bytes
    ) -> tuple[Request, bytes]:
        server = self._server
        minor = block.minor
        self._is_11 = minor == b"1"
        self._whole_since = now = clock()
        target = parse_target(method, raw)
        if method == b"CONNECT":
            raise BadMessage(405, "CONNECT is for forward proxies")
        authority = target.authority or block.host or b""
        body: bytes | RequestBody = b""
        self._body = None
        if block.lengths or block.codings:
            framing = request_framing(method, minor, block.lengths, block.codings)
            limit = server.limits.body
            if framing.kind != NONE:
                if limit is not None and framing.length > limit:
                    raise BadMessage(413, f"a body of over {limit} bytes")
                reader = BodyReader(self.stream, framing, data, asks=True)
                body = self._body = RequestBody(reader, limit=limit, patience=server.limits.body_time)
                data = b""
                if body.length is not None and body.is_in_hand:
                    held = body.receive_now() or b""
                    data, body, self._body = body.rest, held, None
        exchange = Exchange(now, self, method, raw, minor)
        exchange.request_fields = fields
        request = Request(method, target, minor, server.scheme, authority, fields, body, self, exchange)
        request.forwarded = block.forwarded
        request.upgrade = block.upgrade
        request.expects_continue = block.expects and self._body is not None
        request.takes_trailers = block.takes_trailers
        if block.lengths:
            request.is_framed = True
        request.keeps_alive = block.keeps_alive
        return request, data

    def _conclude(self, exchange: Exchange) -> None:
        exchange.give_back()
        exchange.ended = clock()
        for observer in self._server.observers:
            observer(exchange)

    # -- answering --------------------------------------------------------------------------------------

    async def _respond(self, request: Request, response: Response, body: bytes) -> bool:
        """Send a response that is in hand, to a request that was; tell whether the connection is kept."""
        exchange = request.exchange
        exchange.status = response.status
        exchange.response_fields = response.fields
        keep = request.keeps_alive and not self._server.is_draining
        stream = self.stream
        try:
            size = len(body)
            data = self._head(request, response, _length_line(size), keep)
            rest = b""
            if size and request.method != b"HEAD":
                exchange.sent = size
                if size <= JOINED:
                    data += body
                else:
                    rest = body
            sent = stream.send_now(data)
            if sent < len(data) or stream.is_held_up:
                await self._send_rest(data, sent)
            if rest:
                await self._send_body(rest)
        finally:
            if self._server.observers or exchange.owed:
                self._conclude(exchange)
        return keep

    async def _respond_at_length(
        self, request: Request, response: Response, data: bytes
    ) -> tuple[bool, bytes]:
        """Send any response to any request; tell whether the connection goes on, and what came behind it."""
        exchange, body, asked = request.exchange, response.body, self._body
        exchange.response_fields = response.fields
        exchange.status = response.status
        try:
            if response.status == 101 and not isinstance(body, bytes):
                await self._switch(request, response, data if asked is None else asked.rest)
                return False, b""
            if isinstance(body, bytes):
                if asked is not None:
                    _read_over(asked)
                    request.keeps_alive &= asked.finished
                keep = request.keeps_alive and not self._server.is_draining
                head = self._head(request, response, b"Content-Length: %d\r\n" % len(body), keep)
                if request.method == b"HEAD":
                    await self._send(head)
                elif len(body) <= JOINED:
                    await self._send(head + body)
                else:
                    await self._send(head)
                    await self._send_body(body)
                exchange.sent = len(body)
                exchange.give_back()  # before what the client owes of its body is waited for
            else:
                assert not hasattr(body, "run"), "only a 101 may take the stream over"
                keep = request.keeps_alive and not self._server.is_draining
                keep = await self._stream_body(request, response, body, keep)
            if asked is not None:
                exchange.received = asked.received
                if not asked.finished:
                    await self._linger()
                    return False, b""
                data = asked.rest
        except BaseException as error:
            if not isinstance(body, bytes):
                body.abort(error)
            why = words(error) if isinstance(error, OSError) else str(error) or type(error).__name__
            exchange.outcome = exchange.outcome or why
            if isinstance(error, BackendError):
                await self._let_arrive()
            if self._has_begun or isinstance(error, (BackendError, OSError)):
                self.stream.reset()  # what is cut must not look whole, nor an upgraded stream like an end
                if isinstance(error, _EXPECTED):
                    return False, b""
            raise
        finally:
            self._conclude(exchange)
        if not keep:
            await self._part(data)
        return keep, data

    def _head(self, request: Request, response: Response, framing: bytes, keep: bool) -> bytes:
        status = response.status
        if status in _BODILESS or request.method == b"HEAD":
            length = response.length
            if status == 204 or (not response.body and length is None and request.method != b"HEAD"):
                framing = b""
            elif not response.body:
                framing = b"" if length is None else b"Content-Length: %d\r\n" % length
        if not keep:
            framing += b"Connection: close\r\n"
        elif not self._is_11:
            framing += b"Connection: keep-alive\r\n"
        date = b"" if response.has_date else self._server.date.at(clock())
        line = _status_line(status, response.reason)
        return b"".join((line, response.fields.rendered, request.answer_lines, date, framing, b"\r\n"))

    async def _stream_body(self, request: Request, response: Response, body: Body, keep: bool) -> bool:
        """Send a body as it comes; tell whether the connection may be kept."""
        exchange = request.exchange
        chunked = False
        if body.length is not None:
            framing = b"Content-Length: %d\r\n" % body.length
        elif self._is_11:
            chunked = True
            framing = b"Transfer-Encoding: chunked\r\n"
        else:
            keep, framing = False, b""
        head = self._head(request, response, framing, keep)
        if request.method == b"HEAD" or response.status in _BODILESS:
            body.abort()
            await self._send(head)
            return keep
        data = body.receive_now()
        self._has_begun = True
        if data is None:
            await self._send(head)
            data = await body.receive_some()
            head = b""
        active = lane()
        while data:
            exchange.sent += len(data)
            part = encode_chunk(data) if chunked else data
            await self._send(head + part if head else part, body)
            head = b""
            if active is not None:
                active.operations -= 2
                if active.operations <= 0:
                    await breathe()
            data = await body.receive_some()
        if chunked:
            head += encode_trailers(body.trailers)
        if head:
            await self._send(head)
        self._has_begun = False
        return keep

    async def _switch(self, request: Request, response: Response, data: bytes) -> None:
        """Send a 101 and hand the stream over (RFC 9110 §7.8)."""
        takeover = response.body
        reason = response.reason or _PHRASES[101]
        await self._send(
            b"HTTP/1.1 101 %b\r\n%b%bConnection: Upgrade\r\n\r\n"
            % (reason, response.fields.rendered, request.answer_lines)
        )
        self._has_begun = True
        await takeover.run(self.stream, data)  # type: ignore[union-attr]

    async def _refuse(self, error: BadMessage) -> None:
        """Answer what is no request, and close."""
        response = self._server.refuse(error)
        exchange = Exchange(clock(), self, *read_request_line(self._refused))
        exchange.status = response.status
        exchange.outcome = error.why
        body = response.body
        assert isinstance(body, bytes)
        date = self._server.date.at(clock())
        try:
            await self._send(
                b"HTTP/1.1 %d %b\r\n%b%bContent-Length: %d\r\nConnection: close\r\n\r\n%b"
                % (
                    response.status,
                    _PHRASES.get(response.status, b""),
                    response.fields.rendered,
                    date,
                    len(body),
                    body,
                )
            )
            exchange.sent = len(body)
            await self._linger()
        except (OSError, Overdue):
            pass
        self._conclude(exchange)

    async def _send_body(self, body: bytes) -> None:
        """Send a large body, some of it at a time: of what is sent by TLS there is another copy."""
        view = memoryview(body)
        for at in range(0, len(body), SLICE):
            await self._send(view[at : at + SLICE])

    async def _send(self, data: bytes | memoryview, of: Body | None = None) -> None:
        """Send all of it; a client that takes nothing for `send_time` is given up.

        Args:
            of: the body it is of. Where that of the request is not all sent on, this goes on meanwhile: a client may
                read no answer until it has sent its question.
        """
        sent = self.stream.send_now(data)
        if sent < len(data) or self.stream.is_held_up:
            await self._send_rest(data, sent, of)

    async def _send_rest(self, data: bytes | memoryview, sent: int, of: Body | None = None) -> None:
        stream, due, patience = self.stream, self.due, self._server.limits.send_time
        wait = of.upload_until if isinstance(of, AnsweringBody) else ready
        rest = memoryview(data)[sent:]
        due.which = "send"
        while rest or not stream.push():
            due.at = clock() + patience
            await wait(stream.writable)
            if rest:
                rest = rest[stream.send_now(rest) :]
        due.at = math.inf

    async def _part(self, behind: bytes) -> None:
        """End our sending behind the last answer, as far as that is more than to close.

        What has come from the client and was not read would be answered by a reset, which may take the answer with
        it. And TLS has an end of its own, which tells an answer that is whole from one that was cut (RFC 9112 §9.8).

        Args:
            behind: what was read behind the last request: who does not wait for answers has more on its way.
        """
        stream = self.stream
        self.is_idle = True
        if behind or (stream.readable.is_set and stream.receive_now()):
            await self._linger()
        elif self.facts.tls:
            await self._end()

    async def _let_arrive(self) -> None:
        """Wait a bounded while until the client has what was sent: its other answers, before a reset for this one."""
        stream, due = self.stream, self.due
        due.at = math.inf
        until = clock() + _LINGER
        while not (stream.has_arrived or stream.is_lost) and clock() < until:
            await first(until=clock() + _LOOK)
            try:
                stream.push()
            except OSError:
                return

    async def _end(self) -> None:
        """End our sending. Raises Overdue."""
        stream, due = self.stream, self.due
        due.which = "send"
        due.at = clock() + self._server.limits.send_time
        while not stream.end_now():
            await ready(stream.writable)
        due.at = math.inf

    async def _linger(self) -> None:
        """End our sending, then read and forget what still comes, for a bounded while (RFC 9112 §9.6)."""
        stream = self.stream
        left = _LINGER_BYTES
        try:
            await self._end()
            until = clock() + _LINGER
            while left > 0:
                data = stream.receive_now(CHUNK)
                if data is None:
                    if await first(stream.readable, until=until) is None:
                        return
                elif not data:
                    return
                else:
                    left -= len(data)
        except OSError:
            pass


async def _take_turns() -> None:
    """Let others go on now and then, where a client asks faster than it is answered and so is never waited for.

    Without a lane at each request: whether there is more is not known there before it is tried.
    """
    active = lane()
    if active is not None:
        active.operations -= 1
        if active.operations > 0:
            return
    await breathe()


@lru_cache(maxsize=1024)
def _length_line(length: int) -> bytes:
    return b"Content-Length: %d\r\n" % length


@lru_cache(maxsize=256)
def _status_line(status: int, reason: bytes) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, reason or _PHRASES.get(status, b""))


def _read_over(body: RequestBody) -> None:
    """Read an unread body over as far as it is here already, so that the connection may be kept."""
    left = _IN_HAND
    try:
        while left > 0 and not body.finished and (body.started or body.length is not None):
            data = body.receive_now()
            if not data:
                return
            left -= len(data)
    except (BadMessage, ClientGone, Overdue):
        pass
