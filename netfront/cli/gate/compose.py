"""--compose and its flags: from their text to plans, what is wrong with them among other routes, and in words."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from netfront.cli.argv import as_word
from netfront.cli.faults import Faults, nearest
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.gate.auth import gates
from netfront.cli.gate.compose_plan import ComposePlan
from netfront.cli.gate.plan import AnswerPlan, GatePlan
from netfront.cli.gate.routes import AnswerArg
from netfront.cli.gate.way import Way, parse_way
from netfront.cli.plan import RoutePlan, ServePlan, Settings
from netfront.cli.scoped import Policy, read_values
from netfront.errors import BadMessage, UsageError
from netfront.policy.route import Match, Table
from netfront.policy.scope import Scope, host_covers
from netfront.policy.shared import SHARE
from netfront.units import parse_count, parse_duration, parse_size, render_duration, render_size
from netfront.wire.target import canonical

if TYPE_CHECKING:
    from netfront.policy.compose import Composition, Part

__all__ = [
    "check_compositions",
    "compose_notes",
    "compose_policies",
    "composition_of",
    "explain_composition",
    "place_of_part",
    "read_compositions",
    "way_of",
]

_SETTINGS = ("compose_each", "compose_status", "compose_timeout", "compose_part", "compose_cookie")
_STATUSES = ("pass", "hide")
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


def read_compositions(flags: ServeFlags, faults: Faults) -> list[AnswerArg]:
    """Read --compose."""
    if not flags.compose:
        return []
    from netfront.policy.compose import parse_composition  # 6 ms of a start that composes nothing

    found = []
    for text in flags.compose:
        word = as_word(text)
        try:
            composition = parse_composition(word)
            ways = tuple(dict.fromkeys(way_of(part) for part in composition.parts if part.place))
            plan = AnswerPlan(ways=ways, compose=ComposePlan(composition, flags.server_timing))
            is_exact = word.partition("=")[0].rstrip().endswith("$")
            written = replace(composition.scope, methods=composition.methods, is_exact=is_exact)
            given = f"--compose '{str(composition.scope).removesuffix('$')} = …'"
            found.append(AnswerArg(written, plan, given, text, composition.scope.methods))
        except UsageError as error:
            faults.take(error, "--compose", word=word)
    return found


def compose_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read the flags of compositions that can differ by scope."""
    yield from read_values("--compose-each", flags.compose_each, _parse_each, partial(_set, "each"), faults)
    yield from read_values(
        "--compose-status", flags.compose_status, _parse_status, partial(_set, "passes_status"), faults
    )
    yield from read_values(
        "--compose-timeout", flags.compose_timeout, _parse_timeout, partial(_set, "timeout"), faults
    )
    yield from read_values(
        "--compose-part", flags.compose_part, _parse_part, partial(_set, "most_part"), faults
    )
    yield from read_values("--compose-cookie", flags.compose_cookie, _parse_cookie, _add_cookie, faults)


def parse_memory(text: str) -> int:
    """Read the value of --compose-memory. Raises UsageError."""
    return parse_size(text, least=1 << 20, most=1 << 40) or 0


def way_of(part: "Part") -> Way:
    """Give the way out to the URL of a part."""
    return parse_way(part.place + "/")


def check_compositions(
    flags: ServeFlags, policies: Iterable[Policy], routes: Sequence[RoutePlan], faults: Faults
) -> None:
    """Refuse what cannot be composed among these routes, and flags that nothing heeds."""
    composed = [route for route in routes if route.answer is not None and route.answer.compose is not None]
    if not composed:
        for name in (*_SETTINGS, "compose_memory", "server_timing"):
            if getattr(flags, name):
                faults.add(flag_of(name), "it has no effect", "there is no --compose")
        return
    if flags.compose_each and not any(part.is_each for one in composed for part in composition_of(one).parts):
        faults.add(
            "--compose-each", "it has no effect", "no part is asked for each item: name[]:/path/{other[].id}"
        )
    own = tuple(flag_of(name) for name in _SETTINGS)
    for policy in policies:
        scope = policy.scope
        if policy.given.startswith(own) and scope and not any(scope.meets(one.scope) for one in composed):
            hint = f"composed are {', '.join(str(one.scope) for one in composed)}"
            faults.add(policy.given, "nothing is composed there", hint, word=policy.word)
    table = Table([(route.scope, route) for route in routes if route.kind == "http"])
    leads: dict[Scope, list[Scope]] = {}
    for route in composed:
        composition = composition_of(route)
        given = f"--compose '{route.scope.path.removesuffix('$')} = …'"
        for part in composition.parts:
            if not part.place:
                leads.setdefault(route.scope, []).extend(
                    _check_part(given, composition, part, routes, table, faults)
                )
        _check_claims(given, route, faults)
    _check_circles(leads, faults)


def compose_notes(plan: ServePlan) -> Iterator[str]:
    """Tell of keys that can be seen to clash already, and of parts that would not fit."""
    for route in plan.routes:
        if route.answer is not None and route.answer.compose is not None:
            from netfront.policy.compose import clashes_of

            share = plan.compose_memory // SHARE
            most = route.settings.gate.compose.most_part
            if most > share:
                yield (
                    f"{route.scope.path.removesuffix('$')}: a part of {render_size(most)} is more than an address of "
                    f"another machine may hold, {render_size(share)} of --compose-memory"
                )
            for key, earlier, later in clashes_of(composition_of(route).parts):
                yield f"{route.scope.path.removesuffix('$')}: {later} gives {key} too, and that of {earlier} stays"


def explain_composition(plan: ComposePlan, settings: Settings) -> Iterator[tuple[str, str]]:
    """Tell what is asked in which order, and within which bounds."""
    from netfront.policy.compose import draw

    for line in draw(plan.composition.parts):
        yield "compose", line
    held = settings.gate.compose
    each = (
        f", {held.each} at once of a part for each"
        if any(part.is_each for part in plan.composition.parts)
        else ""
    )
    yield (
        "bounds",
        (
            f"{render_duration(held.timeout)} for all parts, {render_size(held.most_part)} each{each}"
            + ("; their 4xx is passed on" if held.passes_status else "")
            + ("; their times are told in Server-Timing" if plan.tells_time else "")
            + (f"; they may set {', '.join(held.cookies)}" if held.cookies else "")
        ),
    )


# -- among routes ---------------------------------------------------------------------------------------------


def composition_of(route: RoutePlan) -> "Composition":
    """Give what a route composes."""
    assert route.answer is not None
    assert route.answer.compose is not None
    return route.answer.compose.composition


def _check_part(
    given: str,
    composition: "Composition",
    part: "Part",
    routes: Sequence[RoutePlan],
    table: "Table[RoutePlan]",
    faults: Faults,
) -> Iterator[Scope]:
    """Refuse a part that no route serves; give the scopes of the compositions that it surely leads to."""
    try:
        place = place_of_part(composition, part)
    except BadMessage as error:
        faults.add(given, f"part {part.label}: {part.target.text} holds {error.why}")
        return
    met = [route for route in routes if route.kind == "http" and place.meets(route.scope)]
    if not any(_are_asked(place.host, route.scope.host) for route in met):
        routed = ", ".join(dict.fromkeys(route.named for route in routes))
        why = f"part {part.label}: no route serves {part.method} {part.target.text}"
        hint = f"the routes are {routed}; a URL begins with http:// or https://"
        if met and place.host:
            why += f" at {place.host}"
            hint = f"a host that is named has its own routes alone: add one, as in {place.host}/…=…"
        elif met:
            why += " where no host is named"
            hint = (
                f"that is of {met[0].scope.host} alone: write {met[0].scope.host}{composition.scope.path} = …"
            )
        faults.add(given, why, hint)
        return
    if "*" not in place.segments:
        found = table.find(
            part.method.encode(), place.host.encode(), ("/" + "/".join(place.segments)).encode()
        )
        if (
            isinstance(found, Match)
            and found.value.answer is not None
            and found.value.answer.compose is not None
        ):
            yield found.value.scope
        return
    for route in routes:
        is_composed = route.answer is not None and route.answer.compose is not None
        if is_composed and route.scope.covers(place):
            yield route.scope


def _are_asked(host: str, other: str) -> bool:
    """Tell whether a request to a host of a route is looked for among those of another: see `Table`."""
    return other == host or (other != "" and host_covers(other, host))


def place_of_part(composition: "Composition", part: "Part") -> Scope:
    """Give the scope of what a part asks, as far as it is known. Raises BadMessage."""
    segments = [segment for segment in part.target.path_with("*").split("/") if segment]
    spelt = tuple(one if one == "*" else canonical(one.encode()).decode() for one in segments)
    return Scope((part.method,), composition.scope.host, spelt, is_exact=True)


def _check_circles(leads: dict[Scope, list[Scope]], faults: Faults) -> None:
    """Refuse compositions that are parts of themselves."""
    told: set[frozenset[Scope]] = set()

    def walk(way: tuple[Scope, ...]) -> None:
        for scope in dict.fromkeys(leads.get(way[-1], ())):
            if scope in way:
                circle = way[way.index(scope) :]
                if frozenset(circle) not in told:
                    told.add(frozenset(circle))
                    shown = " → ".join(one.path.removesuffix("$") for one in (*circle, scope))
                    faults.add(f"--compose {shown}", "a composition that is a part of itself")
            else:
                walk((*way, scope))

    for scope in leads:
        walk((scope,))


def _check_claims(given: str, route: RoutePlan, faults: Faults) -> None:
    """Refuse claims that no authentication gives."""
    for part in composition_of(route).parts:
        if "claims" not in part.takes:
            continue
        names = [".".join(map(str, one.steps)) for one in part.target.references if one.name == "claims"] or [
            ""
        ]
        for name in dict.fromkeys(names):
            if not any(_gives(gate, name) for gate in gates([route])):
                what = f"the claim {name}" if name else "claims"
                hint = f"add one, as in --jwt '{route.scope.path.removesuffix('$')}: https://id.example.com'"
                faults.add(given, f"part {part.label}: no authentication there gives {what}", hint)


def _gives(gate: GatePlan, claim: str) -> bool:
    return gate.gives(claim) if claim else bool(gate.methods)


# -- values ---------------------------------------------------------------------------------------------------


def _parse_each(text: str) -> int:
    return parse_count(text, least=1, most=100)


def _parse_status(text: str) -> bool:
    if text not in _STATUSES:
        raise UsageError.of(text, "neither pass nor hide", nearest(text, _STATUSES))
    return text == "pass"


def _parse_timeout(text: str) -> float:
    return parse_duration(text, least=0.01, most=3600.0)


def _parse_part(text: str) -> int:
    return parse_size(text, least=1, most=1 << 30) or 0


def _parse_cookie(text: str) -> str:
    if _COOKIE.fullmatch(text) is None:
        raise UsageError.of(text, "not a cookie's name", "one name, as in --compose-cookie session")
    return text


def _set(attribute: str, value: object, settings: Settings) -> Settings:
    changed: dict[str, Any] = {attribute: value}
    return replace(settings, gate=replace(settings.gate, compose=replace(settings.gate.compose, **changed)))


def _add_cookie(name: str, settings: Settings) -> Settings:
    return _set("cookies", tuple(dict.fromkeys((*settings.gate.compose.cookies, name))), settings)
