"""Signed tokens (RFC 7519, RFC 9068): which keys may sign them, and whether one says what it must.

The *algorithm is the key's*, never the token's choice: a key names the algorithms it may be used with, by its `alg` or
its type, and a token's header has to name one of them. So `none` verifies nothing, and a public key is no secret for an
HMAC (CVE-2017-11424). Symmetric keys count only where somebody wrote them down for us: an issuer that publishes one
has told everybody. What a header says of keys (`jwk`, `jku`, `x5c`) is never looked at, nor is anything critical
understood (RFC 7515 §4.1.11).

The signature is the JOSE library's work; what stands around it is ours, stricter where it lets things pass: duplicate
members, stray characters, an absent `exp`.
"""

import json
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey, import_key
from joserfc.util import urlsafe_b64decode

from netfront.policy.metadata import issuer_key
from netfront.wire.jsontext import check_depth

__all__ = [
    "ALGORITHMS",
    "Key",
    "Keys",
    "TokenRefused",
    "TokenRules",
    "UnknownKey",
    "Verified",
    "as_object",
    "parse_keys",
    "read_header",
    "read_issued",
    "read_issuer",
    "scopes_of",
    "verify",
]

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_EDWARDS = {"Ed25519": ("EdDSA", "Ed25519"), "Ed448": ("EdDSA", "Ed448")}
_HMAC = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least bytes of a key for each (RFC 7518 §3.2)."""
ALGORITHMS = (*_RSA, *_CURVES.values(), "EdDSA", "Ed25519", "Ed448", *_HMAC)
"""Those that may be named: RFC 7518 without `none`, RFC 8037 and RFC 9864."""
_LEAST_RSA, _MOST_RSA = 2048, 8192
"""Bits: fewer are no signature (RFC 7518 §3.3), more take a whole connection's patience to verify."""
_MOST_KEYS = 64
_MOST_TRIED = 8
"""Keys that a token without a key id is tried with."""
_USUAL, _LONGEST = 16_384, 65_536
"""Bytes of a token: one that fits into a head's default bounds, and one that never stood in a head."""
_SHAPE = re.compile(rb"([A-Za-z0-9_-]{2,})\.([A-Za-z0-9_-]{2,})\.[A-Za-z0-9_-]{2,}").fullmatch
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})

_Jwk = RSAKey | ECKey | OKPKey | OctKey


class _Registry(jws.JWSRegistry):
    """The library's, with room for headers that carry a certificate."""

    max_header_length = _LONGEST
    max_payload_length = _LONGEST

    def get_alg(self, name: str) -> JWSAlgModel:
        """Give an algorithm. Which may be used is known by then; of EdDSA, an older name, the library would warn."""
        return self.algorithms[name]


_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


class TokenRefused(Exception):
    """A token that is not to be believed; why is for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class UnknownKey(TokenRefused):
    """A token that may be good, signed by a key we do not have: the issuer may have a new one."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token has to say.

    Args:
        issuer: who made it; None for anybody who has the key.
        audiences: one of which it is for; empty for any.
        algorithms: by which it may be signed; empty for all that its key may be used with.
        leeway: seconds by which clocks may differ.
        types: of its header, in lower case, where it names one.
        longest: bytes it may have; 64 KiB at most.
    """

    issuer: str | None = None
    audiences: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset()
    leeway: float = 30.0
    types: frozenset[str] = _TYPES
    longest: int = _USUAL


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key that may sign tokens.

    Args:
        mark: the same for the same key, whatever it is called (RFC 7638).
    """

    id: str | None
    algorithms: frozenset[str]
    mark: str
    jwk: _Jwk


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of an issuer.

    Args:
        unused: what was left out, and why; for people.
    """

    keys: tuple[Key, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def has_secrets(self) -> bool:
        """Whether who can read them can sign."""
        return any(isinstance(key.jwk, OctKey) for key in self.keys)

    @property
    def marks(self) -> frozenset[str]:
        """What the keys are, whatever they are called."""
        return frozenset(key.mark for key in self.keys)

    def of(self, key_id: str | None, algorithm: str) -> Sequence[Key]:
        """Give the keys that may have signed a token which names this id and algorithm."""
        named = [key for key in self.keys if key_id is None or key.id == key_id]
        if key_id is not None and not named:
            named = [key for key in self.keys if key.id is None]
        return [key for key in named if algorithm in key.algorithms][:_MOST_TRIED]

    def knows(self, key_id: str | None) -> bool:
        """Tell whether there is a key of this id."""
        return any(key.id == key_id for key in self.keys)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a token says that may be believed.

    Args:
        until: when that ends, in seconds since 1970, leeway included.
    """

    claims: Mapping[str, object]
    until: float


def parse_keys(data: bytes, *, symmetric: bool = False) -> Keys:
    """Read a JWK set (RFC 7517 §5). Keys of unknown kinds are left out, as the RFC wants it.

    Args:
        symmetric: whether secrets count: only where the set is none that is published.
    Raises:
        ValueError: it is no JWK set, or has too many keys.
    """
    document = as_object(data)
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError('there is no array "keys"')
    if len(listed) > _MOST_KEYS:
        raise ValueError(f"more than {_MOST_KEYS} keys")
    keys: list[Key] = []
    unused: list[str] = []
    for at, item in enumerate(listed):
        try:
            keys.append(_key(item, symmetric=symmetric))
        except (ValueError, TypeError, KeyError, JoseError) as error:
            unused.append(f"key {at + 1}: {error}")
    return Keys(tuple(keys), tuple(unused))


def _key(item: object, *, symmetric: bool) -> Key:
    if not isinstance(item, dict):
        raise ValueError("not an object")
    if item.get("use", "sig") != "sig":
        raise ValueError("not for signatures")
    operations = item.get("key_ops")
    if isinstance(operations, list) and "verify" not in operations:
        raise ValueError("not for verifying")
    kind, name, key_id = item.get("kty"), item.get("alg"), item.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise ValueError("its kid is no string")
    public = {member: item[member] for member in ("kty", "n", "e", "crv", "x", "y") if member in item}
    if kind == "oct":
        if not symmetric:
            raise ValueError("a published secret is none")
        public["k"] = item["k"]
    with warnings.catch_warnings(action="ignore"):  # of weak keys, which are refused below
        jwk = import_key(public)
    may = _usable(jwk)
    if name is not None:
        if name not in may:
            raise ValueError(f"{name} is not for such a key")
        may = frozenset({name})
    assert isinstance(jwk, _Jwk)
    return Key(key_id, may, jwk.thumbprint(), jwk)


def _usable(jwk: object) -> frozenset[str]:
    """Tell which algorithms a key may be used with. Raises ValueError: none."""
    if isinstance(jwk, RSAKey):
        bits = jwk.public_key.key_size
        if not _LEAST_RSA <= bits <= _MOST_RSA:
            raise ValueError(f"{bits} bits, where {_LEAST_RSA} to {_MOST_RSA} are good")
        return frozenset(_RSA)
    if isinstance(jwk, ECKey) and jwk.curve_name in _CURVES:
        return frozenset({_CURVES[jwk.curve_name]})
    if isinstance(jwk, OKPKey) and jwk.curve_name in _EDWARDS:
        return frozenset(_EDWARDS[jwk.curve_name])
    if isinstance(jwk, OctKey):
        size = len(jwk.raw_value)
        may = frozenset(name for name, least in _HMAC.items() if size >= least)
        if may:
            return may
        raise ValueError("a secret of under 32 bytes")
    raise ValueError("of a kind that signs nothing here")


def verify(token: bytes, keys: Keys, rules: TokenRules, now: float) -> Verified:
    """Verify a token and what it says.

    Args:
        now: seconds since 1970.
    Raises:
        UnknownKey: no key of ours has signed it, but a new one of the issuer's may have.
        TokenRefused: it is not to be believed.
    """
    if len(token) > rules.longest:
        raise TokenRefused(f"of over {rules.longest} bytes")
    header = read_header(token)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused(f"signed by {algorithm!r}"[:80])
    if rules.algorithms and algorithm not in rules.algorithms:
        raise TokenRefused(f"signed by {algorithm}")
    if algorithm in _HMAC and not keys.has_secrets:
        raise TokenRefused("signed with a secret, where no key is one")
    if "crit" in header:
        raise TokenRefused("it has critical extensions")
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in rules.types):
        raise TokenRefused("its typ is that of another kind of token")
    key_id = header.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise TokenRefused("its kid is no string")
    for key in keys.of(key_id, algorithm):
        try:
            payload = jws.deserialize_compact(token, key.jwk, [algorithm], _REGISTRY).payload
        except JoseError:
            continue
        except (ValueError, TypeError) as error:
            raise TokenRefused("not a token") from error
        claims = _claims(payload)
        return Verified(claims, _until(claims, rules, now))
    if keys.knows(key_id) and key_id is not None:
        raise TokenRefused("its signature is not that of the key it names")
    raise UnknownKey("no known key has signed it")


def read_header(token: bytes) -> Mapping[str, object]:
    """Give the header of a token, unverified.

    Raises:
        TokenRefused: it is no token.
    """
    if len(token) > _LONGEST:
        raise TokenRefused(f"of over {_LONGEST} bytes")
    shape = _SHAPE(token)
    if shape is None:
        raise TokenRefused("not three parts in base64url")
    try:
        return as_object(urlsafe_b64decode(shape[1]))
    except ValueError as error:
        raise TokenRefused("its header is no JSON object") from error


def read_issuer(token: bytes) -> str:
    """Give the `issuer_key` of what a token says of its issuer, unverified: it tells by whose keys to verify it."""
    said = _unverified(token).get("iss")
    return issuer_key(said) if isinstance(said, str) else ""


def read_issued(token: bytes) -> float:
    """Give when a token says it was issued, unverified, in seconds since 1970; -inf where it does not."""
    said = _unverified(token).get("iat")
    return said if isinstance(said, (int, float)) and not isinstance(said, bool) else -math.inf


def _unverified(token: bytes) -> Mapping[str, object]:
    """Give what a token claims; nothing where it is none."""
    shape = _SHAPE(token) if len(token) <= _LONGEST else None
    try:
        return as_object(urlsafe_b64decode(shape[2])) if shape is not None else {}
    except ValueError:
        return {}


def as_object(data: bytes) -> dict[str, object]:
    """Read a JSON object in which no member stands twice (RFC 7515 §4).

    Raises:
        ValueError: it is none, or is nested too deeply.
    """
    check_depth(data)  # claims may be walked by code that has no bound of its own
    try:
        value = json.loads(data, object_pairs_hook=_members, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member that stands twice")
    return members


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def _claims(payload: bytes) -> dict[str, object]:
    try:
        return as_object(payload)
    except ValueError as error:
        raise TokenRefused("its claims are no JSON object") from error


def _until(claims: Mapping[str, object], rules: TokenRules, now: float) -> float:
    """Check what every token has to say (RFC 7519 §4.1); tell until when it holds."""
    ends = _time(claims, "exp")
    if ends is None:
        raise TokenRefused("it never ends: no exp")
    if now >= ends + rules.leeway:
        raise TokenRefused("it has expired")
    begins = _time(claims, "nbf")
    if begins is not None and now < begins - rules.leeway:
        raise TokenRefused("it does not hold yet: nbf")
    _time(claims, "iat")
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise TokenRefused("of another issuer")
    if rules.audiences:
        said = claims.get("aud")
        audiences = said if isinstance(said, list) else [said]
        if not any(isinstance(one, str) and one in rules.audiences for one in audiences):
            raise TokenRefused("for another audience")
    subject = claims.get("sub")
    if subject is not None and not isinstance(subject, str):
        raise TokenRefused("its sub is no string")
    return ends + rules.leeway


def _time(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TokenRefused(f"its {name} is no time")
    try:
        time = float(value)
    except OverflowError:
        time = math.inf
    if not math.isfinite(time):
        raise TokenRefused(f"its {name} is no time")
    return time


def scopes_of(claims: Mapping[str, object]) -> frozenset[str]:
    """Give what a token is good for: `scope`, a text with spaces (RFC 8693 §4.2), or `scp`, as some issuers have it."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            found.update(value.split())
        elif isinstance(value, Iterable) and not isinstance(value, (bytes, Mapping)):
            found.update(one for one in value if isinstance(one, str))
    return frozenset(found)
