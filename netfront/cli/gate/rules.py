"""Authorization: from its flags to the rules that stand before a route, and what the backend is told of who asks."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_network

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import gates, methods_of, place_of, with_scope
from netfront.cli.gate.guards import gates_as_written
from netfront.cli.gate.own_fields import is_own, one_spelling
from netfront.cli.gate.plan import GatePlan
from netfront.cli.gate.restrictions import (
    AddressPlan,
    ApiKeyPlan,
    ClaimPlan,
    ExpressionPlan,
    PassedField,
    RulePlan,
    TokenScopePlan,
)
from netfront.cli.plan import RoutePlan, ServePlan, Settings
from netfront.cli.scoped import Policy
from netfront.errors import UsageError
from netfront.policy.expression import Expression
from netfront.policy.networks import parse_network
from netfront.policy.rewriting import names_in
from netfront.policy.scope import Scope

__all__ = ["check_rules", "identity_fields", "rule_policies"]

_FIELD = re.compile(r"[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*")
_SCOPE_NAME = re.compile(r"[\x21\x23-\x2B\x2D-\x5B\x5D-\x7E]+")


def rule_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --token-scope, --claim, --ip, --allow and --pass-identity."""
    yield from _read("--token-scope", flags.token_scope, _parse_scopes, faults)
    yield from _read("--claim", flags.claim, _parse_claim, faults)
    yield from _read("--ip", flags.ip, _parse_networks, faults)
    yield from _read("--allow", flags.allow, _parse_expression, faults)
    for text, scope, value in with_scope("--pass-identity", flags.pass_identity, faults):
        passed = faults.read("--pass-identity", value, _parse_passed, ())
        yield Policy(scope, partial(_pass, passed), f"--pass-identity {text!r}", text)


def check_rules(routes: Sequence[RoutePlan], faults: Faults) -> None:
    """Refuse what asks for something of an identity where no authentication gives it: nobody could ever pass."""
    for route in routes:
        parts = [(route.scope, route.settings.gate)]
        parts += [(variant.scopes[0], variant.settings.gate) for variant in route.variants]
        for place, gate in parts:
            for rule in gate.rules:
                if (wanted := _lacks(rule, gate)) is not None:
                    why = f"no authentication gives {wanted} at {place}"
                    hint = "add one there, as in --jwt '/api: https://id.example.com', or narrow the scope"
                    faults.add(f"{_flag(rule)} '{rule.scope}: …'", why, hint)
    _check_edits(routes, faults)
    _check_params(routes, faults)
    _check_networks(routes, faults)
    keys = {one_spelling(method.field) for method in methods_of(routes) if isinstance(method, ApiKeyPlan)}
    for passed in dict.fromkeys(one for gate in gates(routes) for one in gate.passed):
        if one_spelling(passed.name) in keys:
            what = f"--pass-identity {passed.name}={passed.claim}"
            faults.add(what, "clients bring their API key in that field", "name another, as in X-User=sub")
        where = [gate for gate in gates(routes) if passed in gate.passed]
        if not any(gate.gives(passed.claim) for gate in where):
            what = f"--pass-identity {passed.name}={passed.claim}"
            faults.add(
                what, f"no authentication there gives the claim {passed.claim}", "add one, as in --jwt"
            )


def _check_networks(routes: Sequence[RoutePlan], faults: Faults) -> None:
    """Refuse networks that add up to none: who is in one of them is not in the other."""
    for rules in dict.fromkeys(gate.rules for _, gate in gates_as_written(routes)):
        held = [rule for rule in rules if isinstance(rule, AddressPlan)]
        for at, one in enumerate(held):
            for other in held[:at]:
                if not any(_share(mine, theirs) for mine in one.networks for theirs in other.networks):
                    mine, theirs = (",".join(rule.networks) for rule in (one, other))
                    why = (
                        f"nobody passes it and --ip '{other.scope}: {theirs}': each of them has to be passed"
                    )
                    hint = (
                        f"of one scope name all networks in one: {theirs},{mine}"
                        if one.scope == other.scope
                        else ""
                    )
                    faults.add(f"--ip '{one.scope}: {mine}'", why, hint)


def _share(one: str, other: str) -> bool:
    """Tell whether an address lies in both networks."""
    mine, theirs = ip_network(one), ip_network(other)
    return mine.version == theirs.version and mine.overlaps(theirs)


def _check_params(routes: Iterable[RoutePlan], faults: Faults) -> None:
    """Refuse an expression that reads what no route names: it would be an error for every request, and refuse all."""
    routes = list(routes)
    rules = [rule for gate in gates(routes) for rule in gate.rules]
    for rule in dict.fromkeys(rules):
        if isinstance(rule, ExpressionPlan) and "params" in rule.uses:
            met = [route.scope for route in routes if route.kind == "http" and rule.scope.meets(route.scope)]
            known = {name for scope in met for name in names_in(scope)}
            try:
                Expression(rule.text).check_params(known, f"at {rule.scope}")
            except UsageError as error:
                faults.take(error, "--allow")


def _check_edits(routes: Iterable[RoutePlan], faults: Faults) -> None:
    """Refuse a --header that would have the last word on who asks."""
    for route in routes:
        for settings in (route.settings, *(variant.settings for variant in route.variants)):
            gate = settings.gate
            told = {
                one_spelling(one.name): f"--pass-identity {one.name}={one.claim}"
                for one in gate.passed
                if gate.gives(one.claim)
            }
            told |= {
                one_spelling(name): f"--auth-url with fields={name}"
                for method in gate.methods
                for name in method.handed
            }
            for name in (edit.name.decode() for edit in settings.request_edits):
                if one_spelling(name) in told and route.pool is not None:
                    why = f"{told[one_spelling(name)]} tells the backend who asks in that field"
                    faults.add(f"--header {name}", why, "leave one of them out, or name another field")


def identity_fields(plan: ServePlan) -> list[str]:
    """Give the fields that tell who asks, of all routes."""
    passed = [one.name for gate in gates(plan.routes) for one in gate.passed]
    handed = [name for method in methods_of(plan.routes) for name in method.handed]
    return list(dict.fromkeys(name.lower() for name in (*passed, *handed)))


def _read(
    flag: str, given: Sequence[str] | None, parse: Callable[[Scope, str], RulePlan], faults: Faults
) -> Iterator[Policy]:
    for text, scope, value in with_scope(flag, given, faults):
        try:
            rule = parse(place_of(scope), value)
        except UsageError as error:
            faults.take(error, flag, word=text)
        else:
            yield Policy(scope, partial(_add, rule), f"{flag} {text!r}", text)


def _add(rule: RulePlan, settings: Settings) -> Settings:
    gate = settings.gate
    if gate.opens(rule.scope):
        return settings
    return replace(settings, gate=replace(gate, rules=tuple(dict.fromkeys((*gate.rules, rule)))))


def _pass(passed: tuple[PassedField, ...], settings: Settings) -> Settings:
    """The most specific scope decides what a field tells."""
    known = {one.name.lower(): one for one in (*settings.gate.passed, *passed)}
    return replace(settings, gate=replace(settings.gate, passed=tuple(known.values())))


def _lacks(rule: RulePlan, gate: GatePlan) -> str | None:
    """Tell what a rule asks for that nobody has who comes there; None: nothing."""
    if isinstance(rule, TokenScopePlan):
        return None if any(method.gives_scopes for method in gate.methods) else "scopes"
    if isinstance(rule, ClaimPlan):
        return None if gate.gives(rule.name) else f"the claim {rule.name}"
    if isinstance(rule, ExpressionPlan):
        for name in ("claims", "user", "scopes"):
            if name in rule.uses and not any(
                name != "scopes" or method.gives_scopes for method in gate.methods
            ):
                return name
    return None


def _flag(rule: RulePlan) -> str:
    flags = {
        TokenScopePlan: "--token-scope",
        ClaimPlan: "--claim",
        AddressPlan: "--ip",
        ExpressionPlan: "--allow",
    }
    return flags[type(rule)]


def _parse_scopes(scope: Scope, text: str) -> TokenScopePlan:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if _SCOPE_NAME.fullmatch(name) is None:
            raise UsageError.of(text, f"{name!r} is no scope of a token", "as in admin, or read,orders:write")
    return TokenScopePlan(scope, tuple(dict.fromkeys(names)))


def _parse_claim(scope: Scope, text: str) -> ClaimPlan:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value:
        raise UsageError.of(
            text, "not NAME=VALUE", "as in region=eu, or realm.roles=admin for one within another"
        )
    return ClaimPlan(scope, name.strip(), value)


def _parse_networks(scope: Scope, text: str) -> AddressPlan:
    networks = [str(parse_network(part.strip())) for part in text.split(",")]
    return AddressPlan(scope, tuple(dict.fromkeys(networks)))


def _parse_expression(scope: Scope, text: str) -> ExpressionPlan:
    made = Expression(text)
    headers, query, params = map(made.names_read, ("headers", "query", "params"))
    return ExpressionPlan(scope, text, made.uses, headers, query, params)


def _parse_passed(text: str) -> tuple[PassedField, ...]:
    passed: dict[str, PassedField] = {}
    for part in text.split(","):
        name, equals, wanted = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not wanted:
            raise UsageError.of(text, f"{part!r} is not FIELD=CLAIM", "as in X-User=sub,X-Roles=roles")
        if _FIELD.fullmatch(name) is None:
            raise UsageError.of(
                text, f"{name!r} is no name for such a field", "letters and digits with dashes between"
            )
        if is_own(name) or one_spelling(name) == "authorization":
            raise UsageError.of(text, f"{name} says something else already", "as in X-User=sub")
        if name.lower() in passed:
            raise UsageError.of(text, f"{name} is there twice")
        passed[name.lower()] = PassedField(name, wanted)
    return tuple(passed.values())
