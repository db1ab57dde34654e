"""--cors, --secure-headers and --request-id: from their text to plans, and to words for --explain."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.edge_plan import CorsPlan, EdgePlan
from netfront.cli.gate.optioned import read_option
from netfront.cli.gate.plan import GatePlan
from netfront.cli.plan import RoutePlan, Settings
from netfront.cli.scoped import Policy, read_values, refuse_twice
from netfront.errors import UsageError
from netfront.units import parse_duration, render_duration

__all__ = ["check_cors", "edge_policies", "explain_cors", "explain_edges", "parse_cors", "plan_edges"]

_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::\d{1,5})?"
)
_USUAL = {"http": ":80", "https": ":443"}
_DAY = 86400.0
_OF_CORS = frozenset(
    f"access-control-{name}"
    for name in (
        "allow-origin",
        "allow-credentials",
        "allow-methods",
        "allow-headers",
        "allow-private-network",
        "max-age",
    )
)


def edge_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --cors."""
    read = read_values("--cors", flags.cors, parse_cors, _set_cors, faults)
    yield from refuse_twice(
        read, "name all origins in one, as in https://a.example,https://b.example", faults
    )


def plan_edges(command: str, flags: ServeFlags) -> EdgePlan:
    """Read what holds for all messages; other commands than gateway leave them as they are."""
    if command != "gateway":
        return EdgePlan()
    return EdgePlan(flags.request_id, flags.secure_headers)


def _set_cors(plan: CorsPlan, settings: Settings) -> Settings:
    return replace(settings, gate=replace(settings.gate, cors=plan))


def _parse_age(text: str) -> float:
    return parse_duration(text, least=0, most=_DAY)


def parse_cors(text: str) -> CorsPlan:
    """Read 'ORIGIN,…[,credentials][,max-age=TIME]'.

    Raises:
        UsageError: no origin, or any origin with credentials.
    """
    plan = CorsPlan(())
    for word in text.split(","):
        word = word.strip()
        if word == "credentials":
            plan = replace(plan, credentials=True)
        elif word.startswith("max-age="):
            plan = replace(plan, max_age=int(read_option("max-age", word[8:], _parse_age)))
        else:
            plan = replace(plan, origins=(*plan.origins, _parse_origin(text, word)))
    if not plan.origins:
        raise UsageError.of(text, "no origin", "as in https://app.example, or * for any")
    if "*" in plan.origins and plan.credentials:
        why = "any origin with credentials: every page could act as whoever is logged in"
        raise UsageError.of(text, why, "name the origins, or leave credentials off")
    return plan


def _parse_origin(text: str, given: str) -> str:
    origin = given.lower()
    if origin == "*":
        return origin
    if origin == "null":
        why = "null is the origin of any sandboxed page"
        raise UsageError.of(text, why, "serve the page from an origin of its own")
    if _ORIGIN.fullmatch(origin) is None:
        hint = "an origin is a scheme, a host and perhaps a port, as in https://app.example"
        if "://" in origin and "/" in origin.partition("://")[2]:
            hint = f"did you mean {'/'.join(origin.split('/')[:3])}"
        elif origin and "://" not in origin and "=" not in origin:
            hint = f"did you mean https://{origin}"
        raise UsageError.of(text, f"{given!r} is no origin", hint)
    scheme = origin.partition(":")[0]
    return origin.removesuffix(_USUAL.get(scheme, "\0"))


def check_cors(routes: Iterable[RoutePlan], faults: Faults) -> None:
    """Refuse what --response-header says of origins where --cors says it."""
    replaced: set[str] = set()
    stays: set[str] = set()
    for route in routes:
        for settings in (route.settings, *(variant.settings for variant in route.variants)):
            named = {edit.name.decode().lower() for edit in settings.response_edits if edit.values}
            (stays if settings.gate.cors is None else replaced).update(named & _OF_CORS)
    for name in sorted(replaced - stays):
        faults.add(f"--response-header {name}", "it has no effect", "--cors says it in answers there")


def explain_cors(gate: GatePlan) -> Iterator[tuple[str, str]]:
    """Tell whose scripts may read the answers of a route."""
    plan = gate.cors
    if plan is not None:
        whose = "any origin" if "*" in plan.origins else ", ".join(plan.origins)
        credentials = " with credentials" if plan.credentials else ""
        age = render_duration(float(plan.max_age))
        yield "cors", f"{whose}{credentials}; preflights are answered here, for {age}"


def explain_edges(plan: EdgePlan) -> Iterator[tuple[str, str]]:
    """Tell what is done to all messages."""
    if plan.request_id:
        yield "tell", "X-Request-Id, also to the client; kept from trusted proxies alone"
    if plan.secure_headers:
        yield "answer", "fields that have browsers protect users, where the backend sets none"
