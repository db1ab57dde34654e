"""What a request is told apart by under --limit and --concurrency.

A key is short, whatever the client sent: what is long is told apart by its hash. What came of an address and what came
of anything else never are the same key. A request that lacks what it is to be told apart by goes by its address.
"""

from collections.abc import Callable

from netfront.http.message import Request
from netfront.policy.claims import claim, texts
from netfront.policy.networks import network_of, short_key
from netfront.wire.cookie import cookie_pairs

__all__ = ["limit_key"]


def limit_key(
    kind: str, name: str, address: Callable[[Request], bytes | None], v4: int = 32, v6: int = 64
) -> Callable[[Request], bytes]:
    """Make the function that gives a request's key.

    A header or cookie that comes twice is as if not there: which of them a backend heeds is not known.

    Args:
        kind: "" (all requests are one), "ip", "route", "header", "cookie", "key", "user" or "claim".
        name: of the header, cookie or claim.
        address: gives that of the client, as far as known.
        v4, v6: bits by which addresses are told apart.
    """
    wanted = name.lower().encode() if kind == "header" else name.encode()

    def by_address(request: Request) -> bytes:
        return network_of(address(request) or b"", v4, v6)

    def of_header(request: Request) -> bytes:
        values = request.fields.get_all(wanted)
        return _of(values[0]) if len(values) == 1 else by_address(request)

    def of_cookie(request: Request) -> bytes:
        values = [value for name, value in cookie_pairs(request.fields) if name == wanted]
        return _of(values[0]) if len(values) == 1 else by_address(request)

    def of_key(request: Request) -> bytes:
        who = request.identity
        return by_address(request) if who is None or who.key is None else _of(who.key.encode())

    def of_user(request: Request) -> bytes:
        who = request.identity
        return by_address(request) if who is None else _of(who.user_bytes)

    def of_claim(request: Request) -> bytes:
        who = request.identity
        values = texts(claim(who.claims, name)) if who is not None else ()
        return _of("\0".join(values).encode(errors="surrogatepass")) if values else by_address(request)

    def of_all(_: Request) -> bytes:
        return b""

    def of_route(request: Request) -> bytes:
        return _of(str(request.route).encode())

    keys: dict[str, Callable[[Request], bytes]] = {
        "": of_all,
        "ip": by_address,
        "route": of_route,
        "header": of_header,
        "cookie": of_cookie,
        "key": of_key,
        "user": of_user,
        "claim": of_claim,
    }
    return keys[kind]


def _of(value: bytes) -> bytes:
    return b"=" + short_key(value)
