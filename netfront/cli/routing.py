"""Routes and pools: from the arguments of a command line to its RoutePlans and PoolPlans."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from netfront.cli.argv import Word, as_word, path_in, path_of
from netfront.cli.faults import Faults
from netfront.cli.flags import ProxyFlags
from netfront.cli.grammar import RouteArg, TargetArg, parse_argument
from netfront.cli.plan import BackendTlsPlan, ListenerPlan, PoolPlan, RoutePlan, Settings, TargetPlan
from netfront.cli.policies import Policy, settle
from netfront.endpoint import Endpoint, is_loopback_name
from netfront.errors import UsageError
from netfront.policy.route import Scope, parse_scope

__all__ = ["plan_routes", "read_arguments"]

_EVERYTHING = parse_scope("/")


@dataclass(slots=True)
class _Service:
    """The targets of one scope, on one listener or on all."""

    scope: Scope
    listener: int | None
    name: str
    targets: list[TargetPlan] = field(default_factory=list)


def read_arguments(flags: ProxyFlags, faults: Faults) -> list[tuple[Word, RouteArg]]:
    """Read the targets and routes of a command line."""
    args = []
    for text in (*(flags.targets or ()), *(flags.to or ())):
        word = as_word(text)
        try:
            args.append((word, parse_argument(word)))
        except UsageError as error:
            faults.take(error, word=word)
    return args


def plan_routes(
    args: Sequence[tuple[Word, RouteArg]],
    listeners: Sequence[ListenerPlan],
    flags: ProxyFlags,
    policies: Sequence[Policy],
    defaults: Settings,
    faults: Faults,
) -> tuple[tuple[RoutePlan, ...], tuple[PoolPlan, ...]]:
    """Make the routes, and a pool for each; what is given for the same scope twice comes together.

    Args:
        defaults: the settings where no policy says otherwise.
    """
    services: dict[tuple[str, int | None], _Service] = {}
    for word, arg in args:
        scope = arg.scope or _EVERYTHING
        targets = [_plan_target(word, target, flags, faults) for target in arg.targets]
        for index in _listeners_of(word, arg, listeners, faults):
            name = str(scope) if index is None else f":{arg.port}{'' if arg.scope is None else arg.scope}"
            service = services.setdefault((str(scope), index), _Service(scope, index, name))
            _add_targets(word, service, targets, faults)
    routes = []
    for service in services.values():
        held = [policy for policy in policies if not _is_taken(policy, service, services.values())]
        settings, variants = settle(service.scope, held, defaults, faults)
        routes.append(RoutePlan(service.scope, service.name, service.listener, settings, variants))
    routes.sort(key=lambda route: route.listener is None)  # a listener's own route comes before one for all
    pools = {service.name: tuple(service.targets) for service in services.values()}
    return tuple(routes), tuple(PoolPlan(name, targets) for name, targets in pools.items())


def _is_taken(policy: Policy, service: _Service, services: Iterable[_Service]) -> bool:
    """Tell whether every request of a policy's scope goes to a more specific route than this one."""
    scope = policy.scope
    return scope is not None and any(
        service.scope.covers(other.scope)
        and other.scope.covers(scope)
        and (other.scope.host, other.scope.segments) != (service.scope.host, service.scope.segments)
        and other.listener in (None, service.listener)
        for other in services
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


def _add_targets(word: Word, service: _Service, targets: Sequence[TargetPlan], faults: Faults) -> None:
    known = {target.endpoint for target in service.targets}
    for target in targets:
        if target.endpoint in known:
            why = f"{target.endpoint.url} is twice in {service.name}"
            faults.add(word, why, "give it once, with +weight=2 for twice its share", word=word)
        known.add(target.endpoint)
        service.targets.append(target)


def _plan_target(word: Word, target: TargetArg, flags: ProxyFlags, faults: Faults) -> TargetPlan:
    endpoint = _dialled(word, target.endpoint, faults)
    is_https = endpoint.scheme == "https"
    if not is_https:
        for key, is_given in (("sni", target.sni), ("insecure", target.insecure), ("ca", target.ca)):
            if is_given:
                faults.add(word, f"+{key} has no effect", f"{target.endpoint} is not https://", word=word)
    if target.proxy and endpoint.is_demo:
        faults.add(word, "+proxy has no effect", "demo: is not dialled", word=word)
    authority = endpoint.authority or "localhost"
    return TargetPlan(
        endpoint=endpoint,
        label=target.name or endpoint.url,
        authority=authority,
        host=_host(target, endpoint, authority, flags.change_host_header),
        weight=target.weight,
        backup=target.backup,
        proxy=target.proxy,
        tls=_backend_tls(word, target, endpoint, flags) if is_https else None,
    )


def _dialled(word: Word, endpoint: Endpoint, faults: Faults) -> Endpoint:
    """Make everything explicit that a target left open."""
    if endpoint.path is not None:
        return replace(endpoint, scheme="http", path=path_in(word, endpoint.path))
    if endpoint.scheme not in ("", "http", "https", "demo"):
        why = f"{endpoint.scheme}:// is not spoken to backends here"
        faults.add(word, why, "a target is http://, https://, unix:FILE or demo:", word=word)
    return replace(endpoint, scheme=endpoint.scheme or "http")


def _host(target: TargetArg, endpoint: Endpoint, authority: str, change: bool | None) -> str | None:
    """Find what Host is set to: what the target says, else the flag, else a name that is surely not ours.

    A server on this machine is asked for by the name its users know; one elsewhere answers to its own.
    """
    if target.host == "keep":
        return None
    if target.host == "target":
        return authority
    if target.host is not None:
        return target.host
    if endpoint.is_demo:
        return None  # it has no name that Host could be changed to
    if change is None:
        change = endpoint.scheme == "https" and not is_loopback_name(endpoint.host)
    return authority if change else None


def _backend_tls(word: Word, target: TargetArg, endpoint: Endpoint, flags: ProxyFlags) -> BackendTlsPlan:
    return BackendTlsPlan(
        server_name=target.sni or flags.backend_name or endpoint.host,
        ca=path_in(word, target.ca) if target.ca else path_of(flags.backend_ca),
        cert=path_of(flags.backend_cert),
        key=path_of(flags.backend_key),
        insecure=target.insecure or flags.insecure,
    )
