"""What guards a route of a gateway, as pure data: how who asks is found out, and what they must be to pass."""

from dataclasses import dataclass
from typing import Protocol

from netfront.cli.gate.way import Way
from netfront.policy.scope import Scope

__all__ = [
    "AddressPlan",
    "ApiKeyPlan",
    "AuthGroup",
    "BasicPlan",
    "ClaimPlan",
    "ExpressionPlan",
    "MethodPlan",
    "MtlsPlan",
    "PassedField",
    "RulePlan",
    "TokenScopePlan",
]


class MethodPlan(Protocol):
    """One method of authentication; its class says which, and is frozen."""

    @property
    def kind(self) -> str:
        """Its Identity.kind."""
        ...

    @property
    def gives_scopes(self) -> bool:
        """Whether its identities may have scopes."""
        ...

    @property
    def shown(self) -> str:
        """What --explain says of it; no secret."""
        ...

    @property
    def ways(self) -> tuple[Way, ...]:
        """URLs that are asked for it."""
        ...

    @property
    def handed(self) -> tuple[str, ...]:
        """Fields that it adds to requests, and that no client can send itself."""
        ...

    def gives(self, claim: str) -> bool:
        """Tell whether its identities may have a claim, by its dotted name."""
        ...


@dataclass(frozen=True, slots=True)
class AuthGroup:
    """Methods that are alternatives, as they were given with one and the same scope."""

    scope: Scope
    methods: tuple[MethodPlan, ...]


@dataclass(frozen=True, slots=True)
class BasicPlan:
    """User and password, by a file as htpasswd makes it.

    Args:
        hides: whether the credential is kept from the backend.
    """

    file: str
    hides: bool = False

    kind = "basic"
    gives_scopes = False
    ways = ()
    handed = ()

    @property
    def shown(self) -> str:
        """The file."""
        return f"basic, by {self.file}{_hidden(self.hides)}"

    def gives(self, claim: str) -> bool:
        """Only who they are."""
        return claim == "sub"


@dataclass(frozen=True, slots=True)
class ApiKeyPlan:
    """A key, by a file of hashes.

    Args:
        field: in which it comes, in lower case.
        hides: whether the credential is kept from the backend.
    """

    file: str
    field: str = "x-api-key"
    hides: bool = False

    kind = "api-key"
    gives_scopes = True
    ways = ()
    handed = ()

    @property
    def shown(self) -> str:
        """The file, and where the key comes."""
        return f"api-key in {self.field}, by {self.file}{_hidden(self.hides)}"

    def gives(self, claim: str) -> bool:
        """Its name and scopes."""
        return claim in ("sub", "scope")


@dataclass(frozen=True, slots=True)
class MtlsPlan:
    """A client's certificate, as TLS has verified it."""

    kind = "mtls"
    gives_scopes = False
    ways = ()
    handed = ()

    @property
    def shown(self) -> str:
        """What is asked for."""
        return "mtls, a client certificate"

    def gives(self, claim: str) -> bool:
        """What stands in a certificate."""
        return claim in ("sub", "cn", "san", "fingerprint")


class RulePlan(Protocol):
    """One rule of authorization; its class says which, and is frozen."""

    @property
    def scope(self) -> Scope:
        """Where it stands."""
        ...

    @property
    def shown(self) -> str:
        """What --explain says of it."""
        ...


@dataclass(frozen=True, slots=True)
class TokenScopePlan:
    """Scopes that a token or key must have, all of them."""

    scope: Scope
    names: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The scopes."""
        return f"scopes {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """A claim that must have a value, or hold it if it is an array."""

    scope: Scope
    name: str
    value: str

    @property
    def shown(self) -> str:
        """The claim."""
        return f"claim {self.name} is {self.value}"


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """Networks that may come in, in their shortest writing."""

    scope: Scope
    networks: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The networks."""
        return f"from {', '.join(self.networks)}"


@dataclass(frozen=True, slots=True)
class ExpressionPlan:
    """An expression in CEL that must hold.

    Args:
        uses: the values that it reads.
        headers, query, params: the names that it reads of those; None for any.
    """

    scope: Scope
    text: str
    uses: frozenset[str]
    headers: frozenset[str] | None
    query: frozenset[str] | None
    params: frozenset[str] | None

    @property
    def shown(self) -> str:
        """The expression."""
        return f"CEL {self.text}"


@dataclass(frozen=True, slots=True)
class PassedField:
    """A field by which the backend is told a claim; `name` as it was written."""

    name: str
    claim: str


def _hidden(hides: bool) -> str:
    return ", not passed on" if hides else ""
