"""Names are followed by their time to live, services too, and the last good answer stays."""

import socket

import pytest

from tests.support.dns import dns_server
from tests.support.echo import datagram_echo
from tests.support.named import ask, named, tally, until
from tests.support.netfront import running


@pytest.fixture
def names():
    with dns_server() as server:
        yield server


def resolver(names):
    return "--resolver", f"127.0.0.1:{names.port}"


def at(count):
    """Run backends on one port of 127.0.0.1, 127.0.0.2, ...: a name with several addresses leads to them."""
    return named(count, hosts=[f"127.0.0.{number}" for number in range(1, count + 1)])


def test_a_name_is_asked_for_again_as_its_time_to_live_says(names):
    with at(2) as (a, _):
        names.set("app.internal", "A", "127.0.0.1", ttl=1)
        names.set("long.internal", "A", "127.0.0.1", ttl=60)
        with running(
            "balance", f"app.internal:{a.port}", f"/long=long.internal:{a.port}", *resolver(names)
        ) as front:
            assert set(tally(front.port, 3)) == {"a"}
            names.set("app.internal", "A", "127.0.0.2", ttl=1)
            names.set("long.internal", "A", "127.0.0.2", ttl=60)
            until(lambda: tally(front.port, 1) == {"b": 1})
            assert f"app.internal:{a.port} is at 127.0.0.2" in front.stderr
            assert set(tally(front.port, 3, b"/long")) == {"a"}
            assert names.times("long.internal", "A") == 1


def test_all_addresses_are_tried_in_turn_and_with_all_each_is_a_backend(names):
    with at(3) as (a, _, _):
        names.set("app.internal", "A", "127.0.0.1", "127.0.0.2", "127.0.0.3", ttl=1)
        place = f"app.internal:{a.port}"
        with running(
            "balance", f"/one={place}", f"/all={place}+all", *resolver(names), "--backend-header"
        ) as front:
            until(lambda: "Ctrl-C" in front.stderr)
            assert f"/all -> http://{place} (answers)" in front.stderr
            assert len(tally(front.port, 3, b"/one")) == 1
            assert tally(front.port, 9, b"/all") == {"a": 3, "b": 3, "c": 3}
            assert (
                ask(front.port, b"/all")
                .get(b"x-backend")
                .startswith(b"http://" + place.encode() + b"@127.0.0.")
            )
            a.down()
            assert "502" not in tally(front.port, 6, b"/one")
            assert tally(front.port, 8, b"/all") == {"b": 4, "c": 4}
            names.set("app.internal", "A", "127.0.0.3", ttl=1)
            until(lambda: set(tally(front.port, 4, b"/all")) == {"c"})
            assert "left" in front.stderr


def test_a_service_gives_ports_weights_and_priorities(names):
    with named(3) as (a, b, c):
        records = [
            f"10 3 {a.port} one.internal.",
            f"10 1 {b.port} two.internal.",
            f"20 1 {c.port} one.internal.",
        ]
        names.set("_http._tcp.shop.internal", "SRV", *records, ttl=1)
        for name in ("one.internal", "two.internal"):
            names.set(name, "A", "127.0.0.1", ttl=1)
        with running("balance", "srv://_http._tcp.shop.internal", *resolver(names)) as front:
            assert tally(front.port, 20) == {"a": 15, "b": 5}
            assert a.requests[0].host == b"localhost"  # a plain target keeps the client's Host
            a.down(), b.down()
            assert set(tally(front.port, 6)) == {"c"}  # the higher number is a backup
            a.up(), b.up()
            names.set("_http._tcp.shop.internal", "SRV", f"10 1 {c.port} one.internal.", ttl=1)
            until(lambda: set(tally(front.port, 3)) == {"c"})
            until(lambda: "left" in front.stderr)


def test_a_service_of_bytes_and_of_datagrams(names):
    with named(1) as (a,):
        names.set("_pg._tcp.db.internal", "SRV", f"10 1 {a.port} one.internal.")
        names.set("one.internal", "A", "127.0.0.1")
        with running(
            "balance", "-l", "tcp://127.0.0.1:0", "srv://_pg._tcp.db.internal", *resolver(names)
        ) as front:
            assert ask(front.port).body == b"a"
    with datagram_echo(b"one ") as one:
        names.set("_dns._udp.internal", "SRV", f"10 1 {one.port} one.internal.")
        with (
            running(
                "balance", "-l", "udp://127.0.0.1:0", "srv://_dns._udp.internal", *resolver(names)
            ) as front,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        ):
            client.settimeout(10)
            client.connect(("127.0.0.1", front.port))
            client.send(b"x")
            assert client.recv(100) == b"one x"


def test_nothing_that_resolves_at_the_start_is_503_and_a_line_and_then_it_serves(names):
    with named(1) as (a,):
        names.set("else.internal", "A", "127.0.0.1")
        with running("balance", f"app.internal:{a.port}", *resolver(names)) as front:
            answer = ask(front.port)
            assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
            assert "app.internal: there is no such name; it leads nowhere yet" in front.stderr
            names.set("app.internal", "A", "127.0.0.1")
            until(lambda: ask(front.port).body == b"a")
            assert "app.internal: resolves now" in front.stderr


@pytest.mark.parametrize("how", ["SERVFAIL", "silence", "nonsense"])
def test_the_last_good_set_stays_when_asking_fails(names, how):
    with named(1) as (a,):
        names.set("app.internal", "A", "127.0.0.1", ttl=1)
        with running("balance", f"app.internal:{a.port}", *resolver(names)) as front:
            assert ask(front.port).body == b"a"
            names.fail("app.internal", how)
            asked = names.times("app.internal", "A")
            names.wait_until_asked("app.internal", "A", asked + 1)
            if how == "SERVFAIL":  # the others take their time to be a failure
                until(lambda: "what it led to before stays" in front.stderr)
            assert set(tally(front.port, 4)) == {"a"}


def test_a_name_that_is_gone_keeps_what_it_led_to(names):
    with named(1) as (a,):
        names.set("app.internal", "A", "127.0.0.1", ttl=1)
        names.set("other.internal", "A", "127.0.0.1")
        with running("balance", f"app.internal:{a.port}", *resolver(names)) as front:
            assert ask(front.port).body == b"a"
            names.remove("app.internal")
            until(lambda: "app.internal: there is no such name; what it led to before stays" in front.stderr)
            assert set(tally(front.port, 4)) == {"a"}


def test_who_waits_while_names_are_asked_for_at_the_start_is_served(names):
    with named(1) as (a,):
        names.set("app.internal", "A", "127.0.0.1")
        for _ in range(2):
            with running("balance", f"app.internal:{a.port}", *resolver(names)) as front:
                assert ask(front.port).body == b"a"


def test_names_of_this_machine_are_not_asked_for(names):
    with (
        named(1) as (a,),
        running("balance", f"localhost:{a.port}", f"/x=unknown.internal:{a.port}", *resolver(names)) as front,
    ):
        assert ask(front.port).body == b"a"
        assert names.times("localhost", "A") == names.times("localhost", "AAAA") == 0
