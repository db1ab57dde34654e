"""Real servers behind netfront answer as they do without it.

Each exchange is made twice, with the server itself and through netfront, and what came is compared whole:
status, reason, every field in its order and spelling, body, framing. Not compared are the fields that belong
to one connection, Date, what netfront hides (Server, X-Powered-By), and at which place Content-Length stands.
"""

import http.client
import socket

import pytest

from tests.support.client import connect
from tests.support.peers import LARGE, NAMES, pairs_of_servers

NOT_COMPARED = {
    "date",
    "server",
    "x-powered-by",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
}
SERVERS = pytest.mark.parametrize("server", NAMES)
KEEPING = pytest.mark.parametrize("server", ["nginx", "caddy", "http.server 1.1"])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    with pairs_of_servers(tmp_path_factory.mktemp("www")) as pairs:
        yield pairs


def asking(method, target, *fields, body=b"", version=b"1.1", host=b"127.0.0.1:81"):
    lines = [b"%b %b HTTP/%b" % (method, target, version), b"Host: " + host, *fields]
    if body and not any(line.startswith(b"Transfer-Encoding") for line in fields):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(port, request, method):
    """One exchange on a connection of its own: all that is compared, and how the body was framed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request)
        answer = http.client.HTTPResponse(sock, method=method.decode())
        answer.begin()
        framing = "chunked" if answer.chunked else "close" if answer.length is None else "length"
        body = answer.read()
        answer.close()
    fields = [(name, value) for name, value in answer.getheaders() if name.lower() not in NOT_COMPARED]
    return (answer.status, answer.reason, fields, answer.getheader("Content-Length"), body), framing


def assert_same(ports, request, method):
    """Compare; what ends with the connection may come in chunks through a proxy that keeps its own."""
    direct, framed = exchange(ports[0], request, method)
    through, reframed = exchange(ports[1], request, method)
    assert through == direct
    assert reframed == framed or (framed, reframed) == ("close", "chunked")


@SERVERS
@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        (b"GET", b"/", ()),
        (b"GET", b"/small.txt", ()),
        (b"HEAD", b"/small.txt", ()),
        (b"GET", b"/empty.txt", ()),
        (b"GET", b"/large.bin", ()),
        (b"HEAD", b"/large.bin", ()),
        (b"GET", b"/long.txt", (b"Accept-Encoding: gzip",)),
        (b"GET", b"/small.txt?x=1&y=%20", ()),
        (b"GET", b"/deep/", ()),
        (b"GET", b"/deep/a%20b+c.txt", ()),
        (b"GET", b"/caf%C3%A9.txt", ()),
        (b"GET", b"/missing", ()),
        (b"HEAD", b"/missing", ()),
        (b"GET", b"/large.bin", (b"Range: bytes=100-199",)),
        (b"GET", b"/large.bin", (b"Range: bytes=-1",)),
        (b"GET", b"/large.bin", (b"Range: bytes=99999999-",)),
        (b"GET", b"/large.bin", (b"Range: bytes=0-0", b'If-Range: "other"')),
        (b"GET", b"/small.txt", (b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",)),
        (b"GET", b"/small.txt", (b"If-None-Match: *",)),
        (b"DELETE", b"/small.txt", ()),
        (b"OPTIONS", b"/small.txt", ()),
        (b"PURGE", b"/small.txt", ()),
        (b"GET", b"/stream", ()),
        (b"GET", b"/none", ()),
        (b"GET", b"/gone", ()),
        (b"GET", b"/twice", ()),
        (b"GET", b"/elsewhere", ()),
        (b"GET", b"/small.txt", (b"Cookie: a=1; b=2", b"X-Odd:", b"X-Latin: caf\xe9", b"Accept: */*")),
    ],
)
def test_answer_is_the_same(pairs, server, method, target, fields):
    assert_same(pairs[server], asking(method, target, *fields), method)


@SERVERS
def test_answer_to_an_http_10_client_is_the_same(pairs, server):
    request = asking(b"GET", b"/large.bin", version=b"1.0")
    direct, through = (exchange(port, request, b"GET") for port in pairs[server])
    assert through == direct


@pytest.mark.parametrize("server", ["nginx", "caddy"])
@pytest.mark.parametrize(
    "target",
    [b"/uri", b"/uri?", b"/uri?a=b?c&d=%zz%20;e", b"/uri?q=%2F..%2f&r=/../x", b"/uri?\xc3\xa9'\"<>\\^`{|}"],
)
def test_target_reaches_the_server_as_it_came(pairs, server, target):
    request = asking(b"GET", target)
    assert_same(pairs[server], request, b"GET")
    assert target in exchange(pairs[server][1], request, b"GET")[0][4]


def test_host_reaches_the_server_as_it_came(pairs):
    request = asking(b"GET", b"/uri", host=b"Some.Localhost:81")
    assert b" Some.Localhost:81 " in exchange(pairs["nginx"][1], request, b"GET")[0][4]


@pytest.mark.parametrize(
    "target", [b"/uri/%7Euser/./a/../b", b"/uri//x;y=1/%2e%2e/z", b"/uri/a%2Fb%5Cc", b"/uri/%e2%82%ac+%2B"]
)
def test_path_reaches_the_server_byte_for_byte(pairs, target):
    assert target in exchange(pairs["caddy"][1], asking(b"GET", target), b"GET")[0][4]


@SERVERS
@pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
def test_upload_with_a_length_is_the_same(pairs, server, size):
    length = (b"Content-Length: 0",) if not size else ()
    request = asking(b"POST", b"/echo", b"Content-Type: text/plain", *length, body=LARGE[:size])
    assert_same(pairs[server], request, b"POST")


@SERVERS
def test_upload_in_chunks_is_the_same(pairs, server):
    body = b"5\r\nhello\r\n1\r\n \r\n10000\r\n" + LARGE[:65536] + b"\r\n0\r\n\r\n"
    request = asking(b"PUT", b"/echo", b"Transfer-Encoding: chunked", body=body)
    assert_same(pairs[server], request, b"PUT")


@pytest.mark.parametrize("server", ["nginx", "caddy"])
def test_upload_with_extensions_and_trailers_is_the_same(pairs, server):
    body = b"5;name=value\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n"
    request = asking(b"POST", b"/echo", b"Trailer: X-Checksum", b"Transfer-Encoding: chunked", body=body)
    assert_same(pairs[server], request, b"POST")


@SERVERS
def test_redirect_that_names_the_server_names_netfront_instead(pairs, server):
    """A directory without its slash: each server spells the redirect in its own way, some with their port."""
    told = []
    for port in pairs[server]:
        request = asking(b"GET", b"/deep", host=b"127.0.0.1:%d" % port)
        (status, _, fields, _, _), _ = exchange(port, request, b"GET")
        told.append((status, dict(fields)["Location"].replace(f"127.0.0.1:{port}", "ITSELF")))
    assert told[1] == told[0]


@KEEPING
def test_connection_serves_one_request_after_the_other(pairs, server):
    connection = http.client.HTTPConnection("127.0.0.1", pairs[server][1], timeout=10)
    connection.connect()
    first = connection.sock
    for path, body in (("/small.txt", b"small\n"), ("/large.bin", LARGE), ("/deep/", b"deep\n")):
        connection.request("GET", path)
        assert connection.getresponse().read() == body
    connection.request("POST", "/echo", iter([b"one", b"two"]), encode_chunked=True)
    assert connection.getresponse().read() == b"onetwo"
    connection.request("HEAD", "/large.bin")
    assert connection.getresponse().read() == b""
    assert connection.sock is first
    connection.close()


@KEEPING
def test_pipelined_requests_are_answered_in_order(pairs, server):
    paths = [b"/small.txt", b"/large.bin", b"/deep/", b"/empty.txt", b"/small.txt"]
    with connect(pairs[server][1]) as client:
        client.send(b"".join(asking(b"GET", path) for path in paths))
        bodies = [client.read_answer().body for _ in paths]
    assert bodies == [b"small\n", LARGE, b"deep\n", b"", b"small\n"]
