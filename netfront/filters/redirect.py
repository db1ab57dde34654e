"""Sending clients from plain HTTP to TLS: the listener of --redirect-http, and plain HTTP that comes to a TLS port."""

from collections.abc import Callable

from netfront.errors import BadMessage
from netfront.http.message import Handler, Request, Response
from netfront.wire.fields import Fields
from netfront.wire.head import HeadLimits, RequestHeads, request_memory
from netfront.wire.target import parse_authority, parse_target

__all__ = ["plain_on_tls", "redirect"]

_SAFE = (b"GET", b"HEAD")


def redirect(port: Callable[[], int]) -> Handler:
    """Make the handler that answers 308 to the same place under https (RFC 9110 §15.4.9).

    Args:
        port: of the TLS listener; known once it is open.
    """

    async def handle(request: Request) -> Response:
        location = _secure(request.authority, request.target.origin_form, port())
        if location is None:
            raise BadMessage(400, "no Host to redirect to")
        return Response(308, Fields.of((b"Location", location)), b"")

    return handle


def plain_on_tls(port: Callable[[], int]) -> Callable[[bytes], bytes]:
    """Make the answer to plain HTTP on a TLS port: 308 for GET and HEAD, else a 400 that says it."""

    def answer(data: bytes) -> bytes:
        heads = RequestHeads(HeadLimits(), request_memory(remembers=False))
        try:
            parsed = heads.parse(data)
            if parsed is None:
                return b""
            method, raw, block, _, _ = parsed
            target = parse_target(method, raw)
            location = None
            if method in _SAFE and target.form in ("origin", "absolute"):
                location = _secure(target.authority or block.host or b"", target.origin_form, port())
        except BadMessage:
            return _answer(b"400 Bad Request", b"", b"this port speaks TLS\n")
        if location is None:
            return _answer(
                b"400 Bad Request", b"", b"plain HTTP was sent to a port that speaks TLS; use https://\n"
            )
        return _answer(b"308 Permanent Redirect", b"Location: %b\r\n" % location, b"")

    return answer


def _answer(status: bytes, fields: bytes, text: bytes) -> bytes:
    kind = b"Content-Type: text/plain\r\n" if text else b""
    return b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        status,
        fields,
        kind,
        len(text),
        text,
    )


def _secure(authority: bytes, target: bytes, port: int) -> bytes | None:
    """Make the https URL; None where the host is missing or the target is no path."""
    if not authority or not target.startswith(b"/"):
        return None
    host, _ = parse_authority(authority)
    return b"https://%b%b%b" % (host, b"" if port == 443 else b":%d" % port, target)
