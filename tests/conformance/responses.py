"""RFC 9112 §4-7, RFC 9110 §6, §15: what a backend may say, and what a client must never see of what it may not.

Each row is what the origin sends to one request, after which it closes. What must happen:

- `good`: the client gets this status and this content, whole and lawful.
- `bad`: the client gets a 502 from netfront and not a byte of what the backend said.
- `cut`: the client gets a 502, or a response that visibly breaks off; never one that looks whole.
"""

from dataclasses import dataclass, field
from itertools import product

__all__ = ["ROWS", "Row"]

_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
_SMUGGLED = b"HTTP/1.1 200 OK\r\nX-Smuggled: yes\r\nContent-Length: 8\r\n\r\nsmuggled"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        status: that the client gets; 502 for `bad`.
        has: fields of the answer, in lower case: the value, or None where it must be absent.
        interim: the 1xx that the client gets before.
    """

    section: str
    name: str
    data: bytes
    outcome: str = "good"
    status: int = 200
    body: bytes = b"hello"
    method: bytes = b"GET"
    has: dict[bytes, bytes | None] = field(default_factory=dict)
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    interim: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """What pytest calls it."""
        return f"{self.section} {self.name}"


def _ok(*lines: bytes, body: bytes = b"", status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([version + b" " + status, *lines]) + b"\r\n\r\n" + body


_LENGTH = b"Content-Length: 5"
_FIVE = _ok(_LENGTH, body=b"hello")


def _bad(section: str, name: str, data: bytes, method: bytes = b"GET") -> Row:
    return Row(section, name, data, "bad", 502, method=method)


_BAD_STATUS_LINES = {
    "nothing but CRLF": b"",
    "a word": b"hello",
    "only the version": b"HTTP/1.1",
    "version and space": b"HTTP/1.1 ",
    "two digits": b"HTTP/1.1 20 OK",
    "four digits": b"HTTP/1.1 2000 OK",
    "letters": b"HTTP/1.1 abc OK",
    "a sign": b"HTTP/1.1 +20 OK",
    "hexadecimal": b"HTTP/1.1 0xC OK",
    "wide digits": "HTTP/1.1 ２００ OK".encode(),
    "below 100": b"HTTP/1.1 099 Low",
    "nought": b"HTTP/1.1 000 None",
    "two spaces": b"HTTP/1.1  200 OK",
    "no space behind the version": b"HTTP/1.1200 OK",
    "no space behind the code": b"HTTP/1.1 200OK",
    "a tab behind the version": b"HTTP/1.1\t200 OK",
    "a tab behind the code": b"HTTP/1.1 200\tOK",
    "a point behind the code": b"HTTP/1.1 200.0 OK",
    "space in front": b" HTTP/1.1 200 OK",
    "lower case": b"http/1.1 200 OK",
    "HTTP/2.0": b"HTTP/2.0 200 OK",
    "HTTP/0.9": b"HTTP/0.9 200 OK",
    "two digits minor": b"HTTP/1.10 200 OK",
    "no minor": b"HTTP/1 200 OK",
    "ICY": b"ICY 200 OK",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K",
    "carriage return in the reason": b"HTTP/1.1 200 O\rK",
    "escape in the reason": b"HTTP/1.1 200 \x1b[31m",
    "line feed behind": b"HTTP/1.1 200 OK\nX: y",
    "a request": b"GET / HTTP/1.1",
}
_BAD_FIELDS = {
    "no colon": b"X-A",
    "no name": b": b",
    "a folded line": b"X-A: b\r\n c",
    "a folded line with a tab": b"X-A: b\r\n\tc",
    "NUL in the value": b"X-A: b\x00",
    "escape in the value": b"X-A: \x1b",
    "carriage return in the value": b"X-A: b\rc",
    "carriage return and a field": b"X-A: b\rX-B: c",
    "line feed in the value": b"X-A: b\nX-B: c",
    "line feed at the end": b"X-A: b\n",
    "space in the name": b"X A: b",
    "parenthesis in the name": b"X(A: b",
    "NUL in the name": b"X\x00A: b",
    "UTF-8 in the name": "X-Ä: b".encode(),
}
_BAD_LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "hexadecimal": b"0x5",
    "underscore": b"0_5",
    "a list of equals": b"5, 5",
    "a list that differs": b"5, 6",
    "two words": b"5 5",
    "empty": b"",
    "letters": b"five",
    "a letter behind": b"5a",
    "point": b"5.0",
    "NUL": b"5\x00",
    "vertical tab": b"\x0b5",
    "no-break space": b"5\xa0",
    "Arabic digit": "٥".encode(),
    "wide digit": "５".encode(),
    "thirty digits": b"9" * 30,
}
_BAD_CODINGS = (
    b"xchunked",
    b"identity",
    b"gzip",
    b"gzip, chunked",
    b"chunked, identity",
    b"chunked, chunked",
    b"chunked;a=b",
    b'"chunked"',
    b"chunked cow",
    b"",
    b",chunked",
    b"chunked\x00",
    b"\x0bchunked",
    b"chunked\xa0",
    "chun\u212aed".encode(),
    b"\r\n chunked",
)
_BAD_CHUNKS = {
    "a size that is none": b"hello\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "over 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size ends in a line feed": b"5\nhello\r\n0\r\n\r\n",
    "a line feed in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "data longer": b"5\r\nhello!\r\n0\r\n\r\n",
    "data shorter": b"6\r\nhello\r\n0\r\n\r\n",
    "data end in a line feed": b"5\r\nhello\n0\r\n\r\n",
    "last chunk ends in line feeds": b"5\r\nhello\r\n0\n\n",
    "a second chunk that is none": b"5\r\nhello\r\ng\r\nhello\r\n0\r\n\r\n",
    "no last chunk": b"5\r\nhello\r\n",
    "no end of the last chunk": b"5\r\nhello\r\n0\r\n",
    "half a chunk": b"a\r\nhello",
    "half a size line": b"5\r\nhello\r\n5",
    "nothing": b"",
    "a trailer without colon": b"5\r\nhello\r\n0\r\nX-T\r\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nX-T: a\r\n b\r\n\r\n",
    "a trailer with NUL": b"5\r\nhello\r\n0\r\nX-T: \x00\r\n\r\n",
    "a trailer of 9000 bytes": b"5\r\nhello\r\n0\r\nX-T: " + b"a" * 9000 + b"\r\n\r\n",
    "an extension of 100000 bytes": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
}
_INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def _heads() -> list[Row]:
    rows = []
    for name, line in _BAD_STATUS_LINES.items():
        data = line + b"\r\nContent-Length: 5\r\n\r\nhello"
        rows.append(_bad("9112-4", f"status line: {name}", data))
    for name, line in _BAD_FIELDS.items():
        rows.append(_bad("9112-5", f"field: {name}", _ok(b"Content-Length: 5", line, body=b"hello")))
        rows.append(_bad("9112-5", f"first field: {name}", _ok(line, b"Content-Length: 5", body=b"hello")))
    return [
        *rows,
        Row("9112-4", "a status of its own", _ok(b"Content-Length: 5", status=b"299 Odd", body=b"hello"), status=299),
        Row("9112-4", "no reason", _ok(b"Content-Length: 5", status=b"200 ", body=b"hello")),
        Row("9112-4", "a reason in UTF-8", _ok(b"Content-Length: 5", status="200 Schön".encode(), body=b"hello")),
        Row("9112-4", "HTTP/1.0", _ok(b"Content-Length: 5", version=b"HTTP/1.0", body=b"hello")),
        Row("9112-5", "a value in Latin-1", _ok(b"X-A: \xfc", _LENGTH, body=b"hello"), has={b"x-a": b"\xfc"}),
        Row("9112-5", "an empty value", _ok(b"X-A:", _LENGTH, body=b"hello"), has={b"x-a": b""}),
        _bad("9112-5.1", "space before a colon", _ok(b"X-A : b", _LENGTH, body=b"hello")),
        _bad("9112-2.2", "only line feeds", _FIVE.replace(b"\r\n", b"\n")),
        _bad("9112-2.2", "a line feed at the end", _FIVE.replace(b"\r\n\r\n", b"\r\n\n")),
        _bad("9112-2.2", "no end of the head", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
        _bad("9112-2.2", "nothing", b""),
        _bad("9112-2.2", "half a status line", b"HTTP/1.1 2"),
        _bad("9112-2.2", "a TLS alert", b"\x15\x03\x03\x00\x02\x02\x46"),
        _bad("9112-2.2", "HTTP/0.9", b"<html>hello</html>"),
        _bad("6585-5", "a head of 100000 bytes", _ok(b"X-A: " + b"a" * 100_000, b"Content-Length: 5", body=b"hello")),
        _bad("6585-5", "an endless head", b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000),
        _bad("6585-5", "1000 fields", _ok(*[b"X-A: b"] * 1000, b"Content-Length: 5", body=b"hello")),
    ]  # fmt: skip


def _framing() -> list[Row]:
    section = "9112-6.3"
    chunked, length = b"Transfer-Encoding: chunked", b"Content-Length: 5"
    rows = [
        Row(section, "a length", _FIVE),
        Row(section, "chunks", _ok(chunked, body=_CHUNKS)),
        Row(section, "until close", _ok(body=b"hello")),
        Row(section, "until close in HTTP/1.0", _ok(version=b"HTTP/1.0", body=b"hello")),
        Row(section, "until close with keep-alive", _ok(b"Connection: keep-alive", body=b"hello")),
        Row(section, "a length of nought", _ok(b"Content-Length: 0"), body=b""),
        Row(section, "no chunks", _ok(chunked, body=b"0\r\n\r\n"), body=b""),
        Row(section, "an extension", _ok(chunked, body=b"5;a=b\r\nhello\r\n0;c\r\n\r\n")),
        Row(section, "a trailer", _ok(chunked, body=b"5\r\nhello\r\n0\r\nX-T: b\r\n\r\n"), trailers=((b"X-T", b"b"),)),
        Row(section, "a framing field as trailer", _ok(chunked, body=b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n")),
        Row(section, "more than the length", _ok(length, body=b"hello" + _SMUGGLED)),
        Row(section, "more than the last chunk", _ok(chunked, body=_CHUNKS + _SMUGGLED)),
        Row(section, "more than nothing", _ok(b"Content-Length: 0", body=_SMUGGLED), body=b""),
        _bad(section, "CL before TE", _ok(length, chunked, body=_CHUNKS)),
        _bad(section, "CL behind TE", _ok(chunked, length, body=_CHUNKS)),
        _bad(section, "TE in HTTP/1.0", _ok(chunked, version=b"HTTP/1.0", body=_CHUNKS)),
        _bad(section, "TE twice", _ok(chunked, chunked, body=_CHUNKS)),
        Row(section, "shorter than the length", _ok(b"Content-Length: 10", body=b"hello"), "cut"),
        Row(section, "nothing of the length", _ok(length), "cut"),
    ]  # fmt: skip
    for first, second in product((b"5", b"6", b"0", b""), repeat=2):
        data = _ok(b"Content-Length: " + first, b"Content-Length: " + second, body=b"hello")
        rows.append(_bad(section, f"two lengths: {first!r} {second!r}", data))
    for name, value in _BAD_LENGTHS.items():
        rows.append(_bad("9112-6.2", f"length: {name}", _ok(b"Content-Length: " + value, body=b"hello")))
    for value in _BAD_CODINGS:
        rows.append(_bad("9112-6.1", f"coding {value!r}", _ok(b"Transfer-Encoding: " + value, body=_CHUNKS)))
    for name, data in _BAD_CHUNKS.items():
        rows.append(Row("9112-7.1", f"chunks: {name}", _ok(chunked, body=data), "cut"))
    return rows


def _bodiless() -> list[Row]:
    section = "9110-6.4.1"
    length, chunked = b"Content-Length: 5", b"Transfer-Encoding: chunked"
    no_content, not_modified = b"204 No Content", b"304 Not Modified"
    empty = _ok(b"Content-Length: 0", status=no_content)
    none: dict[bytes, bytes | None] = {b"content-length": None, b"transfer-encoding": None}
    return [
        Row(section, "204", _ok(status=no_content), status=204, body=b"", has=none),
        Row(section, "204 with a length of nought", empty, status=204, body=b"", has=none),
        _bad(section, "204 with a length", _ok(length, status=no_content, body=b"hello")),
        _bad(section, "204 in chunks", _ok(chunked, status=no_content, body=_CHUNKS)),
        Row(section, "204 and more", _ok(status=no_content, body=_SMUGGLED), status=204, body=b"", has=none),
        Row(section, "304", _ok(status=not_modified), status=304, body=b""),
        Row(section, "304 with a length", _ok(length, status=not_modified), status=304, body=b""),
        Row(section, "304 and more", _ok(length, status=not_modified, body=b"hello" + _SMUGGLED), status=304, body=b""),
        Row(section, "HEAD with a length", _ok(length), method=b"HEAD", body=b"", has={b"content-length": b"5"}),
        Row(section, "HEAD in chunks", _ok(chunked), method=b"HEAD", body=b""),
        Row(section, "HEAD without framing", _ok(), method=b"HEAD", body=b"", has={b"content-length": None}),
        Row(section, "HEAD with a body", _ok(length, body=b"hello"), method=b"HEAD", body=b""),
        _bad(section, "HEAD with two lengths", _ok(length, b"Content-Length: 6"), b"HEAD"),
        _bad(section, "HEAD with a length and chunks", _ok(length, chunked), b"HEAD"),
        _bad(section, "304 with two lengths", _ok(length, b"Content-Length: 6", status=not_modified)),
        Row(section, "205", _ok(b"Content-Length: 0", status=b"205 Reset Content"), status=205, body=b""),
    ]  # fmt: skip


def _interim() -> list[Row]:
    section = "9110-15.2"
    processing = b"HTTP/1.1 102 Processing\r\n\r\n"
    return [
        Row(section, "103", _INTERIM + _FIVE, interim=(103,)),
        Row(section, "103 twice", _INTERIM * 2 + _FIVE, interim=(103, 103)),
        Row(section, "102", processing + _FIVE, interim=(102,)),
        Row(section, "an unknown one", b"HTTP/1.1 150 Odd\r\n\r\n" + _FIVE, interim=(150,)),
        Row(section, "100 that nobody waits for", b"HTTP/1.1 100 Continue\r\n\r\n" + _FIVE),
        Row(section, "103, then chunks", _INTERIM + _ok(b"Transfer-Encoding: chunked", body=_CHUNKS), interim=(103,)),
        _bad(section, "a thousand", processing * 1000 + _FIVE),
        _bad(section, "103, then nothing", _INTERIM),
        _bad(section, "103, then nonsense", _INTERIM + b"hello\r\n\r\n"),
        _bad("9110-7.8", "101 unasked", _ok(b"Connection: Upgrade", b"Upgrade: echo", status=b"101 Yes")),
        _bad("9110-7.8", "101 without Upgrade", _ok(status=b"101 Yes")),
    ]  # fmt: skip


def _connection() -> list[Row]:
    section = "9110-7.6.1"
    length = b"Content-Length: 5"

    def five(*lines: bytes) -> bytes:
        return _ok(*lines, length, body=b"hello")

    rows = [
        Row(section, "names a field", five(b"Connection: x-a", b"X-A: b"), has={b"x-a": None}),
        Row(section, "names content-length", five(b"Connection: content-length")),
        Row(section, "names transfer-encoding",
            _ok(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", body=_CHUNKS)),
        Row(section, "close", five(b"Connection: close"), has={b"connection": None}),
        Row(section, "two cookies", five(b"Set-Cookie: a=b", b"Set-Cookie: c=d")),
        Row(section, "a field with blanks", five(b"X-A: \t b c \t"), has={b"x-a": b"b c"}),
    ]  # fmt: skip
    for line in (
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authenticate: Basic",
        b"Upgrade: h2c",
    ):
        name = line.partition(b":")[0]
        rows.append(Row(section, f"removes {name.decode()}", five(line), has={name.lower(): None}))
    return rows


ROWS = _heads() + _framing() + _bodiless() + _interim() + _connection()
