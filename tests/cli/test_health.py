"""The words of --health and --health-body."""

import pytest
import trio

from netfront.cli.health import HealthPlan, parse_health, parse_health_body, prober, wanting
from netfront.endpoint import parse_place
from netfront.errors import UsageError
from netfront.net.backend import Backend, Member
from netfront.policy.statuses import parse_statuses
from tests.support.origins import answering, origin


@pytest.mark.parametrize(
    ("word", "plan"),
    [
        ("/healthz", HealthPlan("http", "/healthz")),
        ("/", HealthPlan("http", "/")),
        ("/h?deep=1&x=%2C", HealthPlan("http", "/h?deep=1&x=%2C")),
        ("tcp", HealthPlan("tcp")),
        ("tls", HealthPlan("tls")),
        ("tcp,interval=500ms,port=9000", HealthPlan("tcp", interval=0.5, port=9000)),
        ("tls,timeout=3s,rise=1,fall=1", HealthPlan("tls", timeout=3, rise=1, fall=1)),
        (
            "/x,interval=5s,timeout=250ms,rise=3,fall=5,status=200-399,host=app.test:81,port=81,method=HEAD",
            HealthPlan("http", "/x", 5, 0.25, 3, 5, parse_statuses("200-399"), "app.test:81", 81, "HEAD"),
        ),
        (
            "/x,status=200,204,3xx,fall=1",
            HealthPlan("http", "/x", fall=1, statuses=parse_statuses("200,204,3xx")),
        ),
        ("/x,host=[::1]:80", HealthPlan("http", "/x", host="[::1]:80")),
    ],
)
def test_a_word_is_read(word, plan):
    assert parse_health(word) == plan
    assert parse_health(str(plan)) == plan


def test_defaults_are_left_out_when_written():
    assert str(parse_health("/x,interval=2s,status=2xx,method=GET,fall=4")) == "/x,fall=4"


@pytest.mark.parametrize(
    ("word", "what", "why", "hint"),
    [
        ("healthz", "healthz", "neither a path nor tcp or tls", "write /healthz, or tcp or tls"),
        ("tpc", "tpc", "neither a path nor tcp or tls", "did you mean tcp?"),
        ("", "", "neither a path nor tcp or tls", "write a path, such as /healthz, or tcp or tls"),
        (
            "http://x/y",
            "http://x/y",
            "neither a path nor tcp or tls",
            "write a path, such as /healthz, or tcp or tls",
        ),
        ("/a b", "/a b", "its path has a character that no path has", "write it percent-encoded"),
        ("/a\r\nX: y", "/a\r\nX: y", "its path has a character that no path has", "write it percent-encoded"),
        ("/x,intervall=2s", "/x,intervall=2s: intervall", "no such key of a probe", "did you mean interval?"),
        ("/x,2s", "/x,2s: 2s", "no such key of a probe", None),
        ("/x,", "/x,", "no such key of a probe", None),
        ("/x,interval", "/x,interval: interval", "it needs a value", "as in interval=2s"),
        ("/x,interval=", "/x,interval=: interval", "it needs a value", "as in interval=2s"),
        (
            "/x,interval=2",
            "/x,interval=2: interval=2",
            "a duration needs a unit: ms, s, m, h or d",
            "did you mean 2s",
        ),
        ("/x,interval=1ms", "/x,interval=1ms: interval=1ms", "too small", "allowed is from 100ms to 1h"),
        ("/x,timeout=2m", "/x,timeout=2m: timeout=2m", "too large", "allowed is from 10ms to 1m"),
        ("/x,rise=0", "/x,rise=0: rise=0", "too small", "allowed is from 1 to 100"),
        ("/x,port=70000", "/x,port=70000: port=70000", "too large", "allowed is from 1 to 65535"),
        ("/x,status=2x", "/x,status=2x: status=2x", "not a status", None),
        ("/x,host=a b", "/x,host=a b: host=a b", "not a host", ""),
        ("/x,method=get", "/x,method=get: method=get", "not a method", "did you mean GET?"),
        (
            "/x,method=CONNECT",
            "/x,method=CONNECT: method=CONNECT",
            "it asks for a tunnel, not for a path",
            None,
        ),
        ("/x,rise=1,rise=2", "/x,rise=1,rise=2: rise=2", "given twice", ""),
        ("tcp,status=200", "tcp,status=200: status=200", "a tcp probe has no status", None),
        ("tls,host=x", "tls,host=x: host=x", "a tls probe has no host", None),
    ],
)
def test_what_is_wrong_is_told(word, what, why, hint):
    with pytest.raises(UsageError) as caught:
        parse_health(word)
    (fault,) = caught.value.faults
    assert (fault.what, fault.why) == (what, why)
    assert fault.hint == hint if hint is not None else fault.hint


def test_all_faults_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        parse_health("healthz,interval=1ms,fal=3,status=2x,99")
    assert [fault.why for fault in caught.value.faults] == [
        "neither a path nor tcp or tls",
        "too small",
        "no such key of a probe",
        "not a status",
        "not a status",
    ]


def test_a_body_is_wanted_by_a_regular_expression():
    assert parse_health_body('"status": *"up"') == '"status": *"up"'
    with pytest.raises(UsageError, match="not a regular expression"):
        parse_health_body("(up")


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("tcp", "a tcp probe gets no body"),
        ("tls", "a tls probe gets no body"),
        ("/x,method=HEAD", "an answer to HEAD has no body"),
    ],
)
def test_a_body_is_not_wanted_where_none_comes(word, why):
    assert wanting(parse_health("/x"), "up").body == "up"
    with pytest.raises(UsageError, match=why):
        wanting(parse_health(word), "up")


@pytest.mark.parametrize(
    ("word", "body", "why"),
    [
        ("/healthz", None, ""),
        ("/healthz,method=HEAD,host=other.test,status=200", None, ""),
        ("/healthz,status=204", None, "200, wanted 204"),
        ("/healthz", "^up$", "body does not match"),
        ("/healthz", "^ok$", ""),
        ("tcp", None, ""),
        ("tls", None, "tls: it does not speak TLS"),
    ],
)
async def test_a_plan_makes_probes(word, body, why):
    plan = parse_health(word) if body is None else wanting(parse_health(word), body)

    def answer(seen):
        assert seen.target == b"/healthz"
        assert seen.host == (b"other.test" if "other" in word else b"app.test")
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if seen.method == b"HEAD" else b"ok")

    def play(connection):
        connection.receive()
        if connection.received.startswith(b"\x16"):
            connection.send(b"HTTP/1.1 400 No\r\n\r\n")
        else:
            answering(answer)(connection)

    with origin(play) as behind, trio.fail_after(10):
        place = parse_place(behind.url)
        verdict = await prober(plan)(Backend(Member(place, "app", b"app.test")))()
    assert (verdict.ok, verdict.why) == (not why, why)


async def test_the_port_of_a_plan_is_dialled():
    with origin(answering()) as behind:
        plan = parse_health(f"/,port={behind.port}")
        backend = Backend(Member(parse_place("127.0.0.1:1"), "app", b"app.test", host=b"host.test"))
        assert (await prober(plan)(backend)()).ok
        assert behind.requests[0].host == b"host.test"
