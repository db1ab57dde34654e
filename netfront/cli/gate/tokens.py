"""--jwt: from what was given to its plan.

value  = (URL | "@" FILE) {"," option}
option = "aud=" words | "alg=" words | "leeway=" TIME | "cookie=" NAME | "iss=" TEXT | "insecure"
words  = word {"|" word}
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netfront.cli.argv import path_in
from netfront.cli.faults import Faults, nearest
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import methods_of, read_methods
from netfront.cli.gate.optioned import read_option, read_options, words_of
from netfront.cli.gate.way import Way, parse_way
from netfront.cli.plan import ServePlan
from netfront.cli.scoped import Policy
from netfront.endpoint import is_loopback_name
from netfront.errors import UsageError
from netfront.policy.metadata import issuer_key
from netfront.units import parse_duration, render_duration

__all__ = ["LEEWAY", "IssuerPlan", "JwtPlan", "parse_issuer", "parse_leeway", "token_notes", "token_policies"]

_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448",
    "HS256", "HS384", "HS512",
)  # fmt: skip
"""As policy/token.py has them, whose library takes 75 ms to load."""
_MOST_LEEWAY = 300.0
LEEWAY = 30.0
"""Seconds: clocks that are set by NTP differ by less, and a token that has ended is of use for no longer."""
_COOKIE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class IssuerPlan:
    """An issuer.

    Args:
        url: as it was given.
        way: where its metadata is asked for.
    """

    url: str
    way: Way


@dataclass(frozen=True, slots=True)
class JwtPlan:
    """A signed token.

    Args:
        issuer: whose keys it is verified by; None where they are in a file.
        file: of keys.
        named: what tokens verified by a file say of their issuer; None for anything.
        audiences: one of which it is for; empty for any.
        algorithms: by which it may be signed; empty for all that its key may be used with.
        leeway: seconds by which clocks may differ.
        cookie: the name of a cookie that may carry it.
    """

    issuer: IssuerPlan | None = None
    file: str | None = None
    named: str | None = None
    audiences: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    leeway: float = LEEWAY
    cookie: str | None = None

    kind = "jwt"
    gives_scopes = True
    handed = ()

    @property
    def ways(self) -> tuple[Way, ...]:
        """Who is asked for keys."""
        return (self.issuer.way,) if self.issuer is not None else ()

    @property
    def said(self) -> str:
        """The `issuer_key` of what its tokens say of their issuer; "" for anything."""
        return issuer_key(self.issuer.url if self.issuer is not None else self.named)

    @property
    def shown(self) -> str:
        """The issuer, and what a token has to say."""
        keys = f"of {self.issuer.url}" if self.issuer is not None else f"signed by a key of {self.file}"
        parts = [f"jwt {keys}"]
        parts += [f"by {self.named}"] if self.named is not None else []
        parts.append(f"for {' or '.join(self.audiences)}" if self.audiences else "for any audience")
        parts += [f"signed by {' or '.join(self.algorithms)}"] if self.algorithms else []
        parts += [f"or in the cookie {self.cookie}"] if self.cookie is not None else []
        return f"{', '.join(parts)}, leeway {render_duration(self.leeway)}"

    def gives(self, claim: str) -> bool:
        """Whatever the issuer says."""
        return True


def token_notes(plan: ServePlan) -> Iterator[str]:
    """Warn of issuers whose tokens are taken whoever they were made for."""
    for method in dict.fromkeys(methods_of(plan.routes)):
        if isinstance(method, JwtPlan) and method.issuer is not None and not method.audiences:
            yield f"--jwt {method.issuer.url}: tokens that it made for others pass too; add ,aud=NAME"


def token_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --jwt."""
    yield from read_methods("--jwt", flags.jwt, _parse_jwt, faults)


def parse_leeway(text: str) -> float:
    """Read how far clocks may differ, in seconds. Raises UsageError."""
    return parse_duration(text, least=0.0, most=_MOST_LEEWAY)


def _parse_jwt(text: str) -> JwtPlan:
    place, options = read_options(
        text, ("aud", "alg", "leeway", "cookie", "iss"), ("insecure",), "as in aud=shop|web"
    )
    issuer, file = None, None
    if place.startswith("@"):
        if len(place) < 2:
            raise UsageError.of(text, "no file after @", "as in @jwks.json")
        file = path_in(text, place[1:])
        if "insecure" in options:
            raise UsageError.of(",insecure", "it has no effect", "a file is not asked for over http")
    else:
        if "iss" in options:
            raise UsageError.of(f",iss={options['iss']}", "an issuer names itself", "iss= is for @FILE")
        issuer = parse_issuer(place, is_insecure="insecure" in options)
    algorithms = words_of(options.get("alg", ""))
    for name in algorithms:
        if name not in _ALGORITHMS:
            hint = "an unsigned token is none" if name.lower() == "none" else nearest(name, _ALGORITHMS)
            raise UsageError.of(f"alg={name}", "no such algorithm", hint)
        if name.startswith("HS") and issuer is not None:
            raise UsageError.of(
                f"alg={name}",
                "a secret that an issuer publishes is none",
                "keep it in a file: --jwt @jwks.json",
            )
    leeway = LEEWAY
    if "leeway" in options:
        leeway = read_option("leeway", options["leeway"], parse_leeway)
    cookie = options.get("cookie")
    if cookie is not None and _COOKIE.fullmatch(cookie) is None:
        raise UsageError.of(f"cookie={cookie}", "not the name of a cookie", "as in cookie=token")
    return JwtPlan(
        issuer, file, options.get("iss"), words_of(options.get("aud", "")), algorithms, leeway, cookie
    )


def parse_issuer(text: str, *, is_insecure: bool = False) -> IssuerPlan:
    """Read the URL of an issuer.

    Args:
        is_insecure: whether it may be asked over plain http though it is not on this machine.
    Raises:
        UsageError: of a single fault.
    """
    way = parse_way(text, instead="what an issuer says of itself is public: write its URL without them")
    if "?" in way.target:
        raise UsageError.of(text, "an issuer's URL has no query", "as in https://id.example.com")
    if way.endpoint.scheme == "http" and not (is_insecure or is_loopback_name(way.endpoint.host)):
        why = "over http anybody on the way can put in keys of their own"
        raise UsageError.of(text, why, "write https://, or add ,insecure if you trust that network")
    url = text if not text.startswith("http://:") else str(way)
    return IssuerPlan(url.rstrip("/"), way)
