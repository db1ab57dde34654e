"""What guards requests where bytes are passed on: refused where it would guard nothing, or leave a way round."""

import inspect
from types import SimpleNamespace

import pytest

from netfront.cli.explain import explain_plan
from netfront.cli.flags import ServeFlags
from netfront.cli.gate.open_ways import open_ways
from netfront.cli.gate.plan import NO_GATE
from netfront.cli.gateway import gateway
from netfront.cli.planning import plan_serving
from netfront.cli.render import Console
from netfront.cli.serving import serving
from netfront.errors import UsageError

OPENED = (SimpleNamespace(port=8443, is_inner=False),)
BYTES = ["tcp://:5432"]
MIXED = ["tcp://:5432", "http://:8080"]
TELLS_OF_REQUESTS = {
    "match": ["header:X => :3002"],
    "rewrite": ["/x"],
    "public": ["/"],
    "basic": ["@htpasswd"],
    "api_key": ["@keys"],
    "jwt": ["https://id.example"],
    "oidc": ["https://id.example,client-id=web"],
    "session_key": "env:K",
    "mtls": ["/"],
    "auth_url": ["http://:9100"],
    "token_scope": ["admin"],
    "claim": ["sub=ann"],
    "ip": ["10.0.0.0/8"],
    "allow": ["true"],
    "pass_identity": ["X-User=sub"],
    "limit": ["5/s:ip"],
    "concurrency": ["5"],
    "cors": ["*"],
    "secure_headers": True,
    "compose_each": ["5"],
    "compose_status": ["pass"],
    "compose_timeout": ["5s"],
    "compose_part": ["1M"],
    "compose_memory": "1M",
    "compose_cookie": ["session"],
    "server_timing": True,
}


def planned(*targets, **flags):
    return plan_serving("gateway", ServeFlags(targets=list(targets), **flags))


def faults(*targets, **flags):
    with pytest.raises(UsageError) as refused:
        planned(*targets, **flags)
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize("listen", [["tcp://:5432"], ["tls://:5432"], ["udp://:5353"]])
@pytest.mark.parametrize("name", sorted(TELLS_OF_REQUESTS))
def test_what_tells_of_requests_is_refused_where_there_are_none(name, listen):
    flag = "--" + name.replace("_", "-")
    told = faults("db:1", listen=listen, **{name: TELLS_OF_REQUESTS[name]})
    assert told == [f"{flag}: it has no effect\n  no --listen is http:// or https://"]


def test_a_request_id_is_refused_to_be_left_off_where_there_are_no_requests():
    told = faults("db:1", listen=BYTES, request_id=False)
    assert told == ["--no-request-id: it has no effect\n  no --listen is http:// or https://"]
    assert planned("db:1", listen=BYTES)


@pytest.mark.parametrize(
    "flags",
    [
        {"basic": ["@a"]},
        {"api_key": ["@a"]},
        {"jwt": ["https://id.example"]},
        {"oidc": ["https://id.example,client-id=web"]},
        {"auth_url": ["http://auth:9100"]},
        {"ip": ["10.0.0.0/8"]},
        {"allow": ["method == 'GET'"]},
    ],
)
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_guard_of_everything_is_refused_where_bytes_are_passed_on_too(flags, kind):
    ((name, (text,)),) = flags.items()
    told = faults("http://app:80", f"{kind}://db:1", listen=["http://:8080", f"{kind}://:5432"], **flags)
    assert told == [
        f"--{name.replace('_', '-')} {text!r}: it cannot guard {kind}://, whose bytes nobody reads\n"
        f"  for requests alone write '/: {text}'"
    ]
    assert planned(
        "http://app:80",
        f"{kind}://db:1",
        listen=["http://:8080", f"{kind}://:5432"],
        **{name: [f"/: {text}"]},
    )


def test_a_limit_of_everything_is_one_of_requests():
    plan = planned("http://app:80", "tcp://db:1", listen=MIXED, limit=["5/s"])
    assert [len(route.settings.gate.limits) for route in plan.routes] == [1, 0]


def test_nothing_is_told_to_stand_before_bytes():
    plan = planned("http://app:80", "tcp://db:1", listen=MIXED, ip=["/: 10.0.0.0/8"], cors=["*"])
    assert {route.kind: route.settings.gate == NO_GATE for route in plan.routes} == {
        "http": False,
        "tcp": True,
    }
    assert explain_plan(plan).count("from 10.0.0.0/8; else 403") == 1


def test_a_guard_of_a_name_that_is_passed_on_too_is_refused():
    told = faults(
        "a.example=http://app:80", "a.example=tcp://tls:443", listen=MIXED, basic=["a.example/admin: @a"]
    )
    assert told == [
        "--basic 'a.example/admin: @a': it cannot guard the tcp:// route a.example, whose bytes nobody reads\n"
        "  serve that tcp:// by another netfront, if it is to be open"
    ]
    assert planned(
        "a.example=http://app:80", "b.example=tcp://tls:443", listen=MIXED, basic=["a.example/: @a"]
    )


@pytest.mark.parametrize(
    "flags",
    [{"basic": ["b.example/: @a"]}, {"timeout": ["b.example/: 5s"]}, {"header": ["b.example/: X: y"]}],
)
def test_what_tells_of_requests_where_only_bytes_go_is_refused(flags):
    ((name, (text,)),) = flags.items()
    told = faults("a.example=http://app:80", "b.example=tcp://tls:443", listen=MIXED, **flags)
    assert told == [
        f"--{name} {text!r}: its scope meets no route of requests\n"
        "  requests are read on the routes a.example alone"
    ]


def test_a_way_to_pick_may_be_for_bytes_alone():
    assert planned("a.example=http://app:80", "b.example=tcp://b:1", listen=MIXED, lb=["b.example/: least"])


@pytest.mark.parametrize(
    ("open_way", "label"),
    [
        ("tcp://localhost:3001", "tcp://localhost:3001"),
        ("tcp://127.0.0.1:3001", "tcp://127.0.0.1:3001"),
        ("a.example=tcp://[::1]:3001", "tcp://[::1]:3001"),
    ],
)
@pytest.mark.parametrize("rule", ["/: @a", "/admin: @a"])
def test_a_way_past_what_guards_a_backend_is_refused(open_way, label, rule):
    told = faults("http://:3001", "/open=http://:3002", open_way, listen=MIXED, basic=[rule])
    assert told == [
        f"{label}: tcp:// leads to it past what guards the route /\n"
        "  serve that tcp:// by another netfront, if it is to be open"
    ]


def test_a_way_to_a_backend_that_nothing_guards_is_open():
    assert planned("http://:3001", "/In=http://:3003", "tcp://:3001", listen=MIXED, basic=["/in: @a"])
    assert planned("http://:3001", "udp://:3001", listen=["http://:1", "udp://:2"], basic=["/: @a"])


@pytest.mark.parametrize(
    ("targets", "flags", "told"),
    [
        (["/=:1", "/api=:1/"], {"basic": ["/admin: @x"]}, "/api/admin as /admin"),
        (["/=:1", "/api=127.0.0.1:1/"], {"basic": ["/admin: @x"]}, "/api/admin as /admin"),
        (["/=:1,:2", "/api=:2/"], {"auth_url": ["/admin: http://:9"]}, "/api/admin as /admin"),
        (["/=https://h.test", "/api=https://H.test:443/"], {"ip": ["/admin: ::1"]}, "/api/admin as /admin"),
        (["/=:1", "/api=:2/"], {"basic": ["/admin: @x"]}, None),
        (["/=:1", "/api=:1"], {"basic": ["/admin: @x"]}, None),
        (["/=:1", "/api=:1/"], {"limit": ["/admin: 5/s:ip"]}, None),
        # what holds everywhere, or is said of that way too, guards it
        (["/=:1", "/api=:1/"], {"basic": ["/: @x"]}, None),
        (["/=:1", "/api=:1/"], {"basic": ["@x"]}, None),
        (["/=:1", "/api=:1/"], {"basic": ["@x"], "ip": ["/admin: ::1"]}, "/api/admin as /admin"),
        (["/=:1", "/api=:1/"], {"basic": ["/admin: @x", "/api/admin: @y"]}, None),
        (["/=:1", "/api=:1/"], {"basic": ["/admin: @x", "/api: @y"]}, "/ as /api"),
        (["/=:1", "/api=:1/"], {"basic": ["/: @x", "/admin: @y"], "public": ["/api/admin"]}, None),
        # what the target names is meant; what follows is of the client's choice
        (["/=:1", "/a=:1/admin"], {"basic": ["/admin: @x"]}, None),
        (["/=:1", "/a=:1/admin/pub"], {"basic": ["/admin: @x"]}, None),
        (["/=:1", "/a=:1/admin"], {"basic": ["/admin/x: @x"]}, "/a/x as /admin/x"),
        # the guarded route may be the one that replaces its prefix, or both
        (["/=:1", "/admin=:1/internal/"], {"basic": ["/admin: @x"]}, "/internal as /admin"),
        (["/internal=:1", "/admin=:1/internal/"], {"basic": ["/admin: @x"]}, "/internal as /admin"),
        (["/=:1", "/admin=:1/"], {"basic": ["/admin: @x"]}, "/ as /admin"),
        (["/=:1", "/p=:1/"], {"ip": ["/%61dmin: ::1"]}, "/p/admin as /admin"),
        (["/=:1", "/p=:1/%61dmin/"], {"ip": ["/admin/x: ::1"]}, "/p/x as /admin/x"),
        # who asks is looked at there by another rule too, but not by that one
        (["/=:1", "/p=:1/"], {"ip": ["/: ::1"], "mtls": ["/admin"]}, "/p/admin as /admin"),
        # it goes by the routes that really serve, and as they send it
        (["a.test=:1", "/api=:1/"], {"ip": ["a.test/admin: ::1"]}, None),
        (["*.a.test=:1", "*.a.test/p=:1/"], {"ip": ["/admin: ::1"]}, "x.a.test/p/admin as /admin"),
        (["/=:1", "/p=:1/caf%C0/"], {"ip": ["/admin: ::1"]}, None),
        (["/=:1", "/{x}/y=:1/b/"], {"ip": ["/b/admin: ::1"]}, "/{x}/y/admin as /b/admin"),
        (["/=:1", "/p=:1/"], {"ip": ["/admin: ::1"], "rewrite": ["/p/{x}: /pub/{x}"]}, None),
        (["/=:1", "/internal=:2", "/admin=:1/internal/"], {"basic": ["/admin: @x"]}, None),
        (["/a=:1/v2/", "/b=:1/"], {"basic": ["/a/k: @x"]}, "/b/v2/k as /a/k"),
        (["/a=:1/v2/", "/b=:1/v2/"], {"basic": ["/a/k: @x"]}, "/b/k as /a/k"),
        (["a.test=:1", "b.test/p=:1/"], {"basic": ["a.test/k: @x"]}, "b.test/p/k as a.test/k"),
        (["/=:1", "/p=:1/"], {"basic": ["POST /u/{id}/k: @x"]}, "POST /p/u/{id}/k as POST /u/{id}/k"),
    ],
)  # fmt: skip
def test_another_path_to_what_a_rule_guards_is_told_of(targets, flags, told, capsys):
    if "mtls" in flags:
        flags = flags | {"listen": ["https://:8443"], "client_ca": "ca.pem"}
    plan = planned(*targets, **flags)
    to, _, scope = (told or "").partition(" as ")
    lines = [f"{to} leads to what is guarded as {scope}, and is not guarded by that"] if told else []
    assert open_ways(plan) == lines
    explained = [line.partition(" ") for line in explain_plan(plan).splitlines()]
    assert [text.strip() for name, _, text in explained if name == "open"] == lines
    Console(quiet=False, json_events=False, color=False).banner(plan, OPENED, {}, "")
    assert [line for line in capsys.readouterr().err.splitlines() if " leads to " in line] == lines


def test_of_more_such_paths_than_can_be_looked_at_some_are_told():
    routes = [f"/r{number}=:1/s{number}/" for number in range(200)]
    plan = planned("/=:1", *routes, basic=[f"/r{number}/x: @x" for number in range(200)])
    assert "/s0/x leads to what is guarded as /r0/x, and is not guarded by that" in open_ways(plan)


def test_of_many_such_paths_the_first_is_told_at_the_start(capsys):
    plan = planned("/=:1", "/a=:1/", "/b=:1/", basic=["/admin: @x"])
    assert len(open_ways(plan)) == 2
    Console(quiet=False, json_events=False, color=False).banner(plan, OPENED, {}, "")
    assert "and is not guarded by that (and 1 more: --explain)" in capsys.readouterr().err


def test_such_a_path_is_told_of_after_a_reload(capsys):
    plan = planned("/=:1", "/a=:1/", basic=["/admin: @x"])
    Console(quiet=False, json_events=False, color=False).reloaded(plan, fixed=(), opened=0, closed=0)
    said = [
        "netfront: reloaded",
        "netfront: /a/admin leads to what is guarded as /admin, and is not guarded by that",
    ]
    assert capsys.readouterr().err.splitlines() == said


def test_a_match_of_bytes_is_refused():
    (told,) = faults("http://:3001", "tcp://:1", listen=MIXED, match=["header:X => tcp://:2"])
    assert told.startswith("header:X => tcp://:2: tcp:// has no requests that could carry it")


def test_every_flag_of_a_gateway_is_here():
    """One that is forgotten may guard nothing, and nobody is told."""
    own = {
        name
        for name in inspect.signature(gateway).parameters
        if name not in inspect.signature(serving).parameters
    }
    makes_a_route = {"compose", "redirect", "respond"}
    told_of_otherwise = {"redis", "redis_password", "redis_down", "new_key", "request_id"}
    assert own - makes_a_route - told_of_otherwise == TELLS_OF_REQUESTS.keys()
