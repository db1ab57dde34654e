"""Logging in at an issuer (OpenID Connect Core §3.1, with PKCE: RFC 7636, RFC 9700).

*The states.* A browser without a session that asks for a page is sent to the issuer, with a cookie that holds what it
will have to bring back: state, nonce, the verifier of PKCE, and where it wanted to go. It comes back to `CALLBACK` with
a code; the code becomes tokens; what the id token says becomes the session, which is a cookie too. Both cookies are
sealed: nothing is kept here, so any process with the same key goes on with them, and a restart loses none.

*The session* is renewed by its refresh token when its access token has ended. Some issuers take a refresh token only
once and end the session of who shows it twice: of one token there is one renewal under way, and who comes with the old
cookie for a while after gets the same new session. An issuer that is down ends nobody's session.

*Who gets what.* A redirect is for a browser that navigates. Scripts, other methods and upgrades get a 401: a login page
is no answer to them.

*What breaks if you change it.* Where a browser is sent back to is an absolute URL of the host that it came to, so that
a path such as //evil.example leads nowhere else. The cookies of two logins that are under way differ in their names,
so that two tabs do not undo each other. `__Host-` keeps other hosts of the domain from setting them.
"""

import hmac
import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from time import time
from typing import Protocol
from urllib.parse import parse_qsl, quote_plus, urlencode

from netfront.errors import BackendError, BadMessage, ClientGone, NoBackend, Refusal
from netfront.http.message import Answer, Client, Request, Response
from netfront.net.lane import Deadline, Signal, first
from netfront.net.stream import Facts
from netfront.policy.claims import Identity
from netfront.policy.metadata import CALLBACK, Metadata
from netfront.policy.sealed import Sealer
from netfront.policy.token import TokenRefused
from netfront.wire.cookie import cookie_pairs
from netfront.wire.fields import COOKIE, Field, Fields, field
from netfront.wire.target import parse_authority

__all__ = ["MOST_AT_ONCE", "Login", "LoginRules"]

_log = logging.getLogger("netfront")
_LOGIN_TIME = 600
"""Seconds that a login may take."""
_MOST_LOGINS = 8
"""Logins under way that a browser keeps cookies of."""
_PIECE, _PIECES = 3800, 3
"""Bytes of a cookie's value, and how many hold a session: browsers take 4096 with the name, servers 8 KiB or more of a
field, which is what the client's other cookies need too."""
_PIECE_NAMES = tuple(b"-s%d" % at for at in range(_PIECES))
_LONGEST_RETURN = 1500
_LONGEST_SCOPE, _LONGEST_REFRESH = 2000, 5000
_AGAIN = 30.0
"""Seconds after which a renewal that failed for the issuer's sake is tried again."""
_KEPT = 60.0
"""Seconds for which a renewed session is given to who comes with the old one."""
_MOST_KEPT = 4096
MOST_AT_ONCE = 64
"""Logins that wait for the issuer."""
_LEAST_LIFE, _USUAL_LIFE, _MOST_LIFE = 60.0, 3600.0, 86_400.0
"""Seconds until a session is renewed: as long as its access token says it lives, within bounds."""
_PROTOCOL = frozenset(
    {
        "iss",
        "aud",
        "exp",
        "iat",
        "nbf",
        "nonce",
        "at_hash",
        "c_hash",
        "s_hash",
        "azp",
        "jti",
        "auth_time",
        "typ",
    }
)
"""Claims that say something of the token, and nothing of the user."""
_NO_STORE = field(b"Cache-Control", b"no-store")
_DOWN = (BackendError, NoBackend, BadMessage, OSError)


class Provider(Protocol):
    """The issuer."""

    metadata: Metadata | None

    async def look_again(self, client: Client) -> bool:
        """Wait until it was looked at."""
        ...


@dataclass(frozen=True, slots=True)
class LoginRules:
    """What a login goes by.

    Args:
        client_id, secret: who we are at the issuer; None for a public client.
        scope: what is asked for, with spaces between.
        lifetime: seconds that a session lasts at most.
        name: part of the cookies' names: two logins at one host have two.
    """

    client_id: str
    secret: bytes | None
    scope: str
    lifetime: float
    name: bytes


@dataclass(frozen=True, slots=True)
class _Session:
    """What the cookie holds."""

    claims: Mapping[str, object]
    scopes: str
    refresh: str | None
    due: float
    until: float

    @property
    def identity(self) -> Identity:
        subject = self.claims.get("sub")
        assert isinstance(subject, str)
        return Identity("oidc", subject, self.claims, frozenset(self.scopes.split()))


Post = Callable[[str, Fields, bytes, Client | None], Awaitable[Answer]]
"""Posts to a URL."""
Verify = Callable[[bytes, Client], Identity | Awaitable[Identity]]
"""Verifies an id token. Raises TokenRefused."""


class Login:
    """Logins at one issuer.

    Args:
        spawn: runs something that outlives who asked for it.
        random: gives so many random bytes.
        wall: seconds since 1970.
        before: the same login of an app that this one's takes the place of: what it renews or has renewed stands.
    """

    def __init__(
        self,
        provider: Provider,
        verify: Verify,
        post: Post,
        rules: LoginRules,
        sealer: Sealer,
        *,
        spawn: Callable[[Callable[[], Awaitable[None]]], None],
        random: Callable[[int], bytes],
        wall: Callable[[], float] = time,
        before: "Login | None" = None,
    ) -> None:
        self._provider = provider
        self._verify = verify
        self._post = post
        self.rules = rules
        self._sealer = sealer
        self._spawn = spawn
        self._random = random
        self._wall = wall
        self._renewals: dict[bytes, _Renewal] = before._renewals if before is not None else {}
        self._opened: dict[bytes, tuple[_Session, Identity]] = {}
        """By the hash of what the cookie holds."""
        self._at_once = 0

    # -- sessions ------------------------------------------------------------------------------------------------

    def session_of(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """Give who has a session, None for nobody."""
        held = self._values(request)
        sealed = b"".join([held[name] for name in _PIECE_NAMES if name in held])
        if not sealed:
            return None
        digest = sha256(sealed).digest()
        known = self._opened.get(digest)
        if known is None:
            session = self._open(sealed)
            if session is None:
                return None
            if len(self._opened) >= _MOST_KEPT:
                self._opened.clear()
            known = self._opened[digest] = session, session.identity
        session, identity = known
        now = self._wall()
        if now >= session.until:
            return None
        if now >= session.due and session.refresh is not None:
            return self._renewed(request, session)
        return identity

    def _open(self, sealed: bytes) -> _Session | None:
        value = self._sealer.open(b"session " + self.rules.name, sealed)
        return _Session(*value) if isinstance(value, list) and len(value) == 5 else None

    async def _renewed(self, request: Request, session: _Session) -> Identity | None:
        """Give who it is, with a session that is renewed if that can be."""
        assert session.refresh is not None
        name = sha256(session.refresh.encode()).digest()
        renewal = self._renewals.get(name)
        if renewal is None or (renewal.over.is_set and self._wall() >= renewal.stands):
            if len(self._renewals) >= _MOST_KEPT:
                for key in [key for key, one in self._renewals.items() if one.over.is_set]:
                    del self._renewals[key]
            renewal = _Renewal(session)
            self._spawn(partial(self._see_through, name, renewal))
            self._renewals[name] = renewal
        while not renewal.over.is_set:
            if (
                await first(renewal.over, request.client.gone) is not renewal.over
                and request.client.has_left()
            ):
                raise ClientGone
        renewed = renewal.session
        if renewed is None:
            return None
        if renewed is not session and renewed.due != session.due:
            try:
                request.cookies = (*request.cookies, *self._session_cookies(request, renewed))
            except TokenRefused:
                return None
        return renewed.identity

    async def _see_through(self, name: bytes, renewal: "_Renewal") -> None:
        """Have a session renewed, whoever leaves meanwhile: a refresh token that was shown once may be good no more."""
        try:
            await self._renew(renewal, _NOBODY)
        except Exception as error:  # and the session stays for a while as where the issuer is down
            _log.error("an error of netfront's own while a session was renewed", exc_info=error)
        except BaseException:
            self._renewals.pop(name, None)
            raise
        finally:
            renewal.over.set()

    async def _renew(self, renewal: "_Renewal", client: Client) -> None:
        """Have a session renewed. Where the issuer has ended it there is none; where it is down it stays as it is."""
        session = renewal.session
        assert session is not None
        assert session.refresh is not None
        renewal.stands = self._wall() + _AGAIN
        try:
            grant = {"grant_type": "refresh_token", "refresh_token": session.refresh}
            said = await self._tokens(grant, client)
            if said is None:
                renewal.session = None
                return
            claims = session.claims
            if said.get("id_token") is not None:
                claims = await self._claims(said, client)
                if claims.get("sub") != session.claims.get("sub"):
                    raise TokenRefused("of another user")
        except TokenRefused:
            renewal.session = None
        except (*_DOWN, Refusal):
            return
        else:
            renewal.session = replace(self._session(claims, said, session), until=session.until)
            renewal.stands = self._wall() + _KEPT

    # -- logging in ----------------------------------------------------------------------------------------------

    async def begin(self, request: Request) -> Response:
        """Send a browser to the issuer."""
        metadata = await self._metadata(request)
        if metadata.authorization is None or metadata.token is None:
            raise Refusal(503, "the issuer has no authorization or no token endpoint")
        state, nonce, verifier = (_text(self._random(32)) for _ in range(3))
        back = request.target.origin_form.decode("latin-1")
        if len(back) > _LONGEST_RETURN or not back.startswith("/"):
            back = "/"
        base = _base(request)
        until = self._wall() + _LOGIN_TIME
        sealed = self._sealer.seal(b"login " + self.rules.name, [state, nonce, verifier, base, back, until])
        asked = {
            "response_type": "code",
            "client_id": self.rules.client_id,
            "redirect_uri": base + CALLBACK.decode(),
            "scope": self.rules.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": _text(sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        mark = "&" if "?" in metadata.authorization else "?"
        location = f"{metadata.authorization}{mark}{urlencode(asked)}"
        cookies = [self._cookie(request, _login_name(state), sealed, _LOGIN_TIME)]
        under_way = self._names(request, b"-l")
        cookies += [self._cookie(request, name, b"", 0) for name in under_way[: -_MOST_LOGINS + 1]]
        request.exchange.outcome = "no session: sent to the issuer"
        return _redirect(location, cookies)

    def has_begun(self, request: Request) -> bool:
        """Tell whether a login of ours is under way with the state that a browser brings from the issuer."""
        return self._begun(request, _said(request)) is not None

    def _begun(self, request: Request, said: Mapping[str, str]) -> tuple[str, str, str, str] | None:
        """Give what was kept of a login: nonce, verifier, whence it came and where it goes back to."""
        sealed = self._values(request).get(_login_name(said.get("state", "")))
        value = self._sealer.open(b"login " + self.rules.name, sealed) if sealed is not None else None
        if not isinstance(value, list) or len(value) != 6:
            return None
        state, nonce, verifier, base, back, until = value
        if not hmac.compare_digest(said.get("state", "").encode(), state.encode()) or self._wall() >= until:
            return None
        return nonce, verifier, base, back

    async def come_back(self, request: Request) -> Response:
        """Answer a browser that comes from the issuer."""
        said = _said(request)
        begun = self._begun(request, said)
        if begun is None:
            raise Refusal(400, "login: none is under way with that state, or it took too long")
        nonce, verifier, base, back = begun
        name = _login_name(said.get("state", ""))
        metadata = await self._metadata(request)
        if said.get("iss", None if metadata.names_itself else metadata.issuer) != metadata.issuer:
            raise Refusal(403, "login: the answer is of another issuer")
        if "error" in said or not said.get("code"):
            raise Refusal(403, f"login: the issuer says {said.get('error', 'nothing')!r}"[:200])
        if base != _base(request):
            raise Refusal(403, "login: it was begun at another host")
        grant = {
            "grant_type": "authorization_code",
            "code": said["code"],
            "redirect_uri": base + CALLBACK.decode(),
            "code_verifier": verifier,
        }
        try:
            tokens = await self._tokens(grant, request.client)
            if tokens is None:
                raise Refusal(403, "login: the issuer does not take its code")
            claims = await self._claims(tokens, request.client)
            given = claims.get("nonce")
            if not isinstance(given, str) or not given.isascii() or not hmac.compare_digest(given, nonce):
                raise TokenRefused("its nonce is another")
            held = self._session_cookies(request, self._session(claims, tokens, None))
        except TokenRefused as error:
            raise Refusal(403, f"login: bad id token: {error.why}") from error
        except _DOWN as error:
            raise Refusal(503, f"login: {getattr(error, 'why', error)}", [(b"Retry-After", b"5")]) from error
        cookies = [*held, self._cookie(request, name, b"", 0)]
        return _redirect(base + back, cookies)

    def leave(self, request: Request) -> tuple[list[Field], str | None]:
        """Give the cookies that end what there is of sessions, and where the issuer has its own ended."""
        cookies = [self._cookie(request, name, b"", 0) for name in self._names(request, b"-")]
        metadata = self._provider.metadata
        if metadata is None or metadata.end_session is None:
            return cookies, None
        mark = "&" if "?" in metadata.end_session else "?"
        return cookies, f"{metadata.end_session}{mark}{urlencode({'client_id': self.rules.client_id})}"

    async def _metadata(self, request: Request) -> Metadata:
        if self._provider.metadata is None:
            await self._provider.look_again(request.client)
        metadata = self._provider.metadata
        if metadata is None:
            raise Refusal(503, "login: the issuer does not answer", [(b"Retry-After", b"5")])
        return metadata

    async def _tokens(self, grant: dict[str, str], client: Client | None) -> Mapping[str, object] | None:
        """Have a grant turned into tokens; None where the issuer refuses it (RFC 6749 §5.2).

        Raises:
            BackendError, NoBackend: it does not answer, or not as it should.
        """
        metadata, rules = self._provider.metadata, self.rules
        if metadata is None or metadata.token is None:
            raise NoBackend("the issuer does not answer")
        if self._at_once >= MOST_AT_ONCE:
            raise NoBackend("too many log in at once")
        rows = [
            (b"Content-Type", b"application/x-www-form-urlencoded"),
            (b"Accept", b"application/json"),
            (b"User-Agent", b"netfront"),
        ]
        methods = metadata.token_methods
        if rules.secret is None:
            grant["client_id"] = rules.client_id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            pair = b"%b:%b" % (quote_plus(rules.client_id).encode(), quote_plus(rules.secret).encode())
            rows.append((b"Authorization", b"Basic " + b64encode(pair)))
        else:
            grant |= {"client_id": rules.client_id, "client_secret": rules.secret.decode("latin-1")}
        self._at_once += 1
        try:
            answer = await self._post(metadata.token, Fields.of(*rows), urlencode(grant).encode(), client)
        finally:
            self._at_once -= 1
        if answer.status in (400, 401, 403):
            return None
        try:
            said = json.loads(answer.body) if answer.status == 200 else None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            what = answer.status if answer.status != 200 else "with no JSON object"
            raise BackendError("head", retry_safe=False, why=f"its token endpoint answers {what}")
        return said

    async def _claims(self, tokens: Mapping[str, object], client: Client) -> Mapping[str, object]:
        token = tokens.get("id_token")
        if not isinstance(token, str) or not token.isascii():
            raise TokenRefused("there is none")
        found = self._verify(token.encode(), client)
        claims = (found if isinstance(found, Identity) else await found).claims
        party, audience = claims.get("azp"), claims.get("aud")
        ours = self.rules.client_id
        if party is None and isinstance(audience, list) and any(one != ours for one in audience):
            # OpenID Connect Core §3.1.3.7
            raise TokenRefused("for several, and it does not say who asked for it")
        if party is not None and party != ours:
            raise TokenRefused("made for another party")
        return claims

    def _session(
        self, claims: Mapping[str, object], tokens: Mapping[str, object], before: _Session | None
    ) -> _Session:
        now = self._wall()
        life, refresh, scopes = tokens.get("expires_in"), tokens.get("refresh_token"), tokens.get("scope")
        seconds = min(life, _MOST_LIFE) if isinstance(life, (int, float)) and life > 0 else _USUAL_LIFE
        kept = {name: value for name, value in claims.items() if name not in _PROTOCOL}
        had = before or _Session({}, self.rules.scope, None, 0.0, 0.0)
        return _Session(
            kept,
            scopes if isinstance(scopes, str) and len(scopes) <= _LONGEST_SCOPE else had.scopes,
            refresh if isinstance(refresh, str) and refresh.isascii() else had.refresh,
            now + min(max(seconds, _LEAST_LIFE), _MOST_LIFE),
            now + self.rules.lifetime,
        )

    # -- cookies -------------------------------------------------------------------------------------------------

    def _session_cookies(self, request: Request, session: _Session) -> list[Field]:
        """Make the cookies of a session.

        What finds no room is left out: claims, the largest first; what it is renewed by, where that fills it alone.

        Raises:
            TokenRefused: there is no room even so.
        """
        claims, refresh = dict(session.claims), session.refresh
        if refresh is not None and len(refresh) > _LONGEST_REFRESH:
            _log.warning("login: a refresh token of %d bytes finds no room in cookies", len(refresh))
            refresh = None
        while True:
            sealed = self._sealer.seal(
                b"session " + self.rules.name,
                [claims, session.scopes, refresh, session.due, session.until],
            )
            if len(sealed) <= _PIECE * _PIECES:
                break
            sizes = {name: len(json.dumps(value)) for name, value in claims.items() if name != "sub"}
            if not sizes:
                raise TokenRefused("its sub is too long for cookies")
            del claims[max(sizes, key=lambda name: sizes[name])]
        age = max(0, int(session.until - self._wall()))
        pieces = [sealed[at : at + _PIECE] for at in range(0, len(sealed), _PIECE)]
        cookies = [self._cookie(request, b"-s%d" % at, piece, age) for at, piece in enumerate(pieces)]
        held = self._values(request)
        for at in range(len(pieces), _PIECES):
            if b"-s%d" % at in held:
                cookies.append(self._cookie(request, b"-s%d" % at, b"", 0))
        return cookies

    def _cookie(self, request: Request, name: bytes, value: bytes, age: int) -> Field:
        is_secure = request.public[0] == b"https"
        row = field(
            b"Set-Cookie",
            b"%bnetfront-%b%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b"
            % (
                b"__Host-" if is_secure else b"",
                self.rules.name,
                name,
                value,
                age,
                b"; Secure" if is_secure else b"",
            ),
        )
        row.kind = COOKIE
        return row

    def _values(self, request: Request) -> dict[bytes, bytes]:
        """Give our cookies of a request, by what follows our name."""
        ours = (b"__Host-" if request.public[0] == b"https" else b"") + b"netfront-" + self.rules.name
        found: dict[bytes, bytes] = {}
        for name, value in cookie_pairs(request.fields):
            if name.startswith(ours):
                found.setdefault(name[len(ours) :], value)
        return found

    def _names(self, request: Request, prefix: bytes) -> list[bytes]:
        return [name for name in self._values(request) if name.startswith(prefix)]


class _Nobody:
    """A client that waits for nothing, and never leaves."""

    __slots__ = ("due", "facts", "gone", "told")

    def __init__(self) -> None:
        self.facts = Facts(("", 0), ("", 0))
        self.due = Deadline()
        self.told: object = None
        self.gone = Signal()

    def has_left(self) -> bool:
        return False

    async def interim(self, status: int, fields: Fields) -> None:
        pass


_NOBODY = _Nobody()


class _Renewal:
    """One renewal, what came of it, and until when that stands."""

    __slots__ = ("over", "session", "stands")

    def __init__(self, session: _Session) -> None:
        self.over = Signal()
        self.session: _Session | None = session
        self.stands = 0.0


def _said(request: Request) -> dict[str, str]:
    return dict(parse_qsl((request.target.query or b"").decode("latin-1"), keep_blank_values=True))


def _base(request: Request) -> str:
    """Give the scheme and authority that the client sees. Raises BadMessage: there is none."""
    scheme, authority = request.public
    parse_authority(authority)
    return f"{scheme.decode()}://{authority.decode('latin-1')}"


def _redirect(location: str, cookies: Sequence[Field]) -> Response:
    """Make a redirect that no cache keeps, with these lines of Set-Cookie."""
    rows = [field(b"Location", location.encode("latin-1")), _NO_STORE]
    return Response(302, Fields([*rows, *cookies]), b"")


def _login_name(state: str) -> bytes:
    return b"-l" + sha256(state.encode()).hexdigest()[:12].encode()


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
