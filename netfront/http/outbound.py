"""How a request is written for a backend: target, Host and framing (RFC 9112 §3, §6)."""

from netfront.http.message import Request
from netfront.net.backend import Member

__all__ = ["Mount", "request_head"]

_EXPECTS_BODY = frozenset({b"POST", b"PUT", b"PATCH"})


class Mount:
    """A route's prefix, and the path that stands in its place at a backend: joined with exactly one slash."""

    __slots__ = ("_base", "_segments")

    def __init__(self, prefix: bytes, base: bytes) -> None:
        self._segments = len([segment for segment in prefix.split(b"/") if segment])
        self._base = base.rstrip(b"/")

    def outbound(self, request: Request) -> bytes:
        """Give the target with the prefix replaced; what follows it stays byte for byte where that is safe."""
        target = request.target
        if target.form == "asterisk":
            return target.raw
        moved = self._base + target.behind(self._segments) or b"/"
        return moved if target.query is None else moved + b"?" + target.query


def request_head(request: Request, member: Member, mount: Mount | None) -> bytes:
    """Render the head of a request as this backend shall see it."""
    target = request.target.origin_form if mount is None else mount.outbound(request)
    host = member.host or request.authority or member.authority
    body = request.body
    if not isinstance(body, bytes):
        length = body.length
        framing = b"Transfer-Encoding: chunked\r\n" if length is None else b"Content-Length: %d\r\n" % length
        if request.expects_continue:
            framing += b"Expect: 100-continue\r\n"
    elif body or request.is_framed or request.method in _EXPECTS_BODY:
        framing = b"Content-Length: %d\r\n" % len(body)
    else:
        framing = b""
    if request.upgrade is not None:
        framing += b"Connection: Upgrade\r\nUpgrade: %b\r\n" % request.upgrade
    elif request.takes_trailers:
        framing += b"Connection: TE\r\nTE: trailers\r\n"
    return b"".join(
        (
            request.method,
            b" ",
            target,
            b" HTTP/1.1\r\nHost: ",
            host,
            b"\r\n",
            request.fields.rendered,
            request.lines,
            framing,
            b"\r\n",
        )
    )
