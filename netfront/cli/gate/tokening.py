"""The methods that ask others. What goes by signed tokens is made only where a plan has it: its library takes 75 ms."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from netfront.cli.gate.auth import gates, methods_of
from netfront.cli.gate.auth_url import AuthUrlPlan
from netfront.cli.gate.guarding import AddressOf, Makers, admission
from netfront.cli.gate.limiting import Limiting
from netfront.cli.gate.oidc import OidcPlan, is_at
from netfront.cli.gate.outward import Outward
from netfront.cli.gate.plan import GatePlan
from netfront.cli.gate.restrictions import MethodPlan
from netfront.cli.gate.tokens import JwtPlan
from netfront.cli.plan import ServePlan
from netfront.filters.ask_auth import AskAuth
from netfront.filters.authenticate import Method
from netfront.filters.hide_sessions import hide_sessions, without_sessions
from netfront.http.ask import ask
from netfront.http.message import Answer, Filter, Request
from netfront.net.lane import clock
from netfront.net.tasks import Tasks
from netfront.wire.fields import Fields

if TYPE_CHECKING:
    from netfront.cli.gate.issuers import Tokens

__all__ = ["hiding_sessions", "logging_in", "token_makers", "tokens_of"]

_MOST_BODY = 65_536
"""Bytes of an answer of --auth-url: a page that says why somebody may not pass."""


def tokens_of(
    plan: ServePlan,
    outward: Outward,
    tasks: Tasks,
    tell: Callable[[str], None],
    kept: "Tokens | None",
) -> "Tokens | None":
    """Make what the plan needs of it; None where that is nothing.

    Raises:
        UsageError: a file of keys is wrong.
    """
    methods = methods_of(plan.routes)
    if not any(isinstance(method, (JwtPlan, OidcPlan)) for method in methods):
        return None
    from netfront.cli.gate.issuers import Tokens

    return Tokens(methods, outward, tasks, tell, plan.session_key, kept)


def token_makers(plan: ServePlan, tokens: "Tokens | None", outward: Outward) -> Makers:
    """Give what makes the methods that ask others."""
    makers: Makers = {AuthUrlPlan: _auth_url(plan, outward)}
    if tokens is not None:
        makers[JwtPlan] = tokens.bearer
        makers[OidcPlan] = tokens.oidc
    return makers


def logging_in(
    plan: ServePlan, tokens: "Tokens | None", address_of: AddressOf, limiting: Limiting
) -> Filter | None:
    """Make the filter that answers where logins end and begin; None where there are none."""
    asking: dict[tuple[str, OidcPlan], list[GatePlan]] = {}
    for gate in gates(plan.routes):
        for group in gate.auth:
            for method in group.methods:
                if isinstance(method, OidcPlan):
                    asking.setdefault((group.scope.host, method), []).append(gate)
    if tokens is None or not asking:
        return None
    from netfront.filters.login import LoginPage, login_pages  # and the library that seals

    pages = []
    for (host, method), asked in asking.items():
        held = _of_all(asked)
        guards = (admission(held, address_of), *limiting.filters(held, address_of, early=True))
        pages.append(LoginPage(tokens.login(method), partial(is_at, host), guards))
    return login_pages(pages, address_of, tokens.waiting)


def _of_all(asked: Sequence[GatePlan]) -> GatePlan:
    """Give what holds wherever a login is asked for, of all that may hold before it is known who comes."""
    first, *others = asked
    return GatePlan(
        rules=tuple(rule for rule in first.rules if all(rule in gate.rules for gate in others)),
        limits=tuple(one for one in first.limits if all(one in gate.limits for gate in others)),
        seats=tuple(one for one in first.seats if all(one in gate.seats for gate in others)),
    )


def hiding_sessions(plan: ServePlan) -> Filter | None:
    """Make the filter that keeps sessions from backends; None where there are none."""
    names = _sessions_of(plan)
    return hide_sessions(names) if names else None


def _sessions_of(plan: ServePlan) -> list[bytes]:
    """Give what the names of cookies begin with that sessions are in."""
    names = dict.fromkeys(method.name for method in methods_of(plan.routes) if isinstance(method, OidcPlan))
    return [f"netfront-{name}".encode() for name in names]


def _auth_url(served: ServePlan, outward: Outward) -> Callable[[MethodPlan, str], Method]:
    hidden = without_sessions(_sessions_of(served))

    def make(plan: MethodPlan, _: str) -> Method:
        assert isinstance(plan, AuthUrlPlan)
        way, timeout = plan.way, plan.timeout
        handler, target = outward.handler(way), way.target.encode()

        async def asked(request: Request, fields: Fields) -> Answer:
            return await ask(
                handler,
                b"GET",
                target,
                scheme=way.scheme,
                authority=way.authority,
                fields=hidden(fields),
                client=request.client,
                most=_MOST_BODY,
                until=clock() + timeout,
            )

        return AskAuth(
            asked,
            fields=[name.encode() for name in plan.fields],
            user=plan.user.lower().encode() if plan.user else None,
            scopes=plan.scopes.lower().encode() if plan.scopes else None,
            is_open=plan.is_open,
        )

    return make
