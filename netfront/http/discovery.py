"""Asking an issuer about itself (OpenID Connect Discovery 1.0 §4, RFC 8414 §3)."""

from collections.abc import Awaitable, Callable

from netfront.errors import BackendError
from netfront.http.message import Answer
from netfront.net.lane import clock
from netfront.policy.metadata import Metadata, read_metadata

__all__ = ["Ask", "discover", "fetch"]

_PATIENCE = 10.0
"""Seconds for one answer of the issuer."""
_MOST_BODY = 262_144
"""Bytes of an issuer's answer: 64 keys with their certificates."""
_OPENID = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"

Ask = Callable[[str, float, int], Awaitable[Answer]]
"""Gets a URL: (url, until, most bytes)."""


async def fetch(ask: Ask, url: str) -> Answer:
    """Get a URL that answers with 200.

    Raises:
        BackendError: no such answer came.
    """
    answer = await ask(url, clock() + _PATIENCE, _MOST_BODY)
    if answer.status != 200:
        raise BackendError("head", retry_safe=True, why=f"{url} answers {answer.status}")
    return answer


async def discover(ask: Ask, issuer: str) -> Metadata:
    """Find out about an issuer.

    Args:
        issuer: its URL; a slash at the end makes no difference here, the issuer itself says whether it has one.
    Raises:
        BackendError: it does not answer.
        ValueError: what it says is not to be used.
    """
    base = issuer.rstrip("/")
    answer = await ask(base + _OPENID, clock() + _PATIENCE, _MOST_BODY)
    if answer.status != 200:
        scheme, _, rest = base.partition("://")
        place, slash, path = rest.partition("/")
        answer = await fetch(ask, f"{scheme}://{place}{_OAUTH}{slash}{path}")
    return read_metadata(answer.body, issuer)
