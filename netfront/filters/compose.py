"""Composition: one answer made of several, each asked for as soon as what it needs is there.

Parts run beside each other, in coroutines that the composed request begins and ends (`Begin`). The composed request
itself only waits: for a part to be over, for its client to leave, for its time to be up. A part that is over starts
those that waited for it alone. Whatever ends the composed request ends every part that is still out, at once: an answer
that nobody will read is not waited for.

A required part that fails is the whole answer's failure, told with its name, its status and its time; an optional one
leaves its default, and the answer says so and is not to be stored.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from netfront.errors import AnswerTooLong, BackendError, BadMessage, ClientGone, NoBackend, Overdue, Refusal
from netfront.filters.composed import Composed, problem
from netfront.http.message import Allowance, Answer, Client, Handler, PartOf, Request, Response
from netfront.net.lane import Signal, breathe, clock, first, lane
from netfront.policy.compose import Part
from netfront.policy.memory import Held, MemoryFull, NeverFits
from netfront.policy.partvalue import (
    CREDENTIALS,
    STATUS_OF,
    PartFault,
    PartValue,
    Reader,
    body_of,
    default_of,
    missing_of,
    names_of,
    read_body,
)
from netfront.policy.reference import Known, Missing, Reference
from netfront.wire.fields import EMPTY, OVERRIDE, Edit, Fields, field
from netfront.wire.gathered import Gathered

__all__ = ["DEEPEST", "Ask", "Asked", "Begin", "ComposeRules", "compose"]

_SKIM = msgspec.json.Decoder(type=msgspec.Raw).decode
"""Reads JSON and makes nothing of it: 0.6 us a KiB, where to make values takes 5. It refuses half a pair of surrogates
too (RFC 8259 §8.2), which is looked at again."""
DEEPEST = 4
"""Compositions within one another."""
_MOST_ITEMS = 100
_MOST_ASKED = 3_300
"""Requests that may come of one, those of compositions within it too: 100 items of 32 parts each. Where a path that a
client names leads to another composition, each level would multiply them."""
_LEAST_RATE = 65_536
"""Bytes of a body for which it may take a second more: who sends slower holds memory that others would use."""
_LONG = 16_384
"""Bytes of a body that took a while to be made: 10 ms for 100 KB of numbers."""

_ACCEPT = field(b"Accept", b"application/json")
_PLAIN = (_ACCEPT, field(b"Accept-Encoding", b"identity"))
_CODED = (_ACCEPT, field(b"Accept-Encoding", b"gzip, br, deflate"))
_HAS_JSON = field(b"Content-Type", b"application/json")
_OF_WHOLE = frozenset(
    {
        b"accept", b"accept-encoding", b"accept-ranges", b"content-type", b"content-encoding", b"content-language",
        b"content-location", b"content-disposition", b"content-digest", b"repr-digest", b"content-md5", b"digest",
        b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range",
        b"max-forwards", b"origin", b"access-control-request-method", b"access-control-request-headers",
    }
)  # fmt: skip
"""Fields of the composed request that mean it alone: its content, its conditions, the answer it would have."""
_PASSED_OUT = frozenset({b"accept-language", b"traceparent", b"tracestate", b"x-request-id"})
"""All that a URL hears of the composed request: who asks is told to the services of this gateway alone."""
_WITHOUT_BODY = Edit(names=_OF_WHOLE, kinds=1 << OVERRIDE, added=_PLAIN)
_WITH_BODY = Edit(names=_OF_WHOLE, kinds=1 << OVERRIDE, added=(*_PLAIN, _HAS_JSON))


class _TooManyAsked(Refusal):
    """More requests would come of one than may: whatever part it befalls, the whole has failed, and so do its own."""

    def __init__(self) -> None:
        super().__init__(502, f"more than {_MOST_ASKED:,} requests would come of one")


@dataclass(slots=True)
class Asked:
    """What a part asks.

    Args:
        whole: the composed request, and `part_of` what its parts know of it.
        client: on whose behalf; it leaves when the part is not wanted any more, at the latest when the time for all
            is over.
        weigh: to be told of the bytes of the answer before they are held; what it raises ends that.
    """

    whole: Request
    part_of: PartOf
    client: Client
    method: bytes
    target: bytes
    fields: Fields
    body: bytes
    weigh: Callable[[int], None]


Ask = Callable[[Asked], Awaitable[Answer]]
"""Asks, and gives the answer. Raises what handlers raise, and AnswerTooLong."""
Begin = Callable[[Callable[[], Coroutine[object, None, None]]], Callable[[], None]]
"""Runs something beside the one who calls, perhaps to its end, and gives what ends it at once."""


@dataclass(frozen=True, slots=True)
class ComposeRules:
    """How an answer is composed.

    Args:
        each: of a part for each item, requests at once.
        passes_status: the 4xx of a required part is the answer's.
        timeout: seconds for all parts together.
        most_part: bytes of a part without its content coding.
        most_body: bytes of a request's body, where a part takes it.
        body_time: seconds for all of it, and one more for each 64 KiB.
        cookies: names of those that parts may set.
        tells_time: in Server-Timing.
    """

    each: int
    passes_status: bool
    timeout: float
    most_part: int
    most_body: int
    body_time: float
    cookies: frozenset[bytes]
    tells_time: bool


def compose(
    parts: Sequence[Part],
    asks: Sequence[Ask],
    begin: Begin,
    rules: ComposeRules,
    hold: Callable[[Request], Held],
) -> Handler:
    """Make the handler that answers with these parts.

    Args:
        asks: asks for each of them, in order.
        hold: counts what a composed request holds: its body, what parts are sent and have answered, and the values of
            both.
    """
    waiting: list[list[int]] = [[] for _ in parts]
    for at, part in enumerate(parts):
        for need in part.needs:
            waiting[need].append(at)
    takes = frozenset(name for part in parts for name in part.takes)
    plan = _Plan(
        tuple(parts),
        tuple(asks),
        begin,
        rules,
        waiting,
        tuple(
            Reader(part, is_read=bool(waiters), most=rules.most_part, skim=_SKIM)
            for part, waiters in zip(parts, waiting, strict=True)
        ),
        tuple(part.method.encode() for part in parts),
        Composed(parts, cookies=rules.cookies, tells_time=rules.tells_time),
    )

    async def handle(request: Request) -> Response:
        whole = request.part_of
        within = whole.within if whole is not None else ()
        if len(within) >= DEEPEST or plan in within:
            raise Refusal(508, "compositions that are parts of one another in a circle")
        held = hold(request)
        request.exchange.owes(held)  # the answer has still to be sent
        allowance = whole.allowance if whole is not None else Allowance(_MOST_ASKED)
        part_of = PartOf((*within, plan), allowance, held, hides=whole.hides if whole is not None else None)
        try:
            response = await compose_one(request, part_of, held)
        except BaseException:
            held.give_back()
            raise
        held.keep(len(response.body) if isinstance(response.body, bytes) else 0)  # the parts are gone
        return response

    async def compose_one(request: Request, part_of: PartOf, held: Held) -> Response:
        try:
            values: dict[str, object] = {}
            if takes:
                claims = request.identity.claims if request.identity is not None else {}
                target = request.target
                values = names_of(takes, request.params, target.path, target.query, claims)
                if "body" in takes:
                    data = await _receive(request, rules, held)
                    values["body"] = read_body(request.fields, data, most=rules.most_body, weigh=held.add)
        except PartFault as fault:
            return problem(request, None, fault, 0.0)
        except NeverFits as error:
            raise BadMessage(413, f"a body for which {error}") from error
        run = _Run(plan, request, part_of, values, held)
        try:
            await run.finish()
            return run.answer()
        except _TooManyAsked as error:
            if request.part_of is not None:
                raise
            return problem(request, None, PartFault(502, error.why), 0.0)
        finally:
            run.stop()

    return handle


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    parts: tuple[Part, ...]
    asks: tuple[Ask, ...]
    begin: Begin
    rules: ComposeRules
    waiting: Sequence[Sequence[int]]
    """By part, those that wait for it."""
    readers: tuple[Reader, ...]
    methods: tuple[bytes, ...]
    composed: Composed


class _OfPart:
    """Who asks for a part, to those who answer it: somebody who leaves when the part is not wanted any more."""

    __slots__ = ("due", "ends", "facts", "gone", "told")

    def __init__(self, client: Client) -> None:
        self.facts = client.facts
        self.told = client.told
        self.due = client.due
        self.gone = Signal()
        self.ends: list[Callable[[], None]] = []
        """What ends the coroutines that run for it."""

    def has_left(self) -> bool:
        return self.gone.is_set

    async def interim(self, status: int, fields: Fields) -> None:
        pass

    def stop(self) -> None:
        """End what is still out for it."""
        self.gone.set()
        ends, self.ends = self.ends, []
        for end in ends:
            end()


class _Run:
    """One composed request while its parts are out."""

    def __init__(
        self, plan: _Plan, request: Request, part_of: PartOf, names: dict[str, object], held: Held
    ) -> None:
        self._held = held
        self._plan = plan
        self._request = request
        self._part_of = part_of
        self._names = names
        count = len(plan.parts)
        self._left = count
        self._missing: list[int] = [len(part.needs) for part in plan.parts]
        """By part, how many of those it waits for are still out."""
        self._clients = [_OfPart(request.client) for _ in plan.parts]
        self._values: list[PartValue | None] = [None] * count
        self._faults: list[PartFault | None] = [None] * count
        self._began = [0.0] * count
        self._took = [0.0] * count
        self._failed: int | None = None
        """The required part that has failed first."""
        self._error: Exception | None = None
        self._changed = Signal()
        self._bodies: dict[str, bytes] = {}
        """What parts are sent, by how it is written."""
        self._written: Known = {}
        """What stands in targets for each item alike."""

    # -- for the composed request ----------------------------------------------------------------------------

    async def finish(self) -> None:
        """Have all parts, or a required one that has failed. Raises ClientGone."""
        client, changed = self._request.client, self._changed
        until = clock() + self._plan.rules.timeout
        for at, part in enumerate(self._plan.parts):
            if not part.needs and self._failed is None:
                self._start(at)
        while self._left and self._failed is None and self._error is None:
            got = await first(changed, client.gone, until=until)
            if got is None:
                self._time_out()
            elif got is changed:
                changed.clear()
            elif client.has_left():
                raise ClientGone
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None

    def stop(self) -> None:
        """End what is still out."""
        for client in self._clients:
            client.stop()

    def answer(self) -> Response:
        """Make the answer: of the parts, or of what one has failed of."""
        plan, at = self._plan, self._failed
        if at is None:
            values = [value for value in self._values if value is not None]
            return plan.composed.answer(self._request, values, self._faults, self._took)
        fault = self._faults[at]
        assert fault is not None
        if plan.rules.passes_status and 400 <= fault.part_status < 500:
            fault.status = fault.part_status
        return problem(self._request, plan.parts[at], fault, self._took[at])

    def _time_out(self) -> None:
        """Let parts that are still out have failed of the time for all: the first required one, or else all of them."""
        parts = self._plan.parts
        out = [at for at, value in enumerate(self._values) if value is None]
        required = next((at for at in out if not parts[at].is_optional), None)
        for at in out if required is None else (required,):
            if self._began[at]:
                self._took[at] = clock() - self._began[at]
            self._faults[at] = PartFault(504, f"not there after {self._plan.rules.timeout:g} s for all parts")
            self._clients[at].stop()
            if required is None:
                self._values[at] = default_of(parts[at])
        self._failed, self._left = required, 0

    # -- for one part ----------------------------------------------------------------------------------------

    def _start(self, at: int) -> None:
        self._begin(at, partial(self._have, at))

    def _begin(self, at: int, run: Callable[[], Coroutine[object, None, None]]) -> None:
        self._clients[at].ends.append(self._plan.begin(run))

    async def _have(self, at: int) -> None:
        """Have a part, and start those that waited for it alone."""
        part = self._plan.parts[at]
        self._began[at] = began = clock()
        try:
            value = await (self._have_each(at) if part.is_each else self._have_one(at, None))
        except PartFault as fault:
            self._took[at] = clock() - began
            self._faults[at] = _kept(fault)
            self._clients[at].stop()
            if not part.is_optional:
                if self._failed is None:
                    self._failed = at
                self._changed.set()
                return
            value = default_of(part)
        except Exception as error:
            self._give_up(at, error)
            return
        else:
            self._took[at] = clock() - began
        self._values[at] = value
        if part.name is not None:
            self._names[part.name] = value.value
        self._left -= 1
        for waiter in self._plan.waiting[at]:
            self._missing[waiter] -= 1
            if not self._missing[waiter] and self._failed is None:
                self._start(waiter)
        if not self._left:
            self._changed.set()

    def _give_up(self, at: int, error: Exception) -> None:
        """Have the composed request raise what a part did not expect: there the server catches our own faults."""
        if not self._clients[at].gone.is_set:  # else it was told to end, and did
            self._error = error
            self._changed.set()

    async def _have_each(self, at: int) -> PartValue:
        """Have a part for each item of its array, some at once, in the array's order. Raises PartFault."""
        over = self._plan.parts[at].each
        assert over is not None
        try:
            items = over.items(self._names.__getitem__)
        except Missing as missing:
            raise missing_of(missing) from missing
        if len(items) > _MOST_ITEMS:
            why = f"{over} has {len(items)} items, and no more than {_MOST_ITEMS} are asked for"
            raise PartFault(STATUS_OF.get(over.name, 502), why)
        values: list[PartValue | None] = [None] * len(items)
        faults: list[PartFault] = []
        indices = iter(range(len(items)))
        ended = Signal(not items)
        left = most = self._plan.rules.most_part
        working = min(self._plan.rules.each, len(items))

        async def work() -> None:
            nonlocal working, left
            index = 0
            try:
                for index in indices:
                    if faults:
                        return
                    values[index] = value = await self._have_one(at, (items[index],))
                    left -= len(value.piece) if isinstance(value.piece, bytes) else 0
                    if left < 0:
                        raise PartFault(502, f"its items have more than {most} bytes together")
            except PartFault as fault:
                faults.append(fault.of_item(index))
            except Exception as error:
                self._give_up(at, error)
            finally:
                working -= 1
                if faults or not working:
                    ended.set()

        for _ in range(working):
            if faults:
                break  # the first was refused at once: the others are not to be asked for
            self._begin(at, work)
        await first(ended)
        if faults:
            raise faults[0]
        had = [value for value in values if value is not None]
        pieces = [value.piece for value in had if isinstance(value.piece, bytes)]
        sections = [section for value in had for section in value.sections]
        return PartValue(b"[%b]" % b",".join(pieces), [value.value for value in had], sections)

    async def _have_one(self, at: int, item: tuple[object] | None) -> PartValue:
        """Ask for a part once. Raises PartFault; MemoryFull, _TooManyAsked: of the whole."""
        plan = self._plan
        part = plan.parts[at]
        allowance = self._part_of.allowance
        if not allowance.left:
            raise _TooManyAsked
        allowance.left -= 1
        active = lane()
        if active is not None:
            active.operations -= 1
            if active.operations <= 0:
                await breathe()

        def value_of(reference: Reference) -> object:
            if item is not None and reference.inner is not None:
                return reference.of_item(item[0])
            return reference.value(self._names.__getitem__)

        try:
            target = part.target.fill(value_of, known=self._written if part.is_each else None)
        except Missing as missing:
            raise missing_of(missing) from missing
        body = await self._body_of(part) if part.body is not None else b""
        fields = self._fields_of(part)
        held = self._held
        asked = Asked(
            self._request, self._part_of, self._clients[at], plan.methods[at], target, fields, body, held.add
        )
        try:
            answer = await plan.asks[at](asked)
            return plan.readers[at].read(answer.status, answer.fields, answer.body, held)
        except (MemoryFull, _TooManyAsked):
            raise  # this is nothing of the part
        except NeverFits as error:
            raise PartFault(502, f"with it, {error}") from error
        except (BackendError, NoBackend, Refusal, BadMessage, Overdue) as error:
            raise _unanswered(part, error) from error

    async def _body_of(self, part: Part) -> bytes:
        """Give the body that a part is sent: one for all items of a `name[]`, and for all parts that say the same."""
        assert part.body is not None
        body = self._bodies.get(part.body.text)
        if body is None:
            body = body_of(part, self._names)
            try:
                self._held.add(len(body))
            except NeverFits as error:
                raise PartFault(502 if part.needs else 413, f"with what it is sent, {error}") from error
            self._bodies[part.body.text] = body
            if len(body) > _LONG:
                await breathe()
        return body

    def _fields_of(self, part: Part) -> Fields:
        fields = self._request.fields
        if not part.place:
            return fields.edited(_WITHOUT_BODY if part.body is None else _WITH_BODY)
        passed = [row for row in fields if row.name in _PASSED_OUT]
        return Fields([*passed, *_CODED] if part.body is None else [*passed, *_CODED, _HAS_JSON])


async def _receive(request: Request, rules: ComposeRules, held: Held) -> bytes:
    """Receive the body of a request. Raises BadMessage: 413, 408, it is too long or slow; MemoryFull, NeverFits."""
    body, most = request.body, rules.most_body
    if isinstance(body, bytes):
        if len(body) > most:
            raise BadMessage(413, f"a body of over {most} bytes")
        if request.part_of is None:  # else the whole counts it
            held.add(len(body))
        return body
    body.limit = most if body.limit is None else min(most, body.limit)
    if body.length is not None and body.length > body.limit:
        raise BadMessage(413, f"a body of over {body.limit} bytes")
    if request.expects_continue:
        await request.client.interim(100, EMPTY)
    gathered, until = Gathered(), clock() + rules.body_time
    while data := await body.receive_some():
        if clock() > until + len(gathered) / _LEAST_RATE:
            raise BadMessage(408, "the body comes too slowly for what it holds")
        held.add(len(data))
        gathered.add(data)
    return gathered.whole()


def _kept(fault: PartFault) -> PartFault:
    """Have a fault that is kept forget where it was raised: the frames there hold the parts, and the fault them."""
    fault.__traceback__ = fault.__cause__ = fault.__context__ = None
    return fault


def _unanswered(part: Part, error: Exception) -> PartFault:
    """Make the fault of what befell a part before it had an answer."""
    if isinstance(error, Refusal):
        passed = [field(*pair) for pair in error.fields if pair[0].lower() in CREDENTIALS]
        why = f"refused with {error.status}"
        return PartFault(502, why, told=error.why, part_status=error.status, fields=passed)
    if isinstance(error, BadMessage):
        status = error.status if not part.needs else 502  # what the client sent has made it such
        return PartFault(status, f"refused with {error.status}", told=error.why, part_status=error.status)
    if isinstance(error, BackendError) and not error.timed_out:
        if not error.connected:
            return PartFault(502, "it cannot be reached", told=f"{error.stage}: {error.why}")
        why = error.why if isinstance(error, AnswerTooLong) else "it broke off"
        return PartFault(502, why, told=error.why)
    if isinstance(error, NoBackend):
        return PartFault(502, "nobody serves it at present", told=error.why)
    return PartFault(504, "it did not answer in time")
