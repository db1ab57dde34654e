"""Naming the backend that answered, for whoever looks for trouble: X-Backend (--backend-header)."""

from functools import lru_cache

from netfront.http.message import Request, Response
from netfront.wire.fields import Edit, field

__all__ = ["name_backend"]


def name_backend(request: Request, response: Response) -> None:
    """Add X-Backend to an answer, in place of one that the backend sent."""
    backend = request.exchange.backend
    if backend is not None:
        response.fields = response.fields.edited(_edit(backend.member.label))


@lru_cache(maxsize=1024)
def _edit(label: str) -> Edit:
    return Edit(names=[b"x-backend"], added=[field(b"X-Backend", label.encode())])
