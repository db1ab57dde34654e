"""What `balance` says while it serves, and why it does not."""

import json
import re
import socket

import pytest

from netfront.cli.app import run as run_here
from tests.support.client import connect
from tests.support.echo import datagram_echo
from tests.support.named import ask, get, named, tally, until
from tests.support.netfront import run, running
from tests.support.origins import closed_port, resetting

# -- what is told ---------------------------------------------------------------------------------------------


def test_the_backend_is_named_where_asked_for():
    with named(2) as (a, b):
        with running(
            "balance", f"{a.place}+name=blue", b.place, "--lb", "first", "--backend-header"
        ) as front:
            assert ask(front.port).get(b"x-backend") == b"blue"
            a.down()
            assert ask(front.port).get(b"x-backend") == b.label.encode()
            b.play(lambda connection: (connection.read_request(), connection.send(SAYS_SO)))
            assert ask(front.port).get_all(b"x-backend") == [b.label.encode()]
        with running("balance", a.up().place) as front:
            assert ask(front.port).get(b"x-backend") is None


SAYS_SO = b"HTTP/1.1 200 OK\r\nX-Backend: another\r\nContent-Length: 0\r\n\r\n"


def test_a_line_for_each_change_of_state_and_for_each_request():
    with named(2) as (a, b), running("balance", a.place, b.place, "--lb", "first", "-v") as front:
        assert tally(front.port, 2, b"/x?y") == {"a": 2}
        a.down()
        assert tally(front.port, 4) == {"b": 4}
        until(lambda: f"netfront: {a.label} is down: connection refused\n" in front.stderr)
        a.up()
        until(lambda: tally(front.port, 1) == {"a": 1})
        until(lambda: f"netfront: {a.label} is up\n" in front.stderr)
        assert re.search(rf"^200 GET /x\?y -> {a.label} \d+\.\d ms 1 B", front.stderr, re.MULTILINE)
        assert re.search(
            rf"^200 GET / -> {b.label} \(2 tries, retried: connection refused\) .*",
            front.stderr,
            re.MULTILINE,
        )


def events(front, *kinds):
    return [event for line in front.stdout.splitlines() if (event := json.loads(line))["event"] in kinds]


def test_events_as_objects():
    with named(2) as (a, b), datagram_echo(b"") as echo:
        listeners = ("-l", "http://127.0.0.1:0", "-l", "tcp://127.0.0.1:0", "-l", "udp://127.0.0.1:0")
        places = (
            f"http://{a.place}",
            f"http://{b.place}",
            f"tcp://{b.place}",
            f"udp://127.0.0.1:{echo.port}",
        )
        with running(
            "balance", *listeners, *places, "--json", "-v", "--lb", "first", "--udp-timeout", "1s"
        ) as front:
            until(lambda: events(front, "ready"))
            [ready] = events(front, "ready")
            assert ready["ports"] == front.ports
            assert ready["backends"][a.label] == "answers"
            assert f"udp://127.0.0.1:{echo.port}" not in ready["backends"]  # nobody knows
            assert ask(front.ports[0]).status == 200
            a.down()
            assert tally(front.ports[0], 3) == {"b": 3}
            until(lambda: events(front, "backend"))
            told = events(front, "backend")[0]
            assert (told["backend"], told["up"], told["why"]) == (a.label, False, "connection refused")
            requests = events(front, "request")
            assert (requests[0]["backend"], requests[0]["status"]) == (a.label, 200)
            assert requests[1]["backend"] == b.label
            assert ask(front.ports[1]).status == 200
            until(lambda: events(front, "connection"))
            [passed] = events(front, "connection")
            assert (passed["backend"], passed["outcome"]) == (f"tcp://{b.place}", "")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.connect(("127.0.0.1", front.ports[2]))
                client.send(b"x")
                assert client.recv(10) == b"x"
            until(lambda: len(events(front, "connection")) == 2)
            assert events(front, "connection")[1]["received"] == 1


def test_whose_backend_failed_learns_why_on_loopback_and_nothing_from_afar():
    with named(2) as (a, b), running("balance", a.place, b.place) as front:
        for backend in (a, b):
            backend.play(resetting())
        assert b"connection reset" in ask(front.port).body
    with closed_port() as port, running("balance", f":{port}", "-l", "http://*:0") as front:
        answer = ask(front.port)
        assert answer.status == 502
        assert str(port).encode() not in answer.body


def test_quiet_says_nothing():
    with named(2) as (a, b), running("balance", a.place, b.place, "-q") as front:
        a.down()
        assert tally(front.port, 6) == {"b": 6}
        assert front.stderr == front.stdout == ""


def test_who_is_named_twice_counts_once_and_that_is_said():
    with named(2) as (a, b), running("balance", a.place, b.place, f"{a.place}+weight=2") as front:
        assert tally(front.port, 6) == {"a": 3, "b": 3}
        assert f"netfront: /: {a.label} is named twice; it counts once" in front.stderr
        until(lambda: f"  -> {a.label}, {b.label} (" in front.stderr)


def test_a_kept_connection_goes_to_each_in_turn():
    with named(2) as (a, b), running("balance", a.place, b.place) as front, connect(front.port) as client:
        assert {get(client).body for _ in range(2)} == {b"a", b"b"}


# -- what is refused ------------------------------------------------------------------------------------------

TCP = ("-l", "tcp://:5432")
UDP = ("-l", "udp://:5353")
REFUSED = [
    (("3001", "--lb", "lest"), "--lb lest: no such way to pick as lest\n  did you mean least?"),
    (("3001", "--lb", "robin"), "--lb robin: no such way to pick as robin\n  "),
    (("3001", "--lb", "hash"), "--lb hash: it needs a key\n  hash:ip, hash:url, hash:path, hash:header:X or hash:"),
    (("3001", "--lb", "hash:"), "--lb hash:: it needs a key\n"),
    (("3001", "--lb", "hash:header"), "--lb hash:header: which header?\n  as in hash:header:X-User"),
    (("3001", "--lb", "hash:ipp"), "--lb hash:ipp: no such key as ipp\n  did you mean ip?"),
    (("3001", "--lb", "rr:3"), "--lb rr:3: rr takes no key\n  write rr"),
    ((":3001+weight=257",), ":3001+weight=257: +weight=257: too large\n  allowed is from 0 to 256"),
    ((":3001+weight=-1",), ":3001+weight=-1: +weight=-1: "),
    ((":3001+wait=3",), ":3001+wait=3: +wait: no such option of a target\n  did you mean weight?"),
    ((":3001+max=0",), ":3001+max=0: +max=0: "),
    (("db:3001-3003",), "db:3001-3003: '3001-3003' is not a port\n  a range has no host, and is of this"),
    ((":3001+backup", ":3002+backup"), "the backends of /: all are +backup\n  leave it off one of them"),
    ((*TCP, ":3001", "--retry-on", "502"), "--retry-on: it has no effect\n  no --listen is http:// or https://"),
    ((*TCP, ":3001", "--hedge", "p95"), "--hedge: it has no effect"),
    ((*TCP, ":3001", "--eject-on", "502"), "--eject-on: it has no effect"),
    ((*TCP, ":3001", "--backend-header"), "--backend-header: it has no effect"),
    ((*TCP, ":3001", "-H", "X: y"), "--header: it has no effect"),
    ((*TCP, ":3001", "--max-body", "1M"), "--max-body: it has no effect"),
    ((*TCP, ":3001", "--lb", "sticky"), "--lb sticky:netfront-backend: / is tcp://\n"),
    ((*TCP, ":3001", "--lb", "hash:url"), "--lb hash:url: / is tcp://\n  bytes can be hashed by ip alone"),
    ((*TCP, "/api=:3001"), "/api=:3001: tcp:// has neither methods nor paths\n  route by host alone"),
    ((*TCP, "http://localhost:3001"), "http://localhost:3001: no listener is for http://\n  add --listen"),
    ((*TCP, "db1"), "db1: db1 has no port, and tcp:// has no usual one\n  write db1:PORT"),
    (("-l", "tls://:8443", ":1+alpn=h2", ":2"), "tcp://localhost:1+alpn=h2: +alpn has no effect\n  TLS ends at tls://"),
    (("-l", "unix:/x", ":1", "--accept-proxy", "--trust-proxy", "::1"), "--accept-proxy: it has no effect\n"),
    (("-l", "unix:/x", ":1", "--trust-proxy", "::1"), "--trust-proxy: it has no effect\n  who comes to a unix: socket"),
    ((":1", "--handshake-timeout", "5s"), "--handshake-timeout: it has no effect\n  neither TLS nor a PROXY line"),
    (("https://u:hunter2@h",), "https://…@h: an address has no credentials\n"),
    (("/a=http://u:hunter2@h:80/",), "/a=http://…@h:80/: http://…@h:80/: an address has no credentials\n"),
    (("u:hunter2@h:80",), "…@h:80: an address has no credentials\n"),
    (("http://unix:/run/x.sock:/v1",), "http://unix:/run/x.sock:/v1: not how a socket is named\n  write unix:FILE"),
    (("unix//run/x.sock",), "unix//run/x.sock: not how a socket is named\n"),
    (("8080:3000",), "8080:3000: 8080 is no host\n  to serve 3000 on 8080 write 3000 -l :8080"),
    ((":1", "-l", "tcp://5432"), "--listen tcp://5432: a listen address starts with a colon or a host\n  write tcp://:"),
    ((":1", "-l", "h.test"), "--listen h.test: h.test is not an address of this machine\n"),
    (("h.test:8080=:1",), "h.test:8080=:1: a route's host has neither scheme nor port, which belong to --listen\n"),
    (("http://h.test/x=:1",), "http://h.test/x=:1: a route's host has neither scheme nor port, which belong"),
    (("*=:1",), "*=:1: '*' is no host\n  of every host write /=:1"),
    ((":1", "weight=3"), "weight=3: an option stands behind its target\n  write it there: TARGET+weight=3"),
    ((":1", "-H", "X-A: 1", "-H", "-X-A"), "--header -X-A: it is set and removed in one scope\n"),
    (("https://h+insecure+ca=x.pem",), "https://h+ca=x.pem: +ca has no effect\n"),
    ((":1+max=2", ":2", "--queue", "0", "--queue-timeout", "1s"), "--queue-timeout: it has no effect\n"),
    (("srv://_http._tcp.x:80",), "srv://_http._tcp.x:80: a service has its ports in DNS\n"),
    ((*TCP, ":1", "--handshake-timeout", "5s"), "--handshake-timeout: it has no effect\n"),
    (("https://h+sni=.x",), "https://h+sni=.x: +sni=.x: not a host name\n"),
    (("https://h+sni=a:9",), "https://h+sni=a:9: +sni=a:9: not a host name\n"),
    (("http://h+host=a:99999",), "http://h+host=a:99999: +host=a:99999: no such port as 99999\n"),
    (("https://h", "--backend-name", ".x"), "--backend-name .x: not a host name\n"),
    (("https://h", "--backend-name", ""), "--backend-name (empty): not a host name\n"),
    ((*UDP, "[::1]"), "[::1]: ::1 has no port, and udp:// has no usual one\n"),
    ((*TCP, "-l", ":8080", "tcp://db:1,http://app:2"), "tcp://db:1,http://app:2: its targets are of different kinds\n"),
    ((*TCP, "-l", ":8080", "3001"), "3001: the listeners are of several kinds: tcp, http\n"),
    ((*UDP, "tcp://10.0.0.2:53"), "tcp://10.0.0.2:53: no listener is for tcp://\n"),
    ((*UDP, "tls://10.0.0.2:53"), "tls://10.0.0.2:53: datagrams are passed on as they come: udp:// has no TLS\n"
                                  "  write host:PORT, or add --listen tcp://:PORT"),
    ((*UDP, "https://x"), "https://x: datagrams are passed on as they come: udp:// has no TLS\n"
                          "  write host:PORT, or add --listen http://:PORT"),
    ((*UDP, ":5353=srv+tls://x"), ":5353=srv+tls://x: datagrams are passed on as they come: udp:// has no TLS\n"),
    ((*TCP, ":5432=srv+https://x"), ":5432=srv+https://x: srv+https:// is not spoken to backends of a tcp://"),
    ((*UDP, "10.0.0.2:53", "--cert", "x.pem"), "--cert: it has no effect\n"),
    ((*UDP, "10.0.0.2:53", "--client-ca", "x.pem"), "--client-ca: it has no effect\n"),
    ((*UDP, "10.0.0.2:53+proxy=v2"), "10.0.0.2:53+proxy=v2: +proxy has no effect\n"),
    ((*UDP, "a.example=10.0.0.2:53"), "a.example=10.0.0.2:53: udp has no names to route by\n"),
    ((":3001", "--queue", "5"), "--queue: it has no effect\n  no target has +max=N"),
    ((":3001", "--sticky-key", "env:HOME"), "--sticky-key: it has no effect\n  no --lb is sticky"),
    ((":3001", "--resolver", "10.0.0.53"), "--resolver: it has no effect\n  no target has a name to be resolved"),
    ((":3001", "--sticky-key", "open sesame", "--lb", "sticky"), "--sticky-key …: a secret is not given inline\n"),
    ((":3001", "--health", "healthz"), "--health healthz: neither a path nor tcp or tls\n  write /healthz"),
    ((":3001", "--health", "/x,intervall=2s"), "--health /x,intervall=2s: intervall: no such key of a probe\n"),
    ((":3001", "--health", "/x,rise=0"), "--health /x,rise=0: rise=0: "),
    ((":3001", "--health-body", "ok"), "--health-body: there is no --health\n  add --health PATH"),
    ((":3001", "--health", "/x", "--health-body", "("), "--health-body (: "),
    ((":3001", "--eject-on", "200"), "--eject-on 200: only answers from 400 on can count as failures\n"),
    ((":3001", "--retry-on", "resets"), "--retry-on resets: neither a status nor reset\n  there are statuses,"),
    ((":3001", "--retry-on", "none,503"), "--retry-on none: neither a status nor reset"),
    ((":3001", "--hedge", "p20"), "--hedge p20: not a percentile from p50 to p99.999\n  as in p95, or none"),
    ((":3001", "--slow-start", "30"), "--slow-start 30: "),
    ((":3009-3001",), ":3009-3001: not a range of ports\n"),
    (("srv://_http._tcp.x:8080",), "srv://_http._tcp.x:8080: a service has its ports in DNS\n"),
    (("srv://_http._tcp.x+weight=2",), "srv://_http._tcp.x+weight=2: +weight has no effect\n"),
    (("127.0.0.1:3001+all",), "127.0.0.1:3001+all: +all has no effect\n"),
    (("/a=:3001", "--lb", "/b: least"), "--lb '/b: least': its scope meets no route\n  the routes are /a"),
    ((":3001", "--hedge", "p95"), "--hedge: it has no effect\n  / has one backend alone"),
    (("demo:", "--change-host-header"), "--change-host-header: it has no effect\n  demo: has no name"),
    (("demo:", "--no-change-host-header"), "--no-change-host-header: it has no effect\n  demo: has no name"),
    (
        ("https://a.test+sni=b.test", "--backend-name", "c.test"),
        "--backend-name: it has no effect\n  every target has a +sni of its own",
    ),
    ((":3001", "--retry-on", "503"), "--retry-on: it has no effect\n  / has one backend alone"),
    ((":3001", "--retry-on", "reset"), "--retry-on: it has no effect\n"),
    ((":3001", "--retry-body", "1M"), "--retry-body: it has no effect\n"),
    ((":3001", "--slow-start", "9s"), "--slow-start: it has no effect\n"),
    ((":3001", "localhost:3001", "--slow-start", "9s"), "--slow-start: it has no effect\n"),
    ((*TCP, "unix:/x", "--slow-start", "9s"), "--slow-start: it has no effect\n"),
    (("/a=:3001", "/b=:1", "--hedge", "p95"), "--hedge: it has no effect\n  /a and /b have one backend alone"),
    (("/a=:3001", "/b=:1,:2", "--hedge", "/a/x: p95"), "--hedge '/a/x: p95': it has no effect\n  /a has one"),
    ((":1", ":2", "--lb", "first", "--slow-start", "9s"), "--slow-start: it has no effect\n  --lb first gives no"),
    ((":1+weight=2", ":2", "--lb", "first"), "http://localhost:1+weight=2: +weight has no effect\n  --lb first goes"),
    ((":1+weight=0", ":2+weight=0"), "the backends of /: all are +weight=0\n  nobody would get a request"),
    ((), "no target\n  name the backends, as in: netfront balance 3001-3003"),
    (("@missing.nf",), "@missing.nf: no such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "words"), REFUSED, ids=[" ".join(args) or "nothing" for args, _ in REFUSED])
def test_it_is_refused_with_its_reason(args, words, capsys):
    """In this process, since there are many; --explain lest one that is not refused should serve for ever."""
    assert run_here(["balance", *args, "--explain"]) == 2
    said = capsys.readouterr()
    assert f"netfront balance: {words}" in said.err
    assert "no route belongs to it" not in said.err
    assert "hunter2" not in said.err
    assert said.out == ""


def test_a_target_that_cannot_be_read_is_no_reason_to_miss_it(capsys):
    assert run_here(["balance", ":70000", ":3002+backup", "--explain"]) == 2
    said = capsys.readouterr().err
    assert said == "netfront balance: :70000: no such port as 70000\n  a port is a number from 1 to 65535\n"


@pytest.mark.parametrize(
    "args",
    [
        (":3001", "--hedge", "none"),
        (":3001", "--retry-on", "none"),
        (":3001", "--slow-start", "0s"),
        (":3001", "--eject-on", "503"),  # that it is down is told
        ("api.internal:80", "--hedge", "p95"),
        ("api.internal:80+all", "--hedge", "p95"),
        ("srv://_http._tcp.x", "--slow-start", "9s"),
        ("/a=:1", "/b=:2,:3", "--hedge", "p95", "--retry-on", "503", "--slow-start", "9s"),
        ("/a=:1,:2", "/b=:2,:3", "--lb", "/a: first", "--slow-start", "9s"),
        (":1+weight=0", ":2", "--lb", "first"),
        (":1+weight=0", ":2+backup"),
        (":1+weight=0", "srv://_http._tcp.x"),
    ],
    ids=" ".join,
)
def test_what_does_something_somewhere_is_not_refused(args, capsys):
    assert run_here(["balance", *args, "--explain"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("line", [":3001", ":3001+weight=0", ":3001+weight=5", ":3001\n--lb first"])
def test_what_a_file_comes_to_say_is_no_reason_to_refuse_flags(line, tmp_path, capsys):
    """Its members come and go, and the flags are for whoever is there."""
    file = tmp_path / "pool.nf"
    file.write_text(line)
    args = ["--hedge", "p95", "--retry-on", "503", "--slow-start", "9s"]
    assert run_here(["balance", f"@{file}", *args, "--explain"]) == 0, capsys.readouterr().err


def test_a_file_that_names_nobody_is_named(tmp_path, capsys):
    file = tmp_path / "pool.nf"
    file.write_text("# nobody yet\n")
    assert run_here(["balance", f"@{file}", "--explain"]) == 2
    assert f"netfront balance: no target in {file}\n" in capsys.readouterr().err


def test_all_that_is_wrong_is_told_at_once():
    told = run("balance", ":3001+weight=999", ":3002", "--lb", "lest", "--hedge", "p1", "--slow-start", "x")
    assert told.returncode == 2
    assert told.stderr.count("netfront balance: ") == 4


def test_a_wrong_line_of_a_file_is_told_by_file_and_line(tmp_path):
    file = tmp_path / "pool.nf"
    file.write_text("# backends\n:3001\n\n:3002+weight=999  # too much\n--lb lest\n")
    told = run("balance", f"@{file}")
    assert told.returncode == 2
    assert f"{file}:4: :3002+weight=999: +weight=999: too large" in told.stderr
    assert f"{file}:5: --lb lest: no such way to pick as lest" in told.stderr
