"""Fields by which browsers protect users, on answers that do not say otherwise themselves.

The choice follows the OWASP Secure Headers Project and MDN, as far as it cannot break a site that works: no list of
where scripts may come from, which only the site knows, and no Cross-Origin-Embedder-Policy. What the backend has set
stays. Strict-Transport-Security has a flag of its own, --hsts, as
it binds browsers for as long as it says. X-XSS-Protection, Expect-CT and Public-Key-Pins are gone from browsers.

Fields that only tell what a backend is made of are removed.
"""

from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import Edit, Fields, field

__all__ = ["SECURE_FIELDS", "secure_headers"]

SECURE_FIELDS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"SAMEORIGIN"),
    (b"Content-Security-Policy", b"frame-ancestors 'self'; base-uri 'self'; object-src 'none'"),
    (b"Referrer-Policy", b"strict-origin-when-cross-origin"),
    (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=()"),
    (b"Cross-Origin-Opener-Policy", b"same-origin-allow-popups"),
    (b"Cross-Origin-Resource-Policy", b"same-site"),
    (b"X-Permitted-Cross-Domain-Policies", b"none"),
)
_TELLTALES = (
    b"x-aspnet-version",
    b"x-aspnetmvc-version",
    b"x-generator",
    b"x-powered-cms",
)


def secure_headers() -> Filter:
    """Make the filter; it stands outside what answers errors, so that these carry the fields too."""
    ours = {name.lower(): field(name, value) for name, value in SECURE_FIELDS}
    edits: dict[frozenset[bytes], Edit] = {}

    def edit_for(fields: Fields) -> Edit:
        there = frozenset(row.name for row in fields.rows if row.name in ours)
        known = edits.get(there)
        if known is None:
            added = [row for name, row in ours.items() if name not in there]
            known = edits[there] = Edit(names=_TELLTALES, added=added)
        return known

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await then(request)
            if response.status != 101:
                response.fields = response.fields.edited(edit_for(response.fields))
            return response

        return handle

    return around
