"""Who asks, as authentication found it: a user, what is claimed of them, and what they may do.

Nothing here fetches or verifies: that was done by whoever made the Identity. Claims are JSON values, read by dotted
names; a name with dots of its own (as "https://id.example.com/roles") is tried as it stands first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Identity", "claim", "holds", "texts"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks.

    Args:
        kind: how that was found: "basic", "api-key", "jwt", "oidc", "mtls" or "auth-url"; "mtls+jwt" where both were.
        user: their name; never empty.
        claims: what is said of them; "sub" is there always.
        scopes: what a token or a key is good for.
        key: the name of the API key.
    """

    kind: str
    user: str
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)
    scopes: frozenset[str] = frozenset()
    key: str | None = None
    user_bytes: bytes = field(init=False, repr=False, compare=False)
    """The user in UTF-8, for whoever counts by it: an identity that is remembered is encoded once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "user_bytes", self.user.encode(errors="surrogatepass"))

    def also(self, narrower: "Identity") -> "Identity":
        """Give the identity of who had to show both.

        The user, the key and claims of the same name are those of the narrower; scopes add up.
        """
        return Identity(
            f"{self.kind}+{narrower.kind}",
            narrower.user,
            {**self.claims, **narrower.claims},
            self.scopes | narrower.scopes,
            narrower.key if narrower.key is not None else self.key,
        )


def claim(claims: Mapping[str, object], name: str) -> object:
    """Give a claim by its name, "a.b" for one inside another; None where there is none."""
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def texts(value: object) -> tuple[str, ...]:
    """Give the values of a claim as text: of an array each of its own; of null, objects and arrays in arrays none."""
    if isinstance(value, (list, tuple, frozenset)):
        return tuple(text for item in value for text in _text(item))
    return _text(value)


def holds(value: object, wanted: Iterable[str]) -> bool:
    """Tell whether a claim has one of these values, or holds one of them if it is an array."""
    return not set(texts(value)).isdisjoint(wanted)


def _text(value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, (str, int, float)):
        return (str(value),)
    return ()
