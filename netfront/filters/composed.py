"""What a composed answer says: its document and its fields, or of which part it failed, and to the log what is amiss.

All of it depends on what the parts said, never on which was first: values stand in the order in which the parts were
written, and so does everything in the fields.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from urllib.parse import quote

from netfront.http.message import Request, Response
from netfront.policy.compose import Part
from netfront.policy.merge import Piece, cookies_of, merge, missing_of, strictest, tells, varying
from netfront.policy.partvalue import PartFault, PartValue
from netfront.wire.fields import CREDENTIALS, EMPTY, Field, Fields, field
from netfront.wire.jsontext import quote as quoted

__all__ = ["Composed", "problem"]

_MOST_CLASHES, _MOST_NAMED = 20, 100
_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_JSON = field(b"Content-Type", b"application/json")
_PROBLEM = (
    field(b"Content-Type", b"application/problem+json"),
    field(b"Cache-Control", b"no-store"),
    field(b"X-Content-Type-Options", b"nosniff"),
)
_NO_STORE = field(b"Cache-Control", b"no-store")


class Composed:
    """How the answers of one rule are written.

    Args:
        cookies: names of those that parts may set.
        tells_time: in Server-Timing.
    """

    __slots__ = ("_cookies", "_is_personal", "_keys", "_labels", "_names", "_tells_time")

    def __init__(self, parts: Iterable[Part], *, cookies: frozenset[bytes], tells_time: bool) -> None:
        parts = tuple(parts)
        self._labels = [part.label for part in parts]
        self._names = [part.name for part in parts]
        self._keys = None if None in self._names else [quoted(name or "") + b":" for name in self._names]
        """How the keys are written, colon included; None where some are known only once parts are in."""
        self._is_personal = any("claims" in part.takes for part in parts)
        self._cookies = cookies
        self._tells_time = tells_time

    def answer(
        self,
        request: Request,
        values: Sequence[PartValue],
        faults: Sequence[PartFault | None],
        took: Sequence[float],
    ) -> Response:
        """Make the answer.

        Args:
            values: of all parts, or what stands in place of them.
            faults: what optional ones failed of.
            took: seconds.
        """
        document, clashes = self._document([value.piece for value in values])
        tag = b'"%b"' % hashlib.blake2b(document, digest_size=12).hexdigest().encode()
        sections = [section for value in values for section in value.sections]
        says = any(section is not EMPTY for section in sections)
        missing = self._missing(values, faults) if says or any(faults) else []
        fields = [field(b"ETag", tag)]
        if missing:
            fields.append(_NO_STORE)
        if says:
            fields += self._caching(request, sections, is_whole=not missing)
        fields += self._told(request, clashes, missing, faults, took)
        status = _condition(request, tag)
        if status == 412:
            return problem(request, None, PartFault(412, "the answer is another one"), 0.0)
        if status == 304:
            return Response(304, Fields(fields), b"")
        return Response(200, Fields([_JSON, *fields]), document)

    def _document(self, pieces: Sequence[Piece]) -> tuple[bytes, list[str]]:
        """Make the document; give the keys that several parts gave, too."""
        if self._keys is None:
            return merge(zip(self._names, pieces, strict=True))
        pairs = zip(self._keys, pieces, strict=True)
        return b"{%b}" % b",".join([key + piece for key, piece in pairs if isinstance(piece, bytes)]), []

    def _caching(self, request: Request, sections: Sequence[Fields], *, is_whole: bool) -> list[Field]:
        fields: list[Field] = []
        if not tells(sections):
            return fields
        if is_whole:
            is_authorized = bool(request.fields.kinds >> CREDENTIALS & 1)
            value = strictest(sections, is_personal=self._is_personal, is_authorized=is_authorized)
            if value:
                fields.append(field(b"Cache-Control", value))
        if value := varying(sections):
            fields.append(field(b"Vary", value))
        if self._cookies:
            fields += [field(b"Set-Cookie", value) for value in cookies_of(sections, self._cookies)]
        return fields

    def _missing(self, values: Sequence[PartValue], faults: Sequence[PartFault | None]) -> list[str]:
        """Name the parts that are missing, and those of parts that were composed themselves."""
        names: dict[str, None] = {}
        for label, value, fault in zip(self._labels, values, faults, strict=True):
            if fault is not None:
                names[label] = None
            for section in value.sections:
                names |= dict.fromkeys(f"{label}.{name}" for name in missing_of(section))
        return list(names)

    def _told(
        self,
        request: Request,
        clashes: Sequence[str],
        missing: Sequence[str],
        faults: Sequence[PartFault | None],
        took: Sequence[float],
    ) -> list[Field]:
        """Say what is not as it should be, to the client and to the log; and what took how long."""
        fields, notes = [], []
        if missing:
            shown = ", ".join(missing[:_MOST_NAMED])
            fields.append(field(b"Netfront-Missing", shown.encode("latin-1")))
        pairs = zip(self._labels, faults, strict=True)
        notes += [f"part {label}: {fault.told}" for label, fault in pairs if fault is not None]
        if clashes:
            shown = ", ".join(quote(key[:64], errors="backslashreplace") for key in clashes[:_MOST_CLASHES])
            fields.append(field(b"Netfront-Clash", shown.encode()))
            notes.append(f"keys of several parts: {shown}")
        if notes:
            request.exchange.outcome = "; ".join(notes)
        if self._tells_time:
            timed = zip(self._labels, took, strict=True)
            times = [f"{label};dur={seconds * 1000:.1f}" for label, seconds in timed]
            fields.append(field(b"Server-Timing", ", ".join(times).encode()))
        return fields


def problem(request: Request, part: Part | None, fault: PartFault, took: float) -> Response:
    """Make the answer that tells of a failure (RFC 9457)."""
    told: dict[str, object] = {"title": _PHRASES.get(fault.status, "Error"), "status": fault.status}
    if part is None:
        told["detail"] = fault.why
        request.exchange.outcome = fault.told
    else:
        told["detail"] = f"part {part.label}: {fault.why}"
        told["part"] = part.label
        if fault.part_status:
            told["part_status"] = fault.part_status
        told["time_ms"] = round(took * 1000, 1)
        request.exchange.outcome = f"part {part.label}: {fault.told}"
    passed = fault.fields if fault.status == fault.part_status else ()
    return Response(fault.status, Fields([*_PROBLEM, *passed]), json.dumps(told).encode() + b"\n")


def _condition(request: Request, tag: bytes) -> int:
    """Give 412 or 304 where the request's conditions say so (RFC 9110 §13.2.2), else 200."""
    if request.method not in (b"GET", b"HEAD"):
        return 200
    wanted = request.fields.get_all(b"if-match")
    if wanted and wanted != [b"*"] and (b"", tag) not in _tags(wanted):
        return 412
    known = request.fields.get_all(b"if-none-match")
    if known and (known == [b"*"] or any(one == tag for _, one in _tags(known))):
        return 304
    return 200


def _tags(values: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return [match for value in values for match in _ENTITY_TAG.findall(value)]
