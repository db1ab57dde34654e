"""`--explain 'REQUEST'` says what serving that request does, however its path is spelt."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netfront.cli.explain import explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from tests.support.client import connect
from tests.support.named import named
from tests.support.netfront import running

SEGMENTS = [
    "admin", "Admin", "api", "a", "b", "x", "q", "r", "s", "pub", "down", "go", "", ".", "..", "%2e", "%2e%2e", ";",
    "..;", "a;b", "..%2fadmin", "x%2fy", "admin%2f", "admin%3bx", "%3b", "%2f", "%5c", "\\", "%41", "*", "%", "%zz",
    "%00", "%c0%ae", "%c3%a9", "é",
]  # fmt: skip
PATHS = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end,
    st.lists(st.sampled_from(SEGMENTS), max_size=4),
    st.sampled_from(["", "/", "?x=1"]),
)
METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE", "FOO"]
HOSTS = ["localhost", "a.test", "A.Test.", "x.b.test"]
NOBODY = "192.0.2.1"
GATEWAYS = {
    "nothing guarded": (["/=A"], {}),
    "a part of its own": (["/=A"], {"timeout": ["/admin: 5s"]}),
    "a path guarded": (["/=A"], {"ip": [f"/admin: {NOBODY}"]}),
    "all guarded": (["/=A", "/pub=B"], {"ip": [f"/: {NOBODY}"], "public": ["/pub"], "respond": ["/pub/x: 200"]}),
    "prefixes replaced": (["/=A/base", "/api=B/"], {"ip": [f"/api/x: {NOBODY}"]}),
    "rewritten": (["/=A"], {"rewrite": ["/r: /admin", "/s/{id}: /b/{id}"], "ip": [f"/admin: {NOBODY}"]}),
    "answered here": (["/a=A", "GET /b=B"], {"respond": ["/a/down: 503"], "redirect": ["/go/{x}: 302 https://e.test"]}),
    "a rule that asks for the path": (["/a/{x}/q=A", "/a/**=B"], {"allow": ["/a/b: path != '/a/b/x'"]}),
    "by host": (["a.test=A", "/=B", "*.b.test/a=A/q"], {"ip": [f"a.test/admin: {NOBODY}", f"x.b.test/: {NOBODY}"]}),
    "where it carries something": (["/=A"], {"match": ["/api: header:X => B"], "ip": [f"/api/x: {NOBODY}"]}),
    "everywhere": (["/=A"], {"match": ["/: header:X => B"]}),
    "only where it carries something": ([], {"match": ["/: header:X => B"]}),
    "a part public": (["/=A"], {"ip": [f"/: {NOBODY}"], "public": ["/pub"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", GATEWAYS)
def test_it_says_what_serving_does(name):
    targets, flags = GATEWAYS[name]
    with named(2) as (a, b):
        places = {"A": a.place, "B": b.place}

        def filled(words):
            return [re.sub(r"\b[AB]\b(?=/|$)", lambda at: places[at[0]], word) for word in words]

        written = {flag: filled(words) for flag, words in flags.items()}
        line = [word for flag, words in written.items() for value in words for word in (f"--{flag}", value)]
        with running("gateway", *filled(targets), *line, "-l", "http://localhost:0") as front:
            listen = [f"http://localhost:{front.port}"]
            plan = plan_serving("gateway", ServeFlags(targets=filled(targets), listen=listen, **written))

            @settings(max_examples=60)
            @given(st.sampled_from(METHODS), st.sampled_from(HOSTS), PATHS)
            @example("GET", "localhost", "/..")
            @example("GET", "localhost", "/admin/..%2fadmin")
            def check(method, host, path):
                sent = len(a.requests), len(b.requests)
                told = explain_request(plan, f"{method} http://{host}:{front.port}{path}")
                with connect(front.port) as client:
                    client.send(f"{method} {path} HTTP/1.1\r\nHost: {host}:{front.port}\r\n\r\n".encode())
                    answer = client.read_answer(method.encode())
                came = [seen.target.decode() for seen in (*a.requests[sent[0] :], *b.requests[sent[1] :])]
                status = re.search(r"^answer +(\d\d\d)\b", told, re.MULTILINE)
                if status:
                    assert (answer.status, came) == (int(status[1]), [])
                elif f"from {NOBODY}" in told or (answer.status == 403 and "\nallow " in told):
                    assert (answer.status, came) == (403, [])
                else:
                    assert (answer.status, came) == (
                        200,
                        re.findall(r"^dial +http://[^/]+(/\S*)", told, re.MULTILINE),
                    )

            check()
