"""Bearer tokens (RFC 6750): in Authorization, or in a cookie, verified by the keys of an issuer.

A token that was verified is remembered by its hash until it ends, so that the next request with it costs a hash and a
look, and nothing is waited for. When a key has gone all are verified anew. What is remembered is bounded: two
generations, of which the older is dropped.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Protocol

from netfront.errors import Refusal
from netfront.http.message import Client, Request
from netfront.net.lane import clock
from netfront.policy.claims import Identity
from netfront.policy.token import (
    Keys,
    TokenRefused,
    TokenRules,
    UnknownKey,
    read_token,
    scopes_of,
    verify,
)

__all__ = ["Bearer", "Fixed", "KeySource", "Remembered", "identity_of"]

_CHALLENGE = b"WWW-Authenticate"
_GENERATION = 4 << 20
"""Bytes of tokens in a generation of what is remembered; a token's claims are several times its size."""


class KeySource(Protocol):
    """Where keys come from: an issuer, or a file."""

    keys: Keys | None
    generation: int
    is_fixed: bool
    """Whether there is nobody to be asked for other keys."""

    @property
    def issuer(self) -> str | None:
        """What tokens say of who made them; None for anything."""
        ...

    @property
    def began(self) -> float:
        """When keys were last looked for (of `clock`)."""
        ...

    def has_missed(self, key_id: str) -> bool:
        """Tell whether this key was looked for of late, and was not there."""
        ...

    def miss(self, key_id: str) -> None:
        """Remember that this key was looked for, and was not there."""
        ...

    async def look_again(self, client: Client) -> bool:
        """Wait until keys were looked for once more; tell whether there was an answer."""
        ...


class Fixed:
    """The keys of a file."""

    __slots__ = ("generation", "is_fixed", "issuer", "keys")

    def __init__(self, keys: Keys, issuer: str | None = None) -> None:
        self.keys: Keys | None = keys
        self.issuer = issuer
        self.generation = 0
        self.is_fixed = True

    @property
    def began(self) -> float:
        """Nobody looks."""
        return 0.0

    def has_missed(self, key_id: str) -> bool:
        """Tell so of all."""
        return True

    def miss(self, key_id: str) -> None:
        """Do nothing."""

    async def look_again(self, client: Client) -> bool:
        """Find nobody to ask."""
        return False


class Remembered:
    """Who showed a token, by its hash, and until when that holds."""

    __slots__ = ("_bytes", "_generation", "_older", "_recent", "_source", "_wall")

    def __init__(self, source: KeySource, wall: Callable[[], float]) -> None:
        self._source = source
        self._wall = wall
        self._generation = source.generation
        self._recent: dict[bytes, tuple[Identity, float]] = {}
        self._older: dict[bytes, tuple[Identity, float]] = {}
        self._bytes = 0

    def get(self, digest: bytes) -> Identity | None:
        """Give who showed it, if that still holds."""
        if self._generation != self._source.generation:
            self.forget()
        known = self._recent.get(digest)
        if known is None:
            known = self._older.pop(digest, None)
            if known is None:
                return None
            self._recent[digest] = known
        identity, until = known
        if self._wall() < until:
            return identity
        del self._recent[digest]
        return None

    def add(self, digest: bytes, identity: Identity, until: float, size: int) -> None:
        """Remember one of so many bytes."""
        self._recent[digest] = identity, until
        self._bytes += size
        if self._bytes > _GENERATION:
            self._older, self._recent, self._bytes = self._recent, {}, 0

    def forget(self) -> None:
        """Forget all."""
        self._generation = self._source.generation
        self._recent, self._older, self._bytes = {}, {}, 0


class Bearer:
    """The method.

    Args:
        realm: what the challenge says of where it asks (RFC 9110 §11.5).
        cookie: the name of a cookie that may carry the token where Authorization does not.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        source: KeySource,
        rules: TokenRules,
        *,
        wall: Callable[[], float],
        realm: str = "",
        cookie: bytes | None = None,
    ) -> None:
        self.challenge = b'Bearer realm="%b"' % realm.encode()
        self._bad_challenge = self.challenge + b', error="invalid_token"'
        self._source = source
        self._rules = rules
        self._cookie = cookie
        self._wall = wall
        self._remembered = Remembered(source, wall)

    def check(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """Look for a token. Raises Refusal: 401, it is not to be believed."""
        token = self._token(request)
        if token is None:
            return None
        digest = sha256(token).digest()
        known = self._remembered.get(digest)
        if known is not None:
            return known
        source = self._source
        if source.keys is None:
            return self._when_looked_again(request, token, digest, None)
        try:
            return self._verify(source.keys, token, digest)
        except UnknownKey as error:
            name = _key_name(token, digest)
            if source.is_fixed or source.has_missed(name):
                raise self._bad(error) from error
            return self._when_looked_again(request, token, digest, name)
        except TokenRefused as error:
            raise self._bad(error) from error

    def _token(self, request: Request) -> bytes | None:
        for row in request.fields.rows:
            if row.name == b"authorization":
                if row.value[:7].lower() == b"bearer ":
                    return row.value[7:].strip(b" ")
                if row.value.lower() == b"bearer":
                    raise self._bad(TokenRefused("no token behind Bearer"))
                break
        return self._from_cookie(request, self._cookie) if self._cookie is not None else None

    def _from_cookie(self, request: Request, name: bytes) -> bytes | None:
        """Give the value of a cookie. Two of one name are refused: which counts, each reader decides for itself."""
        found: bytes | None = None
        for row in request.fields.rows:
            if row.name == b"cookie":
                for pair in row.value.split(b";"):
                    key, equals, value = pair.strip(b" \t").partition(b"=")
                    if equals and key == name:
                        if found is not None and found != value:
                            raise self._bad(TokenRefused("two cookies of that name"))
                        found = value
        return found

    def _bad(self, error: TokenRefused) -> Refusal:
        return Refusal(401, f"bad token: {error.why}", [(_CHALLENGE, self._bad_challenge)])

    def _verify(self, keys: Keys, token: bytes, digest: bytes) -> Identity:
        issuer = self._source.issuer
        rules = self._rules
        if issuer is not None and rules.issuer != issuer:
            rules = self._rules = replace(rules, issuer=issuer)
        verified = verify(token, keys, rules, self._wall())
        identity = identity_of("jwt", verified.claims)
        self._remembered.add(digest, identity, verified.until, len(token))
        return identity

    async def _when_looked_again(
        self, request: Request, token: bytes, digest: bytes, name: str | None
    ) -> Identity:
        """Verify it by newer keys. A look that began before it came may have missed its key, so there are up to two."""
        source, asked = self._source, clock()
        try:
            read_token(token)
            while True:
                has_answered = await source.look_again(request.client)
                if source.keys is None or not has_answered:
                    raise Refusal(503, "the issuer does not answer", [(b"Retry-After", b"5")])
                try:
                    return self._verify(source.keys, token, digest)
                except UnknownKey:
                    if source.began >= asked:
                        source.miss(name or _key_name(token, digest))
                        raise
        except TokenRefused as error:
            raise self._bad(error) from error


def identity_of(kind: str, claims: Mapping[str, object]) -> Identity:
    """Make the identity that claims amount to.

    Raises:
        TokenRefused: they say of nobody.
    """
    for name in ("sub", "client_id", "azp"):
        user = claims.get(name)
        if isinstance(user, str) and user:
            return Identity(kind, user, {**claims, "sub": user}, scopes_of(claims))
    raise TokenRefused("it says of nobody: no sub")


def _key_name(token: bytes, digest: bytes) -> str:
    """Name the key a token is signed by; one without a key id is a name of its own."""
    key_id = read_token(token)[0].get("kid")
    return key_id if isinstance(key_id, str) else digest.hex()
