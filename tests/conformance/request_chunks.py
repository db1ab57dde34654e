"""RFC 9112 §7.1: the chunked coding of a request's body, whose faults show only when its head has gone on.

The origin may thus see a head and a part of a body, but never a whole request, and never the hidden one.
"""

from tests.conformance.rows import HIDDEN, Row, Want, either, passes, refused, request

__all__ = ["ROWS"]

_POSTED = Want(b"POST", body=b"hello")
_END = b"0\r\n\r\n"


def _post(body: bytes) -> bytes:
    return request(b"Transfer-Encoding: chunked", method=b"POST", body=body)


_BAD_SIZES = {
    "empty": b"",
    "blank": b" ",
    "space before": b" 5",
    "tab before": b"\t5",
    "space behind": b"5 ",
    "tab behind": b"5\t",
    "plus": b"+5",
    "minus": b"-5",
    "minus nought": b"-0",
    "prefix": b"0x5",
    "prefix in capitals": b"0X5",
    "backslash x": b"\\x5",
    "underscore": b"0_5",
    "trailing underscore": b"5_",
    "h behind": b"5h",
    "a letter beyond f": b"g",
    "point": b"5.0",
    "comma": b"5,",
    "two words": b"5 5",
    "quoted": b'"5"',
    "NUL before": b"\x005",
    "NUL behind": b"5\x00",
    "vertical tab behind": b"5\x0b",
    "form feed before": b"\x0c5",
    "carriage return behind": b"5\r",
    "carriage return before": b"\r5",
    "line feed before": b"\n5",
    "no-break space behind": b"5\xa0",
    "Arabic digit": "٥".encode(),
    "wide digit": "５".encode(),
    "superscript digit": "⁵".encode(),
    "wide letter": "ａ".encode(),
    "an equals sign": b"5=",
    "a colon": b"5: a",
    "over 64 bits": b"10000000000000005",
    "far over 64 bits": b"F" * 40 + b"5",
    "a hundred thousand digits": b"0" * 100_000 + b"5",
}
_BAD_EXTENSIONS = {
    "NUL": b";a=\x00",
    "line feed": b";a\nb",
    "line feed and a size": b";\n5",
    "carriage return": b";a\rb",
    "vertical tab": b";a=\x0b",
    "delete": b";a=\x7f",
    "bell": b";\x07",
    "a comma in place of the semicolon": b",a=b",
    "300 bytes": b";a=" + b"b" * 300,
    "100000 bytes": b";a=" + b"b" * 100_000,
}
_GOOD_EXTENSIONS = {
    "a name": b";a",
    "a value": b";a=b",
    "a quoted value": b';a="b c"',
    "a quoted semicolon": b';a="b;c"',
    "a quoted quote": b';a="\\""',
    "two": b";a=b;c=d",
}
_ODD_EXTENSIONS = {
    "a semicolon alone": b";",
    "two semicolons": b";;a",
    "blanks around": b" ; a = b",
    "a tab before": b"\t;a",
    "no name": b";=b",
    "an open quote": b';a="b',
    "Latin-1": b";a=\xfc",
}
_BAD_BODIES = {
    "size ends in a line feed": b"5\nhello\r\n0\r\n\r\n",
    "size ends in CRCRLF": b"5\r\r\nhello\r\n0\r\n\r\n",
    "size ends in LFCR": b"5\n\rhello\r\n0\r\n\r\n",
    "only line feeds": b"5\nhello\n0\n\n",
    "data end in a line feed": b"5\r\nhello\n0\r\n\r\n",
    "data end in a carriage return": b"5\r\nhello\r0\r\n\r\n",
    "data end in nothing": b"5\r\nhello0\r\n\r\n",
    "data end in two others": b"5\r\nhelloXX0\r\n\r\n",
    "data end in LFCR": b"5\r\nhello\n\r0\r\n\r\n",
    "data longer": b"5\r\nhello!\r\n0\r\n\r\n",
    "data shorter": b"6\r\nhello\r\n0\r\n\r\n",
    "empty line before the last chunk": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "last chunk ends in line feeds": b"5\r\nhello\r\n0\n\n",
    "last chunk ends in CRLF and a line feed": b"5\r\nhello\r\n0\r\n\n",
    "last chunk ends in a line feed and CRLF": b"5\r\nhello\r\n0\n\r\n",
    "last chunk ends in two carriage returns": b"5\r\nhello\r\n0\r\n\r\r\n",
    "last chunk without its end, then a request": b"5\r\nhello\r\n0\r\n",
    "last chunk with a space": b"5\r\nhello\r\n0 \r\n\r\n",
    "last chunk with a sign": b"5\r\nhello\r\n-0\r\n\r\n",
    "no chunks": b"hello",
    "a request in place of chunks": b"\r\n",
}
_BAD_TRAILERS = {
    "no colon": b"X-T",
    "no name": b": b",
    "space before colon": b"X-T : b",
    "space in front": b" X-T: b",
    "a fold": b"X-T: b\r\n c",
    "NUL": b"X-T: \x00",
    "carriage return": b"X-T: b\rc",
    "line feed": b"X-T: b\nX-U: c",
    "line feed at the end": b"X-T: b\n",
    "a name that is no token": b"X(T): b",
    "33 of them": b"\r\n".join([b"X-T: b"] * 33),
    "9000 bytes": b"X-T: " + b"b" * 9000,
    "a request": b"GET /hidden HTTP/1.1\r\nHost: hidden.example.test",
}
_FORBIDDEN_TRAILERS = (
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Host: hidden.example.test",
    b"Connection: close",
    b"Authorization: Basic YTpi",
    b"Cookie: a=b",
    b"X-Forwarded-For: 192.0.2.9",
    b"X_Forwarded_For: 192.0.2.9",
    b"X-Real-IP: 192.0.2.9",
    b"Client-Cert: :AA==:",
    b"Content-Encoding: gzip",
    b"Content-Type: text/html",
    b"Content-Range: bytes 0-1/2",
    b"Trailer: x-t",
    b"X-Request-Id: theirs",
    b"X_Request_Id: theirs",
    b"TE: gzip",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
)


def _rows() -> list[Row]:
    section = "9112-7.1"
    big = bytes(range(256)) * 400
    many = (b"1;a=%b\r\nx\r\n" % (b"b" * 200)) * 150
    good = {
        "one chunk": (b"5\r\nhello\r\n", b"hello"),
        "five chunks": (b"".join(b"1\r\n%c\r\n" % code for code in b"hello"), b"hello"),
        "none": (b"", b""),
        "leading zeros": (b"0005\r\nhello\r\n", b"hello"),
        "capitals": (b"A\r\nhellohello\r\n", b"hellohello"),
        "small letters": (b"a\r\nhellohello\r\n", b"hellohello"),
        "100 KiB": (b"%x\r\n%b\r\n" % (len(big), big), big),
        "data that look like an end": (b"5\r\n0\r\n\r\n\r\n", _END),
        "data that look like a request": (b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN), HIDDEN),
    }
    rows = [
        passes(section, name, _post(data + _END), Want(b"POST", body=body))
        for name, (data, body) in good.items()
    ]
    rows.append(passes(section, "a last chunk of many zeros", _post(b"5\r\nhello\r\n0000\r\n\r\n"), _POSTED))
    rows.append(refused("9112-7.1.1", "extensions of 30 KiB in all", _post(many + _END), 400, 431))
    for name, size in _BAD_SIZES.items():
        data = _post(size + b"\r\nhello\r\n" + _END)
        rows.append(refused(section, f"size: {name}", data))
        second = _post(b"3\r\nabc\r\n" + size + b"\r\nhello\r\n" + _END)
        rows.append(refused(section, f"second size: {name}", second))
    for name, text in _BAD_EXTENSIONS.items():
        rows.append(
            refused(
                "9112-7.1.1", f"extension: {name}", _post(b"5" + text + b"\r\nhello\r\n" + _END), 400, 431
            )
        )
        last = _post(b"5\r\nhello\r\n0" + text + b"\r\n\r\n")
        rows.append(refused("9112-7.1.1", f"extension of the last chunk: {name}", last, 400, 431))
    for name, text in _GOOD_EXTENSIONS.items():
        rows.append(
            passes("9112-7.1.1", f"extension: {name}", _post(b"5" + text + b"\r\nhello\r\n" + _END), _POSTED)
        )
    for name, text in _ODD_EXTENSIONS.items():
        data = _post(b"5" + text + b"\r\nhello\r\n" + _END)
        rows.append(either("9112-7.1.1", f"extension: {name}", data, _POSTED))
    rows += [refused(section, f"body: {name}", _post(data)) for name, data in _BAD_BODIES.items()]
    return rows + _trailer_rows()


def _trailer_rows() -> list[Row]:
    section = "9112-7.1.2"
    before = b"5\r\nhello\r\n0\r\n"
    kept = Want(b"POST", body=b"hello", trailers=((b"X-T", b"b"),))
    rows = [
        passes(section, "a trailer", _post(before + b"X-T: b\r\n\r\n"), kept),
        passes(section, "a trailer with blanks", _post(before + b"X-T: \t b \r\n\r\n"), kept),
    ]
    for name, text in _BAD_TRAILERS.items():
        data = _post(before + text + b"\r\n\r\n")
        rows.append(refused(section, f"trailer: {name}", data, 400, 431))
    for text in _FORBIDDEN_TRAILERS:
        data = _post(before + b"X-T: b\r\n" + text + b"\r\n\r\n")
        rows.append(either("9110-6.5.1", f"trailer {text.decode()}", data, kept))
    return rows


ROWS = _rows()
