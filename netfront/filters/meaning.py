"""All that a request may mean to whoever serves it, beside what it says: what rules have to hold for as well.

Servers do not agree on what a request asks for. Here is each other meaning that one of them is known to see:

- another *path*: those in `Target.lookalikes`, each in all its readings;
- another *method*, in a field that names one (X-HTTP-Method-Override and its like);
- another *target* in a field that names one (X-Original-URL and its like): refused, as what is made of it is not known;
- a *second* target, where COPY and MOVE write: Destination.

A request is refused where any of them meets rules that its own does not; those that look at the path by themselves are
asked of all paths (`paths_meant`).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from netfront.errors import BadMessage
from netfront.filters.served import Rules, Served, host_of, rules_met
from netfront.http.message import Request
from netfront.policy.route import Table
from netfront.wire.fields import OVERRIDE, Edit, Field
from netfront.wire.target import Target, parse_target

__all__ = ["check_lookalikes", "check_named", "paths_meant"]

H = TypeVar("H")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_METHODS = 4
"""To look for what each would meet takes as long as to look for the request's own."""
_WITH_DESTINATION = frozenset({b"COPY", b"MOVE"})
_WRITES = (*_WITH_DESTINATION, b"PUT")


class _Meaning(NamedTuple):
    """What a request may mean.

    Args:
        why: it is refused, if it is.
        is_of_method: whether the method is another than the rules were asked of.
    """

    method: bytes
    host: bytes
    target: Target
    why: str
    is_of_method: bool = False


class _Named(NamedTuple):
    """What fields name beside the request line.

    Args:
        methods: in upper case, by each the name of its field.
        targets: fields that name one in place of the request's.
        destination: where it writes; None where no method does that.
    """

    methods: Mapping[bytes, str]
    targets: Sequence[Field]
    destination: Target | None


def paths_meant(request: Request) -> Iterator[bytes]:
    """Give the normal forms of all paths that a request may mean.

    Raises:
        BadMessage: 400, one of them cannot be normalised safely.
    """
    yield from request.target.meant
    destination = _named(request).destination if request.fields.kinds >> OVERRIDE & 1 else None
    if destination is not None:
        yield from destination.meant


def check_lookalikes(table: Table[Served[H]], method: bytes, host: bytes, target: Target) -> None:
    """Refuse a target that some servers take for one that other rules hold for. Raises BadMessage: 400."""
    _check(table, (method, host, target), _lookalikes(method, host, target))


def check_named(
    table: Table[Served[H]], request: Request, host: bytes, guarded: Callable[[bytes], bool] | None
) -> None:
    """Refuse a request of which fields name another that other rules hold for, and drop those that say the same again.

    Args:
        guarded: tells whether a host has a rule on a path; None where none has.
    Raises:
        BadMessage: 400.
    """
    target = request.target
    named = _named(request)
    own = rules_met(table, request.method, host, target) or []
    _check(table, (request.method, host, target), _others(request, host, named, guarded))
    if named.targets and ((guarded is not None and guarded(host)) or any(rules.by_query for rules in own)):
        settled = target.settled()
        for row in named.targets:
            if row.value not in (settled.origin_form, settled.path):
                raise BadMessage(400, f"{row.name.decode()} names another target, where rules hold for some")
        # they would be of the client's path where the backend is asked for another
        request.fields = request.fields.edited(Edit(names={row.name for row in named.targets}))


def _named(request: Request) -> _Named:
    """Read the fields of a request that name another. Raises BadMessage: 400, they name too many methods."""
    methods: dict[bytes, str] = {}
    targets: list[Field] = []
    destinations: list[bytes] = []
    for row in request.fields:
        if row.kind != OVERRIDE:
            continue
        if row.name == b"destination":
            destinations.append(row.value)
        elif b"method" in row.name:
            methods |= dict.fromkeys(map(bytes.upper, _METHOD.findall(row.value)), row.name.decode())
        else:
            targets.append(row)
    writes = not _WITH_DESTINATION.isdisjoint({request.method, *methods})
    methods.pop(request.method, None)
    if len(methods) > _MOST_METHODS:
        raise BadMessage(400, f"{methods.popitem()[1]} names too many methods")
    return _Named(methods, targets, _destination(destinations) if writes else None)


def _destination(values: Sequence[bytes]) -> Target | None:
    """Read Destination (RFC 4918 §10.3). Raises BadMessage: 400, there are several, or it may be a host or a path."""
    if not values:
        return None
    if len(values) > 1:
        raise BadMessage(400, "more than one Destination")
    if values[0].startswith(b"//"):  # RFC 3986 §4.2
        raise BadMessage(400, "a destination that may be a host or a path")
    return parse_target(b"PUT", values[0])


def _others(
    request: Request, host: bytes, named: _Named, guarded: Callable[[bytes], bool] | None
) -> Iterator[_Meaning]:
    """Give what the fields of a request make it mean. Raises BadMessage: 400, what cannot be told."""
    for method, name in named.methods.items():
        why = f"{name} names a method for which other rules hold"
        yield _Meaning(method, host, request.target, why, is_of_method=True)
        yield from _lookalikes(method, host, request.target)
    target = named.destination
    if target is None:
        return
    for place in {host} if target.authority is None else {host, host_of(target.authority)}:
        if guarded is not None and guarded(place):
            target.settled()  # for what it refuses
        for method in {*_WRITES, request.method}:
            yield _Meaning(method, place, target, "destination is a place for which other rules hold")
            yield from _lookalikes(method, place, target)


def _lookalikes(method: bytes, host: bytes, target: Target) -> Iterator[_Meaning]:
    for other in target.lookalikes:
        yield _Meaning(method, host, other, "a path that may be taken for one that other rules hold for")


def _check(table: Table[Served[H]], said: tuple[bytes, bytes, Target], meanings: Iterable[_Meaning]) -> None:
    """Refuse what means something that more may be kept from than from what it says. Raises BadMessage: 400."""
    own: Collection[Rules] | None = None
    for meaning in meanings:
        if own is None:
            own = rules_met(table, *said) or []
        for rules in rules_met(table, meaning.method, meaning.host, meaning.target) or ():
            asks_other = rules.by_method if meaning.is_of_method else rules.by_path
            if asks_other or not (rules.is_open or rules in own):
                raise BadMessage(400, meaning.why)
