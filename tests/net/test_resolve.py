"""Asking for a name once, of a real server on loopback: what is found, and how failure is told apart."""

import subprocess
import sys

import pytest
import trio

from netfront.net.hosts import HostsFile
from netfront.net.resolve import Found, Lookup, LookupFailed, Resolver, Service
from tests.support.dns import Asked, dns_server


@pytest.fixture
def server():
    with dns_server() as server:
        yield server


@pytest.fixture
def hosts(tmp_path):
    (tmp_path / "hosts").write_text("10.9.9.9 fixed.test\n")
    return HostsFile(str(tmp_path / "hosts"))


@pytest.fixture
def resolver(server, hosts):
    return Resolver(("127.0.0.1", server.port), hosts=hosts)


async def failure(asking):
    with pytest.raises(LookupFailed) as raised:
        await asking
    return raised.value.how, raised.value.why


async def test_addresses_of_both_families_come_interleaved_with_the_least_ttl(server, resolver):
    server.set("app.test", "A", "10.0.0.1", "10.0.0.2", ttl=30)
    server.set("app.test", "AAAA", "fd00::1", ttl=20)
    found = await resolver.addresses("app.test")
    assert found == Found(("fd00::1", *found.addresses[1:]), 20)
    assert set(found.addresses[1:]) == {"10.0.0.1", "10.0.0.2"}


async def test_alias_is_followed_and_its_ttl_counts(server, resolver):
    server.set("app.test", "CNAME", "real.test.", ttl=5)
    server.set("real.test", "A", "10.0.0.1", ttl=60)
    assert await resolver.addresses("app.test") == Found(("10.0.0.1",), 5)


async def test_hosts_file_answers_first(server, resolver):
    server.set("fixed.test", "A", "10.0.0.1")
    assert (await resolver.addresses("fixed.test")).addresses == ("10.9.9.9",)
    assert server.asked == []


async def test_failures_are_told_apart(server, hosts):
    resolver = Resolver(("127.0.0.1", server.port), hosts=hosts, lifetime=10)
    hasty = Resolver(("127.0.0.1", server.port), hosts=hosts, lifetime=0.3)
    place = f"127.0.0.1:{server.port}"
    server.set("empty.test", "TXT", '"x"')
    server.set("silent.test", "A", "10.0.0.1")
    server.fail("silent.test", "silence")
    server.fail("bad.test", "SERVFAIL")
    server.fail("odd.test", "nonsense")
    addresses = resolver.addresses
    assert await failure(addresses("none.test")) == (Lookup.NO_NAME, "there is no such name")
    assert await failure(addresses("empty.test")) == (Lookup.EMPTY, "it has no address")
    assert await failure(hasty.addresses("silent.test")) == (Lookup.FAILED, f"no answer from {place}")
    assert await failure(addresses("bad.test")) == (Lookup.FAILED, f"{place} answers SERVFAIL")
    assert (await failure(addresses("odd.test")))[0] is Lookup.FAILED
    assert (await failure(addresses("x" * 70 + ".test")))[0] is Lookup.FAILED
    assert (await failure(addresses("a..test")))[0] is Lookup.FAILED


async def test_family_that_was_not_answered_is_told_beside_the_other(server, resolver):
    server.set("half.test", "A", "10.0.0.1")
    server.fail("half.test AAAA", "SERVFAIL")
    assert await resolver.addresses("half.test") == Found(("10.0.0.1",), 60, frozenset({6}))


async def test_empty_answer_beside_a_failed_one_is_a_failure(server, resolver):
    server.set("half.test", "TXT", '"x"')
    server.fail("half.test AAAA", "SERVFAIL")
    assert (await failure(resolver.addresses("half.test")))[0] is Lookup.FAILED


async def test_long_answer_comes_over_tcp(server, resolver):
    addresses = [f"10.0.{i}.1" for i in range(100)]
    server.set("many.test", "A", *addresses)
    assert set((await resolver.addresses("many.test")).addresses) == set(addresses)
    assert Asked("many.test", "A", over_tcp=True) in server.asked


async def test_services_come_in_order_each_once(server, resolver):
    server.set(
        "_http._tcp.test",
        "SRV",
        "20 0 80 b.test.",
        "10 1 8080 A.test.",
        "10 5 80 c.test.",
        "10 5 0 d.test.",
        ttl=7,
    )
    assert await resolver.services("_http._tcp.test") == (
        (Service(10, 5, 80, "c.test"), Service(10, 1, 8080, "a.test"), Service(20, 0, 80, "b.test")),
        7,
    )


async def test_service_that_is_not_offered_is_told(server, resolver):
    server.set("_http._tcp.test", "SRV", "0 0 0 .")
    server.set("_none._tcp.test", "A", "10.0.0.1")
    assert await failure(resolver.services("_http._tcp.test")) == (
        Lookup.EMPTY,
        "it says that it is not offered",
    )
    assert await failure(resolver.services("_none._tcp.test")) == (Lookup.EMPTY, "it has no SRV record")
    assert (await failure(resolver.services("_other._tcp.test")))[0] is Lookup.NO_NAME


async def test_system_servers_and_search_domains_are_those_of_resolv_conf(server, hosts, tmp_path):
    conf = tmp_path / "resolv.conf"
    conf.write_text("search a.test b.test\nnameserver 127.0.0.1\n")
    server.set("db.b.test", "A", "10.0.0.1")
    server.set("db.c.test", "A", "10.0.0.2")
    resolver = Resolver(hosts=hosts, resolv_conf=str(conf), port=server.port)
    assert (await resolver.addresses("db")).addresses == ("10.0.0.1",)
    assert [one.name for one in server.asked if one.kind == "A"] == ["db.a.test", "db.b.test"]
    conf.write_text("search c.test\nnameserver 127.0.0.1\n")
    assert (await resolver.addresses("db")).addresses == ("10.0.0.2",)


async def test_resolv_conf_that_is_missing_or_bad_is_told_and_read_again_when_it_is_good(
    server, hosts, tmp_path
):
    conf = tmp_path / "resolv.conf"
    server.set("app.test", "A", "10.0.0.1")
    resolver = Resolver(hosts=hosts, resolv_conf=str(conf), port=server.port)
    assert await failure(resolver.addresses("app.test")) == (Lookup.FAILED, f"cannot open {conf}")
    conf.write_text("# none yet\n")
    assert await failure(resolver.addresses("app.test")) == (Lookup.FAILED, "no nameservers")
    conf.write_text("nameserver nonsense\n")
    assert (await failure(resolver.addresses("app.test")))[0] is Lookup.FAILED
    conf.write_text("nameserver 127.0.0.1\n")
    assert (await resolver.addresses("app.test")).addresses == ("10.0.0.1",)


async def test_named_server_is_asked_for_names_as_they_are(server, resolver):
    server.set("db", "A", "10.0.0.1")
    assert (await resolver.addresses("db")).addresses == ("10.0.0.1",)
    assert {one.name for one in server.asked} == {"db"}


async def test_cancelled_question_leaves_no_socket(server, resolver):
    server.fail("slow.test", "silence")
    with trio.move_on_after(0.05) as scope:
        await resolver.addresses("slow.test")
    assert scope.cancelled_caught


def test_dnspython_is_imported_by_the_first_question_alone():
    code = "import sys, netfront.net.members; sys.exit('dns' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
