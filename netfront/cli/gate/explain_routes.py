"""`--explain` of what a gateway has beside forwarding."""

from collections.abc import Iterator, Mapping

from netfront.cli.gate.compose import explain_composition
from netfront.cli.gate.guards import guarded, guarded_hosts
from netfront.cli.gate.open_ways import open_ways
from netfront.cli.plan import RoutePlan, ServePlan, Settings
from netfront.wire.target import Target

__all__ = ["explain_answer", "explain_guarded", "is_guarded"]


def is_guarded(plan: ServePlan, host: bytes) -> bool:
    """Tell whether requests to a host are forwarded normalised."""
    test = guarded(plan.rules)
    return test is not None and test(host)


def explain_guarded(plan: ServePlan) -> Iterator[tuple[str, str]]:
    """Tell at which hosts paths are normalised, and by which paths what is guarded is reached without."""
    hosts = guarded_hosts(plan.rules)
    if hosts:
        where = "" if hosts == ("",) else f" of {', '.join(hosts)}"
        yield "paths", f"those{where} are forwarded normalised, as rules guard some; what cannot be is 400"
    for way in open_ways(plan):
        yield "open", way


def explain_answer(
    route: RoutePlan,
    params: Mapping[str, bytes] | None = None,
    settings: Settings | None = None,
    target: Target | None = None,
) -> Iterator[tuple[str, str]]:
    """Tell what we answer by ourselves.

    Args:
        settings: those that hold; None for those of the route.
        params, target: of the request, where there is one.
    """
    answer = route.answer
    if answer is None:
        return
    if answer.respond is not None:
        text = answer.respond.text.encode(errors="surrogateescape")
        said = f", {len(text)} bytes of {answer.respond.content_type}" if text else ""
        yield "answer", f"{answer.respond.status}{said}, by ourselves"
    if answer.compose is not None:
        yield from explain_composition(answer.compose, settings or route.settings)
    if answer.redirect is not None:
        url = answer.redirect.url
        place = url.text
        if params is not None and target is not None:
            place = answer.redirect.place(target, params).decode("latin-1")
        yield "answer", f"{answer.redirect.status}: to {place}"
