"""Sticky sessions: a cookie names the backend that answered, and the next request goes there again.

What the cookie holds is a keyed hash of the backend's name: it tells nothing of the backend, cannot be made up, and is
the same in every process and on every machine that has the key. No table is kept, so none is lost.
"""

import hmac
from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256

from netfront.http.message import Request, Response
from netfront.wire.cookie import cookie_value
from netfront.wire.fields import COOKIE, field

__all__ = ["Stickiness"]

_BYTES = 18
"""Of the hash: 144 bits are not guessed, and stand in 24 characters without padding."""


class Stickiness:
    """The tokens of one pool's backends, and the cookie that carries them.

    Args:
        secret: the key of the hash.
        cookie: its name.
    """

    def __init__(self, secret: bytes, cookie: bytes) -> None:
        self.cookie = cookie
        self.token = lru_cache(maxsize=4096)(
            lambda name: urlsafe_b64encode(hmac.new(secret, name, sha256).digest()[:_BYTES])
        )

    def key(self, request: Request) -> bytes | None:
        """Give the token that a request brings."""
        return cookie_value(request.fields, self.cookie)

    def set_cookie(self, request: Request, response: Response, name: bytes) -> None:
        """Have the client come back to the backend of this name, if that is not whom it came for."""
        token, brought = self.token(name), self.key(request)
        if brought == token:
            return
        if brought is not None and not request.exchange.retried:
            request.exchange.retried = "moved"
        secure = b"; Secure" if request.scheme == b"https" else b""
        line = field(b"Set-Cookie", b"%b=%b; Path=/; HttpOnly; SameSite=Lax%b" % (self.cookie, token, secure))
        line.kind = COOKIE
        response.fields = response.fields.plus(line)
