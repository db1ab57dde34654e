"""--limit and --concurrency: from their text to plans, and to words for --explain."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from netfront.cli.faults import Faults, nearest
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import with_scope
from netfront.cli.gate.guards import gates_as_written
from netfront.cli.gate.limit_plan import LimitKey, LimitPlan, SeatPlan
from netfront.cli.gate.optioned import read_option
from netfront.cli.gate.plan import GatePlan
from netfront.cli.gate.restrictions import ApiKeyPlan
from netfront.cli.plan import RoutePlan, Settings
from netfront.cli.scoped import Policy
from netfront.errors import UsageError
from netfront.units import parse_count, parse_rate
from netfront.wire.fields import stays

__all__ = [
    "check_limits",
    "explain_limits",
    "limit_policies",
]

_T = TypeVar("_T", LimitPlan, SeatPlan)
_KINDS = ("ip", "key", "user", "claim", "header", "cookie", "route")
_NAMED = {"claim": "org", "header": "X-Tenant", "cookie": "session"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LEAST, _MOST = 1 / 86400, 1_000_000.0


# -- from flags to plans ---------------------------------------------------------------------------------


def limit_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --limit and --concurrency."""
    yield from _read("--limit", flags.limit, parse_limit, _add_rate, faults)
    yield from _read("--concurrency", flags.concurrency, parse_seats, _add_seats, faults)


def _read(
    flag: str,
    given: Sequence[str] | None,
    parse: Callable[[str], _T],
    add: Callable[[_T, Settings], Settings],
    faults: Faults,
) -> Iterator[Policy]:
    """Read values that keep the scope they were given for."""
    for text, scope, value in with_scope(flag, given, faults):
        try:
            plan = replace(parse(value), scope="" if scope is None else str(scope))
        except UsageError as error:
            faults.take(error, flag, word=text)
        else:
            yield Policy(scope, partial(add, plan), f"{flag} {text!r}", text)


def _add_rate(plan: LimitPlan, settings: Settings) -> Settings:
    limits = settings.gate.limits
    if plan in limits:
        return settings
    return replace(settings, gate=replace(settings.gate, limits=(*limits, plan)))


def _add_seats(plan: SeatPlan, settings: Settings) -> Settings:
    """Add it; of two that differ in their number alone the smaller holds."""
    seats = settings.gate.seats
    same = [one for one in seats if one.id == plan.id]
    plan = replace(plan, most=min(one.most for one in (plan, *same)))
    seats = (*[one for one in seats if one not in same], plan)
    return replace(settings, gate=replace(settings.gate, seats=seats))


def _parse_burst(text: str) -> int:
    return parse_count(text, least=1, most=1_000_000)


def parse_limit(text: str) -> LimitPlan:
    """Read 'RATE[:KEY][,burst=N]'. Raises UsageError."""
    head, *options = text.split(",")
    given, colon, key = head.partition(":")
    rate = parse_rate(given, least=_LEAST, most=_MOST)
    count, _, unit = given.partition("/")
    burst = max(1, int(rate + 1e-9))
    for option in options:
        name, _, value = option.partition("=")
        if name != "burst":
            raise UsageError.of(text, f"no such option as {name!r}", "as in 50/s:ip,burst=100")
        if len(options) > 1:
            raise UsageError.of(text, "burst is given twice")
        burst = read_option("burst", value, _parse_burst)
    return LimitPlan(float(count), _PERIODS[unit[0]], burst, _parse_key(text, key) if colon else LimitKey())


def parse_seats(text: str) -> SeatPlan:
    """Read 'N[:KEY]'. Raises UsageError."""
    if "," in text:
        raise UsageError.of(text, "seats have no options", "as in 10, or 5:user: a burst is one of --limit")
    count, colon, key = text.partition(":")
    most = parse_count(count, least=1, most=1_000_000)
    return SeatPlan(most, _parse_key(text, key) if colon else LimitKey())


def _parse_key(text: str, given: str) -> LimitKey:
    kind, colon, name = given.partition(":")
    kind, slash, bits = kind.partition("/")
    if kind not in _KINDS:
        raise UsageError.of(text, f"no such key as {kind!r}", nearest(kind, _KINDS) or f"there are {_KINDS}")
    if slash:
        return _parse_network(text, kind, bits)
    if kind not in _NAMED:
        if colon:
            raise UsageError.of(text, f"{kind} takes no name", f"write {kind}")
        return LimitKey(kind)
    allowed = _PRINTABLE if kind == "claim" else _TOKEN
    if allowed.fullmatch(name) is None:
        raise UsageError.of(text, f"which {kind}?", f"as in {kind}:{_NAMED[kind]}")
    if kind == "header" and not stays(name.lower().encode()):
        hint = "give the host in the scope: app.localhost/: 5/s" if name.lower() == "host" else ""
        raise UsageError.of(text, f"requests are not told apart by {name}", hint)
    return LimitKey(kind, name)


def _parse_network(text: str, kind: str, bits: str) -> LimitKey:
    """Read the size of a network: up to 32 bits it is one of IPv4, above one of IPv6; the other stays as it is."""
    if kind != "ip":
        raise UsageError.of(text, f"{kind} has no networks", "as in ip/24")
    try:
        size = parse_count(bits, least=8, most=128)
    except UsageError as error:
        raise UsageError.of(text, f"a network of {bits} bits", "it has from 8 to 128, as in ip/24") from error
    return LimitKey(kind, v4=size) if size <= 32 else LimitKey(kind, v6=size)


def check_limits(policies: Iterable[Policy], routes: Sequence[RoutePlan], faults: Faults) -> None:
    """Refuse keys that no authentication gives where a limit holds: everybody would be counted by address."""
    late = [
        (policy, one)
        for policy in policies
        for one in _counted(policy.apply(Settings()).gate)
        if not one.key.is_known_early
    ]
    if not late:
        return
    held: dict[bytes, list[GatePlan]] = {}
    for _, gate in gates_as_written(routes):
        for one in _counted(gate):
            held.setdefault(one.id, []).append(gate)
    for policy, one in late:
        where = held.get(one.id)  # none where the scope meets no route, which is told
        if where and not any(_gives(gate, one.key) for gate in where):
            hint = f"give one of {_givers(one.key)} there, or count by ip"
            why = f"no authentication there gives a {one.key.kind}"
            faults.add(policy.given, why, hint, word=policy.word)


def _counted(gate: GatePlan) -> tuple[LimitPlan | SeatPlan, ...]:
    return *gate.limits, *gate.seats


def _gives(gate: GatePlan, key: LimitKey) -> bool:
    """Tell whether a method there gives what is counted by."""
    if key.kind == "key":
        return any(isinstance(method, ApiKeyPlan) for method in gate.methods)
    return gate.gives(_claim_of(key))


def _claim_of(key: LimitKey) -> str:
    return key.name if key.kind == "claim" else "sub"


def _givers(key: LimitKey) -> str:
    """Name the flags by which a request can come to have what is counted by."""
    if key.kind == "key":
        return "--api-key"
    if _claim_of(key) == "sub":
        return "--basic, --api-key, --jwt, --oidc, --mtls, --auth-url with user="
    return "--jwt, --oidc, --mtls, --auth-url"


# -- in words --------------------------------------------------------------------------------------------


def explain_limits(plan: GatePlan, *, early: bool) -> Iterator[tuple[str, str]]:
    """Tell the limits of one stage of a route, in the order in which a request meets them."""
    for seat in _of_stage(plan.seats, early):
        yield "limit", f"{seat.most} at once{_whose(seat.key)}{_where(seat.scope)}; else 429"
    for rate in _of_stage(plan.limits, early):
        often = LimitPlan(rate.count, rate.period, 1).name
        yield "limit", f"{often}, {rate.burst} at once{_whose(rate.key)}{_where(rate.scope)}; else 429"


def _of_stage(plans: Iterable[_T], early: bool) -> Iterator[_T]:
    return (plan for plan in plans if plan.key.is_known_early == early)


def _whose(key: LimitKey) -> str:
    if not key.kind:
        return " for all together"
    return f" for each {key}"


def _where(scope: str) -> str:
    return f" in all of {scope}" if scope else ""
