"""Asking another service whether a request may pass.

It gets a GET with the fields of the request, and in fields of their own the method, the host and the target: it sees
what the backend would, but for the body. With 2xx the request passes, and fields of the answer go to the backend and
say who asks. Its 401 or 403 is the client's answer. All else means that it cannot be told now, and nobody passes; only
where requests may pass while the service is down do they do so, and down is one that is not reached, gives no answer
in time or says so itself (5xx). A redirect, another 4xx or what is no answer may be of the very request: who sends one
that the service chokes on must not pass for it.
"""

import re
from collections.abc import Awaitable, Callable, Sequence

from netfront.errors import BackendError, BadMessage, NoBackend, Refusal
from netfront.http.message import Answer, Answered, Request, Response
from netfront.policy.claims import Identity
from netfront.wire.fields import HIDDEN, ID, Edit, Fields, field

__all__ = ["AskAuth"]

_UNSAID = frozenset(
    {b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
    | {
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"trailer",
        b"max-forwards",
    }
)
"""Fields of the request that say something of its body, or would have the answer be a part or none."""
_TELLS_ELSEWHERE = re.compile(rb"x[-_](?:original|rewrite)[-_]").match
"""Fields by which other proxies name the target: clients may not speak for us. X-Forwarded-* have gone before."""
_OUTSIDERS = Edit(kinds=1 << HIDDEN | 1 << ID, names=(b"date",))
"""Fields that say something of the service, or of what it was asked, and nothing of the client's request."""
_METHOD, _URI = b"X-Forwarded-Method", b"X-Forwarded-Uri"


Ask = Callable[[Request, Fields], Awaitable[Answer]]


class AskAuth:
    """The method. It leaves nobody to those after it: an answer is one, whatever a request brings.

    Args:
        ask: asks for a request, with these fields.
        fields: of the answer that the backend gets, as they are written to it.
        user, scopes: fields of the answer that say who asks and what they may do, in lower case.
        is_open: whether requests pass while it is down.
    """

    challenge = b""

    def __init__(
        self,
        ask: Ask,
        *,
        fields: Sequence[bytes] = (),
        user: bytes | None = None,
        scopes: bytes | None = None,
        is_open: bool = False,
    ) -> None:
        self._ask = ask
        self._handed = [(name, name.lower()) for name in fields]
        self._user = user
        self._scopes = scopes
        self._is_open = is_open

    async def check(self, request: Request) -> Identity:
        """Ask. Raises Answered: it may not pass; Refusal: 503, it is down."""
        rows = [row for row in request.fields if row.name not in _UNSAID and not _TELLS_ELSEWHERE(row.name)]
        rows += [field(_METHOD, request.method), field(_URI, request.target.origin_form)]
        try:
            answer = await self._ask(request, Fields(rows))
        except (BackendError, NoBackend, BadMessage, Refusal) as error:
            return self._untold(getattr(error, "why", "") or str(error), is_down=_is_down(error))
        if 200 <= answer.status < 300:
            return self._passed(request, answer.fields)
        if answer.status in (401, 403):
            request.exchange.outcome = f"--auth-url answers {answer.status}"
            raise Answered(Response(answer.status, answer.fields.edited(_OUTSIDERS), answer.body))
        return self._untold(f"it answers {answer.status}", is_down=500 <= answer.status < 600)

    def _untold(self, why: str, *, is_down: bool) -> Identity:
        if self._is_open and is_down:
            return Identity("auth-url", "anyone", {"sub": "anyone"})
        raise Refusal(503, f"--auth-url: {why}", [(b"Retry-After", b"1")])

    def _passed(self, request: Request, told: Fields) -> Identity:
        """Hand the fields on. What the client sent of that name has gone before all routes."""
        claims: dict[str, object] = {}
        rows = []
        for name, lower in self._handed:
            values = told.get_all(lower)
            rows += [field(name, value) for value in values]
            if values:
                claims[lower.decode()] = _text(b", ".join(values))
        if rows:
            request.fields = request.fields.edited(
                Edit(names=[lower for _, lower in self._handed], added=rows)
            )
        scopes = b" ".join(told.get_all(self._scopes)) if self._scopes is not None else b""
        if self._scopes is not None:
            claims[self._scopes.decode()] = scopes.decode("latin-1")
        user = "anyone"
        if self._user is not None:
            said = told.get(self._user) if len(told.get_all(self._user)) == 1 else None
            if not said:
                raise Refusal(503, f"--auth-url: its answer has no {self._user.decode()}, or several")
            user = _text(said)
            claims[self._user.decode()] = user
        words = scopes.decode("latin-1").replace(",", " ").split()
        return Identity("auth-url", user, {**claims, "sub": user}, frozenset(words))


def _text(value: bytes) -> str:
    """Give a field's value as text, so that it goes on as the same bytes where it is UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _is_down(error: Exception) -> bool:
    """Tell whether that is of the service, and not of what a request has had it say; a head that came is an answer."""
    if isinstance(error, BackendError):
        return error.stage != "body" and not error.is_nonsense
    return not isinstance(error, BadMessage)
