"""Routing of `netfront gateway` with real processes: conditions, canaries, rewrites, redirects, answers, methods."""

import http.client
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.netfront import running
from tests.support.origins import answering, origin

pytestmark = pytest.mark.usefixtures("modes")


def ask(front, method, target, body=None, **fields):
    """Send a request; give status, fields and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    try:
        connection.putrequest(method, target, skip_host="Host" in fields)
        for name, value in fields.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def saying(name):
    return answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))


@contextmanager
def origins(*names):
    with ExitStack() as opened:
        yield [opened.enter_context(origin(saying(name.encode()))) for name in names]


def test_conditional_routes_are_tried_in_order_beside_the_plain_one():
    with (
        origins("plain", "two", "beta", "query") as (plain, two, beta, query),
        running(
            "gateway",
            f"/api={plain.url}",
            *("--match", f"/api: header:X-Version=2 => {two.url}"),
            *("--match", f"/api: cookie:beta => {beta.url}"),
            *("--match", f"/api/v3: query:v=3 => {query.url}"),
            "-q",
        ) as front,
    ):
        said = {
            "none": ask(front, "GET", "/api/x")[2],
            "header": ask(front, "GET", "/api/x", X_Version="2")[2],
            "other value": ask(front, "GET", "/api/x", X_Version="3")[2],
            "cookie": ask(front, "GET", "/api/x", Cookie="a=1; beta=on")[2],
            "both": ask(front, "GET", "/api/x", Cookie="beta=on", X_Version="2")[2],
            "query": ask(front, "POST", "/api/v3?v=3", b"x")[2],
            "not query": ask(front, "GET", "/api/v3?v=4", X_Version="2")[2],
        }
        assert said == {
            "none": b"plain",
            "header": b"two",
            "other value": b"plain",
            "cookie": b"beta",
            "both": b"two",
            "query": b"query",
            "not query": b"two",
        }
        assert ask(front, "GET", "/x")[0] == 404


def test_canary_by_weights_is_sticky():
    with (
        origins("old", "new") as (old, new),
        running("gateway", f"/={old.url}+weight=3,{new.url}", "--lb", "sticky", "-q") as front,
    ):
        said = Counter(ask(front, "GET", "/")[2] for _ in range(40))
        assert said == {b"old": 30, b"new": 10}
        for _ in range(4):
            _, fields, body = ask(front, "GET", "/")
            cookie = fields["Set-Cookie"].partition(";")[0]
            assert {ask(front, "GET", "/", Cookie=cookie)[2] for _ in range(4)} == {body}


def test_rewrite_changes_what_is_sent_and_nothing_else():
    with (
        origin(answering()) as behind,
        running(
            "gateway",
            f"/old={behind.url}",
            f"/base={behind.url}/v2",
            *("--rewrite", "/old/{id}: /new/{id}"),
            *("--rewrite", "/base/{id}: /items/{id}"),
            *("--respond", "/new/7: 200 not routed again"),
            "-q",
        ) as front,
    ):
        for target in ("/old/7?a=1", "/old/a%2Fb/c", "/old", "/base/3/x", "/base"):
            assert ask(front, "GET", target)[0] == 200
        sent = [seen.target for seen in behind.requests]
        assert sent == [b"/new/7?a=1", b"/new/a%2Fb/c", b"/old", b"/v2/items/3/x", b"/v2"]


def test_redirects_and_answers_need_no_backend():
    with running(
        "gateway",
        *("--redirect", "/x/{id}: 302 https://e.test/{id}?id={id}"),
        *("--redirect", "GET /moved: /there"),
        *("--redirect", "www.site.test/**: 301 https://site.test/{**}"),
        *("--redirect", "/all/{id}/**: /{id}/of/{**}"),
        *("--respond", "/down: 503 back soon"),
        *("--respond", '/mock: 200 {"a": 1}'),
        *("--respond", "/gone/**: 410"),
        *("--respond", "POST /made: 204"),
        *("--response-header", "/down: Retry-After: 30"),
        "-q",
    ) as front:
        status, fields, body = ask(front, "GET", "/x/a%26b%23c")
        assert (status, fields["Location"], body) == (302, "https://e.test/a&b%23c?id=a%26b%23c", b"")
        status, fields, _ = ask(front, "GET", "/moved?q=1")
        assert (status, fields["Location"]) == (308, "/there?q=1")
        for target, place in (
            ("/", "/"),
            ("/a/b%2Fc/?q=1", "/a/b%2Fc/?q=1"),
            ("//evil.test/x", "/evil.test/x"),
            ("/\\evil.test", "/%5Cevil.test"),
        ):
            status, fields, _ = ask(front, "GET", target, Host="www.site.test")
            assert (status, fields["Location"]) == (301, f"https://site.test{place}")
        assert ask(front, "GET", "/all/7/x/y")[1]["Location"] == "/7/of/x/y"
        assert ask(front, "GET", "/all/7")[1]["Location"] == "/7/of/"
        status, fields, body = ask(front, "GET", "/down")
        assert (status, fields["Retry-After"], body) == (503, "30", b"back soon")
        assert fields["Content-Type"] == "text/plain; charset=utf-8"
        status, fields, body = ask(front, "HEAD", "/down")
        assert (status, fields["Content-Length"], body) == (503, "9", b"")
        status, fields, body = ask(front, "GET", "/mock")
        assert (status, fields["Content-Type"], body) == (200, "application/json", b'{"a": 1}')
        status, fields, body = ask(front, "PUT", "/gone/x/y", b"content")
        assert (status, fields["Content-Type"], body) == (410, None, b"")
        status, fields, body = ask(front, "POST", "/made", b"content")
        assert (status, fields["Content-Length"], body) == (204, None, b"")
        assert ask(front, "GET", "/down/x")[0] == 404
        assert ask(front, "GET", "/x/a/b")[0] == 404
        status, fields, _ = ask(front, "GET", "/made")
        assert (status, fields["Allow"]) == (405, "OPTIONS, POST")
        status, fields, _ = ask(front, "OPTIONS", "/moved")
        assert (status, fields["Allow"]) == (200, "GET, HEAD, OPTIONS")
        assert ask(front, "OPTIONS", "*")[0] == 200


def test_hosts_methods_and_patterns_lead_to_their_routes():
    with (
        origins("app", "wild", "read", "write", "item", "rest") as (app, wild, read, write, item, rest),
        running(
            "gateway",
            f"app.test={app.url}",
            f"*.app.test={wild.url}",
            f"GET /r={read.url}",
            f"POST,PUT /r={write.url}",
            f"/i/{{id}}/x={item.url}",
            f"/i/**={rest.url}",
            "-q",
        ) as front,
    ):
        asked = {
            ("GET", "/", "app.test"): b"app",
            ("GET", "/r", "APP.test.:99"): b"app",
            ("GET", "/", "x.app.test"): b"wild",
            ("GET", "/r/s", "b.test"): b"read",
            ("PUT", "/r", "b.test"): b"write",
            ("GET", "/i/1/x", "b.test"): b"item",
            ("GET", "/i/1/y", "b.test"): b"rest",
            ("GET", "/i", "b.test"): b"rest",
        }
        said = {
            (method, target, host): ask(front, method, target, Host=host)[2] for method, target, host in asked
        }
        assert said == asked
        status, fields, _ = ask(front, "DELETE", "/r", Host="b.test")
        assert (status, fields["Allow"]) == (405, "GET, HEAD, OPTIONS, POST, PUT")
        assert ask(front, "GET", "/q", Host="b.test")[0] == 404
