"""From flags to the plan: defaults, what each flag changes, what does not fit together."""

from dataclasses import fields, replace
from math import inf

import pytest

from netfront.cli.argv import Word
from netfront.cli.flags import ServeFlags
from netfront.cli.plan import (
    BackendTlsPlan,
    CertificatePlan,
    FieldEdit,
    HostPlan,
    LimitsPlan,
    ListenerPlan,
    LogPlan,
    PoolPlan,
    ReadyPlan,
    RoutePlan,
    Secret,
    ServePlan,
    Settings,
    TargetPlan,
    TellPlan,
    TlsPlan,
)
from netfront.cli.planning import plan_serving
from netfront.endpoint import Endpoint
from netfront.errors import Fault, UsageError
from netfront.policy.route import parse_scope

LOCAL = Endpoint("https", "localhost", 8443)
CERT = {"cert": ["c.pem"], "key": ["k.pem"]}


def plan(*targets, **flags):
    return plan_serving("proxy", ServeFlags(targets=targets, **flags))


def faults(*targets, **flags):
    with pytest.raises(UsageError) as caught:
        plan(*targets, **flags)
    return [str(fault) for fault in caught.value.faults]


def target(port, **rest):
    endpoint = Endpoint("http", "localhost", port)
    return TargetPlan(endpoint, f"http://localhost:{port}", f"localhost:{port}", **rest)


def test_one_port_gives_the_whole_default_plan():
    assert plan("3000") == ServePlan(
        command="proxy",
        listeners=(ListenerPlan(LOCAL),),
        routes=(RoutePlan(parse_scope("/"), "/", settings=Settings(timeout=inf)),),
        pools=(PoolPlan("/", (target(3000),)),),
        tls=TlsPlan(),
        limits=LimitsPlan(),
        tell=TellPlan(),
        host=HostPlan(),
        log=LogPlan(),
        ready=ReadyPlan(),
        drain=30.0,
        debug=False,
    )


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (":8443", Endpoint("https", "localhost", 8443)),
        ("http://:8080", Endpoint("http", "localhost", 8080)),
        ("https://*:443", Endpoint("https", "*", 443)),
        ("unix:/run/x", Endpoint("http", "", 0, path="/run/x")),
    ],
)
def test_listener_is_https_unless_it_says_otherwise(text, endpoint):
    assert plan("3000", listen=[text]).listeners == (ListenerPlan(endpoint),)


def test_listeners_keep_their_order_and_the_redirect_comes_last():
    made = plan("3000", listen=["http://:1", "https://:2"], from_=["https://:3"], redirect_http=":80")
    assert [str(listener.endpoint) for listener in made.listeners] == [
        "http://localhost:1",
        "https://localhost:2",
        "https://localhost:3",
        "http://localhost:80",
    ]
    assert [listener.redirects_to for listener in made.listeners] == [None, None, None, 1]


def test_plain_listeners_need_no_tls():
    assert plan("3000", listen=["http://:0"]).tls is None


@pytest.mark.parametrize(
    ("listen", "timeout"),
    [
        (None, inf),
        (["http://127.0.0.1:0"], inf),
        (["unix:/x"], inf),
        (["http://*:80"], 60.0),
        (["http://:80", "http://[::]:81"], 60.0),
        (["http://10.0.0.1:80"], 60.0),
    ],
)
def test_answers_are_waited_for_without_end_only_where_loopback_alone_listens(listen, timeout):
    assert plan("3000", listen=listen).routes[0].settings.timeout == timeout


def test_same_scope_twice_adds_its_targets():
    made = plan("/api=:1", "/api/=:2+backup", "/x=:3", to=["/api=:4"])
    assert [(route.pool, len(made.pool(route.pool).targets)) for route in made.routes] == [
        ("/api", 3),
        ("/x", 1),
    ]


def test_bare_targets_serve_everything_together():
    made = plan("3001-3002", "3003")
    assert [target.endpoint.port for target in made.pool("/").targets] == [3001, 3002, 3003]


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        ("tcp://:8201", "3201-3203"),
        ("udp://:5353", ":3201-3203+weight=2"),
        ("tcp://:8200", ":8200=3201-3203"),
    ],
)
def test_a_range_of_ports_is_as_good_as_ports_where_bytes_are_passed_on(listen, text):
    made = plan_serving("balance", ServeFlags(targets=(text,), listen=[listen]))
    assert [target.endpoint.port for target in made.pools[0].targets] == [3201, 3202, 3203]


def test_routes_of_a_listener_come_first_and_belong_to_it_alone():
    made = plan("/x=:1", ":81=:2", listen=["http://:80", "http://:81"])
    assert [(str(route.scope), route.listener, route.pool) for route in made.routes] == [
        ("/", 1, ":81"),
        ("/x", None, "/x"),
    ]


@pytest.mark.parametrize(
    ("text", "change", "host"),
    [
        ("3000", None, None),
        ("3000", True, "localhost:3000"),
        ("https://api.example.com/v2", None, "api.example.com"),
        ("https://api.example.com", False, None),
        ("https://localhost:1", None, None),
        ("http://api.example.com", None, None),
        ("https://api.example.com+host=keep", True, None),
        ("3000+host=target", None, "localhost:3000"),
        ("3000+host=a.test", False, "a.test"),
        ("unix:/x", True, "localhost"),
        ("demo:+host=a.test", None, "a.test"),
    ],
)
def test_host_is_replaced_where_it_names_another_machine_or_where_told(text, change, host):
    assert plan(text, change_host_header=change).pools[0].targets[0].host == host


def test_options_of_a_target_reach_the_plan():
    made = plan(
        ":1", "https://h:1/v2+weight=3+backup+max=9+all+name=blue+sni=s.test+proxy=v2+ca=x.pem"
    ).pools[0]
    assert made.targets[1] == TargetPlan(
        Endpoint("https", "h", 1, base="/v2"),
        "blue",
        "h:1",
        host="h:1",
        weight=3,
        backup=True,
        max=9,
        proxy=2,
        apart=True,
        tls=BackendTlsPlan("s.test", ca="x.pem"),
    )


def test_flags_for_backends_hold_for_every_https_target():
    made = plan("https://a", "https://b+sni=c+insecure", backend_name="n", backend_cert="c", backend_key="k")
    assert [target.tls for target in made.pools[0].targets] == [
        BackendTlsPlan("n", cert="c", key="k"),
        BackendTlsPlan("c", cert="c", key="k", insecure=True),
    ]


def test_certificates_are_paired_in_order():
    made = plan("3000", cert=["a", "b"], key=["c", "d"], key_password=["@p", "env:Q"])
    assert made.tls.certificates == (
        CertificatePlan("a", "c", Secret(file="p")),
        CertificatePlan("b", "d", Secret(variable="Q")),
    )


def test_one_password_serves_all_keys():
    made = plan("3000", cert=["a", "b"], key=["c", "d"], key_password=["env:Q"])
    assert [certificate.password for certificate in made.tls.certificates] == [Secret(variable="Q")] * 2


def test_local_certificate_carries_names_and_routed_hosts():
    made = plan("app.localhost=:1", "*.x.test/y=:2", name=["z.test"])
    assert made.tls.names == ("z.test", "app.localhost", "*.x.test")
    assert made.host.own == ("z.test", "app.localhost", "*.x.test")


def test_given_certificate_has_to_cover_only_the_names_given():
    made = plan("app.example.com=:1", name=["www.example.com"], **CERT)
    assert made.tls.names == ("www.example.com",)


def test_paths_are_relative_to_the_file_they_stand_in():
    made = plan(
        Word("unix:a.sock", "f:1", "etc"), cert=[Word("c", "f:2", "etc")], key=[Word("/k", "f:3", "etc")]
    )
    assert made.pools[0].targets[0].endpoint.path == "etc/a.sock"
    assert made.tls.certificates == (CertificatePlan("etc/c", "/k"),)


def test_certificate_without_a_key_holds_its_own():
    made = plan("https://h", cert=["a", "both"], key=["c"], key_password=["env:P", "env:Q"], backend_cert="b")
    assert made.tls.certificates == (
        CertificatePlan("a", "c", Secret(variable="P")),
        CertificatePlan("both", None, Secret(variable="Q")),
    )
    assert made.pools[0].targets[0].tls == BackendTlsPlan("h", cert="b")


@pytest.mark.parametrize(
    ("flags", "part", "expected"),
    [
        ({"head_timeout": "5s"}, "limits", {"head_timeout": 5.0}),
        ({"read_timeout": "none"}, "limits", {"read_timeout": inf}),
        ({"stream_timeout": "2d"}, "limits", {"stream_timeout": 172800.0}),
        ({"max_line": "16k"}, "limits", {"max_line": 16384}),
        ({"max_head": "1k"}, "limits", {"max_head": 1024, "max_line": 1024, "max_field": 1024}),
        (
            {"max_head": "1k", "max_line": "512"},
            "limits",
            {"max_head": 1024, "max_line": 512, "max_field": 1024},
        ),
        ({"max_line": "64k"}, "limits", {"max_line": 65536, "max_head": 65536 + 8192}),
        (
            {"max_line": "64k", "max_field": "32k"},
            "limits",
            {"max_line": 65536, "max_field": 32768, "max_head": 98304},
        ),
        ({"max_fields": "50"}, "limits", {"max_fields": 50}),
        ({"max_connections": "7"}, "limits", {"max_connections": 7}),
        ({"max_per_address": "9"}, "limits", {"max_per_address": 9}),
        ({"via": False}, "tell", {"via": False}),
        ({"forwarded": True}, "tell", {"forwarded": True}),
        ({"keep_server": True}, "tell", {"keep_server": True}),
        ({"trust_proxy": ["10.0.0.0/8", "::1"]}, "tell", {"trust_proxy": ("10.0.0.0/8", "::1/128")}),
        ({"trust_proxy": ["::ffff:10.0.0.0/104"]}, "tell", {"trust_proxy": ("10.0.0.0/8",)}),
        ({"hsts": "31536000", "name": ["a.example"], **CERT}, "tell", {"hsts": 31536000}),
        ({"hsts": "365d", "name": ["a.example"], **CERT}, "tell", {"hsts": 31536000}),
        ({"access_log": "-", "log_format": "json"}, "log", {"access_log": "-", "access_format": "json"}),
        ({"access_log": "x.log", "verbose": True}, "log", {"access_log": "x.log", "verbose": True}),
        ({"json": True, "color": False}, "log", {"json": True, "color": False}),
        ({"port_file": "p", "ready_fd": "3"}, "ready", {"port_file": "p", "ready_fd": 3}),
        ({"allow_host": ["A.example."], "change_host_header": True}, "host", {"own": ("a.example",)}),
        ({"client_ca": "ca.pem"}, "tls", {"client_ca": "ca.pem"}),
    ],
)
def test_flag_changes_its_part_of_the_plan_and_nothing_else(flags, part, expected):
    made, default = getattr(plan("3000", **flags), part), getattr(plan("3000"), part)
    kept = {"certificates": made.certificates, "names": made.names} if part == "tls" else {}
    assert made == replace(default, **kept, **expected)


def test_drain_and_debug_are_taken_over():
    made = plan("3000", drain="0s", debug=True)
    assert (made.drain, made.debug) == (0.0, True)


def settings(made, scope):
    return next(route for route in made.routes if str(route.scope) == scope)


def test_policy_without_scope_holds_everywhere():
    made = plan(
        "/a=:1", "/b=:2", timeout=["5s"], max_body=["1k"], header=["X-A: b"], response_header=["-X-B"]
    )
    held = Settings(
        5.0, 1024, request_edits=(FieldEdit(b"X-A", (b"b",)),), response_edits=(FieldEdit(b"X-B"),)
    )
    assert [(route.settings, route.variants) for route in made.routes] == [(held, ()), (held, ())]


def test_most_specific_scope_wins_and_the_smallest_body_limit_holds():
    made = plan("/a/b=:1", timeout=["/a: 5s", "1s", "/: 9s"], max_body=["/a: 1k", "10k"])
    assert made.routes[0].settings == Settings(5.0, 1024)


def test_edits_of_one_field_in_one_scope_are_several_lines_and_a_narrower_scope_replaces_them():
    made = plan("/a=:1", "/b=:2", header=["X-A: 1", "x-a: 2", "/b: X-A: 3", "/b: X-C: 4"])
    assert settings(made, "/a").settings.request_edits == (FieldEdit(b"X-A", (b"1", b"2")),)
    assert settings(made, "/b").settings.request_edits == (
        FieldEdit(b"X-A", (b"3",)),
        FieldEdit(b"X-C", (b"4",)),
    )


def test_policy_narrower_than_its_route_makes_a_variant():
    route = plan("/=:1", timeout=["9s", "/slow: 5m"]).routes[0]
    assert route.settings.timeout == 9.0
    assert [
        ([str(scope) for scope in variant.scopes], variant.settings.timeout) for variant in route.variants
    ] == [(["/slow"], 300.0)]


def test_overlapping_policies_make_a_variant_for_each_way_to_meet_them():
    route = plan("/=:1", timeout=["/a: 1s", "/a/b: 2s"], max_body=["POST /: 1k", "/c: 2k"]).routes[0]
    found = {
        tuple(sorted(map(str, variant.scopes))): (variant.settings.timeout, variant.settings.max_body)
        for variant in route.variants
    }
    assert found == {
        ("/a",): (1.0, None),
        ("/a", "/a/b"): (2.0, None),
        ("POST /",): (inf, 1024),
        ("/c",): (inf, 2048),
        ("/a", "POST /"): (1.0, 1024),
        ("/a", "/a/b", "POST /"): (2.0, 1024),
        ("/c", "POST /"): (inf, 1024),
    }


def test_policy_for_what_another_route_serves_makes_no_variant():
    made = plan("/=:1", "/api=:2", timeout=["/api/slow: 5m", "GET /x: 1s"])
    assert [[str(*variant.scopes) for variant in route.variants] for route in made.routes] == [
        ["GET /x"],
        ["/api/slow"],
    ]


def test_policy_stays_where_the_other_route_takes_only_a_part():
    made = plan("/=:1", "GET /api=:2", timeout=["/api: 5m"])
    assert [(route.settings.timeout, len(route.variants)) for route in made.routes] == [(inf, 1), (300.0, 0)]


def test_variants_of_more_scopes_come_first():
    route = plan("/=:1", timeout=["/a: 1s", "/a/b: 2s", "/a/b/c: 3s"]).routes[0]
    assert [len(variant.scopes) for variant in route.variants] == [3, 2, 1]


def test_policy_reaches_only_the_routes_it_meets():
    made = plan("/a=:1", "/b=:2", "app.test/b=:3", timeout=["/b: 1s"], listen=["http://:0"])
    assert [route.settings.timeout for route in made.routes] == [inf, 1.0, 1.0]


REFUSED = [
    ({}, "no target\n  name what to put it in front of, as in: netfront proxy 3000"),
    (
        {"targets": ["/api=:1"], "timeout": ["/amdin: 5s"]},
        "--timeout '/amdin: 5s': its scope meets no route\n  the routes are /api",
    ),
    (
        {"targets": ["/api=:1"], "header": ["other.test/: X-A: b"], "listen": ["http://:0"]},
        None,
    ),
    ({"timeout": ["30"]}, "--timeout 30: a duration needs a unit: ms, s, m, h or d\n  did you mean 30s"),
    ({"head_timeout": "2h"}, "--head-timeout 2h: too large\n  allowed is from 100ms to 1h"),
    ({"read_timeout": "0s"}, "--read-timeout 0s: too small\n  allowed is from 100ms to 1d, or none"),
    (
        {"head_timeout": "none"},
        "--head-timeout none: not a duration, as in 200ms, 30s, 5m or 1h\n  allowed is from 100ms to 1h",
    ),
    ({"max_line": "1"}, "--max-line 1: too small\n  allowed is from 256 to 1MiB"),
    (
        {"max_line": "64k", "max_head": "32k"},
        "--max-line 64KiB: more than --max-head, which is 32KiB\n  raise --max-head too",
    ),
    (
        {"max_field": "2k", "max_head": "1k"},
        "--max-field 2KiB: more than --max-head, which is 1KiB\n  raise --max-head too",
    ),
    (
        {"allow_host": ["a.example"]},
        "--allow-host: it has no effect\n  no listener on loopback has a target whose Host is changed",
    ),
    (
        {"allow_host": ["a.example"], "change_host_header": True, "listen": ["http://*:80"]},
        "--allow-host: it has no effect\n  no listener on loopback has a target whose Host is changed",
    ),
    ({"max_fields": "many"}, "--max-fields many: not a whole number\n  allowed is from 8 to 10000"),
    ({"ready_fd": "1"}, "--ready-fd 1: too small\n  allowed is from 3 to 65535"),
    ({"drain": "2h"}, "--drain 2h: too large\n  allowed is from 0s to 1h"),
    (
        {"listen": ["tcp://:80"]},
        "--listen tcp://:80: tcp:// is not served here\n  listen on https:// or http://, or use netfront balance",
    ),
    ({"listen": ["http://:80", "http://localhost:80"]}, "--listen http://localhost:80: given twice"),
    ({"listen": ["unix:/x", "unix:/x"]}, "--listen unix:/x: given twice"),
    (
        {"targets": ["/a=:1"], "timeout": ["/a:5s"]},
        "--timeout /a:5s: a space stands between a scope and what holds there\n  write '/a: 5s'",
    ),
    (
        {"targets": ["GET,POST /a=:1", "POST /a=:2"]},
        "the route POST /a: no request gets there: its methods belong to GET,POST /a, which was given before\n"
        "  give the narrower one first",
    ),
    (
        {"targets": ["GET /a=:1", "POST /a=:2", "HEAD /a=:3"]},
        "the route HEAD /a: no request gets there: its methods belong to GET /a, which was given before\n"
        "  give the narrower one first",
    ),
    ({"targets": ["POST /a=:2", "GET,POST /a=:1", "/a=:3"]}, None),
    ({"targets": ["GET,POST /a=:1", "POST /a/**=:2"]}, None),
    ({"targets": ["GET,POST /*=:1", "POST /{id}=:2"]}, None),
    ({"targets": ["HEAD /a=:2", "GET /a=:1", "POST a.test/a=:1"]}, None),
    (
        {"listen": ["https://:81", "http://127.0.0.1:81"]},
        "--listen http://127.0.0.1:81: https://localhost:81 has that port already\n  give each a port of its own",
    ),
    (
        {"listen": ["http://*:81", "http://[::1]:81"]},
        "--listen http://[::1]:81: http://*:81 has that port already\n  give each a port of its own",
    ),
    (
        {"listen": ["https://:81"], "redirect_http": ":81"},
        "--redirect-http :81: https://localhost:81 has that port already\n  give each a port of its own",
    ),
    ({"listen": ["http://127.0.0.1:81", "http://[::1]:81", "http://0.0.0.0:82"]}, None),
    ({"listen": ["http://:0", "https://:0"]}, None),
    (
        {"redirect_http": ":80", "listen": ["http://:81"]},
        "--redirect-http: there is nothing to send clients on to\n  no --listen is https://",
    ),
    (
        {"redirect_http": "https://:80"},
        "--redirect-http https://:80: it answers plain http\n  write http:// or no scheme",
    ),
    ({"targets": [":81=:1"], "listen": ["http://:80"]}, None),
    (
        {"targets": [":80=:1"], "listen": ["http://:80", "http://:81"]},
        "--listen http://localhost:81: no route belongs to it\n  give it one: :81=TARGET",
    ),
    (
        {"targets": ["tcp://db:1"]},
        "tcp://db:1: no listener is for tcp://\n  netfront balance listens on it",
    ),
    ({"targets": ["3000+sni=x"]}, "3000+sni=x: +sni has no effect\n  localhost:3000 is not dialled with TLS"),
    ({"key": ["k"]}, "--key k: it has no --cert\n  give one --cert for each --key, in the same order"),
    (
        {**CERT, "key_password": ["@a", "@b"]},
        "--key-password: there are more passwords than keys\n  give one for each encrypted --key",
    ),
    (
        {**CERT, "key_password": ["hunter2"]},
        "--key-password …: a secret is not given inline\n  write @FILE or env:NAME",
    ),
    ({"client_ca": "c", "listen": ["http://:0"]}, "--client-ca: it has no effect\n  no --listen is https://"),
    ({"name": ["a b"]}, "--name a b: not a host name\n  a name as clients write it, without scheme and port"),
    ({"insecure": True}, "--insecure: it has no effect\n  no target is https://"),
    ({"backend_ca": "x"}, "--backend-ca: it has no effect\n  no target is https://"),
    (
        {"targets": ["https://h"], "backend_ca": "x", "insecure": True},
        "--insecure: it contradicts --backend-ca\n  give one of them",
    ),
    (
        {"accept_proxy": True},
        "--accept-proxy: nobody is trusted to send a PROXY line\n  name them: --trust-proxy 127.0.0.1",
    ),
    ({"trust_proxy": ["10.0.0.1/8"]}, "--trust-proxy 10.0.0.1/8: not a network\n  did you mean 10.0.0.0/8?"),
    (
        {"trust_proxy": ["proxy"]},
        "--trust-proxy proxy: not a network\n  as in 10.0.0.0/8, fd00::/8 or 127.0.0.1",
    ),
    ({"hsts": "1d", "listen": ["http://:0"]}, "--hsts: it has no effect\n  no --listen is https://"),
    (
        {"hsts": "1d"},
        "--hsts: localhost is a local name\n  give --cert and --key for a public name, and --name",
    ),
    (
        {"hsts": "1d", "name": ["x.test"], **CERT},
        "--hsts: x.test is a local name\n  give --cert and --key for a public name, and --name",
    ),
    (
        {"hsts": "soon", "name": ["x.example"], **CERT},
        "--hsts soon: not a duration, as in 200ms, 30s, 5m or 1h\n  allowed is from 0s to 3650d",
    ),
    (
        {"json": True, "access_log": "-"},
        "--access-log -: stdout carries the events of --json\n  write the log to a file",
    ),
    ({"quiet": True, "verbose": True}, "--verbose: it contradicts --quiet\n  give one of them"),
    ({"log_format": "jsn", "access_log": "x"}, "--log-format jsn: no such format\n  did you mean json?"),
    ({"log_format": "json"}, "--log-format json: there is no log\n  add --access-log FILE"),
]


def test_a_backend_that_is_named_twice_is_left_to_the_pool_to_merge():
    assert [one.label for one in plan("3000", ":3000").pools[0].targets] == ["http://localhost:3000"] * 2


@pytest.mark.parametrize(("flags", "message"), [case for case in REFUSED if case[1]])
def test_what_does_not_fit_is_refused(flags, message):
    given = {"targets": ["3000"], **flags} if flags else flags
    with pytest.raises(UsageError) as caught:
        plan_serving("proxy", ServeFlags(**given))
    assert [str(fault) for fault in caught.value.faults] == [message]


@pytest.mark.parametrize(
    ("flag", "scope", "value"),
    [
        ("basic", "/a", "@ht"),
        ("header", "/a", "X-A: b"),
        ("jwt", "GET a.test/a/{x}", "https://id.test"),
        ("limit", "/a", "5/s"),
        ("allow", "GET,PUT /a", "user == 'x'"),
    ],
)
def test_a_scope_and_its_value_are_told_apart_where_the_two_mean_nothing_as_one(flag, scope, value):
    told = faults("/a=:1", **{flag: [f"{scope}:{value}"]})
    why = "a space stands between a scope and what holds there"
    assert told == [f"--{flag} {scope}:{value}: {why}\n  write '{scope}: {value}'"]


def test_what_may_be_a_secret_is_not_shown_as_a_value_without_a_space():
    assert faults("/a=:1", basic=["a.x/b:pw"]) == [
        "--basic …: credentials are not given inline\n  write the file, as in @htpasswd"
    ]


def test_route_for_a_port_nobody_listens_on_is_refused():
    assert faults(":81=:1", listen=["http://:80"]) == [
        ":81=:1: nothing listens on port 81\n  add --listen :81"
    ]


@pytest.mark.parametrize(
    ("targets", "flags", "what"),
    [
        (["3000"], {"name": ["app.example.com"]}, "--name app.example.com"),
        (["app.example.com=:1"], {}, "the host app.example.com"),
    ],
)
def test_name_beyond_the_local_ca_needs_a_certificate(targets, flags, what):
    assert faults(*targets, **flags) == [
        f"{what}: the local CA may not certify it\n"
        "  give --cert FILE --key FILE, or listen on http://; local are localhost, *.localhost and *.test"
    ]
    assert plan(*targets, **flags, **CERT)
    assert plan(*targets, **flags, listen=["http://:0"])


def test_hsts_on_a_loopback_listener_without_names_is_refused():
    assert faults("3000", hsts="1d", **CERT) == [
        "--hsts: localhost is a local name\n  give --cert and --key for a public name, and --name"
    ]


def test_all_faults_are_told_at_once_with_those_known_before():
    with pytest.raises(UsageError) as caught:
        plan_serving(
            "proxy",
            ServeFlags(targets=["99999", "/x"], listen=["x"], timeout=["5", "y"], max_line="0", hsts="1d"),
            [Fault("--quite", "no such flag")],
        )
    assert [fault.what for fault in caught.value.faults] == [
        "--quite",
        "99999",
        "/x",
        "--listen x",
        "--timeout 5",
        "--timeout y",
        "--max-line 0",
        "--hsts",
    ]


def test_fault_in_a_file_names_its_line():
    assert faults(Word("99999", "shop.nf:3", ""))[0].startswith("shop.nf:3: 99999: no such port")
    assert faults("3000", timeout=[Word("5", "shop.nf:4", "")])[0].startswith("shop.nf:4: --timeout 5:")


def test_scopes_that_overlap_in_too_many_ways_are_refused():
    many = [f"/{'*/' * index}x{index}: 1s" for index in range(12)]
    assert faults("/=:1", timeout=many) == [
        "the scopes of policies: they overlap in too many ways\n  give fewer, or wider ones"
    ]


def test_plan_holds_no_secret():
    made = plan("3000", key_password=["env:HOME"], **CERT)
    assert all("/root" not in repr(getattr(made, field.name)) for field in fields(made))


@pytest.mark.parametrize(
    ("listen", "given"),
    [
        ("http://:3000", "3000"),
        ("https://:3000", "[::1]:3000"),
        ("http://:3000", "app.localhost:3000"),
        ("http://*:3000", "127.0.0.1:3000"),
        ("http://0.0.0.0:3000", ":3000"),
        ("http://127.0.0.1:3000", "localhost:3000"),
        ("http://192.0.2.1:3000", "192.0.2.1:3000"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
    ],
)
def test_a_target_that_is_its_own_listener_is_refused(listen, given):
    [told] = faults(given, listen=[listen])
    assert "netfront itself would listen there, and forward to itself" in told


@pytest.mark.parametrize(
    ("listen", "given"),
    [
        ("http://:3000", ":3001"),
        ("http://:0", ":3000"),
        ("http://127.0.0.1:3000", "[::1]:3000"),
        ("http://127.0.0.2:3000", ":3000"),
        ("http://0.0.0.0:3000", "[::1]:3000"),
        ("http://:3000", "192.0.2.1:3000"),
        ("http://:3000", "/a=:3000/b"),
        ("http://:3000", "http://localhost:3000+host=other.test"),
        ("unix:/run/a.sock", "unix:/run/b.sock"),
    ],
)
def test_a_target_elsewhere_or_that_changes_the_request_is_not(listen, given):
    assert plan(given, listen=[listen]).pools


def test_a_connection_passed_on_to_its_own_listener_is_refused():
    with pytest.raises(UsageError, match="netfront itself would listen there"):
        plan_serving("balance", ServeFlags(targets=("5432",), listen=["tcp://:5432"]))


@pytest.mark.parametrize(
    ("url", "is_refused"), [("http://localhost:3000/x", True), ("http://:3001/x", False)]
)
def test_a_part_is_asked_of_ourselves_by_its_path_and_not_by_a_url(url, is_refused):
    flags = ServeFlags(targets=["/a=:9"], listen=["http://:3000"], compose=[f"/c = a:{url}"])
    if not is_refused:
        plan_serving("gateway", flags)
        return
    with pytest.raises(UsageError, match="netfront itself would listen there, and ask itself"):
        plan_serving("gateway", flags)


def test_one_listener_may_forward_to_another():
    assert plan(":3000=:3001", ":3001=:9", listen=["http://:3000", "http://:3001"]).pools
