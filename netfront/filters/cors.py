"""Scripts of other origins: who may read our answers (the Fetch standard, section 3.3).

Two filters. The outer one stands outside everything that answers, so that a 401, 429 or 502 can be read by the script
that has to act on it, and answers preflights, which carry no credentials and so come before authentication. The inner
one stands first in a route and only says which rules hold there.

Whatever a backend says of CORS by itself is replaced: two such answers in one are none to a browser. The list of
fields that may be read is the exception, as it only widens ours.
"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Edit, Field, Fields, field

__all__ = ["CorsRules", "cors", "cors_here"]

_REMEMBERED = 1024
_TOKENS = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*").fullmatch
_LONGEST = 2048
_REPLACED = (
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-allow-methods",
    b"access-control-allow-headers",
    b"access-control-allow-private-network",
    b"access-control-max-age",
)
_READABLE = (
    b"Netfront-Clash, Netfront-Missing, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, X-Request-Id"
)
"""Of our own fields; without credentials all may be read, with them `*` would be a field's name."""


class CorsRules:
    """Who may read what, compiled.

    Args:
        origins: as browsers write them, in lower case; "*" for any; "https://*.x" for any host below x.
        max_age: seconds that a preflight may be remembered.
    """

    def __init__(self, origins: Sequence[bytes], *, credentials: bool = False, max_age: int = 600) -> None:
        self.is_any = b"*" in origins
        self.credentials = credentials
        self.max_age = b"%d" % max_age
        self._exact = frozenset(origins)
        self._below = tuple(
            re.compile(re.escape(origin).replace(rb"\*", rb"[a-z0-9_.-]+")).fullmatch
            for origin in origins
            if b"*" in origin and origin != b"*"
        )
        self._edits: dict[tuple[bytes | None, bool], Edit] = {}

    def allows(self, origin: bytes) -> bool:
        """Tell whether scripts of an origin may."""
        return self.is_any or origin in self._exact or any(matches(origin) for matches in self._below)

    def rows(self, origin: bytes | None) -> list[Field]:
        """Give the fields that let an origin in; none for one that may not."""
        if origin is None and not self.is_any:
            return []
        if not (self.is_any or self.allows(origin or b"")):
            return []
        value = b"*" if self.is_any else origin or b""
        rows = [field(b"Access-Control-Allow-Origin", value)]
        return [*rows, field(b"Access-Control-Allow-Credentials", b"true")] if self.credentials else rows

    def edit(self, origin: bytes | None, *, varies: bool) -> Edit:
        """Make the edit of an answer to a request of this origin; None for one that names none.

        Args:
            varies: whether the answer says by itself that it differs by origin.
        """
        known = self._edits.get((origin, varies))
        if known is None:
            rows = self.rows(origin)
            if rows:
                rows.append(field(b"Access-Control-Expose-Headers", _READABLE if self.credentials else b"*"))
            if not (self.is_any or varies):
                rows.append(field(b"Vary", b"Origin"))
            known = Edit(names=_REPLACED, added=rows)
            if len(self._edits) >= _REMEMBERED:
                self._edits.clear()
            self._edits[origin, varies] = known
        return known


def cors_here(rules: CorsRules) -> Filter:
    """Make the filter that says which rules hold in a route; see above."""

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            request.cors = rules
            return then(request)

        return handle

    return around


def cors(
    rules_of: Callable[[Request, bytes], CorsRules | None], otherwise: CorsRules | None = None
) -> Filter:
    """Make the outer filter.

    Args:
        rules_of: gives the rules of the route that a request would reach by this method; None for none.
        otherwise: the rules for what reaches no route.
    """

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            origin = request.fields.get(b"origin")
            if origin is not None and request.method == b"OPTIONS":
                wanted = request.fields.get(b"access-control-request-method")
                rules = rules_of(request, wanted) if wanted else None
                if wanted and rules is not None:
                    return _preflight(request, rules, origin, wanted)
            request.cors = otherwise
            response = await then(request)
            rules = request.cors if isinstance(request.cors, CorsRules) else None
            if rules is not None and response.status != 101:
                varies = not rules.is_any and _varies(response.fields)
                response.fields = response.fields.edited(rules.edit(origin, varies=varies))
            return response

        return handle

    return around


def _varies(fields: Fields) -> bool:
    told = b",".join(fields.get_all(b"vary")).lower().split(b",")
    return any(name.strip(b" \t") in (b"origin", b"*") for name in told)


def _preflight(request: Request, rules: CorsRules, origin: bytes, wanted: bytes) -> Response:
    """Answer whether a script may send a request of this method."""
    request.exchange.source = "netfront"
    vary = field(b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    allowed = rules.rows(origin)
    if not allowed or len(wanted) > _LONGEST or _TOKENS(wanted) is None:
        request.exchange.outcome = f"the origin {origin.decode('latin-1')} may not"
        problem = {"title": "Forbidden", "status": 403, "detail": "this origin may not send requests here"}
        kind = field(b"Content-Type", b"application/problem+json")
        return Response(403, Fields([kind, vary]), json.dumps(problem).encode() + b"\n")
    rows = [*allowed, field(b"Access-Control-Allow-Methods", wanted)]
    named = b", ".join(request.fields.get_all(b"access-control-request-headers"))
    if named and len(named) <= _LONGEST and _TOKENS(named) is not None:
        rows.append(field(b"Access-Control-Allow-Headers", named))
    rows += [field(b"Access-Control-Max-Age", rules.max_age), vary]
    return Response(204, Fields(rows), b"")
