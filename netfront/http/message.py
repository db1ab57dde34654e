"""Messages, and the three shapes everything is made of: Handler, Filter, Observer.

    Handler  = async (Request) -> Response     one call per request
    Filter   = (Handler) -> Handler            may refuse, edit, answer, retry
    Observer = (Exchange) -> None              told after the last byte; never edits

Whoever drops a Response aborts its body: a body that nobody reads to its end keeps a backend connection.
Fields come here with hop-by-hop and framing fields already gone.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from netfront.errors import BadMessage
from netfront.net.lane import Deadline, Signal
from netfront.net.stream import Facts, Stream
from netfront.wire.fields import EMPTY, Edit, Field, Fields

if TYPE_CHECKING:
    from netfront.net.backend import Backend
    from netfront.policy.claims import Identity
    from netfront.policy.memory import Held
    from netfront.wire.target import Target

__all__ = [
    "Allowance",
    "Answer",
    "Answered",
    "AnsweringBody",
    "Body",
    "Client",
    "Exchange",
    "Filter",
    "Handler",
    "IncomingBody",
    "Observer",
    "Owed",
    "PartOf",
    "Request",
    "Response",
    "Takeover",
    "stack",
]

_NO_PARAMS: Mapping[str, bytes] = MappingProxyType({})


class Body(Protocol):
    """The body of a message that is not wholly in hand. One reader, from start to end, once."""

    length: int | None
    """Bytes to come in all, or None when only the end will tell."""
    started: bool
    """Whether a byte of it was handed out: a started body cannot be sent a second time."""

    @property
    def trailers(self) -> Fields:
        """The trailer section; valid after the end."""
        ...

    @property
    def readable(self) -> Signal:
        """Set when `receive_now` is worth trying."""
        ...

    def due(self) -> float:
        """Tell until when (of `clock`) the next bytes may be waited for; inf for ever."""
        ...

    def receive_now(self) -> bytes | None:
        """Give the next bytes, b"" at the end, None when one would have to wait."""
        ...

    async def receive_some(self) -> bytes:
        """Give the next bytes; b"" is the end."""
        ...

    def abort(self, why: BaseException | None = None) -> None:
        """Give the body up; idempotent, never waits. What carried it is closed or drained by its owner."""
        ...


@runtime_checkable
class AnsweringBody(Protocol):
    """The body of an answer that may have begun before its request was all sent on. Whoever wraps it passes this on."""

    async def upload_until(self, wait: Signal) -> None:
        """Wait for something else, and have the upload go on meanwhile. Raises what befalls the client's body."""
        ...


class IncomingBody(Body, Protocol):
    """The body of a request."""

    limit: int | None
    """Most bytes it may have; more raise BadMessage(413). A filter may lower it."""
    trailer_edit: Edit | None
    """What becomes of its trailers; a filter may set it before the end."""


class Client(Protocol):
    """Who asks: the connection a request came in on."""

    facts: Facts
    due: Deadline
    """Of the connection, while its request is under way: whoever waits on its behalf sets it."""
    told: object
    """What the filter that tells the backend about the client keeps here; None at first."""

    @property
    def gone(self) -> Signal:
        """Set when the client has left, or might have: then ask `has_left`."""
        ...

    def has_left(self) -> bool:
        """Tell whether the client will not read an answer any more."""
        ...

    async def interim(self, status: int, fields: Fields) -> None:
        """Send an interim answer (100, 103; never 101) ahead of the final one."""
        ...


class Takeover(Protocol):
    """In place of a body, with a 101: what owns the client's stream from then on (RFC 9110 §7.8)."""

    async def run(self, stream: Stream, early: bytes) -> None:
        """Use the stream until done; whoever called closes it.

        Args:
            early: what the client sent behind its request.
        """
        ...

    def abort(self, why: BaseException | None = None) -> None:
        """Give it up before or while it runs; idempotent."""
        ...


class Owed(Protocol):
    """What an exchange holds: memory, or a seat."""

    def give_back(self) -> None:
        """Give it back; idempotent."""
        ...


class Exchange:
    """All about one request's passage. Times are of the lane's clock, in seconds; sizes in bytes.

    `source` says who answered: "backend", "cache" or "netfront"; `outcome` is empty when all went well, else
    what went wrong in a few words, for the log alone. `backend` is who was asked last, or answered. `retried` says why
    there was more than one try. `asked` is when the try began that was answered in the end: what a backend took is
    counted from there. `tried` is who had it or could not be reached, beside the one it is at: a list once there is
    anybody. `user` is who asked, where authentication found that out. `id` is the request's X-Request-Id,
    where there is one. `owed` is what it holds, given back when it is over.
    """

    __slots__ = (
        "asked",
        "backend",
        "client",
        "ended",
        "first",
        "id",
        "method",
        "outcome",
        "owed",
        "received",
        "request_fields",
        "response_fields",
        "retried",
        "route",
        "sent",
        "source",
        "started",
        "status",
        "target",
        "tried",
        "tries",
        "user",
        "version",
    )

    def __init__(
        self, started: float, client: "Client", method: bytes, target: bytes, version: bytes
    ) -> None:
        self.started = self.asked = started
        self.client = client
        self.method = method
        self.target = target
        self.version = version
        self.first = 0.0
        self.ended = 0.0
        self.status = 0
        self.received = 0
        self.sent = 0
        self.tries = 0
        self.tried: list[Backend] | tuple[()] = ()
        self.retried = ""
        self.backend: Backend | None = None
        self.source = "netfront"
        self.route: object = None
        self.id: bytes | None = None
        self.owed: tuple[Owed, ...] = ()
        self.outcome = ""
        self.user = ""
        self.request_fields = EMPTY
        self.response_fields = EMPTY

    def owes(self, what: "Owed") -> None:
        """Have something given back when it is over."""
        self.owed = (*self.owed, what)

    def give_back(self) -> None:
        """Hold nothing any longer: nobody is to be sent anything more of it."""
        for what in self.owed:
            what.give_back()


_SCHEMES = {b"https": b"https", b"wss": b"https", b"http": b"http", b"ws": b"http"}


class Allowance:
    """How many requests may still come of one that is composed of others."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


class PartOf:
    """What a part of a composed answer knows of the whole.

    Args:
        within: the compositions, one in another, that it is a part of.
        allowance: what all of them may still ask for.
        held: what the whole holds.
        hides: what no backend sees of it: the credentials that the whole was asked for.
    """

    __slots__ = ("allowance", "held", "hides", "within")

    def __init__(
        self, within: tuple[object, ...], allowance: Allowance, held: "Held", *, hides: Edit | None = None
    ) -> None:
        self.within = within
        self.allowance = allowance
        self.held = held
        self.hides = hides

    def hiding(self, edit: Edit) -> "PartOf":
        """Give the same, with more that is hidden."""
        hides = edit if self.hides is None else Edit(names=edit.names | self.hides.names)
        return PartOf(self.within, self.allowance, self.held, hides=hides)


class Request:
    """One request, as far as possible as it came. A filter writes only the slot it owns.

    Args:
        authority: of Host or the absolute-form target, as it came (case and port kept), already validated.
        fields: the end-to-end fields without Host.
        forwarded: the X-Forwarded-*, X-Real-IP and Forwarded lines as they came. Anybody's words: to be believed only
            behind the filter `forwarded`, which leaves those of trusted proxies alone.
        upgrade: the protocol asked for, when Connection named Upgrade; h2c is gone.
        expects_continue: the client waits for a 100 before it sends its body.
        is_framed: it says how long its body is, be that 0.
        params: the `{name}` segments of the route found, percent-encoded as paths are for decisions.

    `lines` and `answer_lines` are field lines that are others each time, such as an id: written behind the fields of
    the request and of whatever answer it gets. To edit a section costs more, as what was remembered of it is lost.
    `counted` are the keys that it was counted under by limits: a part of a composed request takes over what the whole
    one has, and is not counted under them again. `part_of` is there where it is such a part. `cors` is for the filter
    of that name. `cookies` are lines of Set-Cookie that authentication has the client keep.
    """

    __slots__ = (
        "answer_lines",
        "authority",
        "body",
        "client",
        "cookies",
        "cors",
        "counted",
        "exchange",
        "expects_continue",
        "fields",
        "forwarded",
        "identity",
        "is_framed",
        "keeps_alive",
        "lines",
        "method",
        "params",
        "part_of",
        "route",
        "scheme",
        "takes_trailers",
        "target",
        "upgrade",
        "version",
    )

    def __init__(
        self,
        method: bytes,
        target: "Target",
        version: bytes,
        scheme: bytes,
        authority: bytes,
        fields: Fields,
        body: "bytes | IncomingBody",
        client: Client,
        exchange: Exchange,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.scheme = scheme
        self.authority = authority
        self.fields = fields
        self.body = body
        self.client = client
        self.exchange = exchange
        self.forwarded: tuple[Field, ...] = ()
        self.upgrade: bytes | None = None
        self.expects_continue = False
        self.is_framed = False
        self.takes_trailers = False
        self.keeps_alive = True
        self.lines = b""
        self.answer_lines = b""
        self.counted: tuple[bytes, ...] = ()
        self.part_of: PartOf | None = None
        self.cookies: tuple[Field, ...] = ()
        self.cors: object = None
        self.identity: Identity | None = None
        self.route: object = None
        self.params = _NO_PARAMS

    @property
    def public(self) -> tuple[bytes, bytes]:
        """The scheme and the authority that the client asked for: as a trusted proxy tells them, else as they came.

        Of a list, which proxies behind one another make, the first is the client's.
        """
        if not self.forwarded:
            return self.scheme, self.authority
        said = {row.name: row.value for row in reversed(self.forwarded)}
        scheme, host = (
            said.get(name, b"").partition(b",")[0].strip(b" \t")
            for name in (b"x-forwarded-proto", b"x-forwarded-host")
        )
        return _SCHEMES.get(scheme.lower(), self.scheme), host or self.authority

    def bound_body(self, most: int) -> None:
        """Have its body refused where that says it is longer, or turns out to be (RFC 9110 §15.5.14).

        Raises:
            BadMessage: 413, it says so.
        """
        body = self.body
        length = len(body) if isinstance(body, bytes) else body.length
        if length is not None and length > most:
            raise BadMessage(413, f"a body of over {most} bytes")
        if not isinstance(body, bytes):
            body.limit = most if body.limit is None else min(most, body.limit)


class Response:
    """One final response.

    Args:
        reason: as the backend wrote it; empty means the usual phrase.
        length: the Content-Length that is told where no body follows (HEAD, 304).
        has_date: whether a Date stands among the fields; the server adds one otherwise (RFC 9110 §6.6.1).
    """

    __slots__ = ("body", "fields", "has_date", "length", "reason", "status")

    def __init__(
        self,
        status: int,
        fields: Fields,
        body: "bytes | Body | Takeover",
        reason: bytes = b"",
        *,
        length: int | None = None,
        has_date: bool = False,
    ) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.reason = reason
        self.length = length
        self.has_date = has_date


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with its whole body, as it comes to who asks with a request of netfront's own."""

    status: int
    fields: Fields
    body: bytes


class Answered(Exception):
    """Raised by a method of authentication that answers by itself, as with a redirect to a login."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"answered with {response.status}")
        self.response = response


Handler = Callable[[Request], Awaitable[Response]]
Filter = Callable[[Handler], Handler]
Observer = Callable[[Exchange], None]


def stack(*filters: Filter | None, then: Handler) -> Handler:
    """Put filters round a handler; a request meets them in the order written. None is left out."""
    for around in reversed(filters):
        if around is not None:
            then = around(then)
    return then
