"""RFC 9112 §5, RFC 9110 §5, §7: field lines, Host, fields that belong to a connection, limits."""

from tests.conformance.rows import HOST, Row, Want, either, passes, refused, request

__all__ = ["ROWS"]

_BAD_FIELDS = {
    "no colon": b"X-A",
    "no name": b": b",
    "a colon alone": b":",
    "space before colon": b"X-A : b",
    "tab before colon": b"X-A\t: b",
    "space in the name": b"X A: b",
    "a folded line": b"X-A: b\r\n c",
    "a folded line with a tab": b"X-A: b\r\n\tc",
    "a folded line that looks like a field": b"X-A: b\r\n X-B: c",
    "a fold of nothing": b"X-A: b\r\n ",
    "an empty fold, then a field": b"X-A: b\r\n \r\nX-B: c",
    "two colons in front": b":: b",
    "carriage return in the value": b"X-A: b\rc",
    "carriage return behind the value": b"X-A: b\r",
    "line feed in the value": b"X-A: b\nX-B: c",
    "line feed before the colon": b"X-A\n: b",
    "carriage return before the colon": b"X-A\r: b",
    "carriage return in front": b"\rX-A: b",
    "line feed in front": b"\nX-A: b",
    "NUL in the name": b"X-\x00A: b",
    "UTF-8 in the name": "X-Ä: b".encode(),
    "a no-break space in the name": b"X-A\xa0: b",
    "a zero-width space in the name": "X-A\u200b: b".encode(),
}
_SEPARATORS = b'()<>@,;\\"/[]?={}'
_CONTROLS = bytes([*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F])
_GOOD_FIELDS = {
    "empty value": (b"X-A:", b""),
    "blank value": (b"X-A:  \t ", b""),
    "no space": (b"X-A:b", b"b"),
    "much space": (b"X-A: \t  b \t ", b"b"),
    "tab within": (b"X-A: b\tc", b"b\tc"),
    "spaces within": (b"X-A: b  c", b"b  c"),
    "a colon in the value": (b"X-A: b: c", b"b: c"),
    "quotes": (b'X-A: "b, \\"c"', b'"b, \\"c"'),
    "UTF-8": ("X-A: ü".encode(), "ü".encode()),
    "Latin-1": (b"X-A: \xfc\xff\x80", b"\xfc\xff\x80"),
    "a no-break space at the end": (b"X-A: b\xa0", b"b\xa0"),
    "NEL at the end": (b"X-A: b\x85", b"b\x85"),
    "name in capitals": (b"X-A: B", b"B"),
}
_BAD_HOSTS = {
    "none": request(host=None),
    "two": request(HOST),
    "two that differ": request(b"Host: other.example.test"),
    "two, one empty": request(b"Host:"),
    "two in other spelling": request(b"hOST: www.example.test"),
    "two, the second far behind": request(b"X-A: b", b"X-B: c", b"host: other.example.test"),
    "a list": request(host=b"Host: a.example.test, b.example.test"),
    "two words": request(host=b"Host: a.example.test b.example.test"),
    "a path": request(host=b"Host: a.example.test/x"),
    "a query": request(host=b"Host: a.example.test?x"),
    "a fragment": request(host=b"Host: a.example.test#x"),
    "a URL": request(host=b"Host: http://a.example.test"),
    "user information": request(host=b"Host: user@a.example.test"),
    "an at sign": request(host=b"Host: @a.example.test"),
    "two ports": request(host=b"Host: a.example.test:80:80"),
    "letters as port": request(host=b"Host: a.example.test:http"),
    "a negative port": request(host=b"Host: a.example.test:-1"),
    "a port with a plus": request(host=b"Host: a.example.test:+80"),
    "a port in wide digits": request(host="Host: a.example.test:８０".encode()),
    "IPv6 without brackets": request(host=b"Host: ::1"),
    "an open bracket": request(host=b"Host: [::1"),
    "a closing bracket": request(host=b"Host: ::1]"),
    "letters in brackets": request(host=b"Host: [www]"),
    "text behind a bracket": request(host=b"Host: [::1]www"),
    "only a port": request(host=b"Host: :80"),
    "a backslash": request(host=b"Host: a\\b.example.test"),
    "quotes": request(host=b'Host: "a.example.test"'),
    "angles": request(host=b"Host: <a>"),
    "UTF-8": request(host="Host: ä.example.test".encode()),
    "NUL": request(host=b"Host: a\x00b"),
    "a tab within": request(host=b"Host: a\tb"),
    "space before colon": request(host=b"Host : www.example.test"),
    "folded": request(host=b"Host:\r\n www.example.test"),
    "folded as first line": request(host=b" Host: www.example.test"),
    "none, but one that looks like it": request(host=b"Hos: www.example.test"),
    "none, but in the body": request(b"Content-Length: 6", host=None, method=b"POST", body=b"Host:a"),
    "two in HTTP/1.0": request(HOST, version=b"HTTP/1.0"),
}
_GOOD_HOSTS = (
    b"localhost",
    b"localhost:80",
    b"127.0.0.1:8080",
    b"[::1]",
    b"[::1]:8080",
    b"[2001:db8::1]",
    b"a_b.example.test",
    b"WWW.Example.Test",
    b"a.example.test.",
    b"a-b.example.test:65535",
    b"xn--4ca.example.test",
)
_ODD_HOSTS = (
    b"",
    b"a.example.test:",
    b"a%41.example.test",
    b"a.example.test:65536",
    b"a.example.test:080",
    b"[v1.a]",
)
_HOP = {
    "Keep-Alive": b"Keep-Alive: timeout=5",
    "Proxy-Connection": b"Proxy-Connection: keep-alive",
    "Upgrade unasked": b"Upgrade: websocket",
    "HTTP2-Settings": b"HTTP2-Settings: AAMAAABkAAQAAP__",
    "Proxy": b"Proxy: http://evil.example.test",
}


def _rows() -> list[Row]:
    rows = [refused("9112-5", f"field: {name}", request(line)) for name, line in _BAD_FIELDS.items()]
    rows += [
        refused("9112-5", f"first field: {name}", request(line, HOST, host=None))
        for name, line in _BAD_FIELDS.items()
    ]
    for code in _SEPARATORS:
        rows.append(refused("9110-5.1", f"name with {chr(code)}", request(b"X-%cA: b" % code)))
    for code in _CONTROLS:
        rows.append(refused("9110-5.5", f"value with {code:#04x}", request(b"X-A: b%cc" % code)))
        rows.append(refused("9110-5.5", f"value that ends in {code:#04x}", request(b"X-A: b%c" % code)))
        rows.append(refused("9110-5.1", f"name with {code:#04x}", request(b"X-A%c: b" % code)))
    for name, (line, value) in _GOOD_FIELDS.items():
        rows.append(passes("9110-5.5", f"value: {name}", request(line), Want(has={b"x-a": value})))
    rows.append(passes("9110-5.1", "name of odd characters", request(b"!#$%&'*+-.^_`|~9z: b")))
    for name, data in _BAD_HOSTS.items():
        rows.append(refused("9112-3.2", f"Host: {name}", data))
    for host in _GOOD_HOSTS:
        want = Want(has={b"host": host})
        rows.append(passes("9110-7.2", f"Host {host.decode()}", request(host=b"Host: " + host), want))
    for host in _ODD_HOSTS:
        rows.append(either("9110-7.2", f"Host {host.decode()!r}", request(host=b"Host: " + host), Want()))
    spaced = request(host=b"Host: \t a.example.test \t")
    rows.append(passes("9110-7.2", "Host with blanks around", spaced, Want(has={b"host": b"a.example.test"})))
    rows.append(passes("9112-3.2", "no Host in HTTP/1.0", request(host=None, version=b"HTTP/1.0")))
    return rows + _connection_rows() + _limit_rows()


def _connection_rows() -> list[Row]:
    """RFC 9110 §7.6.1: what Connection names goes no further; what frames or routes a message stays."""
    section = "9110-7.6.1"
    body = {"method": b"POST", "body": b"hello"}
    length = request(b"Content-Length: 5", b"Connection: content-length", **body)
    chunks = request(
        b"Transfer-Encoding: chunked",
        b"Connection: transfer-encoding",
        method=b"POST",
        body=b"5\r\nhello\r\n0\r\n\r\n",
    )
    posted = Want(b"POST", body=b"hello")
    gone = {b"x-a": None, b"connection": None}
    rows = [
        passes(section, "names content-length", length, posted),
        passes(section, "names transfer-encoding", chunks, posted),
        passes(section, "names host", request(b"Connection: host"), Want(has={b"host": b"www.example.test"})),
        passes(section, "names a field", request(b"X-A: b", b"Connection: x-a"), Want(has=gone)),
        passes(section, "names a field before it", request(b"Connection: X-A", b"X-A: b"), Want(has=gone)),
        passes(section, "names several", request(b"Connection: , x-b ,, X-A,", b"X-A: b"), Want(has=gone)),
        passes(section, "twice", request(b"Connection: x-b", b"Connection: x-a", b"X-A: b"), Want(has=gone)),
        passes(
            section,
            "names what is not there",
            request(b"Connection: x-a", b"X-C: d"),
            Want(has={b"x-c": b"d"}),
        ),
        passes(section, "is empty", request(b"Connection:", b"X-A: b"), Want(has={b"x-a": b"b"})),
        passes(section, "keep-alive", request(b"Connection: keep-alive"), Want(has={b"connection": None})),
        either(section, "is malformed", request(b"Connection: x a")),
        either(section, "is quoted", request(b'Connection: "close"')),
    ]
    for own in (b"x-forwarded-for", b"X-Real-IP", b"X-Forwarded-Proto"):
        want = Want(has={own.lower(): b"http" if own.endswith(b"Proto") else b"127.0.0.1"})
        rows.append(passes(section, f"names {own.decode()}", request(b"Connection: " + own), want))
    for name, line in _HOP.items():
        key = line.partition(b":")[0].lower()
        rows.append(passes(section, f"removes {name}", request(line), Want(has={key: None})))
    h2c = request(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"
    )
    without = {b"upgrade": None, b"http2-settings": None, b"connection": None}
    rows.append(passes("7540-3.2", "an upgrade to h2c is stripped", h2c, Want(has=without)))
    rows.append(
        passes(
            "9110-10.1.4",
            "TE without trailers",
            request(b"TE: gzip", b"Connection: TE"),
            Want(has={b"te": None}),
        )
    )
    for value, sent in {
        b"trailers": b"trailers",
        b"gzip;q=0.5, Trailers": b"trailers",
        b"xtrailers": None,
        b"gzip;a=trailers": None,
        b"trailers;q=0": None,
    }.items():
        line = request(b"TE: " + value, b"Connection: TE")
        rows.append(passes("9110-10.1.4", f"TE: {value.decode()}", line, Want(has={b"te": sent})))
    rows.append(refused("9110-10.1.1", "an unknown expectation", request(b"Expect: tea"), 417))
    expects = request(b"Expect: 100-continue", b"Content-Length: 5", **body)
    rows.append(passes("9110-10.1.1", "100-continue", expects, posted))
    old = request(b"Expect: 100-continue", b"Content-Length: 5", version=b"HTTP/1.0", **body)
    rows.append(passes("9110-10.1.1", "100-continue in HTTP/1.0", old, posted))
    for sent in (b"X-Forwarded-For", b"X_Forwarded_For", b"x-forwarded_for", b"X-Real-IP", b"X_Real_IP"):
        want = Want(
            has={b"x-forwarded-for": b"127.0.0.1", b"x-real-ip": b"127.0.0.1", b"x_forwarded_for": None}
        )
        rows.append(
            passes("7239-8.1", f"{sent.decode()} of a stranger", request(sent + b": 192.0.2.9"), want)
        )
    for sent in (
        b"SCRIPT_NAME",
        b"Script-Name",
        b"PATH_INFO",
        b"Daphne-Root-Path",
        b"X-Script-Name",
        b"X-Sendfile-Type",
    ):
        want = Want(has={sent.lower(): None})
        rows.append(passes("3875-4.1.13", f"{sent.decode()} of a stranger", request(sent + b": /x"), want))
    for sent in (b"Client-Cert", b"Client_Cert", b"X-Client-Subject", b"Forwarded"):
        want = Want(has={sent.lower(): None})
        rows.append(
            passes("9440-4", f"{sent.decode()} of a stranger", request(sent + b": for=192.0.2.9"), want)
        )
    return rows


def _limit_rows() -> list[Row]:
    """RFC 6585 §5: a head has a size."""
    section = "6585-5"
    fill = [b"X-%d: y" % index for index in range(99)]
    return [
        passes(section, "100 fields", request(*fill)),
        refused(section, "101 fields", request(*fill, b"X-A: y"), 431),
        refused(section, "5000 fields", request(*[b"X-A: y"] * 5000), 431),
        passes(section, "a field of 8000 bytes", request(b"X-A: " + b"y" * 8000)),
        refused(section, "a field of 9000 bytes", request(b"X-A: " + b"y" * 9000), 431),
        refused(section, "a name of 9000 bytes", request(b"X" * 9000 + b": y"), 431),
        passes(section, "a Cookie of 12000 bytes", request(b"Cookie: a=" + b"y" * 12000)),
        refused(section, "a Cookie of 17000 bytes", request(b"Cookie: a=" + b"y" * 17000), 431),
        passes(
            section,
            "a head of 30000 bytes",
            request(*[b"X-%d: " % index + b"y" * 7480 for index in range(4)]),
        ),
        refused(
            section,
            "a head of 40000 bytes",
            request(*[b"X-%d: " % index + b"y" * 4990 for index in range(8)]),
            431,
        ),
        refused(section, "a head of a mebibyte", request(b"X-A: " + b"y" * (1 << 20)), 431),
    ]


ROWS = _rows()
