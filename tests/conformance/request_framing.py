"""RFC 9112 §6-7: where a body ends. Every way that is known of making two readers disagree, and combinations of them.

A body that is refused carries a hidden request inside or behind it, placed so that whoever reads the framing in
another way would see it.
"""

from itertools import product

from tests.conformance.rows import HIDDEN, HOST, Row, Want, either, passes, refused, request

__all__ = ["ROWS"]

_CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
_POSTED = Want(b"POST", body=b"hello")


def _post(*lines: bytes, body: bytes = b"", **given: bytes) -> bytes:
    return request(*lines, method=b"POST", body=body, **given)


_BAD_LENGTHS = {
    "plus": b"+5",
    "minus": b"-5",
    "minus nought": b"-0",
    "hexadecimal": b"0x5",
    "octal": b"0o5",
    "underscore": b"1_0",
    "point": b"5.0",
    "exponent": b"5e0",
    "a list of equals": b"5, 5",
    "a list without space": b"5,5",
    "a list that differs": b"5, 6",
    "a list with an empty end": b"5,",
    "a list with an empty start": b",5",
    "two words": b"5 5",
    "a tab within": b"5\t5",
    "a word behind": b"5 bytes",
    "a parameter": b"5;q=1",
    "quoted": b'"5"',
    "empty": b"",
    "blank": b" ",
    "letters": b"five",
    "a letter behind": b"5a",
    "nan": b"nan",
    "infinity": b"inf",
    "NUL before": b"\x005",
    "NUL behind": b"5\x00",
    "vertical tab before": b"\x0b5",
    "vertical tab behind": b"5\x0b",
    "form feed behind": b"5\x0c",
    "carriage return behind": b"5\r",
    "NEL behind": b"5\x85",
    "no-break space before": b"\xa05",
    "no-break space behind": b"5\xa0",
    "no-break space in UTF-8": "5\u00a0".encode(),
    "Arabic digit": "٥".encode(),
    "wide digit": "５".encode(),
    "superscript digit": "⁵".encode(),
    "superscript two in Latin-1": b"\xb2",
    "mathematical digit": "𝟓".encode(),
    "thirty digits": b"9" * 30,
    "a thousand digits": b"1" * 1000,
    "a fold": b"\r\n 5",
    "a fold behind": b"5\r\n ",
    "a fold within": b"1\r\n 5",
}
_BAD_LENGTH_NAMES = {
    "space before colon": b"Content-Length : 5",
    "tab before colon": b"Content-Length\t: 5",
    "space in front": b" Content-Length: 5",
    "vertical tab in front": b"\x0bContent-Length: 5",
    "NUL behind": b"Content-Length\x00: 5",
    "no-break space behind": b"Content-Length\xa0: 5",
    "a space within": b"Content Length: 5",
    "a line feed within": b"Content-\nLength: 5",
    "behind a line feed": b"X: y\nContent-Length: 5",
    "behind a carriage return": b"X: y\rContent-Length: 5",
    "a dash that is none": "Content\u2010Length: 5".encode(),
    "a long s": "Content-Length\u017f: 5".encode(),
    "two colons": b"Content-Length:: 5",
    "quoted": b'"Content-Length": 5',
}
_BAD_CODINGS = {
    "x before": b"xchunked",
    "x behind": b"chunkedx",
    "shorter": b"chunk",
    "identity": b"identity",
    "gzip": b"gzip",
    "deflate": b"deflate",
    "x-chunked": b"x-chunked",
    "cow": b"cow",
    "gzip, chunked": b"gzip, chunked",
    "identity, chunked": b"identity, chunked",
    "cow, chunked": b"cow, chunked",
    "chunked, identity": b"chunked, identity",
    "chunked, gzip": b"chunked, gzip",
    "chunked, chunked": b"chunked, chunked",
    "comma before": b",chunked",
    "comma behind": b"chunked,",
    "empty member before": b" , chunked",
    "a parameter": b"chunked;a=b",
    "a semicolon": b"chunked;",
    "quoted": b'"chunked"',
    "single quotes": b"'chunked'",
    "a word behind": b"chunked cow",
    "a word before": b"cow chunked",
    "a tab within": b"chunked\tcow",
    "an equals sign": b"=chunked",
    "a colon": b": chunked",
    "empty": b"",
    "NUL before": b"\x00chunked",
    "NUL behind": b"chunked\x00",
    "NUL within": b"chu\x00nked",
    "vertical tab before": b"\x0bchunked",
    "vertical tab behind": b"chunked\x0b",
    "form feed before": b"\x0cchunked",
    "backspace": b"chunkedx\x08",
    "delete": b"chunked\x7f",
    "no-break space before": b"\xa0chunked",
    "no-break space behind": b"chunked\xa0",
    "NEL behind": b"chunked\x85",
    "Kelvin sign": "chun\u212aed".encode(),
    "wide letters": "ｃｈｕｎｋｅｄ".encode(),
    "a byte order mark": "\ufeffchunked".encode(),
    "a fold before": b"\r\n chunked",
    "a fold behind": b"chunked\r\n ",
    "a fold and a coding": b"chunked\r\n , identity",
    "a line feed before": b"\nchunked",
    "a carriage return before": b"\rchunked",
    "a line feed and a field": b"chunked\nX: y",
}
_BAD_CODING_NAMES = {
    "space before colon": b"Transfer-Encoding : chunked",
    "tab before colon": b"Transfer-Encoding\t: chunked",
    "space in front": b" Transfer-Encoding: chunked",
    "tab in front": b"\tTransfer-Encoding: chunked",
    "vertical tab in front": b"\x0bTransfer-Encoding: chunked",
    "NUL in front": b"\x00Transfer-Encoding: chunked",
    "NUL behind": b"Transfer-Encoding\x00: chunked",
    "vertical tab behind": b"Transfer-Encoding\x0b: chunked",
    "no-break space behind": b"Transfer-Encoding\xa0: chunked",
    "a space within": b"Transfer Encoding: chunked",
    "a line feed behind": b"Transfer-Encoding\n: chunked",
    "a carriage return behind": b"Transfer-Encoding\r: chunked",
    "behind a line feed": b"X: y\nTransfer-Encoding: chunked",
    "behind a carriage return": b"X: y\rTransfer-Encoding: chunked",
    "a fold within": b"Transfer-\r\n Encoding: chunked",
    "a dash that is none": "Transfer\u2010Encoding: chunked".encode(),
    "a dotless i": "Transfer-Encod\u0131ng: chunked".encode(),
    "a semicolon": b"Transfer-Encoding;: chunked",
    "two colons": b"Transfer-Encoding:: chunked",
    "quoted": b'"Transfer-Encoding": chunked',
    "a slash": b"Transfer/Encoding: chunked",
    "no colon": b"Transfer-Encoding chunked",
}
_TWO_CODINGS = tuple(product((b"chunked", b"identity", b"gzip", b"cow", b""), repeat=2))
_LENGTH_HERE = {
    "CL before": (b"Content-Length: 5", None),
    "CL behind": (None, b"Content-Length: 5"),
    "no CL": (None, None),
}


def _lines(middle: tuple[bytes, ...], where: tuple[bytes | None, bytes | None]) -> list[bytes]:
    before, behind = where
    return [line for line in (before, *middle, behind) if line is not None]


def _length_rows() -> list[Row]:
    section = "9112-6.2"
    rows = [
        passes(section, "a body", _post(b"Content-Length: 5", body=b"hello"), _POSTED),
        passes(section, "no body", _post(b"Content-Length: 0"), Want(b"POST")),
        passes(
            section, "a GET with a body", request(b"Content-Length: 5", body=b"hello"), Want(body=b"hello")
        ),
        passes(
            section,
            "a body that looks like a request",
            _post(b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
            Want(b"POST", body=HIDDEN),
        ),
        passes(
            section,
            "a DELETE with a body",
            request(b"Content-Length: 5", method=b"DELETE", body=b"hello"),
            Want(b"DELETE", body=b"hello"),
        ),
        passes(section, "name in capitals", _post(b"CONTENT-LENGTH:5", body=b"hello"), _POSTED),
        passes(section, "blanks around", _post(b"Content-Length: \t 5 \t", body=b"hello"), _POSTED),
        passes(
            section, "in HTTP/1.0", _post(b"Content-Length: 5", version=b"HTTP/1.0", body=b"hello"), _POSTED
        ),
        either(section, "leading zeros", _post(b"Content-Length: 0005", body=b"hello"), _POSTED),
        passes(
            section,
            "100000 bytes",
            _post(b"Content-Length: 100000", body=b"a" * 100_000),
            Want(b"POST", body=b"a" * 100_000),
        ),
    ]
    for name, value in _BAD_LENGTHS.items():
        for method in (b"POST", b"GET"):
            data = request(b"Content-Length: " + value, method=method, body=b"hello")
            rows.append(refused(section, f"{method.decode()} length: {name}", data, 400, 413))
    for name, line in _BAD_LENGTH_NAMES.items():
        rows.append(refused(section, f"length name: {name}", _post(line, body=b"hello")))
    for first, second in product((b"5", b"6", b"0", b"", b"+5", b"5x", b"05"), repeat=2):
        data = _post(b"Content-Length: " + first, b"content-length: " + second, body=b"hello")
        rows.append(refused(section, f"two lengths: {first!r} {second!r}", data))
    rows.append(
        refused(
            section,
            "two lengths in HTTP/1.0",
            _post(b"Content-Length: 5", b"Content-Length: 5", version=b"HTTP/1.0", body=b"hello"),
        )
    )
    lookalike = _post(b"Content_Length: 5", body=b"")
    rows.append(either(section, "an underscore", lookalike, Want(b"POST", has={b"content_length": None})))
    return rows


def _coding_rows() -> list[Row]:
    section = "9112-6.1"
    chunked, length = b"Transfer-Encoding: chunked", b"Content-Length: 5"
    inside = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    covering = b"Content-Length: %d" % (len(HIDDEN) + 5)
    rows = [
        passes(section, "chunked", _post(chunked, body=_CHUNKS), _POSTED),
        passes(section, "in capitals", _post(chunked.upper(), body=_CHUNKS), _POSTED),
        passes(section, "blanks around", _post(b"Transfer-Encoding:\t chunked\t ", body=_CHUNKS), _POSTED),
        passes(section, "a GET in chunks", request(chunked, body=_CHUNKS), Want(body=b"hello")),
        refused(section, "CL before chunked", _post(length, chunked, body=_CHUNKS)),
        refused(section, "CL behind chunked", _post(chunked, length, body=_CHUNKS)),
        refused(section, "CL of nought", _post(b"Content-Length: 0", chunked, body=_CHUNKS)),
        refused(section, "CL between two chunked", _post(chunked, length, chunked, body=_CHUNKS)),
        refused(section, "CL.TE, hidden behind", _post(covering, chunked, body=b"0\r\n\r\n" + HIDDEN)),
        refused(section, "TE.CL, hidden inside", _post(chunked, b"Content-Length: 4", body=inside)),
        refused(section, "CL and chunked on a GET", request(length, chunked, body=_CHUNKS)),
    ]
    for lines in ((chunked,), (chunked, b"Connection: keep-alive"), (chunked, length)):
        data = _post(*lines, version=b"HTTP/1.0", body=_CHUNKS)
        rows.append(refused(section, f"HTTP/1.0 {lines[1:]!r}", data))
    for alike in (b"TransferEncoding", b"Transfer_Encoding"):
        want = Want(b"POST", body=b"hello", has={b"transfer_encoding": None})
        data = _post(alike + b": chunked", length, body=b"hello")
        rows.append(either(section, f"{alike.decode()} beside CL", data, want))
    for (name, value), (beside, where) in product(_BAD_CODINGS.items(), _LENGTH_HERE.items()):
        data = _post(*_lines((b"Transfer-Encoding: " + value,), where), body=_CHUNKS)
        rows.append(refused(section, f"coding: {name}, {beside}", data, 400, 501))
    for (name, line), (beside, where) in product(_BAD_CODING_NAMES.items(), _LENGTH_HERE.items()):
        data = _post(*_lines((line,), where), body=_CHUNKS)
        rows.append(refused(section, f"coding name: {name}, {beside}", data))
    for (first, second), (beside, where) in product(_TWO_CODINGS, _LENGTH_HERE.items()):
        lines = (b"Transfer-Encoding: " + first, b"transfer-encoding: " + second)
        data = _post(*_lines(lines, where), body=_CHUNKS)
        rows.append(refused(section, f"two codings: {first!r} {second!r}, {beside}", data, 400, 501))
    return rows


def _pipelining_rows() -> list[Row]:
    section = "9112-9.3.2"
    get = request(target=b"/a")
    post = _post(b"Content-Length: 5", body=b"hello")
    chunked = _post(b"Transfer-Encoding: chunked", body=_CHUNKS)
    first = Want(target=b"/a")
    return [
        passes(section, "two", get + request(target=b"/b"), first, Want(target=b"/b")),
        passes(section, "a body, then none", post + get, _POSTED, first),
        passes(section, "chunks, then a length, then none", chunked + post + get, _POSTED, _POSTED, first),
        passes(section, "none, then chunks", get + chunked, first, _POSTED),
        passes(section, "an empty line between", get + b"\r\n" + post, first, _POSTED),
        passes(section, "thirty", b"".join(request(target=b"/%d" % number) for number in range(30)),
               *[Want(target=b"/%d" % number) for number in range(30)]),
        refused(section, "a body that is longer than its length", _post(b"Content-Length: 5x", body=b"hello" + get)),
        refused("9112-2.2", "a header alone", HOST + b"\r\n\r\n"),
    ]  # fmt: skip


ROWS = _length_rows() + _coding_rows() + _pipelining_rows()
