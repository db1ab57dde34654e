"""Letting in only requests that mean us, where the backend cannot tell any more (DNS rebinding).

A page of a stranger can make a browser call its own name and have that name resolve to this machine. A backend that
checks Host refuses it; where Host is replaced, the backend cannot, so it is checked here: 421 (RFC 9110 §15.5.20).
"""

from collections.abc import Awaitable, Callable, Iterable

from netfront.endpoint import is_loopback_name
from netfront.errors import BadMessage, Refusal
from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.target import parse_authority

__all__ = ["guard_host", "names_us"]

_HOSTS = 256


def names_us(own: Iterable[str]) -> Callable[[bytes], bool]:
    """Make what tells whether the authority of a request means us.

    Args:
        own: names that do beside the loopback names; "*.x" is any name below x.
    """
    names = frozenset(own)

    def is_ours(authority: bytes) -> bool:
        try:
            host = parse_authority(authority)[0].decode("latin-1").strip("[]").removesuffix(".")
        except BadMessage:
            return False
        if is_loopback_name(host) or host in names:
            return True
        parts = host.split(".")
        return any("*." + ".".join(parts[index:]) in names for index in range(1, len(parts)))

    return is_ours


def guard_host(own: Iterable[str]) -> Filter:
    """Make the filter.

    Args:
        own: as `names_us` has it.
    """
    is_ours = names_us(own)
    known: set[bytes] = set()

    def around(then: Handler) -> Handler:
        def handle(request: Request) -> Awaitable[Response]:
            authority = request.authority
            if authority not in known:
                if not is_ours(authority):
                    raise Refusal(
                        421, f"{authority.decode('latin-1')!r} is no name of ours; see --allow-host"
                    )
                if len(known) >= _HOSTS:
                    known.clear()
                known.add(authority)
            return then(request)

        return handle

    return around
