"""Flags that can differ by scope: which value holds where.

A policy may be wider than a route, or narrower. What is wider is merged into the route's settings; where
narrower ones apply, the route gets a variant for each combination of scopes that a request can be in, merged
as well, so that serving a request takes one look at a short list and merges nothing.

Of time-outs and field edits the most specific scope wins; of body limits the smallest: restrictions add up. The
scopes of these compare text without regard to case.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any

from netfront.cli.argv import as_word
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.guards import restricting
from netfront.cli.gate.policies import gate_policies
from netfront.cli.grammar import parse_field_edit, parse_hedge, parse_lb, parse_retry_on, split_policy
from netfront.cli.health import HealthPlan, parse_health, parse_health_body
from netfront.cli.plan import FieldEdit, Settings, Variant
from netfront.cli.scoped import Policy, read_values
from netfront.errors import UsageError
from netfront.policy.route import Scope
from netfront.policy.statuses import StatusSet, parse_statuses
from netfront.units import parse_count, parse_duration, parse_size

__all__ = ["in_order", "read_policies", "settle"]

_MOST_VARIANTS = 4096
"""Of a route; of those that a request's path may lie in, at most so many:"""
_MOST_MET = 1024


def read_policies(flags: ServeFlags, faults: Faults) -> list[Policy]:
    """Read the flags that can differ by scope."""
    found = [
        *read_values("--timeout", flags.timeout, _parse_timeout, _set_timeout, faults),
        *read_values("--max-body", flags.max_body, _parse_max_body, _lower_max_body, faults),
        *read_values("--lb", flags.lb, parse_lb, partial(_set_balance, "lb"), faults),
        *read_values("--health", flags.health, parse_health, _set_health, faults),
        *read_values("--health-body", flags.health_body, parse_health_body, _set_health_body, faults),
        *read_values(
            "--eject-on", flags.eject_on, _parse_eject_on, partial(_set_balance, "eject_on"), faults
        ),
        *read_values(
            "--slow-start", flags.slow_start, _parse_slow_start, partial(_set_balance, "slow_start"), faults
        ),
        *read_values("--queue", flags.queue, _parse_queue, partial(_set_balance, "queue"), faults),
        *read_values(
            "--queue-timeout",
            flags.queue_timeout,
            _parse_queue_timeout,
            partial(_set_balance, "queue_timeout"),
            faults,
        ),
        *read_values("--retry-on", flags.retry_on, parse_retry_on, partial(_set, "retry"), faults),
        *read_values(
            "--retry-body", flags.retry_body, _parse_retry_body, partial(_set, "retry_body"), faults
        ),
        *read_values("--hedge", flags.hedge, parse_hedge, partial(_set, "hedge"), faults),
        *_edits("--header", flags.header, "request_edits", faults),
        *_edits("--response-header", flags.response_header, "response_edits", faults),
        *gate_policies(flags, faults),
    ]
    return restricting(found)


def in_order(policies: Iterable[Policy]) -> list[Policy]:
    """Order policies from the least to the most specific, in the order in which routes are found."""
    return sorted(policies, key=_rank)


def settle(
    scope: Scope, policies: Sequence[Policy], defaults: Settings, faults: Faults
) -> tuple[Settings, tuple[Variant, ...]]:
    """Work out what holds in a route: its settings, and the variants for narrower scopes within it."""
    wider, met = [], []
    for policy in policies:
        if policy.scope is None or policy.scope.covers(scope):
            wider.append(policy)
        elif policy.scope.meets(scope):
            met.append(policy.scope)
    everywhere = {id(policy) for policy in wider}
    by_scope: dict[Scope | None, list[Policy]] = {}
    for policy in policies:
        by_scope.setdefault(policy.scope, []).append(policy)
    variants = []
    for scopes in _combinations(list(dict.fromkeys(met)), faults):
        held = [policy for inner in scopes for policy in by_scope[inner] if id(policy) not in everywhere]
        variants.append(Variant(scopes, _merge([*wider, *held], defaults)))
    variants.sort(key=lambda variant: -len(variant.scopes))
    return _merge(wider, defaults), tuple(variants)


def _combinations(scopes: Sequence[Scope], faults: Faults) -> list[tuple[Scope, ...]]:
    """List the sets of scopes that one request can be in, each as a tuple.

    A set counts only if its scopes meet in pairs, and if it holds every scope that covers one of its own. Those whose
    paths begin with text are held against others of the same text alone, as no others meet them.
    """
    order = {scope: at for at, scope in enumerate(scopes)}
    loose = [scope for scope in scopes if scope.first is None]
    by_text: dict[str, list[Scope]] = {}
    for scope in scopes:
        if scope.first is not None:
            by_text.setdefault(scope.first, []).append(scope)
    common = _grown([()], loose)
    found = [chosen for chosen in common if chosen and _is_closed(chosen, loose)]
    for alike in (*by_text.values(), []):
        grown = _grown(common, alike)
        found += [chosen for chosen in grown[len(common) :] if _is_closed(chosen, [*loose, *alike])]
        if len(found) > _MOST_VARIANTS or len(grown) > _MOST_MET:
            faults.add("the scopes of policies", "they overlap in too many ways", "give fewer, or wider ones")
            return []
    return [tuple(sorted(chosen, key=order.__getitem__)) for chosen in found]


def _grown(sets: Sequence[tuple[Scope, ...]], scopes: Iterable[Scope]) -> list[tuple[Scope, ...]]:
    """Give these sets, and all that they make with scopes added which meet all of a set; a few more than the limit."""
    found = list(sets)
    for scope in scopes:
        found += [(*chosen, scope) for chosen in found if all(scope.meets(other) for other in chosen)]
        if len(found) > _MOST_MET:
            break
    return found


def _is_closed(chosen: tuple[Scope, ...], scopes: Iterable[Scope]) -> bool:
    return not any(wide not in chosen and any(wide.covers(narrow) for narrow in chosen) for wide in scopes)


def _rank(policy: Policy) -> tuple[int, ...]:
    """Say how specific a policy is."""
    scope = policy.scope
    if scope is None:
        return ()
    host = 0 if not scope.host else 1 if scope.host.startswith("*") else 2
    return host, scope.host.count("."), len(scope.segments), scope.is_exact, bool(scope.methods)


def _merge(policies: Iterable[Policy], defaults: Settings) -> Settings:
    """Apply policies from the least to the most specific: a field's edit replaces that of a wider scope."""
    return reduce(lambda settings, policy: policy.apply(settings), in_order(policies), defaults)


def _edits(flag: str, given: Sequence[str] | None, attribute: str, faults: Faults) -> Iterator[Policy]:
    """Read field edits; several of one field in one scope are that many lines of it."""
    by_scope: dict[Scope | None, list[FieldEdit]] = {}
    first: dict[Scope | None, str] = {}
    for text in given or ():
        try:
            scope, value = split_policy(as_word(text))
            edit = parse_field_edit(value)
            by_scope.setdefault(scope, []).append(edit)
            first.setdefault(scope, text)
        except UsageError as error:
            faults.take(error, flag, word=text)
    for scope, edits in by_scope.items():
        together: dict[bytes, FieldEdit] = {}
        for edit in edits:
            earlier = together.get(edit.name.lower())
            if earlier is not None and not (earlier.values and edit.values):
                what = f"{flag} -{edit.name.decode()}"
                faults.add(what, "it is set and removed in one scope", "give one of them", word=first[scope])
            together[edit.name.lower()] = (
                edit if earlier is None else replace(earlier, values=earlier.values + edit.values)
            )
        yield Policy(scope, partial(_edit, attribute, together), f"{flag} {first[scope]!r}", first[scope])


def _parse_timeout(text: str) -> float:
    return parse_duration(text, least=0.01, most=86400, none=True)


def _parse_eject_on(text: str) -> StatusSet:
    statuses = parse_statuses(text)
    if any(first < 400 for first, _ in statuses.ranges):
        raise UsageError.of(text, "only answers from 400 on can count as failures", "as in 502,503,504")
    return statuses


def _parse_slow_start(text: str) -> float:
    return parse_duration(text, least=0.0, most=3600.0)


def _parse_queue(text: str) -> int:
    return parse_count(text, least=0, most=100_000)


def _parse_queue_timeout(text: str) -> float:
    return parse_duration(text, least=0.01, most=3600.0)


def _parse_retry_body(text: str) -> int:
    return parse_size(text, least=0, most=2**24) or 0


def _set(attribute: str, value: object, settings: Settings) -> Settings:
    changed: dict[str, Any] = {attribute: value}
    return replace(settings, **changed)


def _set_balance(attribute: str, value: object, settings: Settings) -> Settings:
    changed: dict[str, Any] = {attribute: value}
    return replace(settings, balance=replace(settings.balance, **changed))


def _set_health(health: HealthPlan, settings: Settings) -> Settings:
    earlier = settings.balance.health
    if earlier is not None and earlier.body is not None and health.kind == "http":
        health = replace(health, body=earlier.body)
    return _set_balance("health", health, settings)


def _set_health_body(pattern: str, settings: Settings) -> Settings:
    health = settings.balance.health or HealthPlan("")
    return _set_balance("health", replace(health, body=pattern), settings)


def _set_timeout(timeout: float, settings: Settings) -> Settings:
    return replace(settings, timeout=timeout)


def _parse_max_body(text: str) -> int | None:
    return parse_size(text, none=True)


def _lower_max_body(most: int | None, settings: Settings) -> Settings:
    sizes = [size for size in (most, settings.max_body) if size is not None]
    usual = settings.usual_body if most is not None else None
    return replace(settings, max_body=min(sizes, default=None), usual_body=usual)


def _edit(attribute: str, edits: dict[bytes, FieldEdit], settings: Settings) -> Settings:
    held = {edit.name.lower(): edit for edit in getattr(settings, attribute)}
    changed: dict[str, Any] = {attribute: tuple((held | edits).values())}
    return replace(settings, **changed)
