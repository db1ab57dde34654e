"""The request line of what was refused: as much of it as can be told in a log, and no more.

Nothing is decided by it: what parsed strictly stands in `head.py`. It is bounded and not escaped; whoever writes it
somewhere escapes it.
"""

import re

__all__ = ["read_request_line"]

_LINE = re.compile(
    rb"(?P<method>[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32})(?: (?P<target>.*?)(?: HTTP/1\.(?P<minor>[01]))?)?",
    re.DOTALL,
).fullmatch
_MOST = 512
"""Bytes of a target that are told: more would let a refused client fill a log faster than a served one."""


def read_request_line(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Tell method, target and minor version of a head that was refused, from its bytes as far as they came.

    What is missing is b"-"; a version that is neither 1.0 nor 1.1 is left with the target, and the minor version is
    empty then. Where there is no method, all that stands in the line is taken for the target.
    """
    line = data.removeprefix(b"\r\n")[: 1 << 16].split(b"\n", 1)[0].rstrip(b"\r")
    match = _LINE(line)
    if match is None:
        return b"-", _bounded(line), b""
    return match["method"], _bounded(match["target"] or b""), match["minor"] or b""


def _bounded(text: bytes) -> bytes:
    return (text if len(text) <= _MOST else text[:_MOST] + b"...") or b"-"
