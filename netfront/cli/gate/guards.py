"""Guards: which policies restrict, and at which hosts paths have to be normalised for them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from netfront.cli.gate.plan import GatePlan
from netfront.cli.plan import RoutePlan, Settings
from netfront.cli.scoped import Policy
from netfront.policy.guards import Guards
from netfront.policy.scope import Near, Scope

__all__ = ["gates_as_written", "guarded", "guarded_hosts", "guards_of", "restricting", "ruling"]


def restricting(policies: Iterable[Policy]) -> list[Policy]:
    """Have the scopes of those that restrict ignore the case of text: a backend may take /Admin for /admin."""
    return [
        replace(policy, scope=policy.scope.caseless)
        if policy.scope is not None and _restricts(policy)
        else policy
        for policy in policies
    ]


def ruling(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Give those that say something of what stands before a service."""
    return tuple(policy for policy in policies if policy.apply(Settings()).gate != Settings().gate)


def guarded_hosts(rules: Iterable[Policy]) -> tuple[str, ...]:
    """Give the hosts at which who may come in depends on the path; "" is every host."""
    hosts = set()
    for rule in rules:
        alone = rule.apply(Settings()).gate
        differs = alone.is_guarded or alone.public
        if alone.asks_for_path or (differs and rule.scope is not None and rule.scope.has_path):
            hosts.add("" if rule.scope is None else rule.scope.host)
    return ("",) if "" in hosts else tuple(sorted(hosts))


def guarded(rules: Iterable[Policy]) -> Callable[[bytes], bool] | None:
    """Make the test whether a host, as `host_of` gives it, has a restriction with a path; None where none has.

    Their backends shall see no other path than the one that was decided by, on whatever route (see Target.settled).
    """
    hosts = [host.encode() for host in guarded_hosts(rules)]
    if not hosts:
        return None
    if b"" in hosts:
        return lambda _: True
    named = frozenset(hosts)
    below = tuple(host[1:] for host in hosts if host.startswith(b"*"))
    return lambda host: host in named or host.endswith(below)


def guards_of(rules: Iterable[Policy]) -> Guards | None:
    """Give what a router goes by beside its table; None where no host has a rule on a path."""
    rules = tuple(rules)
    has_paths = guarded(rules)
    if has_paths is None:
        return None
    gates = [(rule.scope, rule.apply(Settings()).gate) for rule in rules]
    places = [scope for scope, gate in gates if scope is not None and (gate.auth or gate.rules)]
    return Guards(has_paths, lambda host, path: any(scope.lies_below(host, path) for scope in places))


def gates_as_written(routes: Sequence[RoutePlan]) -> Iterator[tuple[RoutePlan, GatePlan]]:
    """Give what stands before routes of requests and their parts, but for parts that other case alone leads to.

    What restricts /x does so for /X too, which no route of /x serves and no --public of /x opens. That is right for a
    request, but nobody means it who writes a policy.
    """
    read = [route for route in routes if route.kind == "http"]
    routed = Near((route.scope, route.scope) for route in read)
    for route in read:
        yield route, route.settings.gate
        if not route.variants:
            continue
        parts = dict.fromkeys(scope for variant in route.variants for scope in variant.scopes)
        held = Near((scope, scope) for scope in parts)
        for variant in route.variants:
            beside = [one for scope in variant.scopes for one in held.of(scope) if one not in variant.scopes]
            narrower = [one for scope in variant.scopes for one in routed.of(scope) if one != route.scope]
            beside += [one for one in narrower if route.scope.covers(one)]
            if not any(_is_meant(scope, variant.scopes) for scope in beside):
                yield route, variant.settings.gate


def _is_meant(scope: Scope, scopes: Sequence[Scope]) -> bool:
    """Tell whether who writes all of these means requests of that scope too: only case sets them apart."""
    return any(map(scope.caseless.covers, scopes)) and all(map(scope.meets, scopes))


def _restricts(policy: Policy) -> bool:
    settings = policy.apply(Settings())
    return settings.gate.is_guarded or settings.max_body is not None
