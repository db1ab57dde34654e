"""RFC 9112 §2-3: what may come before a request line, its three parts, versions, and the forms of a target."""

from tests.conformance.rows import HOST, Row, Want, either, passes, refused, request

__all__ = ["ROWS"]


def _line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + b"\r\n\r\n"


_BAD_LINES = {
    "empty target": b"GET  HTTP/1.1",
    "no target, no version": b"GET",
    "method and space": b"GET ",
    "no version": b"GET /",
    "no version but a space": b"GET / ",
    "leading space": b" GET / HTTP/1.1",
    "leading tab": b"\tGET / HTTP/1.1",
    "two spaces before target": b"GET  / HTTP/1.1",
    "two spaces before version": b"GET /  HTTP/1.1",
    "trailing space": b"GET / HTTP/1.1 ",
    "trailing tab": b"GET / HTTP/1.1\t",
    "tab as the first separator": b"GET\t/ HTTP/1.1",
    "tab as the second separator": b"GET /\tHTTP/1.1",
    "vertical tab as separator": b"GET\x0b/\x0bHTTP/1.1",
    "form feed as separator": b"GET\x0c/\x0cHTTP/1.1",
    "no-break space as separator": b"GET\xa0/\xa0HTTP/1.1",
    "a word behind the version": b"GET / HTTP/1.1 x",
    "a space in the target": b"GET /a b HTTP/1.1",
    "a second request line in the target": b"GET / HTTP/1.1\rGET /hidden HTTP/1.1",
    "carriage return before the end": b"GET / HTTP/1.1\r",
    "NUL before the method": b"\x00GET / HTTP/1.1",
    "NUL behind the version": b"GET / HTTP/1.1\x00",
    "method with NUL": b"GE\x00T / HTTP/1.1",
    "method with at sign": b"G@T / HTTP/1.1",
    "method with colon": b"GET: / HTTP/1.1",
    "method with parenthesis": b"GE(T / HTTP/1.1",
    "method in quotes": b'"GET" / HTTP/1.1',
    "method with comma": b"GET,POST / HTTP/1.1",
    "method with slash": b"GET/x / HTTP/1.1",
    "method with delete": b"GE\x7fT / HTTP/1.1",
    "method in UTF-8": "GÉT / HTTP/1.1".encode(),
    "no method": b" / HTTP/1.1",
    "JSON": b'{"method": "GET"}',
    "a TLS ClientHello": b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03",
    "SOCKS5": b"\x05\x01\x00",
    "an SSH banner": b"SSH-2.0-OpenSSH_9.2",
    "a PROXY line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
}
_BAD_VERSIONS = {
    "lower case": b"http/1.1",
    "mixed case": b"Http/1.1",
    "no minor": b"HTTP/1",
    "dot but no minor": b"HTTP/1.",
    "no major": b"HTTP/.1",
    "comma": b"HTTP/1,1",
    "letter": b"HTTP/1.x",
    "hexadecimal": b"HTTP/0x1.1",
    "plus": b"HTTP/+1.1",
    "minus": b"HTTP/-1.1",
    "space": b"HTTP/1. 1",
    "wide digits": "HTTP/１.１".encode(),
    "superscript digit": "HTTP/1.¹".encode(),
    "three numbers": b"HTTP/1.1.1",
    "two digits minor": b"HTTP/1.10",
    "leading zero minor": b"HTTP/1.01",
    "leading zero major": b"HTTP/01.1",
    "two digits major": b"HTTP/11.1",
    "another protocol": b"HTTPS/1.1",
    "misspelt": b"HTP/1.1",
    "no protocol": b"1.1",
    "no slash": b"HTTP1.1",
    "RTSP": b"RTSP/1.0",
    "SIP": b"SIP/2.0",
}
_OTHER_VERSIONS = (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/0.9", b"HTTP/0.0", b"HTTP/2.1")
_METHODS = (
    b"GET",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"M-SEARCH",
    b"get",
    b"Get",
    b"BREW",
    b"QUERY",
    b"X",
    b"!#$%&'*+-.^_`|~0Az",
    b"L" * 100,
)
_TARGETS = (
    b"/",
    b"//",
    b"//a",
    b"//evil.example.test/a",
    b"/a//b",
    b"/./a/../b",
    b"/../a",
    b"/%2e%2e/a",
    b"/a%2Fb",
    b"/a%2fb",
    b"/a%5cb",
    b"/%41%7e",
    b"/a;b=c/d;e",
    b"/a/..;/b",
    b"/?",
    b"/??",
    b"/a?b?c",
    b"/a?b=c&d=%20+",
    b"/a?../..",
    b"/a?http://example.test/",
    b"/%",
    b"/%zz",
    b"/%00",
    b"/%ff%fe",
    b"/%0d%0aX:%20y",
    b"/*",
    b"/:80",
    b"/@scope%2fpkg",
    b"/~user/(a)!$&'*+,=",
    b"/http://example.test/",
    b"/" + b"a" * 8000,
)
_ODD_TARGETS = {
    "bar": b"/a|b",
    "quotes": b'/a"b',
    "braces": b"/{a}",
    "angles": b"/<a>",
    "caret": b"/a^b",
    "backtick": b"/a`b",
    "backslash": b"/a\\b",
    "UTF-8": "/ü".encode(),
    "Latin-1": b"/\xfc",
    "brackets": b"/a[1]",
}
_ABSOLUTE = {
    "path and query": (b"http://abs.example.test/x?y=z", b"/x?y=z", b"abs.example.test"),
    "port": (b"http://abs.example.test:8080/x", b"/x", b"abs.example.test:8080"),
    "no path": (b"http://abs.example.test", b"/", b"abs.example.test"),
    "no path but a query": (b"http://abs.example.test?q", b"/?q", b"abs.example.test"),
    "scheme in capitals": (b"HTTP://abs.example.test/x", b"/x", b"abs.example.test"),
    "IPv6": (b"http://[::1]:80/x", b"/x", b"[::1]:80"),
    "dots stay": (b"http://abs.example.test/a/../b", b"/a/../b", b"abs.example.test"),
    "two slashes stay": (b"http://abs.example.test//a", b"//a", b"abs.example.test"),
}
_BAD_TARGETS = {
    "no slash": b"a",
    "a query alone": b"?a",
    "a dot": b".",
    "a host": b"www.example.test",
    "a host and a port": b"www.example.test:80",
    "asterisk": b"*",
    "asterisk and more": b"*/a",
    "two asterisks": b"**",
    "another scheme": b"ftp://www.example.test/",
    "a file": b"file:///etc/passwd",
    "a scheme alone": b"http:",
    "a scheme and one slash": b"http:/a",
    "no host": b"http:///a",
    "only a port": b"http://:80/a",
    "user information": b"http://user@www.example.test/",
    "a password": b"http://user:pass@www.example.test/",
    "an open bracket": b"http://[::1/a",
    "a port that is none": b"http://www.example.test:x/",
    "two ports": b"http://www.example.test:80:80/",
    "a fragment": b"/a#b",
    "a fragment in a query": b"/a?b#c",
    "a fragment in absolute form": b"http://www.example.test/a#b",
    "NUL": b"/a\x00b",
    "bell": b"/a\x07b",
    "delete": b"/a\x7fb",
    "escape": b"/a\x1bb",
    "carriage return": b"/a\rb",
    "line feed": b"/a\nb",
    "vertical tab": b"/a\x0bb",
}
_BREAKS = {
    "line feed behind the request line": b"GET / HTTP/1.1\n" + HOST + b"\r\n\r\n",
    "line feed behind a field": b"GET / HTTP/1.1\r\n" + HOST + b"\nX: y\r\n\r\n",
    "line feed at the end": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n\n",
    "two line feeds at the end": b"GET / HTTP/1.1\r\n" + HOST + b"\n\n",
    "only line feeds": b"GET / HTTP/1.1\n" + HOST + b"\n\n",
    "only carriage returns": b"GET / HTTP/1.1\r" + HOST + b"\r\r",
    "carriage return, then CRLF": b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n\r\n",
    "carriage return before the last CRLF": b"GET / HTTP/1.1\r\n" + HOST + b"\r\n\r\r\n",
    "LFCR": b"GET / HTTP/1.1\n\r" + HOST + b"\n\r\n\r",
    "a line feed first": b"\n" + _line(b"GET / HTTP/1.1"),
    "a carriage return first": b"\r" + _line(b"GET / HTTP/1.1"),
    "a space and CRLF first": b" \r\n" + _line(b"GET / HTTP/1.1"),
    "a byte order mark first": b"\xef\xbb\xbf" + _line(b"GET / HTTP/1.1"),
    "NEL as line break": b"GET / HTTP/1.1\x85" + HOST + b"\r\n\r\n",
}
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _rows() -> list[Row]:
    rows = [refused("9112-3", f"line: {name}", _line(line), 400, 505) for name, line in _BAD_LINES.items()]
    for name, version in _BAD_VERSIONS.items():
        rows.append(refused("9112-2.3", f"version: {name}", request(version=version), 400, 505))
    for version in _OTHER_VERSIONS:
        rows.append(refused("9110-2.5", f"version {version.decode()}", request(version=version), 505))
    rows.append(either("9110-2.5", "version HTTP/1.2", request(version=b"HTTP/1.2"), statuses=(505,)))
    rows.append(passes("9110-2.5", "version HTTP/1.0", request(version=b"HTTP/1.0")))
    rows.append(refused("9113-3.4", "the preface of HTTP/2", _HTTP2, 400, 505))
    for method in _METHODS:
        length = (b"Content-Length: 0",) if method in (b"POST", b"PUT", b"PATCH") else ()
        data = request(*length, method=method)
        rows.append(passes("9110-9.1", f"method {method.decode()[:20]}", data, Want(method)))
    for target in _TARGETS:
        data = request(target=target)
        rows.append(passes("9112-3.2.1", f"target {target.decode()[:40]}", data, Want(target=target)))
    for name, target in _ODD_TARGETS.items():
        data = request(target=target)
        rows.append(either("9112-3.2", f"target with {name}", data, Want(target=target)))
    for name, (target, sent, host) in _ABSOLUTE.items():
        want = Want(target=sent, has={b"host": host})
        rows.append(passes("9112-3.2.2", f"absolute form: {name}", request(target=target), want))
    for name, target in _BAD_TARGETS.items():
        rows.append(refused("9112-3.2", f"target: {name}", request(target=target)))
    for name, data in _BREAKS.items():
        rows.append(refused("9112-2.2", name, data))
    rows.append(either("9112-2.2", "an empty line first", b"\r\n" + request()))
    rows.append(either("9112-2.2", "two empty lines first", b"\r\n\r\n" + request()))
    for name, target in {
        "authority": b"www.example.test:443",
        "origin": b"/",
        "absolute": b"http://a/",
    }.items():
        data = request(method=b"CONNECT", target=target)
        rows.append(refused("9110-9.3.6", f"CONNECT to {name} form", data, 400, 405, 501))
    long_line = request(target=b"/" + b"a" * 9000)
    rows.append(refused("9112-3", "a target of 9000 bytes", long_line, 414))
    rows.append(refused("9112-3", "a target of 100000 bytes", request(target=b"/" + b"a" * 100_000), 414))
    rows.append(refused("9112-3", "a method of 9000 bytes", request(method=b"A" * 9000), 400, 414, 501))
    return rows


ROWS = _rows()
