"""Asking: one request that netfront makes itself, its answer whole and in hand.

The handler asked may forward to a backend or be a route's whole stack, so nothing here knows of sockets. What comes
back is bounded in size and time, and the response is always read to its end or aborted.

The deadline needs no scope and no task of its own: whoever waits on behalf of a client sets `client.due`, and the
client made here lets nobody set it later than the deadline. On the lane it is late by the sweeper's 0.25 s.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from netfront.errors import AnswerTooLong, BackendError, Overdue
from netfront.http.client import LATE
from netfront.http.message import Answer, Body, Client, Exchange, Handler, Request
from netfront.net.lane import Deadline, Signal, clock, deadline
from netfront.net.stream import Facts
from netfront.wire.fields import EMPTY, Fields
from netfront.wire.gathered import Gathered
from netfront.wire.target import parse_target

__all__ = ["ask", "collect", "request_of"]

_READ_OVER = 65_536
"""Bytes of a body that nobody wants which are taken to keep the connection, if they are here already."""
_NOBODY = Facts(("", 0), ("", 0))


async def ask(
    handler: Handler,
    method: bytes,
    target: bytes,
    *,
    scheme: bytes,
    authority: bytes,
    fields: Fields = EMPTY,
    body: bytes = b"",
    client: Client | None = None,
    most: int,
    until: float = math.inf,
    weigh: Callable[[int], None] | None = None,
    wants: Callable[[int, Fields], bool] | None = None,
) -> Answer:
    """Make a request and give the answer.

    Args:
        target: path and query, as they go out.
        authority: what Host says.
        client: on whose behalf; when it leaves, the request ends. None where netfront asks for itself.
        most: bytes that the answer's body may have.
        until: the time (of `clock`) at which the whole answer must be there.
        weigh, wants: see `collect`.

    Raises:
        BackendError: no whole answer; `timed_out` where the time was over; AnswerTooLong.
        NoBackend, Refusal: from the handler.
        ClientGone: the client has left.
        BadMessage: the target is none, or the handler says so.
    """
    request = request_of(
        method, target, scheme=scheme, authority=authority, fields=fields, body=body, client=client
    )
    return await collect(handler, request, most=most, until=until, weigh=weigh, wants=wants)


def request_of(
    method: bytes,
    target: bytes,
    *,
    scheme: bytes,
    authority: bytes,
    fields: Fields = EMPTY,
    body: bytes = b"",
    client: Client | None = None,
) -> Request:
    """Make a request that `collect` can send. Who asks may fill the slots of filters first, such as `identity`.

    Raises:
        BadMessage: 400, the target is none.
    """
    asker = _Asker(client)
    exchange = Exchange(clock(), asker, method, target, b"HTTP/1.1")
    return Request(
        method,
        parse_target(method, target),
        b"HTTP/1.1",
        scheme,
        authority,
        fields,
        body,
        asker,
        exchange,
    )


async def collect(
    handler: Handler,
    request: Request,
    *,
    most: int,
    until: float = math.inf,
    weigh: Callable[[int], None] | None = None,
    wants: Callable[[int, Fields], bool] | None = None,
) -> Answer:
    """Send a request made by `request_of`, and give the answer. Args and errors are those of `ask`.

    Cancellation leaves nothing behind: the response is aborted.

    Args:
        weigh: told of the bytes of a body before they are held; what it raises ends that.
        wants: tells by status and fields whether the body is wanted; where it is not the answer comes without, and
            what has not come yet of it is not waited for.
    """
    own = deadline()
    before = own.at, own.which
    asker = request.client
    assert isinstance(asker, _Asker)
    asker.due = due = own if until == math.inf else _Capped(own, until)
    due.at = math.inf
    due.which = "answer"
    response = None
    try:
        response = await handler(request)
        whole = response.body
        is_wanted = wants is None or wants(response.status, response.fields)
        if not is_wanted and response.status != 101:
            if not isinstance(whole, bytes):
                _read_over(cast(Body, whole))  # a Takeover comes with a 101 alone
            whole = b""
        elif isinstance(whole, bytes):
            request.exchange.give_back()  # whoever has the answer holds it from here on
            if len(whole) > most:
                raise AnswerTooLong(most)
            if weigh is not None:
                weigh(len(whole))
        elif response.status == 101:
            why = "switched protocols unasked"
            raise BackendError("head", retry_safe=False, why=why, is_nonsense=True)
        else:
            whole = await _read(cast(Body, whole), most, weigh)  # likewise
        return Answer(response.status, response.fields, whole)
    except Overdue as error:
        stage = "head" if response is None else "body"
        raise BackendError(stage, retry_safe=False, why=LATE, timed_out=True) from error
    finally:
        own.at, own.which = before
        request.exchange.give_back()
        if response is not None and not isinstance(response.body, bytes):
            response.body.abort()


def _read_over(body: Body) -> None:
    """Take what is here already of a body that nobody wants: it ends there mostly, and the connection is kept."""
    size = 0
    with suppress(BackendError):  # the answer says what it says
        while size < _READ_OVER and (data := body.receive_now()):
            size += len(data)


async def _read(body: Body, most: int, weigh: Callable[[int], None] | None) -> bytes:
    if body.length is not None:
        if body.length > most:
            raise AnswerTooLong(most)
        if weigh is not None:
            # all of it at once: what is asked for first shall not fail of what comes beside it
            weigh(body.length)
            weigh = None
    gathered = Gathered()
    while data := await body.receive_some():
        if len(gathered) + len(data) > most:
            raise AnswerTooLong(most)
        if weigh is not None:
            weigh(len(data))
        gathered.add(data)
    return gathered.whole()


class _Asker:
    """Who asks: netfront, for a client or for itself. It hears no interim answers."""

    __slots__ = ("_client", "due", "facts", "gone", "told")

    def __init__(self, client: Client | None) -> None:
        self._client = client
        self.facts = client.facts if client is not None else _NOBODY
        self.told: object = client.told if client is not None else None
        self.gone = client.gone if client is not None else Signal()
        self.due: Deadline
        """That of whoever runs `collect`."""

    def has_left(self) -> bool:
        return self._client.has_left() if self._client is not None else False

    async def interim(self, status: int, fields: Fields) -> None:
        pass


class _Capped(Deadline):
    """The deadline of who runs here, which nobody sets later than `until`."""

    __slots__ = ("_own", "_until")

    def __init__(self, own: Deadline, until: float) -> None:
        self._own = own
        self._until = until

    @property
    def at(self) -> float:  # an attribute there; whoever sets it sees no difference
        return self._own.at

    @at.setter
    def at(self, at: float) -> None:
        self._own.at = min(at, self._until)

    @property
    def which(self) -> str:  # likewise
        return self._own.which

    @which.setter
    def which(self, which: str) -> None:
        self._own.which = which
