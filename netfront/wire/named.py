"""What the fields of a request name beside its request line: other methods, other targets, second targets.

Frameworks take the method from X-HTTP-Method-Override and its like, and the target from X-Original-URL and its like.
COPY and MOVE write to their Destination (RFC 4918 §10.3), and stores of objects copy from what X-Amz-Copy-Source and
its like name.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from netfront.errors import BadMessage
from netfront.wire.fields import DESTINATION, OVERRIDE, Edit, Field, Fields, dashed, is_source
from netfront.wire.target import Target, host_of, parse_target

__all__ = ["OF_TREES", "Named", "Second", "read_as", "read_named", "with_destination"]

OF_TREES = frozenset({b"COPY", b"MOVE", b"BCOPY", b"BMOVE"})
"""Methods that have a Destination, and take all that lies below their target with it. So does DELETE (RFC 4918 §9.6.1),
but it is everybody's: who may delete /users/1 is not to be refused as somebody counts requests to /users/1/export."""
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LONGEST = 2048
"""Bytes of a second target: to look at one of 4 KiB in all ways took 65 ms. Paths are seldom longer, encoded or not."""
_MOST_METHODS = 4
"""To look for what each would meet takes as long as to look for the request's own."""


class Second(NamedTuple):
    """A second target.

    Args:
        targets: all that it may be read as, as it came first.
        hosts: it may be at, as `host_of` gives them; none where it is the request's.
        is_written: whether it is where the request writes; else it is read.
    """

    targets: tuple[Target, ...]
    hosts: frozenset[bytes]
    is_written: bool


class Named(NamedTuple):
    """What fields name beside the request line.

    Args:
        methods: in upper case, by each the name of its field; without the request's own.
        targets: fields that name one in place of the request's.
        second: a target beside the request's.
    """

    methods: Mapping[bytes, str] = {}
    targets: Sequence[Field] = ()
    second: Second | None = None


_NOTHING = Named()


def read_named(method: bytes, fields: Fields) -> Named:
    """Read them.

    Raises:
        BadMessage: 400, too many methods or second targets, or one that is no target.
    """
    if not fields.kinds >> OVERRIDE & 1:
        return _NOTHING
    methods = _methods(fields)
    targets: list[Field] = []
    seconds: list[Field] = []
    for row in fields:
        if row.kind == OVERRIDE and b"method" not in row.name:
            is_second = row.name == DESTINATION or is_source(dashed(row.name))
            (seconds if is_second else targets).append(row)
    if OF_TREES.isdisjoint({method, *methods}):
        seconds = [row for row in seconds if row.name != DESTINATION]
    if len(seconds) > 1:
        raise BadMessage(400, f"more than one target beside its own, in {seconds[1].name.decode()}")
    methods.pop(method, None)
    if len(methods) > _MOST_METHODS:
        raise BadMessage(400, f"{methods.popitem()[1]} names too many methods")
    return Named(methods, targets, _second(dashed(seconds[0].name), seconds[0].value) if seconds else None)


def _methods(fields: Fields) -> dict[bytes, str]:
    """Give the methods that fields name, in upper case, by each the name of its field."""
    return {
        method.upper(): row.name.decode()
        for row in fields
        if row.kind == OVERRIDE and b"method" in row.name
        for method in _METHOD.findall(row.value)
    }


def _second(name: bytes, value: bytes) -> Second:
    """Read a second target.

    Raises:
        BadMessage: 400, it is no target, or may be a host or a path.
    """
    if len(value) > _LONGEST:
        raise BadMessage(400, f"{name.decode()} is longer than {_LONGEST} bytes")
    if value.startswith(b"//"):  # RFC 3986 §4.2
        raise BadMessage(400, f"{name.decode()} may be a host or a path")
    is_relative = not value.startswith(b"/") and b"://" not in value
    if is_relative and (name == DESTINATION or b":" in unquote_to_bytes(value).partition(b"/")[0]):
        # RFC 4918 §10.3; of `http:admin` some make admin, and no bucket has a colon in its name
        raise BadMessage(400, f"{name.decode()} is neither a path from the root nor a URL")
    try:
        targets, hosts = read_as(b"/" + value if is_relative else value)
    except ValueError as error:
        raise BadMessage(400, f"{name.decode()} is no target") from error
    return Second(targets, hosts, name == DESTINATION)


def read_as(value: bytes) -> tuple[tuple[Target, ...], frozenset[bytes]]:
    """Give all that a second target may be read as, as it came first, and at which hosts.

    Some servers decode the whole of it before they take it apart, and some go on behind a colon that ends no scheme.

    Raises:
        BadMessage: 400, it is no target.
        ValueError: nor is it once it is decoded.
    """
    target = parse_target(b"PUT", value)
    parts = urlsplit(unquote_to_bytes(value).decode("latin-1"))
    authorities = {target.authority or b"", parts.netloc.encode("latin-1")} - {b""}
    targets = {target.readings: target}
    for path in (parts.path, _behind_colon(parts.path)):
        raw = quote(path.encode("latin-1"), safe="/;").encode()
        other = parse_target(b"PUT", raw if raw.startswith(b"/") else b"/" + raw)
        targets.setdefault(other.readings, other)
    return tuple(targets.values()), frozenset(map(host_of, authorities))


def _behind_colon(path: str) -> str:
    """Give what follows the first segment with a colon, as if a host ended there; all of it where nothing does."""
    mark = "://" if "://" in path else ":"
    _, _, behind = path.partition(mark)
    place = behind[behind.find("/") :] if "/" in behind else ""
    return place if place.strip("/") else path


def with_destination(
    method: bytes,
    fields: Fields,
    authorities: Iterable[bytes],
    moved: Callable[[Target], bytes | None],
    *,
    stays_relative: bool = True,
) -> Fields:
    """Give the fields with a Destination as a backend has it that knows the paths by other names.

    It names no host then: by which name and scheme the backend is known to itself we do not know. One that is no path
    and no URL (Swift's COPY names a container and an object) stays as it is.

    Args:
        authorities: that we are asked by, of the request and of whom a trusted proxy speaks for.
        moved: gives the new target in origin-form; None where it has none.
        stays_relative: whether one that is no path from the root stays; else it is refused.
    Raises:
        BadMessage: 502, it is nowhere there (RFC 4918 §9.8.5); 400, there are several, or it cannot be read.
    """
    values = fields.get_all(DESTINATION)
    if stays_relative:
        values = [value for value in values if value.startswith(b"/") or b"://" in value]
    if not values or OF_TREES.isdisjoint({method, *_methods(fields)}):
        return fields
    if len(values) > 1:
        raise BadMessage(400, "more than one Destination")
    second = _second(DESTINATION, values[0])
    place = moved(second.targets[0]) if second.hosts <= set(map(host_of, authorities)) else None
    if place is None:
        raise BadMessage(502, "destination lies elsewhere than the paths that are served there")
    row = Field(DESTINATION, place, b"Destination: %b\r\n" % place, OVERRIDE)
    return fields.edited(Edit(names=[DESTINATION], added=[row]))
