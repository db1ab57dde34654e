"""What a request is hashed by: --lb hash:KEY."""

from collections.abc import Callable

from netfront.http.message import Request
from netfront.wire.cookie import cookie_value

__all__ = ["request_key"]


def request_key(kind: str, name: str = "") -> Callable[[Request], bytes | None]:
    """Make the function that gives a request's key; None where the request has none, and any backend will do.

    Args:
        kind: "ip", "url", "path", "header" or "cookie"; the last two with a `name`.
    """
    wanted = name.encode()

    def of_header(request: Request) -> bytes | None:
        return request.fields.get(wanted)

    def of_cookie(request: Request) -> bytes | None:
        return cookie_value(request.fields, wanted)

    keys: dict[str, Callable[[Request], bytes | None]] = {
        "ip": lambda request: request.client.facts.peer[0].encode() or None,
        "url": lambda request: request.authority + request.target.origin_form,
        "path": lambda request: request.target.path,
        "header": of_header,
        "cookie": of_cookie,
    }
    return keys[kind]
