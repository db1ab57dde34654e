"""From the flags of a serving command to its ServePlan, with all that is wrong told at once.

Everything that needs no I/O is checked: each value here and in the files that read it, in consistency.py what does not
fit together. Files are named in the plan and read by those that use them.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import Any, TypeVar

from netfront.cli.argv import path_of
from netfront.cli.consistency import find_contradictions, refuse_local_hsts
from netfront.cli.faults import Faults, nearest
from netfront.cli.flags import ServeFlags, flag_of
from netfront.cli.gate.compose import parse_memory
from netfront.cli.gate.compose_plan import DEFAULT_MEMORY
from netfront.cli.gate.edge_plan import DEFAULT_MAX_BODY
from netfront.cli.gate.edges import plan_edges
from netfront.cli.gate.guards import ruling
from netfront.cli.gate.outpools import outward_pools, ways_of
from netfront.cli.gate.redis import plan_redis
from netfront.cli.gate.routes import make_routes
from netfront.cli.grammar import parse_secret
from netfront.cli.listening import plan_hosts, plan_listeners, plan_tls
from netfront.cli.plan import (
    DRAIN,
    LOG_FORMATS,
    LimitsPlan,
    ListenerPlan,
    LogPlan,
    ReadyPlan,
    ServePlan,
    Settings,
    TellPlan,
)
from netfront.cli.policies import in_order, read_policies
from netfront.cli.routing import plan_routes, read_arguments
from netfront.endpoint import parse_resolver
from netfront.errors import Fault
from netfront.policy.networks import parse_network
from netfront.units import parse_count, parse_duration, parse_size, render_size

__all__ = ["plan_serving"]

_T = TypeVar("_T")
_D = TypeVar("_D")
_HOUR, _DAY = 3600.0, 86400.0
_SPANS = {
    "head_timeout": (0.1, _HOUR),
    "handshake_timeout": (0.1, _HOUR),
    "idle_timeout": (0.1, _DAY),
    "body_timeout": (0.1, _HOUR),
    "send_timeout": (0.1, _HOUR),
    "connect_timeout": (0.01, 300.0),
    "read_timeout": (0.1, _DAY),
    "stream_timeout": (0.1, 30 * _DAY),
    "backend_idle_timeout": (0.1, _DAY),
    "udp_timeout": (0.1, _DAY),
}
_ENDLESS = frozenset({"read_timeout", "stream_timeout"})
"""Time-outs that may be "none": a backend may think for ever, a client may not."""
_SIZES = {"max_line": (256, 2**20), "max_field": (256, 2**20), "max_head": (1024, 2**22)}
_NO_TARGET = {
    "proxy": "name what to put it in front of, as in: netfront proxy 3000",
    "balance": "name the backends, as in: netfront balance 3001-3003",
    "gateway": "name a service, as in: netfront gateway /users=:3001",
}
_COUNTS = {"max_fields": (8, 10_000), "max_connections": (1, 10**6), "max_per_address": (1, 10**6)}


def plan_serving(
    command: str,
    flags: ServeFlags,
    earlier: Sequence[Fault] = (),
    look: Callable[[ServePlan], Iterable[Fault]] | None = None,
) -> ServePlan:
    """Make the plan of a serving command.

    Args:
        command: "proxy", "balance" or "gateway".
        earlier: faults of the command line that are known already.
        look: finds faults in the files of a plan; asked only if there are others to be told with them.
    Raises:
        UsageError: of everything that is wrong.
    """
    faults = Faults(earlier)
    args = read_arguments(flags, faults)
    if not args and not make_routes(flags) and not faults:
        read = f" in {', '.join(flags.files)}" if flags.files else ""
        faults.add(f"no target{read}", hint=_NO_TARGET[command])
    is_partial = bool(faults)
    listeners = plan_listeners(command, flags, faults)
    policies = read_policies(flags, faults)
    routes, pools, lost = plan_routes(
        command, args, listeners, flags, policies, _defaults(command, listeners), faults
    )
    pools = (*pools, *outward_pools(ways_of(routes), flags))
    if (
        not is_partial and not lost
    ):  # with a route unread, one more message on what it would have served only misleads
        find_contradictions(command, flags, policies, listeners, routes, pools, faults)
    routed = list(dict.fromkeys(route.scope.host for route in routes if route.scope.host))
    plan = ServePlan(
        command=command,
        listeners=listeners,
        routes=routes,
        pools=pools,
        tls=plan_tls(command, flags, listeners, routed, faults),
        limits=_limits(flags, faults),
        tell=_tell(flags, faults),
        host=plan_hosts(flags, routed, faults),
        log=_log(flags, faults),
        ready=_ready(flags, faults),
        sticky_key=_read("sticky_key", flags.sticky_key, parse_secret, None, faults),
        edges=plan_edges(command, flags),
        redis=plan_redis(flags, faults),
        redis_down=flags.redis_down or "local",
        compose_memory=_read("compose_memory", flags.compose_memory, parse_memory, DEFAULT_MEMORY, faults),
        session_key=_read("session_key", flags.session_key, parse_secret, None, faults),
        resolver=_read("resolver", flags.resolver, parse_resolver, None, faults),
        files=flags.files,
        rules=ruling(in_order(policies)),
        drain=_time("drain", flags.drain, 0.0, _HOUR, DRAIN, faults),
        debug=flags.debug,
    )
    refuse_local_hsts(plan, routed, faults)
    if faults and look is not None:
        for fault in look(plan):
            faults.add(fault.what, fault.why, fault.hint)
    faults.raise_any()
    return plan


def _defaults(command: str, listeners: Iterable[ListenerPlan]) -> Settings:
    """A backend that only this machine's people use may think as long as it likes: a debugger may hold it."""
    is_local = all(listener.is_loopback for listener in listeners if listener.redirects_to is None)
    if command == "gateway":
        return Settings(usual_body=DEFAULT_MAX_BODY)
    return Settings(timeout=inf) if is_local and command == "proxy" else Settings()


def _limits(flags: ServeFlags, faults: Faults) -> LimitsPlan:
    given: dict[str, Any] = {}
    for name, (least, most) in _SPANS.items():
        default = getattr(LimitsPlan(), name)
        given[name] = _time(name, getattr(flags, name), least, most, default, faults, none=name in _ENDLESS)
    for name, (smallest, largest) in _SIZES.items():
        parse = partial(parse_size, least=smallest, most=largest)
        given[name] = _read(name, getattr(flags, name), parse, getattr(LimitsPlan(), name), faults)
    for name, (fewest, highest) in _COUNTS.items():
        count = partial(parse_count, least=fewest, most=highest)
        given[name] = _read(name, getattr(flags, name), count, getattr(LimitsPlan(), name), faults)
    _fit(given, flags)
    limits = LimitsPlan(**given)
    for name in ("max_line", "max_field"):
        part = getattr(limits, name)
        if part > limits.max_head:
            what = f"{flag_of(name)} {render_size(part)}"
            faults.add(
                what, f"more than --max-head, which is {render_size(limits.max_head)}", "raise --max-head too"
            )
    return limits


def _fit(sizes: dict[str, Any], flags: ServeFlags) -> None:
    """Fit the defaults to what was given: a head has room for its line and a field, and they are no longer than it."""
    if flags.max_head is None:
        sizes["max_head"] = max(sizes["max_head"], sizes["max_line"] + sizes["max_field"])
    for name in ("max_line", "max_field"):
        if getattr(flags, name) is None:
            sizes[name] = min(sizes[name], sizes["max_head"])


def _tell(flags: ServeFlags, faults: Faults) -> TellPlan:
    networks = [faults.read("--trust-proxy", text, _parse_network, "") for text in flags.trust_proxy or ()]
    if flags.accept_proxy and not flags.trust_proxy:
        faults.add(
            "--accept-proxy", "nobody is trusted to send a PROXY line", "name them: --trust-proxy 127.0.0.1"
        )
    return TellPlan(
        trust_proxy=tuple(networks),
        forwarded=flags.forwarded,
        via=flags.via,
        keep_server=flags.keep_server,
        hsts=_read("hsts", flags.hsts, _parse_age, None, faults),
        backend=flags.backend_header,
    )


def _log(flags: ServeFlags, faults: Faults) -> LogPlan:
    if flags.json and flags.access_log == "-":
        faults.add("--access-log -", "stdout carries the events of --json", "write the log to a file")
    if flags.quiet and flags.verbose:
        faults.add("--verbose", "it contradicts --quiet", "give one of them")
    for name in ("json", "quiet", "verbose"):
        if flags.live and getattr(flags, name):
            faults.add("--live", f"it contradicts --{name}", "give one of them")
    if flags.log_format is not None:
        if flags.log_format not in LOG_FORMATS:
            what = f"--log-format {flags.log_format}"
            faults.add(what, "no such format", nearest(flags.log_format, LOG_FORMATS), word=flags.log_format)
        elif flags.access_log is None:
            faults.add(f"--log-format {flags.log_format}", "there is no log", "add --access-log FILE")
    is_stdout = flags.access_log in (None, "-")
    return LogPlan(
        access_log=flags.access_log if is_stdout else path_of(flags.access_log),
        access_format=flags.log_format or LogPlan().access_format,
        verbose=flags.verbose,
        quiet=flags.quiet,
        json=flags.json,
        live=flags.live,
        color=flags.color,
    )


def _ready(flags: ServeFlags, faults: Faults) -> ReadyPlan:
    descriptor = _read("ready_fd", flags.ready_fd, partial(parse_count, least=3, most=65535), None, faults)
    return ReadyPlan(path_of(flags.port_file), descriptor)


def _parse_network(text: str) -> str:
    return str(parse_network(text))


def _parse_age(text: str) -> int:
    most = 10 * 365 * _DAY
    return int(parse_duration(f"{text}s" if text.isdigit() else text, least=0, most=most))


def _time(
    name: str,
    text: str | None,
    least: float,
    most: float,
    default: float,
    faults: Faults,
    *,
    none: bool = False,
) -> float:
    return _read(name, text, partial(parse_duration, least=least, most=most, none=none), default, faults)


def _read(name: str, text: str | None, parse: Callable[[str], _T], default: _D, faults: Faults) -> _T | _D:
    return default if text is None else faults.read(flag_of(name), text, parse, default)
