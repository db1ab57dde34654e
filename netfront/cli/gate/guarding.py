"""From what guards a route, as a plan has it, to the filters that do, and to the files that they read."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from netfront.cli.gate.auth import gates, methods_of
from netfront.cli.gate.credentials import Credentials
from netfront.cli.gate.plan import GatePlan
from netfront.cli.gate.restrictions import (
    AddressPlan,
    ApiKeyPlan,
    AuthGroup,
    BasicPlan,
    ClaimPlan,
    ExpressionPlan,
    MethodPlan,
    MtlsPlan,
    RulePlan,
    TokenScopePlan,
)
from netfront.cli.gate.rules import identity_fields
from netfront.cli.gate.tokens import JwtPlan
from netfront.cli.plan import ServePlan
from netfront.filters.api_key import ApiKey
from netfront.filters.authenticate import Method, authenticate
from netfront.filters.authorize import (
    Rule,
    authorize,
    needs_address,
    needs_claim,
    needs_expression,
    needs_scopes,
)
from netfront.filters.basic import Basic
from netfront.filters.hide_credentials import Hidden, hide_credentials, hide_of_whole
from netfront.filters.meaning import methods_meant, paths_meant
from netfront.filters.mtls import Mtls
from netfront.filters.pass_identity import pass_identity
from netfront.filters.served import Params
from netfront.http.message import Filter, Request
from netfront.net.lane import clock
from netfront.policy.claims import Identity
from netfront.policy.expression import Expression
from netfront.policy.networks import within
from netfront.policy.scope import Scope
from netfront.wire.certificate import client_names
from netfront.wire.fields import Edit, dashed
from netfront.wire.target import host_of

__all__ = [
    "AddressOf",
    "Makers",
    "ParamsAt",
    "admission",
    "authentication",
    "authorization",
    "authorization_again",
    "credentials_of",
    "hidden_of",
    "hiding",
    "hiding_of_whole",
    "makers_of",
    "stripped",
]

Makers = dict[type, Callable[[MethodPlan, str], Method]]
"""By the class of a MethodPlan what makes its Method; it gets the realm too."""
AddressOf = Callable[[Request], bytes | None]
"""Tells a client's address, behind proxies that are trusted too."""
ParamsAt = Callable[[Request], Sequence[Params]]
"""Gives what the segments of a request's path are called at the routes that it leads to now, if to any."""


def credentials_of(
    plan: ServePlan, tell: Callable[[str], None], kept: Credentials | None
) -> Credentials | None:
    """Read the files of credentials of a plan; None where it has none. Raises UsageError: of all that is wrong."""
    methods = methods_of(plan.routes)
    keys = [method.file for method in methods if isinstance(method, ApiKeyPlan)]
    passwords = [method.file for method in methods if isinstance(method, BasicPlan)]
    return Credentials(keys, passwords, tell, kept) if keys or passwords else None


def makers_of(credentials: Credentials | None, address_of: AddressOf) -> Makers:
    """Give what makes the methods of this file."""

    def basic(plan: MethodPlan, realm: str) -> Method:
        assert isinstance(plan, BasicPlan)
        assert credentials is not None
        return Basic(credentials.passwords[plan.file], clock, address_of, realm=realm)

    def api_key(plan: MethodPlan, realm: str) -> Method:
        assert isinstance(plan, ApiKeyPlan)
        assert credentials is not None
        file = credentials.keys[plan.file]
        return ApiKey(file.owner, plan.field.encode(), realm=realm)

    def mtls(_: MethodPlan, __: str) -> Method:
        return Mtls(_identify)

    return {BasicPlan: basic, ApiKeyPlan: api_key, MtlsPlan: mtls}


def authentication(plan: GatePlan, makers: Makers) -> Filter | None:
    """Make the filter of a route; None where nobody is asked who they are."""
    if not plan.auth:
        return None
    return authenticate([_alternatives(group, makers) for group in plan.auth])


def _alternatives(group: AuthGroup, makers: Makers) -> list[Method]:
    """Make the methods of a group. Those of tokens become one, if there are several: see SeveralIssuers."""
    made = {method: makers[type(method)](method, str(group.scope)) for method in group.methods}
    tokens = [method for method in group.methods if isinstance(method, JwtPlan)]
    if len(tokens) < 2:
        return list(made.values())
    from netfront.filters.bearer import Bearer, SeveralIssuers  # which the makers have loaded already

    by_issuer = {method.said: one for method in tokens if isinstance(one := made[method], Bearer)}
    made[tokens[0]] = SeveralIssuers(by_issuer)
    return [one for method, one in made.items() if method not in tokens[1:]]


def hidden_of(plan: GatePlan) -> Hidden | None:
    """Tell which credentials are kept from the backend; None where all go on to it."""
    fields: dict[str, list[bytes]] = {}
    for method in plan.methods:
        if isinstance(method, BasicPlan) and method.hides:
            fields.setdefault(method.kind, []).append(b"authorization")
        elif isinstance(method, ApiKeyPlan) and method.hides:
            fields.setdefault(method.kind, []).append(method.field.encode())
    return Hidden(fields) if fields else None


def hiding(plan: GatePlan) -> Filter | None:
    """Make the filter that keeps credentials from the backend; None where all go on to it."""
    hidden = hidden_of(plan)
    return hide_credentials(hidden) if hidden is not None else None


def hiding_of_whole(plan: ServePlan) -> Filter | None:
    """Make the filter that keeps from backends what the whole was asked for that their answers are parts of."""
    is_composed = any(route.answer is not None and route.answer.compose is not None for route in plan.routes)
    hides = is_composed and any(hidden_of(gate) is not None for gate in gates(plan.routes))
    return hide_of_whole() if hides else None


def admission(plan: GatePlan, address_of: AddressOf) -> Filter | None:
    """Make the filter of addresses; before authentication, as who may not come in is not asked who they are."""
    rules = [rule for rule in plan.rules if isinstance(rule, AddressPlan)]
    made = [needs_address(within(rule.networks), address_of) for rule in rules]
    return authorize(made) if made else None


def authorization(plan: GatePlan, address_of: AddressOf) -> tuple[Filter | None, Filter | None]:
    """Make the filter of the other rules, and the one that tells the backend who asks."""
    rules = [_rule(rule, address_of) for rule in plan.rules if not isinstance(rule, AddressPlan)]
    passed = [(one.name, one.claim) for one in plan.passed]
    return (authorize(rules) if rules else None, pass_identity(passed) if passed else None)


def authorization_again(plan: GatePlan, address_of: AddressOf, params_at: ParamsAt) -> Filter | None:
    """Make the filter of the rules that ask for the target, behind one that has changed that: where they are for it."""
    rules = []
    for again in plan.asked_again:
        rule = _rule(again, address_of)
        asks_params = "params" in getattr(again, "uses", ())
        rules.append(_where(again.scope, _with_params(rule, params_at) if asks_params else rule))
    return authorize(rules) if rules else None


def _where(scope: Scope, rule: Rule) -> Rule:
    """Have a rule asked in a scope alone."""
    matches = scope.caseless.matcher()

    def asked(request: Request) -> str | None:
        host, methods = host_of(request.authority), methods_meant(request)
        is_there = any(matches(method, host, path) for path in paths_meant(request) for method in methods)
        return rule(request) if is_there else None

    return asked


def _with_params(rule: Rule, params_at: ParamsAt) -> Rule:
    """Have a rule asked with what the segments of the path are called where it leads now."""

    def asked(request: Request) -> str | None:
        own = request.params
        try:
            for params in params_at(request) or (own,):
                request.params = params
                why = rule(request)
                if why is not None:
                    return why
        finally:
            request.params = own
        return None

    return asked


class Stripped(NamedTuple):
    """What no client's request keeps, on any route, of its fields and of those behind its body."""

    fields: Edit | None = None
    trailers: Edit | None = None


def stripped(plan: ServePlan) -> Stripped:
    """Tell which fields are taken away: those that tell who asks, and those that some backend takes for such.

    One that --allow reads stays where it was read, in no other spelling, and not behind a body.
    """
    told = [name.encode() for name in identity_fields(plan)]
    rules = [rule for gate in gates(plan.routes) for rule in gate.rules if isinstance(rule, ExpressionPlan)]
    read = [name.encode() for rule in rules for name in rule.headers or ()]
    spelt = {dashed(name) for name in (*told, *read)}
    kept = {name for name in read if dashed(name) not in map(dashed, told)}
    reads_any = any(rule.headers is None for rule in rules)
    return Stripped(
        Edit(spelt=spelt, kept=kept) if spelt else None,
        Edit(spelt=spelt, every=reads_any) if spelt or reads_any else None,
    )


def _rule(plan: RulePlan, address_of: AddressOf) -> Rule:
    if isinstance(plan, TokenScopePlan):
        return needs_scopes(plan.names)
    if isinstance(plan, ClaimPlan):
        return needs_claim(plan.name, plan.value)
    assert isinstance(plan, ExpressionPlan)
    expression = Expression(plan.text)
    return needs_expression(
        expression.refuses, plan.uses, address_of, time.time, text=plan.text, asked=plan.query
    )


def _identify(certificate: bytes) -> Identity:
    """Make an identity of a client's certificate: its subject, or the first name where that is empty."""
    names = client_names(certificate)
    digest = hashlib.sha256(certificate).hexdigest()
    user = names.subject or (names.alternative[0] if names.alternative else digest)
    claims = {"sub": user, "cn": names.common, "san": list(names.alternative), "fingerprint": digest}
    return Identity("mtls", user, {name: value for name, value in claims.items() if value is not None})
