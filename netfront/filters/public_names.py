"""Hiding where a response came from: what names the backend is made to name us (RFC 9110 §10.2.2, RFC 6265 §4.1).

Location, Content-Location and Refresh that point to the backend's own origin, and cookies that are bound to its host or
to the path it serves under, are rewritten to the public side. A reference elsewhere stays as it is.
"""

import re
from urllib.parse import urlsplit, urlunsplit

from netfront.endpoint import is_loopback_name
from netfront.http.message import Request, Response
from netfront.net.backend import Member
from netfront.policy.route import Scope
from netfront.wire.fields import COOKIE, LOCATION, Field, Fields, field

__all__ = ["public_names"]

_NAMED = (1 << LOCATION) | (1 << COOKIE)
_PORTS = {"http": 80, "https": 443}
_REFRESH = re.compile(rb"([0-9.]+[ \t]*[;,][ \t]*(?:[Uu][Rr][Ll][ \t]*=[ \t]*)?['\"]?)([^'\"]*)(['\"]?)")


def public_names(request: Request, response: Response) -> None:
    """Rewrite what names the backend. Costs nothing where no field could."""
    fields = response.fields
    if not fields.kinds & _NAMED:
        return
    backend, scope = request.exchange.backend, request.route
    if backend is None or not isinstance(scope, Scope):
        return
    member = backend.member
    rows = [
        _rewritten(row, request, member, scope) if row.kind in (LOCATION, COOKIE) else row
        for row in fields.rows
    ]
    if any(new is not old for new, old in zip(rows, fields.rows, strict=True)):
        response.fields = Fields(rows)


def _rewritten(row: Field, request: Request, member: Member, scope: Scope) -> Field:
    value = row.value
    if row.kind == COOKIE:
        value = _cookie(value, member, scope)
    elif row.name == b"refresh":
        match = _REFRESH.fullmatch(value)
        if match is not None:
            value = match[1] + _reference(match[2], request, member, scope) + match[3]
    else:
        value = _reference(value, request, member, scope)
    if value == row.value:
        return row
    new = field(row.raw.partition(b":")[0], value)
    new.kind = row.kind
    return new


def _reference(value: bytes, request: Request, member: Member, scope: Scope) -> bytes:
    """Rewrite a URI reference, if it points into the backend."""
    text = value.decode("latin-1")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return value
    if parts.netloc:
        if not _is_backend(parts.scheme, parts.hostname or "", port, request, member):
            return value
        path = _public_path(parts.path or "/", member, scope)
        authority = request.public[1].decode("latin-1")
        scheme = (
            _scheme(request) if parts.scheme and authority else ""
        )  # of who gave no host nothing is known
        public = urlunsplit((scheme, authority, path, parts.query, parts.fragment))
        return public.encode("latin-1")
    if not parts.scheme and parts.path.startswith("/"):
        path = _public_path(parts.path, member, scope)
        return (path + text[len(parts.path) :]).encode("latin-1") if path != parts.path else value
    return value


def _is_backend(scheme: str, host: str, port: int | None, request: Request, member: Member) -> bool:
    """Tell whether an authority is the backend's own.

    That is: the name it was dialled by, or the Host it was sent; the client's host with the backend's port, which
    servers make who take the name from Host and know their own port; or the client's whole authority under http
    where TLS ends here, which servers make who do not heed X-Forwarded-Proto.
    """
    own_scheme = "https" if member.tls is not None else "http"
    number = port or _PORTS.get(scheme or own_scheme, 0)
    asked = urlsplit("//" + request.authority.decode("latin-1"))
    if (asked.hostname or "") == host.lower():
        if number == member.endpoint.port:
            return True
        public = _scheme(request)
        if scheme == "http" and public == "https":
            return port == asked.port
        if member.base and scheme in ("", public):  # else there is nothing to change
            return (port or _PORTS[public]) == (asked.port or _PORTS[public])
    for authority in (member.authority, member.host):
        if authority is None:
            continue
        own = urlsplit("//" + authority.decode("latin-1"))
        if (own.hostname or "") == host.lower() and (own.port or _PORTS[own_scheme]) == number:
            return True
    endpoint = member.endpoint
    if not endpoint.host or endpoint.port != number:
        return False
    return endpoint.host == host.lower() or (is_loopback_name(endpoint.host) and is_loopback_name(host))


def _scheme(request: Request) -> str:
    """Give the scheme that the client sees."""
    return request.public[0].decode("latin-1")


def _public_path(path: str, member: Member, scope: Scope) -> str:
    """Put the route's prefix back in place of the backend's base."""
    if not member.base:
        return path
    base, prefix = member.base.decode("latin-1").rstrip("/"), scope.prefix.rstrip("/")
    if path != base and not path.startswith(base + "/"):
        return path
    return prefix + path[len(base) :] or "/"


def _cookie(value: bytes, member: Member, scope: Scope) -> bytes:
    """Free a cookie of the backend's host, and move its path to the public side."""
    pair, *attributes = value.split(b";")
    kept = [pair]
    for attribute in attributes:
        name, equals, given = attribute.partition(b"=")
        key, given = name.strip(b" \t").lower(), given.strip(b" \t")
        if key == b"domain" and _names_backend(given, member):
            continue
        if key == b"path" and equals and given.startswith(b"/"):
            path = _public_path(given.decode("latin-1"), member, scope)
            kept.append(b" Path=" + path.encode("latin-1") if path.encode("latin-1") != given else attribute)
            continue
        kept.append(attribute)
    return b";".join(kept)


def _names_backend(domain: bytes, member: Member) -> bool:
    """Tell whether a cookie's Domain is the backend's host or above it."""
    wanted = domain.lstrip(b".").lower().decode("latin-1")
    hosts = {member.endpoint.host}
    for authority in (member.authority, member.host):
        if authority is not None:
            hosts.add(urlsplit("//" + authority.decode("latin-1")).hostname or "")
    return any(host == wanted or (host.endswith("." + wanted) and "." in wanted) for host in hosts if host)
