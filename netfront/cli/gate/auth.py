"""Authentication: from its flags to the groups of methods that stand before a route.

Methods given with one and the same scope are alternatives, those of different scopes add up. Within a group they are
asked in the order of ORDER, whatever the order of the flags: what a client puts into a request on purpose goes before
what its connection or its browser brings along.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from netfront.cli.argv import as_word, path_in
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.optioned import read_options
from netfront.cli.gate.own_fields import is_own, one_spelling
from netfront.cli.gate.plan import GatePlan
from netfront.cli.gate.restrictions import ApiKeyPlan, AuthGroup, BasicPlan, MethodPlan, MtlsPlan
from netfront.cli.grammar import split_policy
from netfront.cli.plan import ListenerPlan, RoutePlan, Settings
from netfront.cli.scoped import Policy
from netfront.errors import UsageError
from netfront.policy.scope import Scope, parse_scope

__all__ = [
    "EVERYTHING",
    "auth_policies",
    "check_auth",
    "gates",
    "methods_of",
    "place_of",
    "read_methods",
    "with_scope",
]

EVERYTHING = parse_scope("/").caseless
ORDER = ("api-key", "jwt", "basic", "mtls", "oidc", "auth-url")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_GUARDS = (
    "--basic", "--api-key", "--jwt", "--oidc", "--mtls", "--auth-url", "--token-scope", "--claim", "--ip", "--allow",
)  # fmt: skip
"""Flags that --public excepts from."""


def auth_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --basic, --api-key, --mtls and --public."""
    yield from read_methods("--basic", flags.basic, _parse_basic, faults)
    yield from read_methods("--api-key", flags.api_key, _parse_api_key, faults)
    for text in flags.mtls or ():
        scope = faults.read("--mtls", text, _parse_place, None)
        if scope is not None:
            yield Policy(scope, partial(_add_method, place_of(scope), MtlsPlan()), f"--mtls {text!r}", text)
    for text in flags.public or ():
        scope = faults.read("--public", text, _parse_place, None)
        if scope is not None:
            yield Policy(scope, partial(_open, place_of(scope)), f"--public {text!r}", text)


def read_methods(
    flag: str, given: Sequence[str] | None, parse: Callable[[str], MethodPlan], faults: Faults
) -> Iterator[Policy]:
    """Read the values of a flag that names a method of authentication."""
    for text, scope, value in with_scope(flag, given, faults):
        try:
            plan = parse(value)
        except UsageError as error:
            faults.take(error, flag, word=text)
        else:
            yield Policy(scope, partial(_add_method, place_of(scope), plan), f"{flag} {text!r}", text)


def place_of(scope: Scope | None) -> Scope:
    """Give where a restriction holds: it compares text without regard to case, and no scope is everywhere."""
    return EVERYTHING if scope is None else scope.caseless


def with_scope(
    flag: str, given: Sequence[str] | None, faults: Faults
) -> Iterator[tuple[str, Scope | None, str]]:
    """Give each text of a flag with its scope and its value."""
    for text in given or ():
        try:
            scope, value = split_policy(as_word(text))
        except UsageError as error:
            faults.take(error, flag, word=text)
        else:
            yield text, scope, value


def check_auth(
    flags: ServeFlags, policies: Sequence[Policy], listeners: Sequence[ListenerPlan], faults: Faults
) -> None:
    """Find what does not fit together: --mtls without --client-ca, rules within a --public."""
    guards = [policy for policy in policies if policy.given.partition(" ")[0] in _GUARDS]
    for public in policies:
        if not public.given.startswith("--public "):
            continue
        place = place_of(public.scope)
        for guard in guards:
            scope = place_of(guard.scope)
            if scope.meets(place) and not scope.is_wider(place):
                hint = "a --public excepts from wider scopes alone: make it narrower, or leave one out"
                faults.add(public.given, f"{guard.given} stands inside it", hint, word=public.word)
        if not any(place_of(guard.scope).is_wider(place) for guard in guards):
            hint = "it excepts from the authentication and authorization of wider scopes"
            faults.add(public.given, "it has no effect", hint, word=public.word)
    if flags.mtls and not flags.client_ca:
        hint = "give the CAs of clients' certificates: --client-ca FILE"
        faults.add("--mtls", "there is no --client-ca to verify certificates by", hint)
    elif flags.mtls and any(listener.endpoint.scheme == "tls" for listener in listeners):
        why = "with it a certificate is asked for by scope, and tls:// has none"
        faults.add(
            "--mtls", why, "serve tls:// by another netfront, where --client-ca asks for one of everybody"
        )


def gates(routes: Iterable[RoutePlan]) -> Iterator[GatePlan]:
    """Give what stands before routes and their parts."""
    for route in routes:
        yield route.settings.gate
        for variant in route.variants:
            yield variant.settings.gate


def methods_of(routes: Iterable[RoutePlan]) -> list[MethodPlan]:
    """Give the methods of authentication that stand before routes and their parts."""
    return [method for gate in gates(routes) for method in gate.methods]


def _add_method(scope: Scope, plan: MethodPlan, settings: Settings) -> Settings:
    gate = settings.gate
    if gate.opens(scope):
        return settings
    groups = list(gate.auth)
    for index, group in enumerate(groups):
        if group.scope == scope:
            methods = tuple(dict.fromkeys((*group.methods, plan)))
            ordered = tuple(sorted(methods, key=lambda method: ORDER.index(method.kind)))
            groups[index] = AuthGroup(scope, ordered)
            break
    else:
        groups.append(AuthGroup(scope, (plan,)))
    return replace(settings, gate=replace(gate, auth=tuple(groups)))


def _open(public: Scope, settings: Settings) -> Settings:
    """Take away what stands in wider scopes. It holds for what is merged later too: see `_add_method`."""
    gate = settings.gate
    opened = replace(
        gate,
        auth=tuple(group for group in gate.auth if not group.scope.is_wider(public)),
        rules=tuple(rule for rule in gate.rules if not rule.scope.is_wider(public)),
        public=(*gate.public, public),
    )
    return replace(settings, gate=opened)


def _parse_place(text: str) -> Scope:
    return parse_scope(text.removesuffix(":").strip())


def _parse_basic(text: str) -> BasicPlan:
    path, options = _parse_file(text, (), "as in @htpasswd")
    return BasicPlan(path, hides="hide" in options)


def _parse_api_key(text: str) -> ApiKeyPlan:
    path, options = _parse_file(text, ("header",), "as in @keys,header=X-API-Key")
    field = options.get("header", "X-API-Key").lower()
    if not _FIELD.fullmatch(field):
        raise UsageError.of(f"header={field}", "not a field name", "letters, digits and dashes")
    if is_own(field) or one_spelling(field).startswith("x-forwarded-"):
        raise UsageError.of(f"header={field}", "it is no place for a key", "as in header=X-API-Key")
    return ApiKeyPlan(path, field, hides="hide" in options)


def _parse_file(text: str, known: Sequence[str], hint: str) -> tuple[str, Mapping[str, str]]:
    """Read '@FILE[,name=value][,hide]'. What stands there inline is in no message: it may be the secret itself."""
    if not text.startswith("@") or text.startswith("@,") or len(text) < 2:
        raise UsageError.of("…", "credentials are not given inline", f"write the file, {hint}")
    place, options = read_options(text, known, ("hide",), f"{hint}, and hide alone")
    return path_in(text, place[1:]), options
