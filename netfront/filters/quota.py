"""What limits of all kinds answer with: a 429 and its problem, and their names as fields have them."""

import json
from collections.abc import Sequence

from netfront.http.message import Request, Response
from netfront.wire.fields import Field, Fields, field

__all__ = ["quoted", "refused"]

_PROBLEM = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_TITLE = "Request cannot be satisfied as assigned quota has been exceeded"


def quoted(name: str) -> bytes:
    """Give a name as a String of structured fields (RFC 9651 §3.3.3)."""
    return b'"%b"' % name.replace("\\", "\\\\").replace('"', '\\"').encode()


def refused(
    request: Request, names: Sequence[str], why: str, seconds: int, told: Sequence[Field] = ()
) -> Response:
    """Make the 429 of a request that is over these limits (draft-ietf-httpapi-ratelimit-headers-11).

    Args:
        why: for the log.
        seconds: after which it may be tried again.
        told: further fields.
    """
    request.exchange.outcome = f"{why} {', '.join(names)}"
    request.exchange.source = "netfront"
    problem = {"type": _PROBLEM, "title": _TITLE, "status": 429, "violated-policies": list(names)}
    rows = [
        field(b"Content-Type", b"application/problem+json"),
        field(b"Cache-Control", b"no-store"),
        field(b"Retry-After", b"%d" % seconds),
        *told,
    ]
    return Response(429, Fields(rows), json.dumps(problem).encode() + b"\n")
