"""Routes and pools: from the arguments of a command line to its RoutePlans and PoolPlans."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from netfront.cli.argv import Word, as_word
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.compose import read_compositions
from netfront.cli.gate.plan import NO_GATE, AnswerPlan
from netfront.cli.gate.routes import AnswerArg, read_answers, read_matches
from netfront.cli.grammar import RouteArg, parse_argument
from netfront.cli.plan import (
    BalancePlan,
    LbPlan,
    ListenerPlan,
    PoolPlan,
    RoutePlan,
    Settings,
    TargetPlan,
)
from netfront.cli.policies import settle
from netfront.cli.scoped import Policy
from netfront.cli.targets import NO_TLS, is_spoken_over_tls, plan_target
from netfront.errors import UsageError
from netfront.policy.condition import Condition
from netfront.policy.route import goes_first
from netfront.policy.scope import Near, Scope, parse_scope, with_head

__all__ = ["plan_routes", "read_arguments"]

_EVERYTHING = parse_scope("/")
_KINDS = {"http": "http", "https": "http", "h2c": "http", "demo": "http", "tcp": "tcp", "tls": "tcp", "udp": "udp",
          "srv+https": "http", "srv+tls": "tcp"}  # fmt: skip
"""Which kind of listener the scheme of a target is for; the others go by the listener."""


@dataclass(slots=True)
class _Service:
    """The targets of one scope, on one listener or on all; or what is answered there by ourselves."""

    scope: Scope
    listener: int | None
    kind: str
    name: str
    targets: list[TargetPlan] = field(default_factory=list)
    condition: Condition | None = None
    answer: AnswerPlan | None = None


def read_arguments(flags: ServeFlags, faults: Faults) -> list[tuple[Word, RouteArg]]:
    """Read the targets and routes of a command line."""
    args = []
    for text in (*(flags.targets or ()), *(flags.to or ())):
        word = as_word(text)
        try:
            args.append((word, parse_argument(word)))
        except UsageError as error:
            faults.take(error, word=word)
    return args + read_matches(flags, faults)


def plan_routes(
    command: str,
    args: Sequence[tuple[Word, RouteArg]],
    listeners: Sequence[ListenerPlan],
    flags: ServeFlags,
    policies: Sequence[Policy],
    defaults: Settings,
    faults: Faults,
) -> tuple[tuple[RoutePlan, ...], tuple[PoolPlan, ...], bool]:
    """Make the routes, and a pool for each; what is given for the same scope twice comes together.

    Args:
        defaults: the settings where no policy says otherwise.
    Returns:
        also whether one is lost, for which there is no listener.
    """
    lost = False
    is_part = sum(arg.condition is None for _, arg in args) < len(flags.targets or ()) + len(flags.to or ())
    services: dict[tuple[object, ...], _Service] = {}
    kinds = list(dict.fromkeys(listener.kind for listener in listeners))
    for word, arg in args:
        scope = arg.scope or _EVERYTHING
        indices = _listeners_of(word, arg, listeners, faults)
        lost = lost or not indices
        kinds_there = {listeners[index].kind for index in indices if index is not None}
        for index in indices:
            kind = listeners[index].kind if index is not None else _kind_of(command, word, arg, kinds, faults)
            if kind is None or not _fits(word, scope, kind, faults):
                lost = True
                continue
            if arg.condition is not None and kind != "http" and "http" in kinds:
                why = f"{kind}:// has no requests that could carry it"
                faults.add(word, why, "give it targets of http://", word=word)
                lost = True
                continue
            targets = [plan_target(word, target, kind, flags, faults) for target in arg.targets]
            name = str(scope) if index is None else f":{arg.port}{'' if arg.scope is None else arg.scope}"
            if len(kinds) > 1 if index is None else len(kinds_there) > 1:
                name = f"{kind} {name}"
            if arg.condition is not None:
                name = f"{name} {arg.condition}"
            key = str(scope), index, kind, arg.condition
            service = services.setdefault(key, _Service(scope, index, kind, name, condition=arg.condition))
            service.targets += targets  # who is named twice counts once; the pool's members say so
    answers: list[AnswerArg] = []
    for answer in (*read_answers(flags, faults), *read_compositions(flags, faults)):
        if "http" not in kinds:
            faults.add(
                answer.given, "no listener is for requests", "add --listen http://:PORT", word=answer.word
            )
            lost = True
        service = _Service(answer.served, None, "http", str(answer.served), answer=answer.plan)
        services[str(answer.served), None, "http", answer.given] = service
        answers.append(answer)
    _refuse_answered(answers, services.values(), faults)
    _refuse_alike(services.values(), faults)
    routes, pools = [], []
    heeded: list[BalancePlan] = []
    held = _policies_of(services.values(), policies)
    for service in sorted(services.values(), key=lambda service: service.kind != "http"):
        settings, variants = settle(service.scope, held[id(service)], defaults, faults)
        if service.kind == "http":
            heeded += [settings.balance, *(variant.settings.balance for variant in variants)]
        else:
            settings = _for_bytes(service, settings, heeded, faults)
            variants = tuple(
                replace(variant, settings=_for_bytes(service, variant.settings, heeded, faults))
                for variant in variants
            )
        pool = service.name if service.answer is None else None
        routes.append(
            RoutePlan(
                service.scope,
                pool,
                service.kind,
                service.listener,
                settings,
                variants,
                service.answer,
                service.condition,
            )
        )
        if pool is not None:
            pools.append(PoolPlan(pool, tuple(service.targets), settings.balance))
        _check_pool(service, settings, faults, is_part=is_part)
    routes.sort(key=lambda route: route.listener is None)  # a listener's own route comes before one for all
    return tuple(routes), _tell_cookies_apart(pools), lost


def _tell_cookies_apart(pools: Iterable[PoolPlan]) -> tuple[PoolPlan, ...]:
    """Have sticky pools of other backends go by other cookies: else each would undo what the others have set.

    The first of a name keeps it; what is added to the others goes by the scope of their route. So those that are there
    stay as they are where another comes behind them.
    """
    told = []
    owners: dict[str, dict[frozenset[object], str]] = {}
    for pool in pools:
        lb = pool.balance.lb
        if lb.policy == "sticky":
            names = owners.setdefault(lb.key, {})
            backends = frozenset(target.identity for target in pool.targets)
            added = f"-{sha256(pool.name.encode()).hexdigest()[:8]}" if names else ""
            key = names.setdefault(backends, lb.key + added)
            pool = replace(pool, balance=replace(pool.balance, lb=replace(lb, key=key)))
        told.append(pool)
    return tuple(told)


def _refuse_answered(answers: Iterable[AnswerArg], services: Iterable[_Service], faults: Faults) -> None:
    """Refuse scopes that are forwarded too, or answered twice."""
    forwarding = [service for service in services if service.kind == "http" and service.answer is None]
    forwarded = {service.scope.meant: service.scope for service in forwarding if service.condition is None}
    matches = [service for service in forwarding if service.condition is not None]
    answered: set[object] = set()
    for answer in answers:
        if answer.served.meant in answered:
            faults.add(answer.given, f"{answer.scope} is answered twice", "give it once", word=answer.word)
        answered.add(answer.served.meant)
        scope = forwarded.get(answer.scope.meant) or forwarded.get(answer.served.meant)
        if scope is not None:
            value = " = …" if answer.plan.compose is not None else ": …"
            hint = f"to forward only what lies below, write '{answer.served}{value}'"
            if answer.scope.is_exact or scope.is_exact:
                hint = "give it once"
            why = f"{answer.scope} is forwarded, and answered by ourselves"
            faults.add(answer.given, why, hint, word=answer.word)
        _refuse_unasked(answer, matches, faults)


def _refuse_unasked(answer: AnswerArg, matches: Iterable[_Service], faults: Faults) -> None:
    """Refuse conditions of a scope that is answered by ourselves before anybody asks for them.

    What is exact goes before prefixes, and what names methods before what does not; else conditions go first.
    """
    alike = answer.scope.meant, replace(answer.scope, is_exact=True).meant
    place = replace(answer.scope, methods=(), is_exact=False).meant
    methods = answer.served.methods
    for match in matches:
        scope = match.scope
        is_unasked = scope.meant in alike and not (scope.is_exact and (scope.methods or not methods))
        if scope.methods and not scope.is_exact and replace(scope, methods=()).meant == place:
            is_unasked = not methods or with_head(scope.methods) <= with_head(methods)
        if is_unasked:
            first = replace(scope, is_exact=True, methods=scope.methods or methods)
            why = f"{scope} is forwarded where {match.condition} holds, and answered by ourselves before that"
            hint = f"to ask for that first, write --match '{first}: {match.condition} => …'"
            faults.add(answer.given, why, hint, word=answer.word)


def _refuse_alike(services: Iterable[_Service], faults: Faults) -> None:
    """Refuse routes of which only one could ever serve: they match the same requests, or others have all methods."""
    known: dict[object, Scope] = {}
    taken: dict[object, dict[str, Scope]] = {}
    for service in services:
        if service.kind != "http":
            continue
        scope = service.scope
        first = known.setdefault((service.listener, scope.meant), scope)
        if str(first) != str(scope):
            what, why = f"the routes {first} and {scope}", "they match the same requests"
            faults.add(what, why, f"write {first} for both, or give one of them")
        elif scope.methods and service.condition is None and service.answer is None:
            place = tuple("{}" if segment.startswith("{") else segment for segment in scope.segments)
            before = taken.setdefault((service.listener, scope.host, place, scope.is_exact), {})
            owners = [before.setdefault(method, scope) for method in sorted(with_head(scope.methods))]
            if scope not in owners:
                names = " and ".join(dict.fromkeys(map(str, owners)))
                why = f"no request gets there: its methods belong to {names}, which was given before"
                faults.add(f"the route {scope}", why, "give the narrower one first")


def _kind_of(command: str, word: Word, arg: RouteArg, kinds: Sequence[str], faults: Faults) -> str | None:
    """Find which kind of listener a route belongs to: as its targets say, else as there is but one kind."""
    said = {_KINDS.get(target.endpoint.scheme) for target in arg.targets} - {None}
    if len(said) > 1:
        faults.add(word, "its targets are of different kinds", "give each kind a route of its own", word=word)
        return None
    if not said:
        if len(kinds) > 1:
            hint = f"write {kinds[0]}://… or :PORT=…, or a scheme for each target"
            faults.add(word, f"the listeners are of several kinds: {', '.join(kinds)}", hint, word=word)
            return None
        return kinds[0]
    kind = said.pop()
    assert kind is not None
    if (
        kind not in kinds
        and set(kinds) == {"udp"}
        and any(is_spoken_over_tls(one.endpoint) for one in arg.targets)
    ):
        faults.add(word, NO_TLS, f"write host:PORT, or add --listen {kind}://:PORT", word=word)
        return None
    if kind not in kinds:
        hint = f"add --listen {kind}://:PORT" if command != "proxy" else "netfront balance listens on it"
        faults.add(word, f"no listener is for {kind}://", hint, word=word)
        return None
    return kind


def _fits(word: Word, scope: Scope, kind: str, faults: Faults) -> bool:
    """Tell whether routes of this kind can have such a scope: bytes have no method and no path."""
    if kind == "http" or not (scope.methods or scope.segments or scope.is_exact):
        if kind == "udp" and scope.host:
            faults.add(
                word, "udp has no names to route by", "give each udp:// listener its own: :PORT=…", word=word
            )
            return False
        return True
    faults.add(
        word, f"{kind}:// has neither methods nor paths", "route by host alone, as in a.example=…", word=word
    )
    return False


def _check_pool(service: _Service, settings: Settings, faults: Faults, *, is_part: bool) -> None:
    """Refuse what a pool cannot be.

    Args:
        is_part: whether it may have targets that could not be read.
    """
    if service.targets and all(target.backup for target in service.targets) and not is_part:
        faults.add(f"the backends of {service.name}", "all are +backup", "leave it off one of them")
    balance = settings.balance
    health = balance.health
    if health is not None and health.body is not None and health.kind != "http":
        why = "there is no --health" if not health.kind else f"--health {health.kind} gets no body"
        faults.add("--health-body", why, "add --health PATH")


def _for_bytes(
    service: _Service, settings: Settings, heeded: Sequence[BalancePlan], faults: Faults
) -> Settings:
    """Give the settings of a route whose requests nobody reads.

    What only requests can be picked or probed by is for the routes of requests, if there are any that heed it.
    """
    balance = settings.balance
    lb, health = balance.lb, balance.health
    if lb.policy == "sticky" or (lb.policy == "hash" and lb.key != "ip"):
        if not any(other.lb == lb for other in heeded):
            hint = "bytes can be hashed by ip alone: --lb hash:ip"
            faults.add(f"--lb {lb}", f"{service.name} is {service.kind}://", hint)
        balance = replace(balance, lb=LbPlan())
    if health is not None and health.port is None and any(other.health == health for other in heeded):
        balance = replace(balance, health=None)
    elif health is not None and health.port is None and health.kind and service.kind == "udp":
        faults.add(
            f"--health {health}", f"{service.name} is udp://", f"name a port that takes TCP: {health},port=N"
        )
    return replace(settings, balance=balance, gate=NO_GATE)


def _policies_of(services: Collection[_Service], policies: Sequence[Policy]) -> dict[int, list[Policy]]:
    """Give the policies that say something of each service, by its id."""
    held: dict[int, list[Policy]] = {id(service): [] for service in services}
    near = Near((service.scope, service) for service in services)
    for policy in policies:
        scope, met = policy.scope, near.of(policy.scope)
        takers = [
            other
            for other in met
            if scope is not None and other.condition is None and other.scope.covers(scope)
        ]
        for service in met:
            if _is_for(policy, service, services) and not _is_taken(service, takers):
                held[id(service)].append(policy)
    return held


def _is_for(policy: Policy, service: _Service, services: Iterable[_Service]) -> bool:
    """Tell whether a policy may say anything of a route of this kind."""
    scope = policy.scope
    if service.kind == "http" or scope is None:
        return True
    if scope.methods or scope.segments or scope.is_exact:
        return False
    return scope.host == service.scope.host or not any(
        other.kind == "http" and other.scope.host == scope.host for other in services
    )


def _is_taken(service: _Service, takers: Iterable[_Service]) -> bool:
    """Tell whether every request of a policy's scope goes to a more specific route than this one.

    Args:
        takers: the routes that cover that scope.
    """
    return any(
        other.kind == service.kind
        and service.scope.covers(other.scope)
        and (other.scope.host != service.scope.host or goes_first(other.scope, service.scope))
        and other.listener in (None, service.listener)
        for other in takers
    )


def _listeners_of(
    word: Word, arg: RouteArg, listeners: Sequence[ListenerPlan], faults: Faults
) -> list[int | None]:
    if arg.port is None:
        return [None]
    serving = [index for index, listener in enumerate(listeners) if listener.redirects_to is None]
    found: list[int | None] = [index for index in serving if listeners[index].endpoint.port == arg.port]
    if not found:
        faults.add(word, f"nothing listens on port {arg.port}", f"add --listen :{arg.port}", word=word)
    return found
