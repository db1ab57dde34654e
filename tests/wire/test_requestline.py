"""What can be told of a request line that was refused."""

import pytest

from netfront.wire.requestline import read_request_line


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"GET /x HTTP/1.1\r\nA: b", (b"GET", b"/x", b"1")),
        (b"\r\nGET /x HTTP/1.0\r\n", (b"GET", b"/x", b"0")),
        (b"GET /x HTTP/2.0\r\n", (b"GET", b"/x HTTP/2.0", b"")),
        (b"GET /x y HTTP/1.1\r\n", (b"GET", b"/x y", b"1")),
        (b"GET /x HTTP/1.1\nHost: a\n\n", (b"GET", b"/x", b"1")),
        (b"GE", (b"GE", b"-", b"")),
        (b"GET ", (b"GET", b"-", b"")),
        (b"", (b"-", b"-", b"")),
        (b"\x16\x03\x01\x02", (b"-", b"\x16\x03\x01\x02", b"")),
        (b"M" * 33 + b" /", (b"-", b"M" * 33 + b" /", b"")),
        (b"GET /" + b"a" * 9000, (b"GET", b"/" + b"a" * 511 + b"...", b"")),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", (b"GET", b"/" + b"a" * 511 + b"...", b"1")),
    ],
)
def test_as_much_is_told_as_came(data, told):
    assert read_request_line(data) == told
