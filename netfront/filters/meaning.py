"""All that a request may mean to whoever serves it, beside what it says: what rules have to hold for as well.

Servers do not agree on what a request asks for. Here is each other meaning that one of them is known to see:

- another *path*: those in `Target.lookalikes`, each in all its readings;
- another *method*, in a field that names one (X-HTTP-Method-Override and its like);
- another *target* in a field that names one (X-Original-URL and its like): refused, as what is made of it is not known;
- a *second target*: where COPY and MOVE write (Destination), and what is copied from (X-Amz-Copy-Source and its like);
- all *below* these, where COPY and MOVE take a tree.

A request is refused where any of them meets rules that its own does not; those that look at the path by themselves are
asked of all paths (`paths_meant`).
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from netfront.errors import BadMessage
from netfront.filters.served import Met, Served, rules_met
from netfront.http.message import Request
from netfront.policy.guards import Guards
from netfront.policy.route import Table
from netfront.wire.fields import Edit
from netfront.wire.named import Named, Second, read_named
from netfront.wire.target import Target, read_one_way

__all__ = ["check_lookalikes", "check_named", "methods_done", "methods_meant", "paths_meant", "targets_meant"]

H = TypeVar("H")
_HIDES_SEPARATOR = re.compile(rb"%2[Ff]|%5[Cc]|\\").search
_VERSIONS = (b"/v1", b"/v1.0")
_MOST_PLACES = 96
"""Where a second target may be: rules are looked for at each, which takes 10 us a method."""
_WRITTEN_BY = (b"COPY", b"MOVE", b"PUT")
_DONE_BY = {
    **dict.fromkeys((b"COPY", b"BCOPY"), (b"GET",)),
    **dict.fromkeys((b"MOVE", b"BMOVE"), (b"GET", b"DELETE")),
}
"""By methods, others that do the same to what they are asked of."""


class _Meaning(NamedTuple):
    """What a request may mean.

    Args:
        why: it is refused, if it is.
        is_of_method: whether the method is another than the rules were asked of.
        wants_route: whether it is refused too where no route leads.
        is_counted: whether limits hold for it as well: so where it may be served in place of what the request says.
    """

    method: bytes
    host: bytes
    target: Target
    why: str
    is_of_method: bool = False
    wants_route: bool = False
    is_counted: bool = True


def paths_meant(request: Request) -> Iterator[bytes]:
    """Give the normal forms of all paths that a request may mean.

    Raises:
        BadMessage: 400, one of them cannot be normalised safely.
    """
    for target in targets_meant(request):
        yield from target.meant


def targets_meant(request: Request) -> tuple[Target, ...]:
    """Give the targets that a request names, its own first. Raises BadMessage: 400, one cannot be read."""
    second = read_named(request.method, request.fields).second
    return (request.target, *(second.targets if second is not None else ()))


def methods_meant(request: Request, *, is_written: bool = False) -> tuple[bytes, ...]:
    """Give all methods that a request may mean, its own first.

    Args:
        is_written: to where it writes.
    """
    methods = request.method, *read_named(request.method, request.fields).methods
    return (*methods, *_WRITTEN_BY) if is_written else methods


def methods_done(request: Request) -> tuple[bytes, ...]:
    """Give the methods that do to its target what those do that it may mean."""
    return _done_by(methods_meant(request))


def _done_by(methods: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple({done for one in methods for done in _DONE_BY.get(one, ())})


def check_lookalikes(table: Table[Served[H]], method: bytes, host: bytes, target: Target) -> None:
    """Refuse a target that some servers take for one that other rules hold for. Raises BadMessage: 400."""
    _check(table, method, host, target, _lookalikes(method, host, target))


def check_named(table: Table[Served[H]], request: Request, host: bytes, guards: Guards | None) -> None:
    """Refuse a request of which fields name another that other rules hold for, and drop those that say the same again.

    Args:
        guards: None where no host has a rule on a path.
    Raises:
        BadMessage: 400.
    """
    method, target = request.method, request.target
    named = read_named(method, request.fields)
    second = named.second
    places = _places(request, host, second) if second is not None else []
    _check(table, method, host, target, _others(request, host, named, places))
    if second is not None and guards is not None:
        _check_text(host, second, guards)
        if second.is_written:
            own = ((host, path) for path in target.meant)
            _check_trees((*own, *((place, one.path) for place, one in places)), guards)
    if named.targets and _goes_by_target(table, request, host, guards):
        settled = target.settled()
        for row in named.targets:
            if row.value not in (
                settled.origin_form,
                settled.path,
                target.origin_form,
                target.path,
                target.raw,
            ):
                raise BadMessage(400, f"{row.name.decode()} names another target, where rules hold for some")
        # they would be of the client's path where the backend is asked for another
        request.fields = request.fields.edited(Edit(names={row.name for row in named.targets}))


def _goes_by_target(table: Table[Served[H]], request: Request, host: bytes, guards: Guards | None) -> bool:
    """Tell whether rules there may let one target in and another not."""
    if guards is not None and guards.has_paths(host):
        return True
    found = rules_met(table, request.method, host, request.target) or ()
    return any(met.rules.by_query for met in found)


def _places(request: Request, host: bytes, second: Second) -> list[tuple[bytes, Target]]:
    """Give where a second target may be: at which host, and what.

    What is a path of the backend's lies behind a prefix of ours, and what Swift is told lies behind an account: behind
    some of the first segments of the request's path, in whatever way that is read. A Destination is from the root
    (RFC 4918 §10.3), but at Swift, whose paths have its version before the account.

    Raises:
        BadMessage: 400, it may be in very many places, or in one that cannot be told.
    """
    if second.is_written and any(_HIDES_SEPARATOR(one.path) is not None for one in second.targets):
        raise BadMessage(400, "an encoded slash or a backslash in a destination")
    befores: dict[bytes, None] = {}
    for reading in request.target.readings:
        segments = reading.split(b"/")[1:-1]
        befores |= {b"/" + b"/".join(segments[: count + 1]): None for count in range(len(segments))}
    is_from_root = second.is_written and not any(before.endswith(_VERSIONS) for before in befores)
    found = {path: None for one in second.targets for path in one.meant}
    for one in second.targets[1 if is_from_root else 0 :]:
        named = dict.fromkeys(rest for path in one.meant for rest in (path, *_behind_versions(path, befores)))
        found |= {before + path: None for before in befores for path in named}
    if len(found) > _MOST_PLACES:
        raise BadMessage(400, "what it names beside its own path may be in very many places")
    targets = list(map(read_one_way, found))
    return [(place, target) for place in (host, *second.hosts - {host}) for target in targets]


def _behind_versions(path: bytes, befores: Iterable[bytes]) -> Iterator[bytes]:
    """Give a path without what stands before the version in the request's: what is mounted there goes on without."""
    for before in befores:
        prefix = before.rpartition(b"/")[0]
        if prefix and before.endswith(_VERSIONS) and path.startswith(prefix + b"/"):
            yield path[len(prefix) :]


def _others(
    request: Request, host: bytes, named: Named, places: Sequence[tuple[bytes, Target]]
) -> Iterator[_Meaning]:
    """Give what the fields of a request make it mean."""
    for method, name in named.methods.items():
        why = f"{name} names a method for which other rules hold"
        yield _Meaning(method, host, request.target, why, is_of_method=True, wants_route=True)
        yield from _lookalikes(method, host, request.target)
    second = named.second
    if second is None:
        return
    for done in _done_by((request.method, *named.methods)):
        why = f"it does what {done.decode()} does, for which other rules hold"
        yield _Meaning(done, host, request.target, why, is_counted=False)
    methods = {*_WRITTEN_BY, request.method} if second.is_written else {b"GET", request.method}
    why = "destination is a place" if second.is_written else "what is copied from is a place"
    why += " for which other rules hold"
    for place, target in places:
        for method in methods:
            is_own = second.is_written and (method, place) == (request.method, host)
            wants_route = is_own and target is places[0][1]
            yield _Meaning(method, place, target, why, wants_route=wants_route, is_counted=False)


def _lookalikes(method: bytes, host: bytes, target: Target) -> Iterator[_Meaning]:
    for other in target.lookalikes:
        yield _Meaning(method, host, other, "a path that may be taken for one that other rules hold for")


def _check(
    table: Table[Served[H]], method: bytes, host: bytes, target: Target, meanings: Iterable[_Meaning]
) -> None:
    """Refuse what means something that more may be kept from than from what it says. Raises BadMessage: 400."""
    own: list[Met] | None = None
    for meaning in meanings:
        if own is None:
            own = rules_met(table, method, host, target) or []
        found = rules_met(table, meaning.method, meaning.host, meaning.target)
        if found is None and meaning.wants_route and own:
            raise BadMessage(400, f"{meaning.why}: no route leads there")
        asks_other = meaning.is_of_method and any(met.rules.by_method for met in found or ())
        is_passed = found == own or all(
            _is_passed(met, own, is_counted=meaning.is_counted) for met in found or ()
        )
        if asks_other or not is_passed:
            raise BadMessage(400, meaning.why)


def _is_passed(met: Met, own: Collection[Met], *, is_counted: bool) -> bool:
    """Tell whether whoever passes any of these has passed this: which of them serves a request is not known here."""
    if not own:
        return met.rules.is_open
    return all(met.lets_in_all(one, is_counted=is_counted) for one in own)


def _check_text(host: bytes, second: Second, guards: Guards) -> None:
    """Refuse what is no text where paths are guarded. Raises BadMessage: 400."""
    if any(map(guards.has_paths, (host, *second.hosts))):
        for target in second.targets:
            target.settled()


def _check_trees(trees: Iterable[tuple[bytes, bytes]], guards: Guards) -> None:
    """Refuse to take a tree in which something is restricted. Raises BadMessage: 400."""
    for host, path in trees:
        if guards.lies_below(host, path):
            raise BadMessage(400, "a tree in which rules hold for a part, to be copied or moved as a whole")
