"""--auth-url: from what was given to its plan.

value  = URL {"," option}
option = "open" | "fields=" FIELD {"|" FIELD} | "user=" FIELD | "scopes=" FIELD | "timeout=" TIME
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netfront.cli.faults import Faults
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.auth import methods_of, read_methods
from netfront.cli.gate.optioned import read_option, read_options, words_of
from netfront.cli.gate.own_fields import is_own
from netfront.cli.gate.way import Way, parse_way
from netfront.cli.plan import ServePlan
from netfront.cli.scoped import Policy
from netfront.errors import UsageError
from netfront.units import parse_duration, render_duration

__all__ = ["TIMEOUT", "AuthUrlPlan", "auth_url_notes", "auth_url_policies"]

TIMEOUT = 5.0
"""Seconds for its answer: a user waits meanwhile."""
_FIELD = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+){0,9}")
"""Names that CGI keeps apart; see filters/pass_identity.py."""


@dataclass(frozen=True, slots=True)
class AuthUrlPlan:
    """Another service that is asked.

    Args:
        way: its URL.
        is_open: whether requests pass while it is down.
        fields: of its answer that the backend gets.
        user, scopes: fields of its answer that say who asks, and what they may do; None for none.
        timeout: seconds for its answer.
    """

    way: Way
    is_open: bool = False
    fields: tuple[str, ...] = ()
    user: str | None = None
    scopes: str | None = None
    timeout: float = TIMEOUT

    kind = "auth-url"
    uses = frozenset({"method", "path", "query"})
    """What it is asked about, so that another reading of these may be another verdict."""

    @property
    def gives_scopes(self) -> bool:
        """Where a field has them."""
        return self.scopes is not None

    @property
    def ways(self) -> tuple[Way, ...]:
        """Who is asked."""
        return (self.way,)

    @property
    def handed(self) -> tuple[str, ...]:
        """All fields of the answer that are looked at: by whatever name, nobody else is to say them to the backend."""
        named = (*self.fields, self.user, self.scopes)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    @property
    def shown(self) -> str:
        """Who is asked, and what becomes of the answer."""
        down = "passes" if self.is_open else "503"
        told = f", tells the backend {', '.join(self.fields)}" if self.fields else ""
        return f"ask {self.way} within {render_duration(self.timeout)}, while it is down {down}{told}"

    def gives(self, claim: str) -> bool:
        """The fields it hands back, in lower case."""
        return (claim == "sub" and self.user is not None) or claim in [name.lower() for name in self.handed]


def auth_url_notes(plan: ServePlan) -> Iterator[str]:
    """Warn of who passes without having been asked."""
    for method in dict.fromkeys(methods_of(plan.routes)):
        if isinstance(method, AuthUrlPlan) and method.is_open:
            yield f"--auth-url {method.way},open: whoever has it fail or hang passes too"


def auth_url_policies(flags: ServeFlags, faults: Faults) -> Iterator[Policy]:
    """Read --auth-url."""
    yield from read_methods("--auth-url", flags.auth_url, _parse, faults)


def _parse_timeout(text: str) -> float:
    return parse_duration(text, least=0.1, most=60.0)


def _parse(text: str) -> AuthUrlPlan:
    place, options = read_options(
        text,
        ("fields", "user", "scopes", "timeout"),
        ("open",),
        "as in fields=X-User|X-Roles, and open alone",
    )
    for key in ("fields", "user", "scopes"):
        for name in words_of(options.get(key, "")):
            if _FIELD.fullmatch(name) is None or is_own(name):
                raise UsageError.of(
                    f"{key}={name}", "no field that can be handed on", "as in fields=X-User|X-Roles"
                )
    timeout = TIMEOUT
    if "timeout" in options:
        timeout = read_option("timeout", options["timeout"], _parse_timeout)
    return AuthUrlPlan(
        parse_way(place),
        "open" in options,
        words_of(options.get("fields", "")),
        options.get("user"),
        options.get("scopes"),
        timeout,
    )
