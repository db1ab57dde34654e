"""Answers of several parts, with real services, with and without the lane."""

import gzip
import json
import random
import re
import select
import signal
import socket
import threading
import time

import brotli
import pytest

from tests.support.client import connect
from tests.support.named import ask, until
from tests.support.netfront import run, running
from tests.support.origins import answering, closed_port, origin

pytestmark = pytest.mark.usefixtures("modes")
ANN = "ann:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\n"


def says(body, *fields, status=b"200 OK", kind=b"application/json"):
    lines = b"".join(line + b"\r\n" for line in (b"Content-Type: " + kind, *fields))
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, lines, len(body), body)


class Shop:
    """Services by path: bytes to answer with, or a function of what was seen; and how long each takes."""

    def __init__(self, **more):
        self.answers = {
            b"/users/me": says(b'{"id": 10000000000000001, "price": 0.10}'),
            b"/orders?u=10000000000000001": says(b'[{"n": 1e400}]'),
            b"/ads/top": says(b'"buy"'),
            b"/fail": says(b"no", status=b"500 Internal Server Error"),
            b"/page": says(b"<p>", kind=b"text/html"),
        }
        self.slow = {}
        self.hangs = threading.Event()
        """Set when /hang has been asked for."""

    def play(self, connection):
        while True:
            seen = connection.read_request()
            path = seen.target.partition(b"?")[0]
            if path.startswith(b"/hang"):
                self.hangs.set()
                connection.wait_until_gone()
                return
            wait = self.slow.get(path, 0.0)
            if wait:
                time.sleep(wait() if callable(wait) else wait)
            answer = self.answers.get(seen.target, self.answers.get(path, b""))
            if callable(answer):
                answer = answer(seen)
            connection.send(answer or says(json.dumps(seen.target.decode()).encode()))


ROUTES = "/users", "/orders", "/ads", "/fail", "/page", "/hang", "/items"
HOME = "/home = user:/users/me + orders:/orders?u={user.id} + ads?:/ads/top"
WHOLE = b'{"user":{"id": 10000000000000001, "price": 0.10},"orders":[{"n": 1e400}],"ads":"buy"}'


@pytest.fixture
def shop():
    services = Shop()
    with origin(services.play) as services.origin:
        yield services


def routes(shop):
    return [f"{route}={shop.origin.url}" for route in ROUTES]


def unread(port, path):
    """Ask for something, and read no more of the answer than its status."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    connection.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    assert connection.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
    return connection


def problem(answer):
    assert answer.get(b"content-type") == b"application/problem+json"
    return json.loads(answer.body)


def test_the_same_bytes_whatever_the_timing(shop):
    rng = random.Random(5)
    shop.slow = dict.fromkeys((b"/users/me", b"/orders", b"/ads/top"), lambda: rng.random() * 0.02)
    with running("gateway", *routes(shop), "--compose", HOME, "--no-request-id") as front:
        seen = set()
        for _ in range(60):
            answer = ask(front.port, b"/home")
            assert answer.status == 200
            fields = tuple((name, value) for name, value in answer.fields if name.lower() != b"date")
            seen.add((answer.body, fields))
        assert [body for body, _ in seen] == [WHOLE]
        tag = answer.get(b"etag")
        assert ask(front.port, b"/home", b"If-None-Match: " + tag).status == 304
        head = ask(front.port, b"/home", method=b"HEAD")
        assert (head.status, head.get(b"etag"), head.get(b"content-length")) == (200, tag, b"%d" % len(WHOLE))
        assert ask(front.port, b"/home", method=b"POST").status == 405
        assert ask(front.port, b"/home/x").status == 404


def test_of_a_for_each_nothing_more_is_asked_once_one_has_failed(shop):
    rule = "POST /batch = done[]:POST /items/{body.ids[].id}"
    with running("gateway", *routes(shop), "--compose", rule) as front:
        ids = b'{"ids":[{"id":null}%b]}' % (b',{"id":1}' * 20)
        answer = ask(front.port, b"/batch", b"Content-Type: application/json", method=b"POST", body=ids)
        assert (answer.status, problem(answer)["detail"][:19]) == (400, "part done: item 0: ")
        assert shop.origin.requests == []


def test_a_path_that_a_client_names_multiplies_nothing(shop):
    rule = "POST /batch = done[]:POST /{body.calls[].path} < body"
    with running("gateway", *routes(shop), "--compose", rule) as front:
        calls = json.dumps({"calls": [{"path": "items"}] * 3 + [{"path": "batch"}] * 97}).encode()
        answer = ask(front.port, b"/batch", b"Content-Type: application/json", method=b"POST", body=calls)
        assert (answer.status, problem(answer)["part"]) == (502, "done")
        assert len(shop.origin.requests) <= 3


def test_what_slow_readers_hold_is_counted_until_they_have_it_or_leave(shop):
    shop.answers[b"/items/much"] = says(b'"%b"' % (b"x" * 6_000_000))
    line = [*routes(shop), "--compose", "/much = all:/items/much", "--compose-memory", "16M"]
    with running("gateway", *line) as front:
        gone, slow = (unread(front.port, b"/much") for _ in range(2))
        answer = ask(front.port, b"/much")
        assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
        gone.close()
        until(lambda: ask(front.port, b"/much").status == 200)
        assert len(slow.makefile("rb").read(6_000_000)) == 6_000_000
        also = unread(front.port, b"/much")  # nothing is held for a connection that is kept
        until(lambda: ask(front.port, b"/much").status == 200)
        also.close()
        slow.close()


def test_a_composition_within_another_is_counted_once(shop):
    shop.answers[b"/items/much"] = says(b'"%b"' % (b"x" * 700_000))
    rules = "/inner = a:/items/much", "/outer = x:/inner", "/twice = x:/inner + y:/inner"
    line = [word for rule in rules for word in ("--compose", rule)]
    with running("gateway", *routes(shop), *line, "--compose-memory", "1M") as front:
        for _ in range(3):
            for path in (b"/inner", b"/outer"):
                answer = ask(front.port, path)
                assert (answer.status, len(answer.body) > 700_000) == (200, True), path
            answer = ask(front.port, b"/twice")  # which would not fit if nobody else were here
            assert (answer.status, answer.get(b"retry-after")) == (502, None)


def test_a_reload_grants_no_memory_anew(shop, tmp_path):
    shop.answers[b"/items/much"] = says(b'"%b"' % (b"x" * 6_000_000))
    file = tmp_path / "shop.nf"
    line = [*routes(shop), "--compose /much = all:/items/much"]
    file.write_text("\n".join([*line, "--compose-memory 16M", ""]))
    with running("gateway", f"@{file}") as front:
        slow = [unread(front.port, b"/much") for _ in range(2)]
        for size, status in (("40M", 200), ("16M", 503)):
            file.write_text("\n".join([*line, f"--compose-memory {size}", ""]))
            assert ask(front.port, b"/much").status != status
            front.process.send_signal(signal.SIGHUP)
            until(lambda status=status: ask(front.port, b"/much").status == status)
        for one in slow:
            one.close()
        until(lambda: ask(front.port, b"/much").status == 200)


def test_what_one_request_could_never_hold_is_no_503(shop):
    shop.answers[b"/items/much"] = shop.answers[b"/items/later"] = says(b'"%b"' % (b"x" * 900_000))
    shop.slow[b"/items/later"] = 0.2
    rules = (
        "/much = a:/items/much + b:/items/much",
        "/less = a:/items/much + b?:/items/later",
        "POST /sent = a:POST /items < body",
    )
    line = [word for rule in rules for word in ("--compose", rule)]
    with running("gateway", *routes(shop), *line, "--compose-memory", "1M") as front:
        for _ in range(3):
            answer = ask(front.port, b"/much")
            assert (answer.status, answer.get(b"retry-after")) == (502, None)
            assert "more than 1048576 bytes would be held" in problem(answer)["detail"]
            answer = ask(front.port, b"/less")
            assert (answer.status, answer.get(b"netfront-missing")) == (200, b"b")
            body = b'"%b"' % (b"x" * 1_100_000)
            answer = ask(front.port, b"/sent", b"Content-Type: application/json", method=b"POST", body=body)
            assert answer.status == 413


def test_parts_run_through_their_routes_with_the_callers_identity(shop, tmp_path):
    users = tmp_path / "htpasswd"
    users.write_text(ANN)
    users.chmod(0o600)
    flags = [
        "--basic", f"/: @{users}", "--allow", '/orders: user == "ann"', "--ip", "/ads: 192.0.2.0/24",
        "--pass-identity", "/users: X-User=sub", "--compose", HOME, "--header", "/users: X-Set: yes",
        "--compose", "/own = me:/users/{claims.sub}",
    ]  # fmt: skip
    with running("gateway", *routes(shop), *flags) as front:
        assert ask(front.port, b"/home").status == 401
        assert shop.origin.requests == []
        basic = b"Authorization: Basic YW5uOnDDpHNzd29yZA=="
        answer = ask(front.port, b"/home", basic, b"X-User: root", b"X-Forwarded-For: 203.0.113.9")
        assert answer.status == 200
        assert json.loads(answer.body)["ads"] is None  # nobody's address may see them
        assert answer.get(b"netfront-missing") == b"ads"
        assert answer.get(b"cache-control") == b"no-store"
        user = next(seen for seen in shop.origin.requests if seen.target == b"/users/me")
        assert user.get_all(b"x-user") == [b"ann"]
        assert user.get(b"x-set") == b"yes"
        assert user.get(b"x-forwarded-for") == b"127.0.0.1"
        assert b"/ads/top" not in [seen.target for seen in shop.origin.requests]
        assert ask(front.port, b"/own", basic).body == b'{"me":"/users/ann"}'


def test_a_composed_request_counts_once(shop):
    flags = ["--limit", "/: 3/h:ip,burst=3", "--limit", "/ads: 2/h:ip,burst=2", "--compose", HOME]
    with running("gateway", *routes(shop), *flags) as front:
        missing = [ask(front.port, b"/home").get(b"netfront-missing") for _ in range(3)]
        assert missing == [None, None, b"ads"]
        assert ask(front.port, b"/home").status == 429
        assert ask(front.port, b"/users/me").status == 429


def test_a_required_part_that_fails_ends_the_others_at_once(shop):
    shop.slow[b"/fail"] = lambda: shop.hangs.wait(5) and 0.05
    with running("gateway", *routes(shop), "--compose", "/bad = h:/hang + f:/fail + a?:/ads/top") as front:
        answer = ask(front.port, b"/bad")
        assert answer.status == 502
        told = problem(answer)
        assert (told["part"], told["part_status"], told["status"]) == ("f", 500, 502)
        assert told["time_ms"] > 0
        hanging = [one for one in shop.origin.connections if any(s.target == b"/hang" for s in one.requests)]
        assert len(hanging) == 1
        assert hanging[0].ended.wait(5)


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"500 Internal Server Error\r\nContent-Type: application/json", "it answered 500"),
        (b"404 Not Found\r\nContent-Type: application/json", "it answered 404"),
        (b"200 OK\r\nContent-Type: text/html", "it answered with text/html, which is no JSON"),
        (
            b"200 OK\r\nContent-Type: text/event-stream",
            "it answered with text/event-stream, which is no JSON",
        ),
    ],
)
def test_a_part_that_says_in_its_head_that_it_is_none_is_not_waited_for(head, why, shop):
    def stuck(connection):
        connection.read_request()
        connection.send(b"HTTP/1.1 %b\r\nContent-Length: 1000\r\n\r\nx" % head)
        connection.wait_until_gone()

    rules = ("--compose", "/e = a:/stuck + b:/ads/top", "--compose", "/o = a?=[]:/stuck + b:/ads/top")
    with origin(stuck) as behind:
        targets = [*routes(shop), f"/stuck={behind.url}", *rules, "--compose-timeout", "10m"]
        with running("gateway", *targets) as front:
            told = problem(ask(front.port, b"/e"))
            assert (told["part"], told["detail"]) == ("a", f"part a: {why}")
            assert ask(front.port, b"/o").body == b'{"a":[],"b":"buy"}'


def test_what_repeats_itself_may_be_as_long_as_a_part(shop):
    rows = b"[%b]" % b",".join([b'{"status": "ok"}'] * 3000)
    for coding, data in ((b"gzip", gzip.compress(rows)), (b"br", brotli.compress(rows))):
        shop.answers[b"/items/" + coding] = says(data, b"Content-Encoding: " + coding)
    rule = "/x = a:/items/gzip | length(@) + b:/items/br | length(@)"
    with running("gateway", *routes(shop), "--compose", rule) as front:
        assert ask(front.port, b"/x").body == b'{"a":3000,"b":3000}'


def test_a_client_that_leaves_ends_all(shop):
    with running("gateway", *routes(shop), "--compose", "/slow = h:/hang + i[]:/hang/{query.i[]}") as front:
        with connect(front.port) as client:
            client.send(b"GET /slow?i=1&i=2&i=3 HTTP/1.1\r\nHost: a\r\n\r\n")
            shop.origin.wait_requests(4)
            client.reset()
        for connection in shop.origin.connections:
            assert connection.ended.wait(5)
        assert ask(front.port, b"/users/me").status == 200


def test_stopping_leaves_nothing_behind(shop):
    with running(
        "gateway", *routes(shop), "--compose", "/slow = h:/hang + a:/ads/top", "--drain", "0s"
    ) as front:
        with connect(front.port) as client:
            client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            assert shop.hangs.wait(5)
            front.stop()
        assert "Traceback" not in front.stderr


@pytest.mark.parametrize(
    ("rule", "status", "why"),
    [
        ("/x = a:/fail", 502, "part a: it answered 500"),
        ("/x = a:/page", 502, "part a: it answered with text/html, which is no JSON"),
        ("/x = a:/users/{query.q}", 400, "part a: {query.q} is missing"),
        ("/x = a:/users/me + b:/orders/{a.nope}", 502, "part b: {a.nope} is missing"),
        ("/x = a:/gone", 502, "part a: it cannot be reached"),
        ("/x = a:/hang", 504, "part a: it did not answer in time"),
        ("/late = a:/users/me + b:/hang/late", 504, "part b: not there after 0.3 s for all parts"),
    ],
)
def test_what_fails_is_told(shop, rule, status, why):
    path = rule.partition(" ")[0]
    flags = ["--timeout", "/hang$: 200ms", "--compose-timeout", "/late: 300ms", "--compose", "/late = a:/ads"]
    flags = flags[:4] if path == "/late" else flags
    with closed_port() as gone:
        more = [*routes(shop), f"/gone=127.0.0.1:{gone}", *flags, "--compose", rule]
        with running("gateway", *more) as front:
            answer = ask(front.port, path.encode())
            assert (answer.status, problem(answer)["detail"]) == (status, why)
            until(lambda: ask(front.port, b"/users/me").status == 200)


def test_a_4xx_is_passed_on_where_that_is_wanted(shop, tmp_path):
    users = tmp_path / "htpasswd"
    users.write_text(ANN)
    users.chmod(0o600)
    flags = ["--basic", f"/users: @{users}", "--compose", HOME, "--compose", "/open = user:/users/me"]
    with running("gateway", *routes(shop), *flags, "--compose-status", "/home: pass") as front:
        answer = ask(front.port, b"/home")
        assert (answer.status, problem(answer)["part"]) == (401, "user")
        assert b"Basic" in answer.get(b"www-authenticate")
        assert ask(front.port, b"/open").status == 502


def test_what_the_whole_hides_no_part_shows(shop, tmp_path):
    """Not where the part's route asks for nothing, nor where it asks for the same and hides it itself."""
    users = tmp_path / "htpasswd"
    users.write_text(ANN)
    users.chmod(0o600)
    flags = [word for path in ("/home", "/orders") for word in ("--basic", f"{path}: @{users},hide")]
    rules = ["--compose", "/home = a:/users/me + n:/nest", "--compose", "/nest = o:/orders/1 + b:/ads/top"]
    shop.answers[b"/orders/1"] = says(b"{}")
    with running("gateway", *routes(shop), *flags, *rules) as front:
        ann = b"Authorization: Basic YW5uOnDDpHNzd29yZA=="
        assert ask(front.port, b"/home", ann).status == 200
        assert sorted(seen.target for seen in shop.origin.requests) == [
            b"/ads/top",
            b"/orders/1",
            b"/users/me",
        ]
        assert [seen.get(b"authorization") for seen in shop.origin.requests] == [None] * 3
        assert ask(front.port, b"/users/me", ann).status == 200
        assert shop.origin.requests[-1].get(b"authorization") == ann[15:]


def test_for_each_keeps_the_order_and_its_bound(shop):
    lock = threading.Lock()
    now, most = 0, 0

    def item(seen):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1
        return says(b'{"of": "%b"}' % seen.target)

    numbers = list(range(12))
    shop.answers[b"/orders/1"] = says(json.dumps([{"id": number} for number in numbers]).encode())
    shop.answers |= {b"/items/%d" % number: item for number in numbers}
    rule = "/o = order:/orders/1 + items[]:/items/{order[].id} | of"
    with running("gateway", *routes(shop), "--compose", rule, "--compose-each", "4") as front:
        answer = ask(front.port, b"/o")
        assert json.loads(answer.body)["items"] == [f"/items/{number}" for number in numbers]
        assert most == 4


def test_bodies_and_urls(shop):
    def order(seen):
        assert seen.get(b"content-type") == b"application/json"
        return says(seen.body, status=b"201 Created")

    shop.answers[b"/orders/new"] = order
    with origin(answering(lambda seen: says(b'{"out": true}'))) as out:
        rule = (
            "POST /co = user:/users/me + order:POST /orders/new < {u: user.id, all: body, q: query.q} + "
            f"out:{out.url}/v1?q={{query.q}}"
        )
        with running("gateway", *routes(shop), "--compose", rule, "--max-body", "/co: 1k") as front:

            def post(body, *fields):
                return ask(front.port, b"/co?q=a%26b", *fields, method=b"POST", body=body)

            answer = post(b'{"n": [0.10, 1e400]}', b"Authorization: Bearer x", b"Cookie: a=b")
            assert answer.status == 200
            expected = (
                b'{"user":{"id": 10000000000000001, "price": 0.10},'
                b'"order":{"u":10000000000000001,"all":{"n":[0.10,1e400]},"q":"a&b"},"out":{"out": true}}'
            )
            assert answer.body == expected
            (seen,) = out.requests
            assert seen.target == b"/v1?q=a%26b"
            assert seen.host == out.url.removeprefix("http://").encode()
            assert seen.get(b"authorization") is seen.get(b"cookie") is seen.get(b"x-forwarded-for") is None
            assert post(b"{").status == 400
            assert post(b"").status == 400
            assert post(b'"%b"' % (b"x" * 1023)).status == 413
            assert post(b"7").status == 200
            with connect(front.port) as client:
                client.send(
                    b"POST /co?q=1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
                )
                assert client.read_head().status == 100
                client.send(b"true")
                assert b'"all":true' in client.read_answer(b"POST").body


def test_a_body_that_trickles_into_memory_is_ended(shop):
    """Each byte comes in time for --body-timeout between two reads; all of them together do not."""
    rule = "POST /co = order:POST /orders/new < {all: body}"
    body_time = ("--body-timeout", "1s")
    with (
        running("gateway", *routes(shop), "--compose", rule, *body_time) as front,
        connect(front.port) as client,
    ):
        client.send(b"POST /co HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n[")
        while not select.select([client.socket], [], [], 0.1)[0]:
            client.send(b" ")
        assert client.read_head().status == 408


def test_codings_are_taken_off(shop):
    big = b'{"big": "%b"}' % (b"x" * 200_000)
    shop.answers[b"/items/gzip"] = says(gzip.compress(b'"g"'), b"Content-Encoding: gzip")
    shop.answers[b"/items/br"] = says(brotli.compress(b'"b"'), b"Content-Encoding: br")
    shop.answers[b"/items/bomb"] = says(gzip.compress(big), b"Content-Encoding: gzip")
    rule = "/c = g:/items/gzip + b:/items/br + bomb?:/items/bomb + big?:/items/big"
    shop.answers[b"/items/big"] = says(big)
    with running("gateway", *routes(shop), "--compose", rule, "--compose-part", "100k") as front:
        answer = ask(front.port, b"/c")
        assert answer.body == b'{"g":"g","b":"b","bomb":null,"big":null}'
        assert answer.get(b"netfront-missing") == b"bomb, big"


def test_what_an_answer_says_of_its_parts(shop):
    shop.answers[b"/ads/top"] = says(
        b'{"id": 1, "ad": 2}', b"Cache-Control: max-age=9", b"Set-Cookie: sid=1", b"Set-Cookie: x=2"
    )
    shop.answers[b"/users/me"] = says(b'{"id": 0}', b"Cache-Control: private, max-age=60", b"Vary: Cookie")
    rule = "/c = id:/users/me | id + ...:/ads/top"
    flags = [
        "--compose",
        rule,
        "--compose-cookie",
        "sid",
        "--server-timing",
        "--response-header",
        "/c: X-R: 1",
    ]
    with running("gateway", *routes(shop), *flags) as front:
        answer = ask(front.port, b"/c")
        assert answer.body == b'{"id":0,"ad":2}'
        assert answer.get(b"cache-control") == b"private, max-age=9"
        assert answer.get(b"vary") == b"cookie"
        assert answer.get_all(b"set-cookie") == [b"sid=1"]
        assert answer.get(b"netfront-clash") == b"id"
        assert answer.get(b"x-r") == b"1"
        names = [one.strip().partition(b";dur=")[0] for one in answer.get(b"server-timing").split(b",")]
        assert names == [b"id", b"..."]


def test_compositions_of_compositions_end_somewhere(shop):
    rules = ["--compose", "/a = b:/b + u:/users/me | id", "--compose", "/b = c:/ads/top"]
    with running(
        "gateway", *routes(shop), *rules, "--compose", "/loop/{n} = x?:/{params.n}/{params.n}"
    ) as front:
        assert ask(front.port, b"/a").body == b'{"b":{"c":"buy"},"u":10000000000000001}'
        assert ask(front.port, b"/loop/loop").body == b'{"x":null}'


def test_a_reload_changes_what_is_composed(shop, tmp_path):
    file = tmp_path / "shop.nf"
    file.write_text("\n".join([*routes(shop), "--compose /c = a:/ads/top", ""]))
    with running("gateway", f"@{file}") as front:
        assert ask(front.port, b"/c").body == b'{"a":"buy"}'
        file.write_text("\n".join([*routes(shop), "--compose /c = b:/ads/top", ""]))
        front.process.send_signal(signal.SIGHUP)
        until(lambda: ask(front.port, b"/c").body == b'{"b":"buy"}')


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["/h = a:/users/{b.id}"], "column 16: there is no part named b"),
        (["/h = a:/users/me | nope(x)"], "column 20: JMESPath: there is no function nope()"),
        (["/h = a:/nowhere/x"], "part a: no route serves GET /nowhere/x"),
        (["a.test/h = a:/users/x"], "part a: no route serves GET /users/x at a.test"),
        (["a.test/h = a:/users/{query.x}"], "part a: no route serves GET /users/{query.x} at a.test"),
        (["/h = a:/h"], "--compose /h → /h: a composition that is a part of itself"),
        (["/h = a:/i/1", "/i/{x} = a:/h"], "a composition that is a part of itself"),
        (["/h = a:/users/{claims.sub}"], "part a: no authentication there gives the claim sub"),
        (["/users = a:/orders"], "/users is forwarded, and answered by ourselves"),
        (["/h = a:/users", "/h = b:/users"], "/h is answered twice"),
    ],
)
def test_what_cannot_be_composed_is_refused(rules, message):
    flags = [word for rule in rules for word in ("--compose", rule)]
    refused = run("gateway", "/users=:3001", "/orders=:3002", *flags, "-l", "http://127.0.0.1:0")
    assert refused.returncode == 2
    assert message in refused.stderr


def test_flags_that_nothing_heeds_are_refused():
    refused = run("gateway", "/users=:3001", "--compose-each", "3", "--server-timing")
    assert refused.returncode == 2
    assert refused.stderr.count("there is no --compose") == 2
    refused = run("gateway", "/users=:3001", "--compose", "/h = a:/users", "--compose-each", "/users: 3")
    assert "nothing is composed there" in refused.stderr
    refused = run("gateway", "/users=:3001", "--compose", "/h = a:/users", "--compose-each", "3")
    assert "--compose-each: it has no effect\n  no part is asked for each item" in refused.stderr


def test_a_clash_that_can_be_seen_is_told_at_start(shop):
    with running(
        "gateway", *routes(shop), "--compose", "/c = id:/ads/top + ...:/users/me | {id: id}"
    ) as front:
        until(lambda: "/c: ... gives id too, and that of id stays" in front.stderr)


def test_a_limit_that_refuses_parts_of_every_answer_is_told_at_start(shop):
    rule = "/c = a:/items/a + b:/items/b"
    told = run("gateway", "/items=:1", "--compose", rule, "--limit", "/items: 1/m:ip", "--explain").stdout
    assert re.search("note +/c: 2 of its parts come under --limit", told)
    with running("gateway", *routes(shop), "--compose", rule, "--limit", "/items: 1/m:ip") as front:
        until(lambda: "/c: 2 of its parts come under --limit '/items: 1/m:ip', which lets 1" in front.stderr)
        assert ask(front.port, b"/c").status == 502


def test_the_graph_is_explained():
    told = run(
        "gateway", "/users=:3001", "/orders=:3002", "/ads=:3003", "--compose", HOME, "--explain"
    ).stdout
    assert "user: GET /users/me" in told
    assert "└─ orders: GET /orders?u={user.id}" in told
    assert "ads: GET /ads/top (else null)" in told
