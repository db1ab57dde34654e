"""The router: finds the route of a request and calls what serves it.

A target that servers read in more than one way (see `Target.readings`) is refused where the readings lead to
different routes, or to different rules on one route: a backend might serve by the one what was let through by the
other. To hosts that have a rule on a path every request goes on as it was decided by (`Target.settled`), on all routes.

Some frameworks take another method or target than those of the request line, where a field names one. Where there are
rules, a request is refused of which a field names a method that other rules hold for; and where rules go by the target,
one of which a field names another target at all, since what a framework makes of that is not known.

Routes may ask for more than a method and a place (`Served.alternatives`). Then what is found is a row of places: those
whose condition holds are tried in order, and a place of which no condition holds counts as not there.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from ipaddress import IPv6Address
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from netfront.errors import BadMessage, Refusal
from netfront.http.message import Handler, Request, Response
from netfront.policy.route import Match, NotFound, Scope, Table, WrongMethod
from netfront.wire.fields import OVERRIDE, Edit, Field, Fields
from netfront.wire.target import Target, parse_authority, parse_target

__all__ = [
    "METHODS",
    "Holds",
    "Rules",
    "Served",
    "check_lookalikes",
    "find_route",
    "host_of",
    "may_be_passed_over",
    "only_of",
    "router",
]

K = TypeVar("K")
V = TypeVar("V")
H = TypeVar("H")
Holds = Callable[[Request], bool]
_Matcher = Callable[[bytes, bytes, bytes], bool]
_Params = Mapping[str, bytes]
_Found = tuple[Scope | None, Handler, _Params, Target | None]
"""The scope of the route, what serves the request, its parameters, and the target to go on by if not by its own."""
_REMEMBERED = 2048
_LONGEST_REMEMBERED = 512
"""Bytes: with both numbers, what is remembered stays under 2 MiB."""
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_METHODS = 4
WRITING = frozenset({b"COPY", b"MOVE"})
"""Methods with a Destination."""
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


class Rules(NamedTuple):
    """What restricts at a place, to be compared: places with equal rules let the same requests in.

    Args:
        by_path: whether they ask for segments of the path, so that another reading of it may be another verdict.
        by_method, by_query: likewise for the method and the query.
        is_open: whether nothing restricts.
    """

    restricts: object = None
    by_path: bool = False
    by_method: bool = False
    by_query: bool = False
    is_open: bool = False


_NO_RULES = Rules(is_open=True)


class Served(Generic[H]):
    """What a route leads to.

    Args:
        handler: serves it; None where it has alternatives alone.
        variants: scopes, what serves those requests of the route that lie in all of them, and its rules; the first
            counts.
        rules: where no variant counts.
        alternatives: what serves in place of it the requests of which a condition holds; the first counts.
    """

    __slots__ = ("_by_text", "_loose", "alternatives", "handler", "rules", "variants")

    def __init__(
        self,
        handler: H | None,
        variants: Sequence[tuple[tuple[Scope, ...], H, Rules]] = (),
        *,
        rules: Rules = _NO_RULES,
        alternatives: "Sequence[tuple[Holds, Served[H]]]" = (),
    ) -> None:
        self.handler = handler
        self.rules = rules
        self.alternatives = tuple(alternatives)
        self.variants = tuple(variants)
        rows: list[tuple[str | None, tuple[tuple[_Matcher, ...], H, Rules]]] = [
            (
                next((scope.first for scope in scopes if scope.first is not None), None),
                (tuple(scope.matcher() for scope in scopes), narrower, restricting),
            )
            for scopes, narrower, restricting in variants
        ]
        texts = {text for text, _ in rows if text is not None}
        self._loose = tuple(row for text, row in rows if text is None)
        self._by_text = {
            wanted.encode(): tuple(row for text, row in rows if text in (None, wanted)) for wanted in texts
        }
        """The variants that a path can lie in, by the text that it begins with: a thousand cost what one costs."""

    def at(self, method: bytes, host: bytes, readings: Sequence[bytes]) -> H:
        """Give what serves a request here.

        Raises:
            BadMessage: 400, the readings of its path meet different rules.
        """
        handler, rules = self._at(method, host, readings[0])
        for reading in readings[1:]:
            if rules.by_path or self._at(method, host, reading)[1] != rules:
                raise BadMessage(400, "an encoded separator or a backslash that meets different rules")
        return handler

    def rules_at(self, method: bytes, host: bytes, path: bytes) -> tuple[Rules, ...]:
        """Give the rules of all that may serve a request here."""
        own = () if self.handler is None else (self._at(method, host, path)[1],)
        others = [rules for _, other in self.alternatives for rules in other.rules_at(method, host, path)]
        return (*own, *others)

    def _at(self, method: bytes, host: bytes, path: bytes) -> tuple[H, Rules]:
        variants = self._loose
        if self._by_text:
            variants = self._by_text.get(path[1:].partition(b"/")[0].lower(), variants)
        for matchers, handler, rules in variants:
            if all(matches(method, host, path) for matches in matchers):
                return handler, rules
        assert self.handler is not None
        return self.handler, self.rules


def only_of(table: Table[Served[H]]) -> Match[Served[H]] | None:
    """Give the one route there is, where it serves everything in one way: then nothing of a request is looked at."""
    only = table.only
    if only is None or only.value.handler is None or only.value.variants or only.value.alternatives:
        return None
    rules = only.value.rules
    return None if rules.by_path or rules.by_method or rules.by_query else only


def may_be_passed_over(served: Served[H]) -> bool:
    """Tell whether what a route leads to depends on more than method and place."""
    return served.handler is None


def router(
    table: Table[Served[Handler]],
    *,
    guarded: Callable[[bytes], bool] | None = None,
    is_ruled: bool = False,
    wants_host: bool = False,
) -> Handler:
    """Make the handler that serves every route of the table.

    No route is a Refusal with 404, no route for the method one with 405 and Allow. `OPTIONS *` asks about us, not
    about a backend, and is answered here, as is OPTIONS where routes take other methods alone. Where one route serves
    everything nothing else of a request is looked at, and every other target passes as it is spelt.

    Args:
        guarded: tells whether a host, as `host_of` gives it, has a rule on a path.
        is_ruled: whether there are rules at all.
        wants_host: whether a rule is for a host: a request that names none is refused, as its backend is told one.
    """
    only = only_of(table) if guarded is None else None
    if only is not None and only.value.handler is not None:
        return _serve_only(only.value.handler, only.scope)
    return _finder(table, guarded, is_ruled=is_ruled or guarded is not None, wants_host=wants_host)


def _serve_only(handler: Handler, scope: Scope) -> Handler:
    def serve(request: Request) -> Awaitable[Response]:
        if request.target.form == "asterisk":
            return _answer(METHODS)
        request.route = scope
        return handler(request)

    return serve


def find_route(
    table: Table[V], method: bytes, host: bytes, target: Target, passed: Collection[Scope] = ()
) -> Match[V] | NotFound | WrongMethod:
    """Find the route of a request.

    Args:
        host: as `host_of` gives it.
        passed: routes of the table that are as if not there; see Table.find.
    Raises:
        BadMessage: 400, the target cannot be normalised, or its readings lead to different routes.
    """
    readings = target.readings
    found = table.find(method, host, readings[0], passed)
    for reading in readings[1:]:
        if _place(table.find(method, host, reading, passed)) != _place(found):
            raise BadMessage(400, "an encoded separator or a backslash that leads to different routes")
    return found


def host_of(authority: bytes) -> bytes:
    """Give the host by which routes are found: lower case, without port and trailing dot, decoded, addresses short."""
    host = parse_authority(authority)[0] if authority else b""
    if host.startswith(b"["):
        return b"[%b]" % IPv6Address(host[1:-1].decode()).compressed.encode()
    if b"%" in host:
        host = unquote_to_bytes(host).lower()
    return host.rstrip(b".")


def _finder(
    table: Table[Served[Handler]],
    guarded: Callable[[bytes], bool] | None,
    *,
    is_ruled: bool,
    wants_host: bool,
) -> Handler:
    """Make the handler of a table that must be searched. Where a target led is remembered: 0.1 us against 1.7."""
    known: dict[tuple[bytes, bytes, bytes], _Found] = {}
    hosts: dict[bytes, bytes] = {}
    overriding = 1 << OVERRIDE if is_ruled else 0

    def serve(request: Request) -> Awaitable[Response]:
        target, authority = request.target, request.authority
        if request.fields.kinds & overriding:
            _refuse_override(table, request, host_of(authority), guarded)
        key = request.method, authority, target.raw
        found = known.get(key)
        if found is None:
            if target.form == "asterisk":
                return _answer(METHODS)
            host = hosts.get(authority)
            if host is None:
                host = host_of(authority)
                _remember(hosts, authority, host, len(authority))
            if wants_host and not authority:
                raise BadMessage(400, "no Host, where rules are for some hosts")
            settled = None
            if guarded is not None and guarded(host):
                settled = target.settled()
                check_lookalikes(table, request.method, host, target)
            found = (*_serving(table, request, host), settled)
            _remember(known, key, found, len(target.raw) + len(authority))
        request.route, handler, request.params, settled = found
        if settled is not None:
            request.target = settled
        return handler(request)

    return serve


def _remember(known: dict[K, V], key: K, value: V, size: int) -> None:
    if size <= _LONGEST_REMEMBERED:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[key] = value


def _refuse_override(
    table: Table[Served[Handler]], request: Request, host: bytes, guarded: Callable[[bytes], bool] | None
) -> None:
    """Refuse a request of which fields name another one that other rules hold for. Raises BadMessage: 400."""
    target = request.target
    rows = [row for row in request.fields if row.kind == OVERRIDE]
    own = _met(table, request.method, host, target) or []
    methods: dict[bytes, str] = {}
    targets: list[Field] = []
    destinations: list[bytes] = []
    for row in rows:
        if row.name == b"destination":
            destinations.append(row.value)
        elif b"method" in row.name:
            methods |= dict.fromkeys(map(bytes.upper, _METHOD.findall(row.value)), row.name.decode())
        else:
            targets.append(row)
    if destinations and not WRITING.isdisjoint({request.method, *methods}):
        for value in destinations:
            _check_destination(
                table, request, host, own, value, settles=guarded is not None and guarded(host)
            )
    methods.pop(request.method, None)
    if len(methods) > _MOST_METHODS:  # to look for each takes as long as to look for the request's own
        raise BadMessage(400, f"{methods.popitem()[1]} names too many methods")
    for method, name in methods.items():
        other = _met(table, method, host, target)
        if (other is not None and other != own) or any(rules.by_method for rules in own):
            raise BadMessage(400, f"{name} names a method for which other rules hold")
    if targets and ((guarded is not None and guarded(host)) or any(rules.by_query for rules in own)):
        settled = target.settled()
        for row in targets:
            if row.value not in (settled.origin_form, settled.path):
                raise BadMessage(400, f"{row.name.decode()} names another target, where rules hold for some")
        # they would be of the client's path where the backend is asked for another
        request.fields = request.fields.edited(Edit(names={row.name for row in targets}))


def _check_destination(
    table: Table[Served[Handler]],
    request: Request,
    host: bytes,
    own: list[Rules],
    value: bytes,
    *,
    settles: bool,
) -> None:
    """Refuse to write where other rules hold than where the request leads. Raises BadMessage: 400."""
    target = parse_target(b"PUT", value)
    if settles:
        if value.startswith(b"//"):
            raise BadMessage(400, "a destination that may be a host or a path")  # RFC 3986 §4.2
        target.settled()
    hosts = {host} if target.authority is None else {host, host_of(target.authority)}
    for one in hosts:
        for method in (*WRITING, request.method, b"PUT"):
            met = _met(table, method, one, target)
            if met is not None and _restricts_more(met, own):
                raise BadMessage(400, "destination is a place for which other rules hold")
            check_lookalikes(table, method, one, target)


def check_lookalikes(table: Table[Served[H]], method: bytes, host: bytes, target: Target) -> None:
    """Refuse a target that some servers take for one that other rules hold for. Raises BadMessage: 400."""
    others = target.lookalikes
    if others:
        own = _met(table, method, host, target) or []
        for other in others:
            met = _met(table, method, host, other)
            if met is not None and _restricts_more(met, own):
                raise BadMessage(400, "a path that may be taken for one that other rules hold for")


def _restricts_more(met: Collection[Rules], own: Collection[Rules]) -> bool:
    """Tell whether something may be kept out where these rules are met, that is let in by its own."""
    return any(rules.by_path or not (rules.is_open or rules in own) for rules in met)


def _met(table: Table[Served[H]], method: bytes, host: bytes, target: Target) -> list[Rules] | None:
    """Give the rules of all that may serve a request, in each reading of its target; None where nothing does."""
    met: list[Rules] | None = None
    passed: list[Scope] = []
    while isinstance(found := find_route(table, method, host, target, passed), Match):
        served = found.value
        met = [
            *(met or ()),
            *(rules for path in target.readings for rules in served.rules_at(method, host, path)),
        ]
        if served.handler is not None:
            break
        passed.append(found.scope)
    return met


def _serving(
    table: Table[Served[Handler]], request: Request, host: bytes
) -> tuple[Scope | None, Handler, _Params]:
    """Find what serves a request, the scope of its route, and its parameters there."""
    method, target = request.method, request.target
    readings = target.readings
    choices: list[tuple[Holds, Scope, Handler, _Params]] = []
    passed: list[Scope] = []
    while True:
        found = find_route(table, method, host, target, passed)
        if not isinstance(found, Match):
            last: tuple[Scope | None, Handler, _Params] = None, _unserved(method, found), {}
            break
        served = found.value
        for holds, other in served.alternatives:
            choices.append((holds, found.scope, other.at(method, host, readings), found.params))
        if served.handler is not None:
            last = found.scope, served.at(method, host, readings), found.params
            break
        passed.append(found.scope)
    return (None, _chooser(choices, last), {}) if choices else last


def _chooser(
    choices: Sequence[tuple[Holds, Scope, Handler, _Params]],
    last: tuple[Scope | None, Handler, _Params],
) -> Handler:
    """Make what serves where a condition decides."""

    def serve(request: Request) -> Awaitable[Response]:
        for holds, scope, handler, params in choices:
            if holds(request):
                request.route, request.params = scope, params
                return handler(request)
        request.route, handler, request.params = last
        return handler(request)

    return serve


def _unserved(method: bytes, found: NotFound | WrongMethod) -> Handler:
    """Make what answers where no route is."""
    if isinstance(found, WrongMethod) and method == b"OPTIONS":
        return lambda _: _answer(found.allow)

    def refuse(_: Request) -> Awaitable[Response]:
        if isinstance(found, WrongMethod):
            raise Refusal(405, "no route there takes this method", [(b"Allow", found.allow)])
        raise Refusal(404, "no route leads there")

    return refuse


def _place(found: Match[V] | NotFound | WrongMethod) -> object:
    return found.scope if isinstance(found, Match) else found


async def _answer(allow: bytes) -> Response:
    """Answer OPTIONS (RFC 9110 §9.3.7)."""
    return Response(200, Fields.of((b"Allow", allow)), b"")
