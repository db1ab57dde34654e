"""What --cors, --secure-headers and --request-id say, as pure data."""

from dataclasses import dataclass

__all__ = ["CorsPlan", "EdgePlan"]


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
