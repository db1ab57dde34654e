"""One connection to a backend: one request at a time, and what comes back.

While an answer is waited for, everything else about the exchange is waited for too: the request's body goes out
as it comes in, and the client may leave. One loop (`BackendConnection.wait_readable`) serves the head and every
read of the body, so an answer that starts before the upload has finished is delivered, and the upload goes on
beside it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from netfront.errors import BackendError, BadMessage, ClientGone, Overdue, words
from netfront.http.body import JOINED, BodyReader
from netfront.http.message import Body, Client, Request, Response
from netfront.http.race import Hedge, Race
from netfront.http.upgrade import RelayTakeover
from netfront.http.upload import Upload
from netfront.net.lane import Signal, breathe, clock, either, first, ready
from netfront.net.pool import DONE, GIVEN_UP, Lease
from netfront.net.stream import Stream
from netfront.policy.retry import IDEMPOTENT
from netfront.wire.fields import Fields, field
from netfront.wire.framing import (
    LENGTH,
    NONE,
    UNTIL_CLOSE,
    Framing,
    response_framing,
)
from netfront.wire.head import ResponseHead, ResponseHeads

__all__ = ["LATE", "BackendConnection", "Patience", "ResponseBody"]

_MOST_INTERIM = 32
LATE = "no answer in time"
"""What is wrong with a backend that is too slow."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a backend is waited for, in seconds; inf is for ever.

    Args:
        answer: for the answer's first byte, counted from the last byte of the request that went out.
        read: between two reads of a body.
        stream: instead, for an event stream and after an upgrade.
    """

    answer: float = 60.0
    read: float = 60.0
    stream: float = 3600.0


class BackendConnection:
    """A connection to a backend, between its requests or in one.

    Args:
        released: called when an exchange has ended and it may be used again.
        closed: called when it has been closed.
    """

    __slots__ = (
        "_closed",
        "_heads",
        "_race",
        "_released",
        "_upload",
        "client",
        "generation",
        "idle_since",
        "is_kept",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        heads: ResponseHeads,
        released: "Callable[[BackendConnection], None]",
        closed: "Callable[[BackendConnection], None]",
    ) -> None:
        self.stream = stream
        self._heads = heads
        self._released = released
        self._closed = closed
        self.idle_since = 0.0
        self.is_kept = False
        self.generation = 0
        """The transport's own: the backend's when it was opened."""
        self._upload: Upload | None = None
        self._race: Race | None = None
        """Of its exchange with others, once its answer is late."""
        self.client: Client | None = None
        """Who waits for what comes in: another one once a hedged try has won."""

    def is_alive(self, *, look: bool) -> bool:
        """Tell whether an idle connection may be used: nothing has come, not even an end.

        Args:
            look: ask the socket even when no event says that something came.
        """
        stream = self.stream
        if not look and not stream.readable.is_set:
            return True
        stream.readable.is_set = True
        try:
            return stream.receive_now() is None
        except OSError:
            return False

    @property
    def was_reset(self) -> bool:
        """Whether the upload has met a reset. The kernel tells of one once, so that what is read then finds an end."""
        return self._upload is not None and isinstance(self._upload.failed, ConnectionResetError)

    def close(self) -> None:
        """Close it; idempotent."""
        self.stream.abort()
        self._closed(self)

    async def exchange(
        self,
        request: Request,
        head: bytes,
        patience: Patience,
        lease: Lease,
        late: float = math.inf,
        hedge: Hedge | None = None,
    ) -> Response:
        """Send a request and give the response, whose body may be still to come.

        Args:
            head: the request's head as it goes out.
            lease: of this backend. Handed back when the response has wholly come, or was given up or cut; not when
                this raises.
            late: when (of `clock`) an answer that has not begun is late: then `hedge` is asked for a second try.

        Raises:
            BackendError: the backend failed; the connection is closed.
            ClientGone: the client left meanwhile; the connection is closed.
            BadMessage, Overdue: the client's body failed; the connection is closed.
        """
        stream, client = self.stream, request.client
        data = b""
        interim = 0
        try:
            self._send(request, head)
            while True:
                if self._upload is not None:
                    retry_safe = request.method in IDEMPOTENT and not interim
                    await self.wait_readable(patience.answer, retry_safe=retry_safe)
                elif not stream.readable.is_set:
                    due = client.due
                    due.at = clock() + patience.answer
                    due.which = "answer"
                    readable = stream.readable
                    if self._race is not None or await either(readable, client.gone, late) is not readable:
                        if self._race is None:
                            self._race = Race(request, lease, readable, hedge, late, patience.answer)
                        if (answered := await self._race.wait()) is not None:
                            due.at = math.inf
                            return self._beaten(answered, lease, self._race.silence)
                    due.at = math.inf
                try:
                    more = stream.receive_now()
                    if not more:
                        if more is None:
                            continue
                        raise ConnectionResetError("closed before it had answered")
                    data = data + more if data else more
                    parsed = self._heads.parse(data)
                except (OSError, BadMessage) as error:
                    # what is no answer, or half of one, was not passed on: it may come whole from somebody else
                    retry_safe = request.method in IDEMPOTENT and not interim
                    if isinstance(error, OSError):
                        raise BackendError("head", retry_safe=retry_safe, why=words(error)) from error
                    raise _nonsense(error.why, retry_safe=retry_safe) from error
                while parsed is not None:
                    answer, data = parsed
                    if answer.status >= 200 or answer.status == 101:
                        if self._race is not None:
                            if (answered := await self._race.better(answer.status)) is not None:
                                lease.judge(answer.status)
                                return self._beaten(answered, lease, DONE)
                            self._race = None
                        return self._response(request, answer, data, patience, lease)
                    interim += 1
                    await self._pass_on(request, answer, interim)
                    parsed = self._parse(data) if data else None
        except BackendError as error:
            is_unread = isinstance(error.__cause__, BadMessage)
            error.was_kept = self.is_kept and not (interim or error.timed_out or (data and not is_unread))
            race, self._race = self._race, None
            self._break_off(request)
            if race is None or (answered := await race.outlive(asks=error.retry_safe)) is None:
                raise
            outcome = GIVEN_UP if error.was_kept else error.why
            return self._beaten(answered, lease, outcome, connected=error.connected)
        except Overdue as error:
            self._break_off(request)
            if error.which != "answer":
                raise
            retry_safe = request.method in IDEMPOTENT and not interim
            raise BackendError("head", retry_safe=retry_safe, why=LATE, timed_out=True) from error
        except BaseException:
            self._break_off(request)
            raise

    def _beaten(self, answered: Response, lease: Lease, outcome: str, *, connected: bool = True) -> Response:
        """End an exchange that somebody else has answered."""
        self._race = None
        self.close()
        lease.done(outcome, connected=connected)
        return answered

    def _break_off(self, request: Request) -> None:
        """Close within an exchange; a backend that may have switched protocols meanwhile is to see no end."""
        if self._race is not None:
            self._race.abandon()
            self._race = None
        if request.upgrade is not None:
            self.stream.reset()
        self.close()

    async def _pass_on(self, request: Request, answer: ResponseHead, interim: int) -> None:
        """Pass an interim answer on; a 100 only to a client that waits for it (RFC 9110 §15.2)."""
        if interim > _MOST_INTERIM:
            raise _nonsense("too many interim answers")
        if answer.status == 100 and self._upload is not None:
            self._upload.expects = False
        if answer.status != 100 or request.expects_continue:
            await request.client.interim(answer.status, answer.fields)

    def _send(self, request: Request, head: bytes) -> None:
        """Send what goes without waiting; the rest becomes the upload."""
        self.client = request.client
        body = request.body
        later: Body | None = None
        data, behind = head, b""
        if not isinstance(body, bytes):
            later = body
        elif not body:
            pass
        elif len(body) > JOINED:
            behind = body
        else:
            data = head + body
        try:
            sent = self.stream.send_now(data)
        except OSError as error:
            raise BackendError("send", retry_safe=True, why=words(error)) from error
        if sent == len(data) and later is None and not behind and not self.stream.is_held_up:
            self._upload = None
        else:
            self._upload = Upload(
                self.stream, data[sent:], later, behind=behind, expects=request.expects_continue
            )

    def _parse(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        try:
            return self._heads.parse(data)
        except BadMessage as error:
            raise _nonsense(error.why) from error

    async def wait_readable(self, patience: float, *, stage: str = "head", retry_safe: bool = False) -> None:
        """Wait until the backend has sent something; meanwhile the upload goes on, and the client may leave.

        Raises:
            BackendError: nothing came within `patience` of the last byte that went out. While more is to come of the
                client, that is waited for, in its own time.
        """
        client, readable = self.client, self.stream.readable
        assert client is not None
        upload = self._upload
        until = clock() + patience if patience < math.inf else math.inf
        while not readable.is_set:
            if upload is None:
                got = await first(readable, client.gone, until=until)
            else:
                moved = upload.moved
                goes_on = upload.failed is None and upload.go_on()
                if upload.moved != moved:
                    until = clock() + patience
                if goes_on:
                    await breathe()
                    continue
                if upload.failed is not None:
                    upload = None  # and never finished, so that this connection is not used again
                    continue
                if upload.is_finished:
                    upload = self._upload = None
                    continue
                wait, due = upload.wait()
                is_clients = upload.waits_for_client
                got = await first(readable, client.gone, wait, until=due if is_clients else min(until, due))
                if got is None and (is_clients or clock() < until):
                    upload.go_on()  # raises: it is the client who is late
                if is_clients:
                    until = clock() + patience
            if got is readable:
                return
            if got is None and clock() >= until:
                raise BackendError(stage, retry_safe=retry_safe, why=LATE, timed_out=True)
            if got is client.gone and client.has_left():
                raise ClientGone

    async def upload_until(self, wait: Signal) -> None:
        """Wait for something else, and have the upload go on meanwhile. Raises what befalls the client's body."""
        while not wait.is_set:
            upload = self._upload
            if upload is None or upload.failed is not None or upload.is_finished:
                await ready(wait)
            elif upload.go_on():
                await breathe()
            elif upload.failed is None and not upload.is_finished:
                other, due = upload.wait()
                await first(wait, other, until=due)

    def _response(
        self, request: Request, head: ResponseHead, rest: bytes, patience: Patience, lease: Lease
    ) -> Response:
        block = head.block
        if head.status == 101:
            return self._upgraded(request, head, rest, patience, lease)
        if head.status >= 400:
            lease.judge(head.status)
        if lease.is_trial:
            lease.answered()
        framing = head.framing
        if framing is None or request.method == b"HEAD":
            framing = _framing(request, head)
        kind = framing.kind
        reusable = block.keeps_alive and kind != UNTIL_CLOSE
        if kind == NONE:
            length = int(head.lengths[0]) if head.lengths and not block.codings else None
            self._finish(reusable and not rest)
            lease.done(DONE)
            return Response(
                head.status, head.fields, b"", head.reason, length=length, has_date=block.has_date
            )
        body: bytes | ResponseBody
        if kind == LENGTH and framing.length <= len(rest):
            body = rest if framing.length == len(rest) else rest[: framing.length]
            self._finish(reusable and framing.length == len(rest))
            lease.done(DONE)
        else:
            is_events = (head.fields.get(b"content-type") or b"").startswith(b"text/event-stream")
            read = patience.stream if is_events else patience.read
            reader = BodyReader(self.stream, framing, rest, asks=False)
            body = ResponseBody(self, reader, read, reusable, lease)
        return Response(head.status, head.fields, body, head.reason, has_date=block.has_date)

    def _upgraded(
        self, request: Request, head: ResponseHead, rest: bytes, patience: Patience, lease: Lease
    ) -> Response:
        protocol = head.block.upgrade
        if request.upgrade is None or protocol is None:
            raise _nonsense("switched protocols unasked")
        upload = self._upload
        if upload is not None and not upload.is_finished:
            upload.go_on()
            if not upload.is_finished:  # what the client sends is its body still (RFC 9110 §7.8)
                raise _nonsense("switched protocols within the request")
        if lease.is_trial:
            lease.answered()
        takeover = RelayTakeover(self.stream, rest, patience.stream, self._relayed(lease))
        fields = head.fields.plus(field(b"Upgrade", protocol))
        return Response(101, fields, takeover, head.reason, has_date=head.block.has_date)

    def _relayed(self, lease: Lease) -> Callable[[bool], None]:
        def finished(ended_well: bool) -> None:
            self.close()
            lease.done(DONE if ended_well else GIVEN_UP)

        return finished

    def _finish(self, reusable: bool) -> None:
        """End the exchange: keep the connection for another one, or close it."""
        upload = self._upload
        if reusable and (upload is None or upload.is_finished):
            self.client = self._upload = None
            self._released(self)
        else:
            self.close()


class ResponseBody:
    """The body of a response, as it comes in."""

    __slots__ = ("_lease", "_patience", "_reader", "_reusable", "connection", "length", "started")

    def __init__(
        self,
        connection: BackendConnection,
        reader: BodyReader,
        patience: float,
        reusable: bool,
        lease: Lease,
    ) -> None:
        self.connection = connection
        self._reader = reader
        self._patience = patience
        self._reusable = reusable
        self._lease: Lease | None = lease
        self.length = reader.framing.length if reader.framing.kind == LENGTH else None
        self.started = False

    @property
    def readable(self) -> Signal:
        """Set when `receive_now` is worth trying."""
        return self._reader.readable

    @property
    def trailers(self) -> Fields:
        """The trailer section, once ended."""
        return self._reader.trailers

    def due(self) -> float:
        """Tell until when the next bytes may be waited for."""
        return clock() + self._patience

    def receive_now(self) -> bytes | None:
        """Give the next bytes, b"" at the end, None when one would have to wait."""
        if self._lease is None:
            return b"" if self._reader.finished else self._cut()
        try:
            data = self._reader.receive_now()
        except (OSError, BadMessage) as error:
            why = words(error) if isinstance(error, OSError) else error.why
            failure = BackendError("body", retry_safe=False, why=why)
            self.abort(failure)
            raise failure from error
        if data:
            self.started = True
        if self._reader.finished:
            if self.connection.was_reset and self._reader.framing.kind == UNTIL_CLOSE:
                cut = BackendError("body", retry_safe=False, why="reset")
                self.abort(cut)
                raise cut
            lease, self._lease = self._lease, None
            self.connection._finish(self._reusable and not self._reader.rest)
            lease.done(DONE)
        return data

    def _cut(self) -> bytes:
        raise BackendError("body", retry_safe=False, why="given up")

    async def receive_some(self) -> bytes:
        """Give the next bytes; b"" is the end."""
        while (data := self.receive_now()) is None:
            try:
                await self.connection.wait_readable(self._patience, stage="body")
            except BaseException as error:
                self.abort(error)
                raise
        return data

    async def upload_until(self, wait: Signal) -> None:
        """Wait for something else, and have the upload go on meanwhile; once ended its connection is another's."""
        if self._lease is None:
            await ready(wait)
        else:
            await self.connection.upload_until(wait)

    def abort(self, why: BaseException | None = None) -> None:
        """Close the connection it comes on; idempotent."""
        lease, self._lease = self._lease, None
        if lease is not None:
            self.connection.close()
            lease.done(str(why) if isinstance(why, BackendError) else GIVEN_UP)


def _nonsense(why: str, *, retry_safe: bool = False) -> BackendError:
    """Make the error of a backend that answers, and as none may."""
    return BackendError("head", retry_safe=retry_safe, why=why, is_nonsense=True)


def _framing(request: Request, head: ResponseHead) -> Framing:
    """Find where the body ends; that of a head that comes again is remembered with it."""
    block = head.block
    try:
        framing = response_framing(request.method, head.status, block.minor, head.lengths, block.codings)
    except BadMessage as error:
        raise _nonsense(error.why) from error
    if request.method != b"HEAD":
        head.framing = framing
    return framing
