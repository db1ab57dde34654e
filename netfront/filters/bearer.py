"""Bearer tokens (RFC 6750): in Authorization, or in a cookie, verified by the keys of an issuer.

A token that was verified is remembered by its hash until it ends, so that the next request with it costs a hash and a
look, and nothing is waited for. When a key has gone all are verified anew. What is remembered is bounded: two
generations, of which the older is dropped.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from time import time
from typing import Protocol

from netfront.errors import Refusal
from netfront.http.message import Client, Request
from netfront.net.lane import clock
from netfront.policy.claims import Identity
from netfront.policy.metadata import issuer_key
from netfront.policy.token import (
    Keys,
    TokenRefused,
    TokenRules,
    UnknownKey,
    read_header,
    read_issued,
    read_issuer,
    scopes_of,
    verify,
)
from netfront.wire.cookie import cookie_pairs

__all__ = ["Bearer", "Fixed", "KeySource", "SeveralIssuers", "Verifier", "identity_of"]

_CHALLENGE = b"WWW-Authenticate"
_NONE = (b"", b"", b"")
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
        """Tell whether the last look was for this key too, was of late, and did not find it."""
        ...

    def miss(self, key_id: str) -> None:
        """Remember that this key was looked for, and was not there."""
        ...

    async def look_again(self, client: Client) -> bool:
        """Wait until keys were looked for once more; tell whether there was an answer."""
        ...


class Fixed:
    """Keys that nobody can be asked for: those of a file."""

    __slots__ = ("generation", "is_fixed", "issuer", "keys")

    def __init__(self, keys: Keys, issuer: str | None = None) -> None:
        self.keys: Keys | None = keys
        self.issuer = issuer
        self.generation = 0
        self.is_fixed = True

    def take(self, keys: Keys) -> None:
        """Go by other keys from here on."""
        self.keys = keys
        self.generation += 1

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


class Verifier:
    """Verifies tokens by the keys of a source, and remembers by their hash what it has verified.

    Args:
        kind: of the identities it makes.
        wall: seconds since 1970.
    """

    def __init__(
        self, kind: str, source: KeySource, rules: TokenRules, *, wall: Callable[[], float] = time
    ) -> None:
        self._kind = kind
        self._source = source
        self._rules = rules
        self._wall = wall
        self._generation = source.generation
        self._recent: dict[bytes, tuple[Identity, float]] = {}
        self._older: dict[bytes, tuple[Identity, float]] = {}
        self._bytes = 0

    def check(self, token: bytes, client: Client) -> Identity | Awaitable[Identity]:
        """Tell who showed a token.

        Raises:
            TokenRefused: it is not to be believed.
        """
        digest = sha256(token).digest()
        source = self._source
        if self._generation != source.generation:
            self._forget()
        known = self._recent.get(digest) or self._again(digest)
        if known is not None:
            if self._wall() < known[1]:
                return known[0]
            del self._recent[digest]
        if source.keys is None:
            return self._when_looked_again(token, digest, client)
        try:
            return self._verify(source.keys, token, digest)
        except UnknownKey:
            if source.is_fixed or self._is_foreign(token):
                raise
            if source.has_missed(_key_name(token, digest)) and not self._is_newer(token):
                raise
            return self._when_looked_again(token, digest, client)

    def _is_foreign(self, token: bytes) -> bool:
        """Tell whether a token says itself that it is another issuer's: no newer key of this one has signed it."""
        expected = self._source.issuer or self._rules.issuer
        return expected is not None and read_issuer(token) != issuer_key(expected)

    def _is_newer(self, token: bytes) -> bool:
        """Tell whether a token says that it was issued since keys were looked for: so may its key have been.

        Else whoever names a key before the issuer does would have its first tokens refused.
        """
        ago = clock() - self._source.began
        return read_issued(token) >= self._wall() - ago - self._rules.leeway

    def _verify(self, keys: Keys, token: bytes, digest: bytes) -> Identity:
        issuer = self._source.issuer
        if issuer is not None and self._rules.issuer != issuer:
            self._rules = replace(self._rules, issuer=issuer)
        verified = verify(token, keys, self._rules, self._wall())
        identity = identity_of(self._kind, verified.claims)
        self._recent[digest] = identity, verified.until
        self._bytes += len(token)
        if self._bytes > _GENERATION:
            self._older, self._recent, self._bytes = self._recent, {}, 0
        return identity

    async def _when_looked_again(self, token: bytes, digest: bytes, client: Client) -> Identity:
        """Verify it by newer keys. A look that began before it came may have missed its key, so there are up to two."""
        source, asked = self._source, clock()
        name = _key_name(token, digest)
        while True:
            has_answered = await source.look_again(client)
            if source.keys is None or not has_answered:
                raise Refusal(503, "the issuer does not answer", [(b"Retry-After", b"5")])
            try:
                return self._verify(source.keys, token, digest)
            except UnknownKey:
                if source.began >= asked:
                    source.miss(name)
                    raise

    def _again(self, digest: bytes) -> tuple[Identity, float] | None:
        known = self._older.pop(digest, None)
        if known is not None:
            self._recent[digest] = known
        return known

    def _forget(self) -> None:
        self._generation = self._source.generation
        self._recent, self._older, self._bytes = {}, {}, 0


class Bearer:
    """The method.

    Args:
        realm: what the challenge says of where it asks (RFC 9110 §11.5).
        cookie: the name of a cookie that may carry the token where Authorization does not.
    """

    def __init__(self, verifier: Verifier, *, realm: str, cookie: bytes | None = None) -> None:
        self.challenge = b'Bearer realm="%b"' % realm.encode()
        self._bad_challenge = self.challenge + b', error="invalid_token"'
        self._verifier = verifier
        self._cookie = cookie

    def check(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """Look for a token. Raises Refusal: 401, it is not to be believed."""
        try:
            token = self.find(request)
            if token is None:
                return None
            found = self._verifier.check(token, request.client)
        except TokenRefused as error:
            raise self._bad(error) from error
        return found if isinstance(found, Identity) else self._wait(found)

    def find(self, request: Request) -> bytes | None:
        """Give the token of a request; None: there is none. Raises TokenRefused: which counts cannot be told."""
        value = request.fields.get(b"authorization")
        scheme, _, token = value.partition(b" ") if value is not None else _NONE
        if scheme.lower() == b"bearer":
            return token.strip(b" ")
        return _cookie(request, self._cookie) if self._cookie is not None else None

    async def _wait(self, found: Awaitable[Identity]) -> Identity:
        try:
            return await found
        except TokenRefused as error:
            raise self._bad(error) from error

    def _bad(self, error: TokenRefused) -> Refusal:
        return Refusal(401, f"bad token: {error.why}", [(_CHALLENGE, self._bad_challenge)])


class SeveralIssuers:
    """Methods that are alternatives, of issuers that are told apart by what a token says of its own.

    That is not verified yet, and need not be: it but chooses who verifies the token, and that issuer's rules want the
    same `iss`. Whoever else is named in a forged one, its signature is not theirs. A token of none of them is for the
    method that finds it first, which refuses it.

    Args:
        methods: by the `issuer_key` of their issuer.
    """

    def __init__(self, methods: Mapping[str, Bearer]) -> None:
        self._methods = methods
        self._all = tuple(methods.values())
        self.challenge = self._all[0].challenge

    def check(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """See Method."""
        for method in self._all:
            try:
                token = method.find(request)
                if token is None:
                    continue
                named = self._methods.get(read_issuer(token), method)
                return (named if named.find(request) == token else method).check(request)
            except TokenRefused:
                return method.check(request)  # which says why
        return None


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
    key_id = read_header(token).get("kid")
    return key_id if isinstance(key_id, str) else digest.hex()


def _cookie(request: Request, name: bytes) -> bytes | None:
    """Give the value of a cookie. Two of one name are refused: which counts, each reader decides for itself."""
    found: bytes | None = None
    for key, value in cookie_pairs(request.fields):
        if key == name:
            if found is not None and found != value:
                raise TokenRefused("two cookies of that name")
            found = value
    return found
