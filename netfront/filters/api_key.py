"""API keys: a long random word in a field of its own, or behind Bearer or ApiKey in Authorization."""

from collections.abc import Callable

from netfront.errors import Refusal
from netfront.http.message import Request
from netfront.policy.claims import Identity

__all__ = ["ApiKey"]

_SCHEMES = (b"bearer", b"apikey")
_DOTS_OF_A_JWT = 2


class ApiKey:
    """The method.

    Args:
        owner: tells whose key it is.
        field: in which it comes, in lower case.
    """

    def __init__(
        self,
        owner: Callable[[bytes], Identity | None],
        field: bytes,
        *,
        realm: str = "netfront",
    ) -> None:
        self.challenge = b'ApiKey realm="%b", header="%b"' % (realm.encode(), field)
        self._owner = owner
        self._field = field
        self._is_shared = field == b"authorization"

    def check(self, request: Request) -> Identity | None:
        """See Method."""
        given = request.fields.get_all(self._field)
        if not given:
            return None
        if len(given) > 1:
            raise Refusal(401, f"several lines of {self._field.decode()}")
        key = given[0]
        if self._is_shared:
            scheme, _, key = key.partition(b" ")
            if scheme.lower() not in _SCHEMES or key.count(b".") == _DOTS_OF_A_JWT:
                return None
        identity = self._owner(key.strip(b" "))
        if identity is None:
            raise Refusal(401, "an unknown API key")
        return identity
