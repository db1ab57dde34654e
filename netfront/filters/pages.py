"""The pages of our own errors: a bare status for strangers, an explanation for whoever sits at this machine.

On a listener that only loopback reaches, the answer says what was dialled, the system's words and what to do next,
as HTML, as problem+json (RFC 9457) or as one line of text, by the request's Accept. Elsewhere it says nothing of
backends, paths or versions.
"""

import json
from dataclasses import dataclass
from html import escape
from http import HTTPStatus

from netfront.http.message import Response
from netfront.wire.fields import Field, Fields, field

__all__ = ["Explanation", "error_page", "preferred"]

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_TYPES = {
    "html": b"text/html; charset=utf-8",
    "json": b"application/problem+json",
    "text": b"text/plain; charset=utf-8",
}
_ALWAYS = (field(b"Cache-Control", b"no-store"), field(b"X-Content-Type-Options", b"nosniff"))
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {phrase}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 12vh auto; padding: 0 1.5rem }}
h1 {{ font-size: 1.5rem; margin: 0 0 1rem }} h1 b {{ opacity: .5; font-weight: 400; margin-right: .5rem }}
p {{ margin: .4rem 0 }} code {{ font: .9em ui-monospace, monospace; overflow-wrap: anywhere }}
footer {{ margin-top: 2.5rem; opacity: .6; font-size: .85rem }}
</style></head><body><h1><b>{status}</b>{phrase}</h1>
<p>{why}</p>{hint}{routes}<footer>said by netfront, not by the application behind it</footer></body></html>
"""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is told of an error.

    Args:
        why: what happened, in one sentence.
        hint: what to do next; empty for nothing.
        routes: those that there are, where none was found.
    """

    why: str
    hint: str = ""
    routes: tuple[str, ...] = ()


def error_page(status: int, explanation: Explanation | None, accept: bytes | None, *added: Field) -> Response:
    """Make the answer to an error.

    Args:
        explanation: None on a listener that others than this machine reach.
        accept: the request's Accept; None where there is no request.
    """
    phrase = _PHRASES.get(status, "Error")
    if explanation is None:
        kind, text = "text", f"{status} {phrase}\n"
    else:
        kind = preferred(accept)
        text = _RENDER[kind](status, phrase, explanation)
    fields = Fields([field(b"Content-Type", _TYPES[kind]), *_ALWAYS, *added])
    return Response(status, fields, text.encode())


def preferred(accept: bytes | None) -> str:
    """Choose "html", "json" or "text" by Accept (RFC 9110 §12.5.1); text where nothing is preferred."""
    best, best_weight = "text", 0.0
    for part in (accept or b"").decode("latin-1").lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        ours = _KINDS.get(kind)
        if ours is not None and weight > best_weight:
            best, best_weight = ours, weight
    return best


_KINDS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/json": "json",
    "application/problem+json": "json",
    "text/plain": "text",
}


def _html(status: int, phrase: str, told: Explanation) -> str:
    routes = "".join(f"<li><code>{escape(route)}</code></li>" for route in told.routes)
    return _PAGE.format(
        status=status,
        phrase=escape(phrase),
        why=escape(told.why),
        hint=f"<p>{escape(told.hint)}</p>" if told.hint else "",
        routes=f"<p>The routes there are:</p><ul>{routes}</ul>" if routes else "",
    )


def _json(status: int, phrase: str, told: Explanation) -> str:
    problem: dict[str, object] = {"title": phrase, "status": status, "detail": told.why}
    if told.hint:
        problem["hint"] = told.hint
    if told.routes:
        problem["routes"] = list(told.routes)
    return json.dumps(problem) + "\n"


def _text(status: int, phrase: str, told: Explanation) -> str:
    routes = f" (routes: {', '.join(told.routes)})" if told.routes else ""
    hint = f"; {told.hint}" if told.hint else ""
    return f"netfront: {status} {phrase}: {told.why}{hint}{routes}\n"


_RENDER = {"html": _html, "json": _json, "text": _text}
