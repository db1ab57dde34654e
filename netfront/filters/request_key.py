"""What a request is hashed by: --lb hash:KEY."""

from collections.abc import Callable

from netfront.http.message import Request
from netfront.policy.networks import bare_address
from netfront.wire.cookie import cookie_value

__all__ = ["request_key"]

_MOST_HOPS = 64
"""Addresses of X-Forwarded-For that are looked at, from the last: all 32 KiB of commas took 9 ms."""


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
            lines = [row.value for row in request.forwarded if row.name == b"x-forwarded-for"]
            for told in reversed(b",".join(lines).rsplit(b",", _MOST_HOPS)[-_MOST_HOPS:]):
                if (address := bare_address(told)) and not trusted(address.decode("latin-1")):
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
