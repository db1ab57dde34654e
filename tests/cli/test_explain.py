"""`--explain`: the plan in words, and what becomes of one request."""

import pytest

from netfront.cli.explain import explain_plan, explain_request
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.errors import UsageError
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
RETRY = (
    "elsewhere, what never reached a backend; of methods that may be repeated no answer, bodies up to 64KiB"
)
HEDGE = "what only asks is asked elsewhere too when its answer is later than four times p99"


def plan(*targets, command="proxy", **flags):
    return plan_serving(command, ServeFlags(targets=targets, **flags))


def balance(*targets, **flags):
    return plan(*targets, command="balance", **flags)


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
        f"  retry       {RETRY}\n"
        f"  hedge       {HEDGE}\n"
        "  within      /api/slow\n"
        "    timeout   5m to the first byte\n"
        "    request   remove Cookie\n"
        f"    retry     {RETRY}\n"
        f"    hedge     {HEDGE}\n"
        "  pick        rr: in turn, by weight\n"
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
        (["unix:/run/x"], "GET https://a.test/y", ["unix:/run/x /y with Host: a.test"]),
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
        ("POST /api", "405: Allow: GET, HEAD, OPTIONS"),
        ("GET /api/%00", "400: an encoded NUL"),
        ("GET ftp://localhost/", "400: a target that is neither http nor https"),
        ("CONNECT a.test:443", "405: no tunnels are opened"),
        ("OPTIONS *", "200: Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ("GET http://localhost/api", "308: to https"),
        ("POST http://localhost/api", "400: TLS is spoken there"),
    ],
)
def test_answer_of_our_own_is_told(request_text, answer):
    assert rows(explain_request(plan("GET /api=:1"), request_text), "answer") == [answer]


def test_target_that_cannot_be_joined_to_a_base_is_told():
    assert rows(explain_request(plan("https://h.test/v2"), "GET /%zz"), "answer") == [
        "400: a percent sign that encodes nothing"
    ]


def test_a_host_that_is_none_of_ours_is_told():
    made = plan("https://h.test", name=["app.localhost"])
    assert rows(explain_request(made, "GET https://evil.test/"), "answer") == [
        "421: evil.test is no name of ours"
    ]
    assert rows(explain_request(made, "GET https://app.localhost/"), "dial")


def test_plain_http_finds_the_listener_that_redirects_and_tls_none_where_none_is_spoken():
    assert rows(explain_request(plan(":1", redirect_http=":80"), "GET http://localhost/"), "dial") == []
    plain = plan(":1", listen=["http://:80"])
    assert rows(explain_request(plain, "GET https://localhost/"), "answer") == [
        "none: no TLS is spoken there"
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


@pytest.mark.parametrize(
    ("targets", "flags", "name", "text"),
    [
        (("1-2",), {}, "pick", "rr: in turn, by weight"),
        (("1-2",), {"lb": ["least"]}, "pick", "least: who has the fewest requests for its weight"),
        (
            ("1",),
            {"lb": ["hash:header:X-User"]},
            "pick",
            "by hash of the header x-user; nobody gets 1.25 times its share",
        ),
        (
            ("1-2",),
            {"lb": ["hash:ip"]},
            "pick",
            "by hash of the client's address; nobody gets 1.25 times its share",
        ),
        (
            ("1-2",),
            {"lb": ["sticky"]},
            "pick",
            "who the cookie netfront-backend names, signed by a key that is kept; else in turn, by weight",
        ),
        (
            ("1-2",),
            {"lb": ["sticky:s"], "sticky_key": "env:K"},
            "pick",
            "who the cookie s names, signed by env:K; else in turn, by weight",
        ),
        (
            ("1-2",),
            {"eject_on": ["502,503"]},
            "eject",
            "answers of 502,503 count as failures; 3 in 10s eject",
        ),
        (
            ("1-2",),
            {"health": ["/h,status=200,host=a.test,port=9"], "health_body": ["ok"]},
            "health",
            "every 2s: GET /h, 200 is well, on port 9, with Host: a.test, the answer has to match ok, within 1s, "
            "up after 2, down after 3",
        ),
        (
            ("1-2",),
            {"health": ["tcp,interval=5s"]},
            "health",
            "every 5s: connect, within 1s, up after 2, down after 3",
        ),
        (("1-2",), {"slow_start": ["30s"]}, "return", "to a whole share within 30s"),
        (("1+max=2",), {}, "queue", "100 requests wait up to 5s while all are full; else 503"),
        (
            ("1+max=2",),
            {"queue": ["7"], "queue_timeout": ["1s"]},
            "queue",
            "7 requests wait up to 1s while all are full; else 503",
        ),
        (("1+max=2",), {"queue": ["0"]}, "queue", "none: 503 while all are full"),
        (
            ("1-2",),
            {"retry_on": ["none"]},
            "retry",
            "elsewhere, what never reached a backend, and nothing else",
        ),
        (
            ("1-2",),
            {"retry_on": ["502,reset"], "retry_body": ["1k"]},
            "retry",
            "elsewhere, what never reached a backend; of methods that may be repeated no answer and answers of 502, "
            "bodies up to 1KiB",
        ),
        (
            ("1-2",),
            {"hedge": ["p99.9"]},
            "hedge",
            "what only asks is asked elsewhere too when its answer is later than p99.9",
        ),
        (("1-2",), {"hedge": ["none"]}, "hedge", "none"),
        (("http://a.test+all",), {}, "pick", "rr: in turn, by weight"),
        (("http://a.test+all",), {}, "dial", "http://a.test, each of its addresses apart, Host as it came"),
        (
            ("1+max=9+weight=0", "2"),
            {},
            "dial",
            "http://localhost:1, weight 0, at most 9 at once, Host as it came",
        ),
        (
            ("srv+https://_http._tcp.shop.test",),
            {},
            "dial",
            "https://_http._tcp.shop.test, wherever its SRV records lead, "
            "Host: shop.test, verified as shop.test by the system store",
        ),
        (("http://a.test",), {"resolver": "::1"}, "names", "asked of [::1]:53"),
        (("1",), {"files": ("a.nf", "b.nf")}, "files", "a.nf, b.nf, read again as they change"),
        (("1",), {"live": True}, "stderr", "the backends and what they do, where it is a terminal"),
    ],
)
def test_how_backends_are_used_is_told(targets, flags, name, text):
    assert text in rows(explain_plan(balance(*targets, **flags)), name)


def test_one_backend_has_nobody_to_turn_to():
    text = explain_plan(balance("3000"))
    assert [rows(text, name) for name in ("pick", "retry", "hedge", "health", "queue")] == [[]] * 5


def test_who_is_named_twice_is_one_backend():
    text = explain_plan(balance("3000", "3000+weight=3"))
    assert [rows(text, name) for name in ("pick", "retry", "hedge")] == [[]] * 3
    first, again = rows(text, "dial")
    assert again.endswith(", named before: it counts once")
    assert not first.endswith("once")


def test_backend_is_named_in_answers():
    assert "X-Backend names the backend" in rows(explain_plan(balance("1", backend_header=True)), "answer")


def test_bytes_and_datagrams_are_told_without_what_is_said_of_requests():
    made = balance(
        "a.test=tcp://db1:1,tcp://db2:1+backup+alpn=h2+max=3",
        ":53=10.0.0.1:53",
        listen=["tcp://:5432", "udp://:53"],
        lb=["hash:ip"],
    )
    assert explain_plan(made) == (
        "listen        tcp://localhost:5432, reached from this machine, passes bytes on\n"
        "listen        udp://localhost:53, reached from this machine, passes datagrams on\n"
        "time-outs     connect 3s, stream 1h, udp 30s\n"
        "limits        connections by descriptors, 200 of one address\n"
        "route         datagrams on udp://localhost:53\n"
        "  pick        by hash of the client's address; nobody gets 1.25 times its share\n"
        "  dial        udp://10.0.0.1:53\n"
        "route         connections for a.test\n"
        "  pick        by hash of the client's address; nobody gets 1.25 times its share\n"
        "  queue       100 connections wait up to 5s while all are full; else a reset\n"
        "  dial        tcp://db1:1\n"
        "  dial        tcp://db2:1, backup, at most 3 at once, for clients that offer h2\n"
        "stop          drain for 30s\n"
    )


def test_a_request_is_explained_only_where_somebody_listens_for_one():
    with pytest.raises(UsageError, match="GET /x: nobody listens for requests"):
        explain_request(balance(":1", listen=["tcp://:5432"]), "GET /x")
    mixed = balance("tcp://db:1", "http://h:2", listen=["tcp://:5432", "http://:80"])
    assert rows(explain_request(mixed, "GET /x"), "dial") == ["http://h:2/x with Host: localhost"]


def test_what_only_requests_can_be_picked_or_probed_by_is_for_them_alone():
    made = balance(
        "http://h:1,http://h:2",
        "udp://10.0.0.1:1",
        listen=["http://:80", "udp://:53"],
        lb=["sticky"],
        health=["/healthz"],
        timeout=["/x: 5s"],
    )
    told = {route.kind: route.settings.balance for route in made.routes}
    assert (told["http"].lb.policy, told["udp"].lb.policy) == ("sticky", "rr")
    assert (told["http"].health.path, told["udp"].health) == ("/healthz", None)
    assert [route.variants for route in made.routes if route.kind == "udp"] == [()]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"lb": ["sticky"]}, "--lb sticky:netfront-backend: / is udp://"),
        ({"lb": ["hash:url"]}, "--lb hash:url: / is udp://"),
        ({"health": ["/h"]}, "--health /h: / is udp://\n  name a port that takes TCP: /h,port=N"),
        ({"idle_timeout": "5s"}, "--idle-timeout: it has no effect"),
        ({"max_connections": "5"}, "--max-connections: it has no effect"),
    ],
)
def test_what_datagrams_cannot_have_is_refused(flags, message):
    with pytest.raises(UsageError) as refused:
        balance("10.0.0.1:53", listen=["udp://:53"], **flags)
    assert str(refused.value.faults[0]).startswith(message)


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


@pytest.mark.parametrize("request_", ["GET /cars;v=1", "GET /odata(id=5)", "GET /x?a=b"])
def test_a_request_may_have_equals_signs(request_):
    done = run("gateway", "/=:7750", "--explain", request_)
    assert done.returncode == 0
    assert f"http://localhost:7750{request_[4:]} with Host" in done.stdout
