"""How a request is written for a backend: target, Host and framing (RFC 9112 §3, §6)."""

from netfront.http.message import Request
from netfront.net.backend import Member
from netfront.wire.fields import OVERRIDE, Fields
from netfront.wire.named import with_destination
from netfront.wire.target import Target

__all__ = ["Mount", "request_head"]

_EXPECTS_BODY = frozenset({b"POST", b"PUT", b"PATCH"})


class Mount:
    """A route's prefix, and the path that stands in its place at a backend: joined with exactly one slash."""

    __slots__ = ("_base", "_segments")

    def __init__(self, prefix: bytes, base: bytes) -> None:
        self._segments = [segment for segment in prefix.split(b"/") if segment]
        self._base = base.rstrip(b"/")

    def outbound(self, request: Request) -> bytes:
        """Give the target with the prefix replaced; what follows it stays byte for byte where that is safe."""
        target = request.target
        return target.raw if target.form == "asterisk" else self._moved(target)

    def fields(self, request: Request) -> Fields:
        """Give the fields as the backend has them.

        Raises:
            BadMessage: 502, it writes to what does not lie below the prefix.
        """
        authorities = request.authority, request.public[1]
        return with_destination(
            request.method,
            request.fields,
            authorities,
            self._moved_if_there,
            stays_relative=not self._base,  # else it may lead out of that
        )

    def _moved(self, target: Target) -> bytes:
        moved = self._base + target.behind(len(self._segments)) or b"/"
        return moved if target.query is None else moved + b"?" + target.query

    def _moved_if_there(self, target: Target) -> bytes | None:
        count = len(self._segments) + 1
        is_there = all(reading.split(b"/")[1:count] == self._segments for reading in target.readings)
        return self._moved(target) if is_there else None


def request_head(request: Request, member: Member, mount: Mount | None) -> bytes:
    """Render the head of a request as this backend shall see it."""
    fields = request.fields
    if mount is None:
        target = request.target.origin_form
    else:
        target = mount.outbound(request)
        if fields.kinds >> OVERRIDE & 1:
            fields = mount.fields(request)
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
            fields.rendered,
            request.lines,
            framing,
            b"\r\n",
        )
    )
