"""Basic authentication (RFC 7617): a user and a password in every request.

To check a password is slow by intent, and every request carries it. So what was found right is remembered, and the
same credential passes at once for a while; a wrong one is checked each time it comes, as many at once as `Users` lets
through.
"""

import binascii
from collections.abc import Awaitable, Callable
from typing import Protocol

from netfront.errors import Refusal
from netfront.http.message import Request
from netfront.policy.claims import Identity
from netfront.policy.remembered import Remembered

__all__ = ["Basic"]

_SCHEME = b"basic"
_LONGEST = 2048
"""Bytes of a credential that is looked at."""


class Users(Protocol):
    """Who may be whom."""

    remembered: Remembered[Identity]
    """What was right lately. Another takes its place when passwords change, so that what was being checked by the old
    ones is remembered nowhere."""

    async def are_right(self, user: str, password: bytes, address: bytes) -> bool:
        """Tell whether a user has a password.

        Args:
            address: who asks.
        """
        ...


class Basic:
    """The method.

    Args:
        now: the clock.
        address_of: tells a client's address: each has its turn with what is slow.
        time: for how long, in seconds, a right credential is remembered.
        realm: what a browser asks for credentials for.
    """

    def __init__(
        self,
        users: Users,
        now: Callable[[], float],
        address_of: Callable[[Request], bytes | None],
        *,
        time: float = 300.0,
        realm: str = "netfront",
    ) -> None:
        self.challenge = b'Basic realm="%b", charset="UTF-8"' % realm.encode()
        self._users = users
        self._now = now
        self._address_of = address_of
        self._time = time

    def check(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """See Method."""
        value = request.fields.get(b"authorization")
        if value is None or value[:6].rstrip(b" ").lower() != _SCHEME:
            return None
        remembered = self._users.remembered
        identity = remembered.get(value, self._now())
        if identity is not None:
            return identity
        return self._find(value, remembered, self._address_of(request) or b"")

    async def _find(self, value: bytes, remembered: Remembered[Identity], address: bytes) -> Identity:
        user, password = _read(value)
        if not await self._users.are_right(user, password, address):
            raise Refusal(401, "a wrong user or password")
        identity = Identity("basic", user, {"sub": user})
        now = self._now()
        remembered.put(value, identity, now + self._time, now)
        return identity


def _read(value: bytes) -> tuple[str, bytes]:
    """Read a credential. Raises Refusal: it is none."""
    if len(value) > _LONGEST:
        raise Refusal(401, f"a Basic credential of {len(value)} bytes")
    try:
        text = value[6:].strip(b" ")
        pair = binascii.a2b_base64(text, strict_mode=True)
        user, colon, password = pair.partition(b":")
        name = user.decode()
    except ValueError as error:  # binascii's and Unicode's are such
        raise Refusal(401, "a malformed Basic credential") from error
    if binascii.b2a_base64(pair, newline=False) != text:  # of one credential there is one writing
        raise Refusal(401, "a malformed Basic credential")
    if not colon or not name or not name.isprintable():
        raise Refusal(401, "a malformed Basic credential")
    return name, password
