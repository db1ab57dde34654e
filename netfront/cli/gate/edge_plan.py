"""What --cors, --secure-headers and --request-id say, as pure data."""

from dataclasses import dataclass

__all__ = ["DEFAULT_MAX_BODY", "CorsPlan", "EdgePlan"]

DEFAULT_MAX_BODY = 10 * 2**20
"""Bytes of a request's body in a gateway, unless --max-body says otherwise. With --max-body none a composition takes
no more into memory still."""


@dataclass(frozen=True, slots=True)
class CorsPlan:
    """Which scripts of other origins may read the answers of a route (the Fetch standard, CORS).

    Args:
        origins: as browsers write them; a host "*.x" is any below x, "*" alone any origin.
        credentials: whether they may ask with cookies and the like.
        max_age: seconds that a preflight's answer may be remembered.
    """

    origins: tuple[str, ...]
    credentials: bool = False
    max_age: int = 600


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """What is done to all messages of a gateway.

    Args:
        request_id: give each request an X-Request-Id.
        secure_headers: add the fields by which browsers protect users.
    """

    request_id: bool = False
    secure_headers: bool = False
