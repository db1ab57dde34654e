"""`--explain`: the plan in words, and what becomes of one request."""

import pytest

from netfront.cli.explain import explain_plan, explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from tests.support.netfront import run

HEAD = """\
listen        https://localhost:8443, reached from this machine
tls           a certificate of the local CA for localhost{names}
time-outs     head 10s, handshake 10s, idle 1m, body 30s, send 1m, connect 3s, read 1m, stream 1h, backend idle 30s
limits        line 8KiB, field 8KiB, head 32KiB, 100 fields, connections by descriptors, 200 of one address
"""
TELL = "tell          X-Forwarded-For, -Proto, -Host, -Port, X-Real-IP, Via\n"
ANSWER = (
    "answer        Server and X-Powered-By removed; Location, Refresh and cookies name us, not the backend\n"
)


def plan(*targets, **flags):
    return plan_serving("proxy", ServeFlags(targets=targets, **flags))


def rows(text, name):
    return [line[14:] for line in text.splitlines() if line[:13].strip() == name]


def test_plan_is_told_one_layer_a_line():
    made = plan(
        "app.localhost=:3000",
        "/api=:8000/+weight=2,:8001+backup",
        timeout=["/api/slow: 5m"],
        header=["-Cookie"],
    )
    assert explain_plan(made) == HEAD.format(names=", app.localhost") + (
        "route         app.localhost\n"
        "  timeout     none to the first byte\n"
        "  request     remove Cookie\n"
        "  within      /api/slow\n"
        "    timeout   5m to the first byte\n"
        "    request   remove Cookie\n"
        "  dial        http://localhost:3000, Host as it came\n"
        "route         /api\n"
        "  timeout     none to the first byte\n"
        "  request     remove Cookie\n"
        "  within      /api/slow\n"
        "    timeout   5m to the first byte\n"
        "    request   remove Cookie\n"
        "  dial        http://localhost:8000/, weight 2, Host as it came\n"
        "  dial        http://localhost:8001, backup, Host as it came\n"
        + TELL
        + ANSWER
        + "stop          drain for 30s\n"
    )


def test_request_is_told_with_its_route_its_layers_and_the_url_dialled():
    made = plan("/=:1", "/api=:8000/v2/", timeout=["/api/slow: 5m"], header=["X-A: b"])
    assert explain_request(made, "GET https://localhost/api/slow/x?y=1") == (
        "request       GET https://localhost/api/slow/x?y=1\n"
        + HEAD.format(names="")
        + TELL
        + "route         /api\n"
        "timeout       5m to the first byte\n"
        "request       set X-A: b\n"
        "dial          http://localhost:8000/v2/slow/x?y=1 with Host: localhost\n" + ANSWER
    )


@pytest.mark.parametrize(
    ("targets", "request_text", "dialled"),
    [
        (["/api=:8000"], "GET /api/x", ["http://localhost:8000/api/x with Host: localhost:8443"]),
        (["/api=:8000/"], "GET /api/x", ["http://localhost:8000/x with Host: localhost:8443"]),
        (["/api=:8000/"], "GET /api", ["http://localhost:8000/ with Host: localhost:8443"]),
        (
            ["https://api.example.com/v2"],
            "GET https://localhost:8443/x",
            ["https://api.example.com/v2/x with Host: api.example.com"],
        ),
        (["unix:/run/x"], "GET http://a.test/y", ["unix:/run/x /y with Host: a.test"]),
        (["demo:"], "GET /json", ["demo: /json with Host: localhost:8443"]),
        (
            ["3000,3001+backup"],
            "GET https://app.localhost:8443/",
            [
                "http://localhost:3000/ with Host: app.localhost:8443",
                "http://localhost:3001/ with Host: app.localhost:8443, only when the others fail",
            ],
        ),
    ],
)
def test_url_dialled_is_told(targets, request_text, dialled):
    assert rows(explain_request(plan(*targets), request_text), "dial") == dialled


@pytest.mark.parametrize(
    ("request_text", "answer"),
    [
        ("GET /x", "404: no route leads there"),
        ("POST /api", "405: Allow: GET, HEAD"),
        ("GET /api/%00", "400: an encoded NUL"),
        ("GET ftp://localhost/", "400: a target that is neither http nor https"),
    ],
)
def test_answer_of_our_own_is_told(request_text, answer):
    assert rows(explain_request(plan("GET /api=:1"), request_text), "answer") == [answer]


def test_target_that_cannot_be_joined_to_a_base_is_told():
    assert rows(explain_request(plan("https://h.test/v2"), "GET /%zz"), "answer") == [
        "400: a percent sign that encodes nothing"
    ]


def test_listener_is_found_by_port_and_scheme():
    made = plan("/=:1", ":81=:2", listen=["http://:80", "http://:81", "https://:443"], redirect_http=":8080")
    assert rows(explain_request(made, "GET http://localhost:81/"), "dial") == [
        "http://localhost:2/ with Host: localhost:81"
    ]
    assert rows(explain_request(made, "GET https://localhost/"), "listen")[0].startswith("https://localhost,")
    assert rows(explain_request(made, "GET http://localhost:8080/"), "answer") == [
        "308: to https://localhost"
    ]


def test_what_is_not_the_default_is_told():
    text = explain_plan(
        plan(
            "https://h+name=blue+insecure",
            "https://g",
            "/a=:1+proxy=v2",
            listen=["https://*:443"],
            cert=["c.pem"],
            key=["k.pem"],
            client_ca="ca.pem",
            trust_proxy=["10.0.0.0/8"],
            accept_proxy=True,
            forwarded=True,
            via=False,
            keep_server=True,
            hsts="1d",
            name=["a.example"],
            access_log="-",
            log_format="json",
            max_body=["1k"],
            response_header=["X-B: c"],
            drain="5s",
        )
    )
    for line in (
        "reached from the network, connections begin with a PROXY line if the peer is trusted",
        "the certificate c.pem, for a.example",
        "clients need a certificate of ca.pem",
        "https://h, as blue, Host: h, its certificate is NOT verified",
        "https://g, Host: g, verified as g by the system store",
        "PROXY v2 first",
        "Forwarded; believed from 10.0.0.0/8",
        "answer        Location, Refresh",
        "Strict-Transport-Security for 1d",
        "json to stdout",
        "at most 1KiB; else 413",
        "set X-B: c",
        "drain for 5s",
    ):
        assert line in text


def test_guard_is_told_where_host_is_replaced_on_loopback():
    assert rows(explain_plan(plan("https://api.example.com")), "guard") == [
        "Host has to be a loopback name; else 421"
    ]
    assert rows(explain_plan(plan("https://api.example.com", listen=["http://*:80"])), "guard") == []
    assert rows(explain_plan(plan("3000")), "guard") == []


def test_explain_is_a_switch_and_takes_requests_as_arguments():
    plain, asked = (
        run("proxy", "3000", "--explain"),
        run("proxy", "3000", "--explain", "GET https://localhost/api/x"),
    )
    assert (plain.returncode, asked.returncode) == (0, 0)
    assert rows(plain.stdout, "dial") == ["http://localhost:3000, Host as it came"]
    assert rows(asked.stdout, "dial") == ["http://localhost:3000/api/x with Host: localhost"]
    assert (plain.stderr, asked.stderr) == ("", "")


def test_request_without_explain_is_a_mistake():
    done = run("proxy", "3000", "GET /x")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "netfront proxy: GET /x: a request is for --explain",
    )


def test_explain_needs_no_file():
    assert run("proxy", "3000", "--explain", "--cert", "/nowhere", "--key", "/nowhere").returncode == 0
