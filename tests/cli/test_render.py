"""What a serving process says: a banner of six lines at most, then a line, or an object, for each change of state."""

import ast
import inspect
import json
from dataclasses import dataclass
from itertools import product

import pytest
import trio

from netfront.cli import render
from netfront.cli.flags import ServeFlags
from netfront.cli.pages import EVENTS
from netfront.cli.planning import plan_serving
from netfront.cli.render import Console
from netfront.endpoint import Endpoint
from netfront.http.message import Exchange
from netfront.net.backend import Backend, Member
from netfront.net.members import Changes
from netfront.net.pool import Pool, PoolRules
from netfront.policy.health import HealthRules

TRUST = 'certificate of the local CA; to trust it: eval "$(netfront trust env)"'


@dataclass
class Opened:
    """A listener, as far as the banner looks at it."""

    port: int
    is_inner: bool = False


def banner(capsys, targets, verdicts=None, certificate=TRUST, **flags):
    plan = plan_serving("proxy", ServeFlags(targets=targets, **flags))
    labels = [target.label for pool in plan.pools for target in pool.targets]
    said = dict.fromkeys(labels, "") if verdicts is None else verdicts
    listeners = tuple(Opened(listener.endpoint.port or 1) for listener in plan.listeners)
    Console(quiet=False, json_events=False, color=False).banner(plan, listeners, said, certificate)
    return capsys.readouterr().err.splitlines()


def routes(count):
    return [f"/{letter}=:{port}" for port, letter in enumerate("abcdefgh"[:count], 3000)]


def test_one_route_takes_four_lines(capsys):
    assert banner(capsys, ["3000"]) == [
        "https://localhost:8443",
        "  -> http://localhost:3000 (answers)",
        TRUST,
        "stop with Ctrl-C",
    ]


def test_the_url_shown_is_one_that_is_served(capsys):
    only = ["*.a.test=:3000", "b.test=:3001", "c.test/x=:3002"]
    assert banner(capsys, only)[0] == "https://b.test:8443"
    assert banner(capsys, [*only, "/y=:3003"])[0] == "https://localhost:8443"
    assert banner(capsys, ["*.a.test=:3000"])[0] == "https://localhost:8443"
    two = banner(capsys, only, redirect_http=":8080")
    assert two[0] == "https://b.test:8443  http://b.test:8080 (redirects)"


def test_four_routes_beside_tls_are_shown_one_by_one(capsys):
    assert banner(capsys, routes(4)) == [
        "https://localhost:8443",
        *(f"  /{letter} -> http://localhost:{port} (answers)" for port, letter in enumerate("abcd", 3000)),
        f"{TRUST}; stop with Ctrl-C",
    ]


def test_a_route_without_backends_says_what_answers_and_one_with_a_condition_which(capsys):
    flags = ServeFlags(
        targets=["/=:3000"],
        match=["/: header:X-V=2 => :3001"],
        respond=["/down: 503 back soon"],
        redirect=["/old/{id}: /new/{id}"],
    )
    said = {"http://localhost:3000": "", "http://localhost:3001": ""}
    console = Console(quiet=False, json_events=False, color=False)
    console.banner(plan_serving("gateway", flags), (Opened(8443),), said, TRUST)
    assert capsys.readouterr().err.splitlines()[1:5] == [
        "  -> http://localhost:3000 (answers)",
        "  / header:x-v=2 -> http://localhost:3001 (answers)",
        "  /old/{id}$ -> 308 to /new/{id}",
        "  /down$ -> 503, by ourselves",
    ]
    console.banner(
        plan_serving("gateway", ServeFlags(targets=["/a=:3000"], compose=["/h = a:/a + b:/a/b"])),
        (Opened(8443),),
        said,
        TRUST,
    )
    assert "  GET /h$ -> composed of 2 parts" in capsys.readouterr().err.splitlines()


def test_more_routes_are_counted(capsys):
    assert banner(capsys, routes(5))[1] == "  5 routes to 5 backends (all answer)"
    assert banner(capsys, routes(6), {})[1] == "  6 routes to 6 backends (6 not yet answering)"


def test_who_issues_tokens_is_no_backend(capsys):
    flags = ServeFlags(
        targets=[f"/{number}=:{3000 + number}" for number in range(5)], jwt=["https://id.example"]
    )
    console = Console(quiet=False, json_events=False, color=False)
    said = {f"http://localhost:{3000 + number}": "" for number in range(5)} | {"https://id.example": ""}
    console.banner(plan_serving("gateway", flags), (Opened(8443),), said, TRUST)
    assert capsys.readouterr().err.splitlines()[1] == "  5 routes to 5 backends (all answer)"


@pytest.mark.parametrize("count", range(1, 7))
def test_banner_never_has_more_than_six_lines_and_says_everything(capsys, count):
    for is_open, is_insecure, certificate in product((False, True), (False, True), ("", TRUST)):
        listen = ["https://*:8443"] if is_open else ["http://:1", "https://:2"]
        targets = [*routes(count - 1), "/z=https://h.test"]
        said = banner(capsys, targets, None, certificate, listen=listen, insecure=is_insecure)
        assert len(said) <= 6
        assert said[-1].endswith("stop with Ctrl-C")
        text = "\n".join(said)
        assert ("open to the network" in text, "(--insecure)" in text) == (is_open, is_insecure)
        assert certificate in text
        assert text.count(" -> ") == (count if count <= 4 else 0)


def test_many_backends_of_a_route_are_counted(capsys):
    ports = range(3000, 3006)
    labels = [f"http://localhost:{port}" for port in ports]
    targets = [",".join(map(str, ports))]
    shown = f"  -> {', '.join(labels[:3])}, 3 more"
    assert banner(capsys, targets)[1] == f"{shown} (answers)"
    assert banner(capsys, targets, {labels[0]: "", labels[1]: "refused"})[1] == f"{shown} (1 of 6 answer)"


def test_two_backends_of_a_route_are_told_apart(capsys):
    said = banner(capsys, ["3000,3001"], {"http://localhost:3000": "", "http://localhost:3001": "refused"})
    assert said[1] == (
        "  -> http://localhost:3000, http://localhost:3001 (answers, not yet answering: refused)"
    )


def change_all_states(console, name="/"):
    """Take a backend through all its states: down and back by its probe, drained and back by hand."""
    members = [Member(Endpoint("http", "10.0.0.1", port), f"http://10.0.0.1:{port}", b"x") for port in (1, 2)]
    rules = PoolRules(health=HealthRules(fall=1, rise=1))
    pool = Pool(name, members, lambda backend: console.backend_changed(name, backend), rules=rules)
    [backend, _] = pool.backends
    pool.probed(backend, ok=False, why="answered 503", now=trio.current_time())
    pool.probed(backend, ok=False, why="answered 503", now=trio.current_time())
    pool.probed(backend, ok=True, why="", now=trio.current_time())
    pool.drain(backend, is_drained=True)
    pool.drain(backend, is_drained=True)
    pool.drain(backend, is_drained=False)


async def test_each_change_of_a_backend_is_a_line(capsys, autojump_clock):
    change_all_states(Console(quiet=False, json_events=False, color=False))
    assert capsys.readouterr().err.splitlines() == [
        "netfront: http://10.0.0.1:1 is down: answered 503",
        "netfront: http://10.0.0.1:1 is up",
        "netfront: http://10.0.0.1:1 is drained",
        "netfront: http://10.0.0.1:1 is up",
    ]


async def test_a_line_names_the_pool_unless_it_is_that_of_everything(capsys, autojump_clock):
    change_all_states(Console(quiet=False, json_events=False, color=False), "/api")
    assert capsys.readouterr().err.startswith("netfront: /api -> http://10.0.0.1:1 is down: answered 503\n")


async def test_each_change_of_a_backend_is_an_object(capsys, autojump_clock):
    change_all_states(Console(quiet=True, json_events=True, color=False))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(event["event"], event["pool"], event["backend"]) for event in told} == {
        ("backend", "/", "http://10.0.0.1:1")
    }
    assert [(event["state"], event["up"], event["why"]) for event in told] == [
        ("down", False, "answered 503"),
        ("up", True, ""),
        ("drained", True, ""),
        ("up", True, ""),
    ]


def test_change_of_members_is_a_line_and_an_object(capsys):
    Console(quiet=False, json_events=True, color=False).members_changed(Changes("/", ("a",), ("b",), (), 1))
    said = capsys.readouterr()
    assert said.err == "netfront: /: a joined; b left\n"
    assert json.loads(said.out) == {
        "event": "members", "pool": "/", "joined": ["a"], "left": ["b"], "changed": [], "count": 1,
    }  # fmt: skip


def test_a_request_says_where_it_went_and_why_it_went_there(capsys):
    exchange = Exchange(1.0, None, b"GET", b"/\x1b[31m", b"1")
    exchange.ended, exchange.status, exchange.tries, exchange.retried = 1.5, 200, 2, "hedged"
    exchange.backend = Backend(Member(Endpoint("http", "b", 80), "b", b"b"))
    Console(quiet=False, json_events=True, color=False).exchange(exchange)
    said = capsys.readouterr()
    assert said.err == "200 GET /\\x1b[31m -> b (2 tries, hedged) 500.0 ms 0 B\n"
    told = json.loads(said.out)
    assert (told["backend"], told["tries"], told["retried"]) == ("b", 2, "hedged")


def test_every_event_and_each_of_its_fields_is_documented():
    told = dict(EVENTS)
    for node in ast.walk(ast.parse(inspect.getsource(render))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_event":
            text = told[node.args[0].value]
            for keyword in node.keywords:
                assert keyword.arg in text, f"{node.args[0].value}: {keyword.arg}"
