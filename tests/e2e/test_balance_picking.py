"""How a backend is picked, seen from outside. One process with a route for each policy."""

import os
import re
import secrets
import select
import subprocess
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.support.client import connect
from tests.support.named import ask, get, named, tally, until
from tests.support.netfront import running
from tests.support.origins import Connection

POLICIES = {
    "rr": "rr", "least": "least", "p2c": "p2c", "latency": "latency", "random": "random", "first": "first",
    "ip": "hash:ip", "url": "hash:url", "path": "hash:path", "header": "hash:header:X-User",
    "cookie": "hash:cookie:user",
}  # fmt: skip


@pytest.fixture(scope="module", params=["lane", "plain"])
def stage(request):
    """Three backends, and a netfront with a route for each policy."""
    environment = {"NETFRONT_NO_LANE": "1"} if request.param == "plain" else {}
    with named(3) as backends:
        places = ",".join(backend.place for backend in backends)
        routes = [f"/{route}={places}" for route in POLICIES]
        flags = [word for route, policy in POLICIES.items() for word in ("--lb", f"/{route}: {policy}")]
        weighted = f"/weighted={backends[0].place}+weight=5,{backends[1].place},{backends[2].place}+weight=0"
        flags += [
            "--trust-proxy",
            "127.0.0.1",
            "--hedge",
            "none",
        ]  # else who is late, on a busy machine, is passed over
        with running("balance", *routes, weighted, *flags, **environment) as front:
            yield front, backends


def test_round_robin_takes_turns(stage):
    front, _ = stage
    with connect(front.port) as client:
        rounds = [get(client, b"/rr").body for _ in range(12)]
    assert {frozenset(rounds[at : at + 3]) for at in range(0, 12, 3)} == {frozenset((b"a", b"b", b"c"))}


def test_round_robin_by_weights_is_smooth_and_weight_0_gets_nothing(stage):
    front, _ = stage
    with connect(front.port) as client:
        rounds = b"".join(get(client, b"/weighted").body for _ in range(60))
    assert Counter(rounds) == Counter(b"a" * 50 + b"b" * 10)
    assert b"bb" not in rounds


@pytest.mark.parametrize("route", ["random", "p2c", "least", "latency"])
def test_all_get_their_share(stage, route):
    front, _ = stage
    shares = tally(front.port, 150, b"/" + route.encode())
    assert set(shares) == {"a", "b", "c"}
    if route in ("random", "least"):
        assert min(shares.values()) > 20


def test_first_takes_the_first(stage):
    front, _ = stage
    assert tally(front.port, 10, b"/first") == {"a": 10}


KEYED = {
    "url": (b"/url/%d?q=%d", ()),
    "path": (b"/path/%d", ()),
    "header": (b"/header", (b"X-User: u%d",)),
    "cookie": (b"/cookie", (b"Cookie: other=1; user=u%d",)),
}


@pytest.mark.parametrize("route", KEYED)
def test_a_hash_keeps_each_key_at_its_backend(stage, route):
    front, _ = stage
    target, fields = KEYED[route]

    def picked():
        with connect(front.port) as client:
            return [
                get(client, target.replace(b"%d", b"%d" % number), *[one % number for one in fields]).body
                for number in range(60)
            ]

    first = picked()
    assert first == picked()
    assert min(Counter(first).values()) >= 5
    assert set(first) == {b"a", b"b", b"c"}


def test_a_hash_of_the_path_leaves_the_query_out_and_one_of_the_url_does_not(stage):
    front, _ = stage
    assert len(tally_of(front, [b"/path/x?q=%d" % number for number in range(30)])) == 1
    assert len(tally_of(front, [b"/url/x?q=%d" % number for number in range(30)])) == 3


def tally_of(front, targets):
    with connect(front.port) as client:
        return Counter(get(client, target).body for target in targets)


def test_a_hash_of_the_address_keeps_a_client(stage):
    front, _ = stage
    assert len(tally(front.port, 20, b"/ip")) == 1
    with connect(front.port) as client:
        behind = [get(client, b"/ip", b"X-Forwarded-For: 192.0.2.%d" % number).body for number in range(30)]
    assert len(set(behind)) > 1, "the address is that which a trusted proxy tells"


@pytest.mark.parametrize("route", ["header", "cookie"])
def test_who_brings_no_key_goes_to_any(stage, route):
    front, _ = stage
    assert len(tally(front.port, 60, b"/" + route.encode())) == 3


def test_least_avoids_who_is_busy(stage):
    front, backends = stage
    a = backends[0]
    a.play(lambda connection: silent_for(connection, b"/least/hold", a))
    try:
        with ExitStack() as stack:
            for _ in range(30):
                client = stack.enter_context(connect(front.port))
                client.send(b"POST /least/hold HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                until(lambda: holds(a) or select.select([client.socket], [], [], 0)[0])  # noqa: B023
                if holds(a):
                    break
            assert "a" not in tally(front.port, 12, b"/least")
    finally:
        a.play()  # which cuts it


def holds(backend):
    return any(seen.target == b"/least/hold" for seen in backend.origin.requests)


def silent_for(connection: Connection, target, backend):
    while True:
        seen = connection.read_request()
        if seen.target == target:
            connection.wait_until_gone()
        connection.send(backend.answers(seen))


def test_a_hash_moves_few_keys_when_a_backend_comes_and_goes(tmp_path):
    file = tmp_path / "pool.nf"
    keys = range(200)
    with named(5) as backends:
        file.write_text("".join(f"{one.place}\n" for one in backends[:4]))
        with running("balance", f"@{file}", "--lb", "hash:header:x-user", "--hedge", "none") as front:

            def picked():
                with connect(front.port) as client:
                    return [get(client, b"/", b"X-User: %d" % key).body for key in keys]

            before = picked()
            file.write_text("".join(f"{one.place}\n" for one in backends))
            until(lambda: "reloaded" in front.stderr)
            after = picked()
            moved = [(was, now) for was, now in zip(before, after, strict=True) if was != now]
            assert {now for _, now in moved} == {b"e"}
            assert 10 <= len(moved) <= 80  # a fifth of 200, give or take
            backends[4].down()
            without = picked()
            assert [pair for pair in zip(after, without, strict=True) if pair[0] not in (b"e", pair[1])] == []
            until(lambda: "is down" in front.stderr)
            assert picked() == before


@pytest.fixture(scope="module")
def places():
    with named(3) as backends:
        yield [backend.place for backend in backends]


# -- sticky ---------------------------------------------------------------------------------------------------

COOKIE = re.compile(rb"netfront-backend=([A-Za-z0-9_-]{24}); Path=/; HttpOnly; SameSite=Lax(; Secure)?")


def cookie_of(answer):
    found = COOKIE.fullmatch(answer.get(b"set-cookie") or b"")
    assert found is not None, answer.fields
    return b"Cookie: netfront-backend=" + found[1], found[2]


def test_a_cookie_leads_back_and_is_secure_where_tls_is(places):
    with running("balance", *places, "--lb", "sticky", "-l", "http://:0", "-l", "https://:0") as front:
        plain = ask(front.ports[0])
        cookie, secure = cookie_of(plain)
        assert secure is None
        with connect(front.ports[0]) as client:
            again = [get(client, b"/", cookie) for _ in range(6)]
        assert {answer.body for answer in again} == {plain.body}
        assert all(answer.get(b"set-cookie") is None for answer in again)  # it has it already
        assert len(tally(front.ports[0], 6)) == 3
        shown = subprocess.run(
            ["curl", "-skD-", f"https://localhost:{front.ports[1]}/"],
            capture_output=True,
            check=True,
            timeout=10,
        ).stdout
        assert b"; Secure" in shown
        forged = ask(front.ports[0], b"/", b"Cookie: netfront-backend=" + b"x" * 24)
        assert forged.status == 200
        assert cookie_of(forged)


def cookies_of(jar, *paths, port):
    """Ask for each path with all cookies so far, as a browser does; give who answered, and keep what is set."""
    said = []
    for path in paths:
        sent = b"; ".join(b"%b=%b" % pair for pair in jar.items())
        answer = ask(port, path, *([b"Cookie: " + sent] if sent else []))
        for line in answer.get_all(b"set-cookie"):
            name, _, value = line.partition(b";")[0].partition(b"=")
            jar[name] = value
        said.append(answer.body)
    return said


def test_routes_of_other_backends_have_other_cookies_and_those_of_the_same_share_one():
    with named(4) as (a, b, c, d):
        lines = [f"/w={a.place},{b.place}", f"/x={a.place},{b.place}", f"/v={c.place},{d.place}"]
        with running("balance", *lines, "--lb", "sticky", "-q") as front:
            jar = {}
            first = cookies_of(jar, b"/w", b"/x", b"/v", port=front.port)
            assert first[0] == first[1]
            assert len(jar) == 2
            assert b"netfront-backend" in jar
            for _ in range(4):
                assert cookies_of(jar, b"/v", b"/x", b"/w", port=front.port) == first[::-1]
            ask(front.port, b"/v")  # others have their turn in between


def test_a_cookie_falls_over_when_its_backend_is_down_and_holds_there():
    with named(2) as (a, b), running("balance", a.place, b.place, "--lb", "sticky:where", "-v") as front:
        by_name = {}
        while len(by_name) < 2:
            answer = ask(front.port)
            by_name[answer.body] = b"Cookie: " + answer.get(b"set-cookie").partition(b";")[0]
        assert by_name[b"a"].startswith(b"Cookie: where=")
        a.down()
        moved = ask(front.port, b"/", by_name[b"a"])
        assert (moved.status, moved.body) == (200, b"b")
        assert b"Cookie: " + moved.get(b"set-cookie").partition(b";")[0] == by_name[b"b"]
        for _ in range(4):
            assert ask(front.port, b"/", by_name[b"a"]).body == b"b"
        until(lambda: f"{a.label} is down: connection refused" in front.stderr)
        a.up()
        until(lambda: ask(front.port, b"/", by_name[b"a"]).body == b"a")


def test_a_cookie_survives_a_restart(places, tmp_path):
    with running("balance", *places, "--lb", "sticky", XDG_DATA_HOME=str(tmp_path)) as front:
        answer = ask(front.port)
        cookie, _ = cookie_of(answer)
    with running("balance", *places, "--lb", "sticky", XDG_DATA_HOME=str(tmp_path)) as front:
        assert tally(front.port, 6, b"/", cookie) == {answer.body.decode(): 6}
    [key] = tmp_path.rglob("sticky.key")
    assert os.stat(key).st_mode & 0o077 == 0


def test_a_cookie_holds_over_processes_that_share_a_key(places):
    line = ("balance", *places, "--lb", "sticky", "--sticky-key", "env:KEY")
    key = secrets.token_hex(16)
    with (
        running(*line, KEY=key) as one,
        running(*line, KEY=key) as two,
        running(*line, KEY="x" * 16) as other,
    ):
        for _ in range(2):
            answer = ask(one.port)
            cookie, _ = cookie_of(answer)
            assert tally(two.port, 6, b"/", cookie) == {answer.body.decode(): 6}
            assert len(tally(other.port, 6, b"/", cookie)) == 3
