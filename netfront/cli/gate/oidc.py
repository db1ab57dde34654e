"""--oidc: from what was given to its plan.

value  = URL {"," option}
option = "client-id=" TEXT | "client-secret=" SECRET | "scope=" WORD {"|" WORD} | "session=" TIME
         | "leeway=" TIME | "insecure"
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netfront.cli.argv import as_word
from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import gates, read_methods
from netfront.cli.gate.optioned import read_option, read_options, words_of
from netfront.cli.gate.tokens import LEEWAY, IssuerPlan, parse_issuer, parse_leeway
from netfront.cli.gate.way import Way
from netfront.cli.grammar import parse_secret
from netfront.cli.plan import ListenerPlan, RoutePlan, Secret
from netfront.cli.scoped import Policy
from netfront.errors import UsageError
from netfront.policy.metadata import CALLBACK, LOGOUT
from netfront.units import parse_duration, render_duration

__all__ = ["SESSION", "OidcPlan", "check_oidc", "is_at", "is_login", "oidc_policies"]

SESSION = 8 * 3600.0
"""Seconds: a day's work."""
_USUAL = ("openid", "profile", "email")
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@dataclass(frozen=True, slots=True)
class OidcPlan:
    """A login at an issuer.

    Args:
        client_id: who we are there.
        secret: where our secret there is; None for a public client.
        scope: what is asked for.
        session: seconds that one lasts at most.
        leeway: seconds by which clocks may differ.
    """

    issuer: IssuerPlan
    client_id: str
    secret: Secret | None = None
    scope: tuple[str, ...] = _USUAL
    session: float = SESSION
    leeway: float = LEEWAY

    kind = "oidc"
    gives_scopes = True
    handed = ()

    @property
    def ways(self) -> tuple[Way, ...]:
        """Who is asked for keys and tokens."""
        return (self.issuer.way,)

    @property
    def name(self) -> str:
        """Part of the names of its cookies: two logins at one host have two."""
        return hashlib.sha256(f"{self.issuer.url} {self.client_id}".encode()).hexdigest()[:8]

    @property
    def shown(self) -> str:
        """The issuer, and what a session is."""
        secret = f" with {self.secret}" if self.secret is not None else ""
        return (
            f"oidc at {self.issuer.url} as {self.client_id}{secret}, for {' '.join(self.scope)}, "
            f"sessions of {render_duration(self.session)}, ends at /-/oidc/logout"
        )

    def gives(self, claim: str) -> bool:
        """Whatever the issuer says."""
        return True


def oidc_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --oidc."""
    yield from read_methods("--oidc", flags.oidc, _parse, faults)


def check_oidc(
    flags: ServeFlags, routes: Iterable[RoutePlan], listeners: Iterable[ListenerPlan], faults: Faults
) -> None:
    """Find what does not fit together: a key for no sessions, sessions over plain http, routes that nobody reaches."""
    routes = list(routes)
    has_login = bool(_login_hosts(routes))
    for route in routes:
        if is_login(routes, route.scope.host.encode(), route.scope.path.removesuffix("$").encode()):
            faults.add(route.named, "no request comes there: logins of --oidc are answered at this path")
    if flags.session_key is not None and not has_login:
        faults.add("--session-key", "it has no effect", "there is no --oidc whose sessions it could seal")
    for listener in listeners:
        is_plain = listener.kind == "http" and not listener.tls and not listener.is_loopback
        if has_login and is_plain and listener.redirects_to is None and not flags.trust_proxy:
            why = "over http anybody on the way can take the sessions of --oidc"
            hint = "listen on https://, or name the proxy that ends TLS: --trust-proxy"
            faults.add(f"--listen {listener.endpoint}", why, hint)


def _login_hosts(routes: Iterable[RoutePlan]) -> frozenset[str]:
    """Give the hosts at which logins begin and end; "" is every host."""
    groups = (group for gate in gates(routes) for group in gate.auth)
    return frozenset(
        group.scope.host for group in groups if any(isinstance(method, OidcPlan) for method in group.methods)
    )


def is_login(routes: Iterable[RoutePlan], host: bytes, path: bytes) -> bool:
    """Tell whether a request is answered by a login."""
    return path in (CALLBACK, LOGOUT) and any(is_at(wanted, host) for wanted in _login_hosts(routes))


def is_at(wanted: str, host: bytes) -> bool:
    """Tell whether a host is one that a scope names."""
    return host.endswith(wanted[1:].encode()) if wanted.startswith("*") else wanted.encode() in (b"", host)


def _parse_session(text: str) -> float:
    return parse_duration(text, least=60.0, most=30 * 86_400.0)


def _parse(text: str) -> OidcPlan:
    place, options = read_options(
        text,
        ("client-id", "client-secret", "scope", "session", "leeway"),
        ("insecure",),
        "as in client-id=web,client-secret=env:SECRET",
    )
    client = options.get("client-id")
    if client is None:
        raise UsageError.of(place, "who are we there?", "add ,client-id=NAME as the issuer has it")
    secret = None
    if "client-secret" in options:
        secret = parse_secret(as_word(text).part(options["client-secret"]))
    scope = words_of(options.get("scope", "")) or _USUAL
    for word in scope:
        if _WORD.fullmatch(word) is None:
            raise UsageError.of(f"scope={word}", "not a scope", "as in scope=openid|email|offline_access")
    if "openid" not in scope:
        scope = ("openid", *scope)
    session, leeway = SESSION, LEEWAY
    if "session" in options:
        session = read_option("session", options["session"], _parse_session)
    if "leeway" in options:
        leeway = read_option("leeway", options["leeway"], parse_leeway)
    issuer = parse_issuer(place, is_insecure="insecure" in options)
    return OidcPlan(issuer, client, secret, scope, session, leeway)
