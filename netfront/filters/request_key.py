"""What a request is hashed by: --lb hash:KEY."""

import re
from collections.abc import Callable, Iterable

from netfront.http.message import Request
from netfront.policy.networks import bare_address
from netfront.wire.cookie import cookie_value
from netfront.wire.fields import Field

__all__ = ["request_key"]

_TOLD = (b"x-forwarded-for", b"forwarded")
_FOR = re.compile(rb'(?:^|[;,])[ \t]*(?i:for)=(?:"([^"\\]*)"|([^",; \t]*))').findall


def request_key(
    kind: str, name: str = "", trusted: Callable[[str], bool] | None = None
) -> Callable[[Request], bytes | None]:
    """Make the function that gives a request's key; None where the request has none, and any backend will do.

    Args:
        kind: "ip", "url", "path", "header" or "cookie"; the last two with a `name`.
        trusted: whether an address is that of a proxy whose X-Forwarded-For is believed; None where nobody's is.
    """
    wanted = name.encode()

    def of_header(request: Request) -> bytes | None:
        return request.fields.get(wanted)

    def of_cookie(request: Request) -> bytes | None:
        return cookie_value(request.fields, wanted)

    def of_address(request: Request) -> bytes | None:
        facts = request.client.facts
        if trusted is not None and request.forwarded and trusted(facts.peer[0]):
            for address in reversed(_told(request.forwarded)):
                if address and not trusted(address.decode("latin-1")):
                    return address
        return facts.peer[0].encode() or None

    keys: dict[str, Callable[[Request], bytes | None]] = {
        "ip": of_address,
        "url": lambda request: request.authority + request.target.origin_form,
        "path": lambda request: request.target.path,
        "header": of_header,
        "cookie": of_cookie,
    }
    return keys[kind]


def _told(came: Iterable[Field]) -> list[bytes]:
    """Give the addresses that proxies told, without ports: of X-Forwarded-For, or else of Forwarded (RFC 7239 §5.2)."""
    lines = {name: b",".join([row.value for row in came if row.name == name]) for name in _TOLD}
    told = lines[b"x-forwarded-for"].split(b",") if lines[b"x-forwarded-for"] else []
    told = told or [quoted or plain for quoted, plain in _FOR(lines[b"forwarded"])]
    return [bare_address(address) for address in told]
