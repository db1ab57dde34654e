"""Where logins begin and end for a browser: the method that has it go to the issuer, and the pages it comes back to."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from netfront.errors import Refusal
from netfront.filters.pages import preferred
from netfront.http.message import Answered, Filter, Handler, Request, Response, stack
from netfront.policy.claims import Identity
from netfront.policy.metadata import CALLBACK, LOGOUT
from netfront.policy.shared import Shared
from netfront.wire.fields import Edit, Field, Fields, field
from netfront.wire.target import parse_authority

__all__ = ["LoginMethod", "LoginPage", "login_pages"]

_CACHING = frozenset({b"cache-control", b"cdn-cache-control", b"surrogate-control", b"expires", b"pragma"})
"""Fields that tell caches what to do with an answer."""
_NO_STORE = field(b"Cache-Control", b"no-store")


class Login(Protocol):
    """Logins at one issuer: see http.login.Login."""

    def session_of(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """Give who has a session, None for nobody."""
        ...

    async def begin(self, request: Request) -> Response:
        """Send a browser to the issuer."""
        ...

    def has_begun(self, request: Request) -> bool:
        """Tell whether a login of ours is under way with the state that a browser brings from the issuer."""
        ...

    async def come_back(self, request: Request) -> Response:
        """Answer a browser that comes from the issuer."""
        ...

    def leave(self, request: Request) -> tuple[list[Field], str | None]:
        """Give the cookies that end what there is of sessions, and where the issuer has its own ended."""
        ...


class LoginMethod:
    """The method: a session, or a login where somebody looks at a page.

    Args:
        realm: what the challenge says of where it asks.
    """

    def __init__(self, login: Login, *, realm: str) -> None:
        self.challenge = b'OIDC realm="%b"' % realm.encode()
        self._login = login

    def check(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """Look for a session. Raises Answered: go and log in."""
        found = self._login.session_of(request)
        if isinstance(found, Identity):
            return found
        if found is None and not _navigates(request):
            return None
        return self._wait(request, found)

    async def _wait(self, request: Request, found: Awaitable[Identity | None] | None) -> Identity | None:
        identity = await found if found is not None else None
        if identity is None and _navigates(request):
            raise Answered(await self._login.begin(request))
        return identity


@dataclass(frozen=True, slots=True)
class LoginPage:
    """A login whose pages stand on some hosts.

    Args:
        guards: filters of what holds wherever it is asked for: addresses, and limits on those.
    """

    login: Login
    is_for: Callable[[bytes], bool]
    guards: tuple[Filter | None, ...]


def login_pages(
    pages: Sequence[LoginPage], address_of: Callable[[Request], bytes | None], waiting: Shared
) -> Filter:
    """Make the filter that answers where logins end and begin, ahead of all routes, and has browsers keep sessions.

    Args:
        address_of: tells a client's address: one has a share of those that may wait.
        waiting: counts those that wait for the issuer.
    """

    def coming_back(login: Login) -> Handler:
        async def come_back(request: Request) -> Response:
            address = address_of(request) or b""
            if not waiting.take(1, address):
                raise Refusal(503, "login: too many at once", [(b"Retry-After", b"5")])
            try:
                return await login.come_back(request)
            finally:
                waiting.give_back(1, address)

        return come_back

    ends = [stack(*page.guards, then=coming_back(page.login)) for page in pages]

    def end(request: Request, host: bytes) -> Awaitable[Response]:
        if request.method != b"GET":
            raise Refusal(405, "a login comes back by GET", [(b"Allow", b"GET")])
        here = [(page.login, handler) for page, handler in zip(pages, ends, strict=True) if page.is_for(host)]
        begun = (handler for login, handler in here if login.has_begun(request))
        return next(begun, here[0][1])(request)  # where none has begun, only who may come in is told so

    def leave(request: Request, mine: Sequence[LoginPage]) -> Awaitable[Response]:
        async def left(request: Request) -> Response:
            return _leave(request, [page.login for page in mine])

        return stack(*(guard for page in mine for guard in page.guards), then=left)(request)

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            path = request.target.path
            if path in (CALLBACK, LOGOUT):
                host = parse_authority(request.authority)[0].removesuffix(b".") if request.authority else b""
                mine = [page for page in pages if page.is_for(host)]
                if mine:
                    request.exchange.target = path  # what follows it is a code, which no log is to hold
                    return await (end(request, host) if path == CALLBACK else leave(request, mine))
            response = await then(request)
            if request.cookies:
                # RFC 9111 §7.3: a Set-Cookie keeps no cache from storing it, and giving the session to others
                edit = Edit(names=_CACHING, added=(_NO_STORE, *request.cookies))
                response.fields = response.fields.edited(edit)
            return response

        return handle

    return around


def _leave(request: Request, logins: Sequence[Login]) -> Response:
    if request.method not in (b"GET", b"POST"):
        raise Refusal(405, "a logout is a GET or a POST", [(b"Allow", b"GET, POST")])
    if request.fields.get(b"sec-fetch-site") == b"cross-site":
        raise Refusal(403, "logout: another site asks for it")
    cookies: list[Field] = []
    place: str | None = None
    for login in logins:
        ended, leads = login.leave(request)
        cookies += ended
        place = place or leads
    if place is not None:
        return Response(302, Fields([field(b"Location", place.encode("latin-1")), _NO_STORE, *cookies]), b"")
    rows = [field(b"Content-Type", b"text/plain; charset=utf-8"), _NO_STORE]
    return Response(200, Fields([*rows, *cookies]), b"logged out\n")


def _navigates(request: Request) -> bool:
    """Tell whether somebody looks at what comes."""
    fields = request.fields
    return (
        request.method == b"GET"
        and request.upgrade is None
        and fields.get(b"sec-fetch-mode") in (None, b"navigate")
        and fields.get(b"x-requested-with") is None
        and preferred(fields.get(b"accept")) == "html"
    )
