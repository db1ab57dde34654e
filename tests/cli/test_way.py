"""URLs that netfront asks by itself, and the pools of the places they lead to."""

import pytest

from netfront.cli.flags import ServeFlags
from netfront.cli.gate.outpools import outward_pools
from netfront.cli.gate.tokens import parse_issuer
from netfront.cli.gate.way import parse_way
from netfront.errors import UsageError


@pytest.mark.parametrize(
    ("text", "pool", "target"),
    [
        ("https://id.example.com", "https://id.example.com", "/"),
        ("https://ID.example.com:443/a/b?c=d", "https://id.example.com", "/a/b?c=d"),
        ("http://:9100/check", "http://localhost:9100", "/check"),
        ("http://[::1]:9100?x", "http://[::1]:9100", "/?x"),
        ("http://127.0.0.1:9/{user.id}", "http://127.0.0.1:9", "/{user.id}"),
    ],
)
def test_a_url_is_a_place_and_a_target(text, pool, target):
    way = parse_way(text)
    assert (way.pool, way.target) == (pool, target)


@pytest.mark.parametrize(
    "text",
    [
        "id.example.com",
        "ftp://x/",
        "https://",
        "https://x/a b",
        "https://x/#a",
        "https://x:y/",
    ],
)
def test_what_is_no_url_is_refused_as_it_was_given(text):
    with pytest.raises(UsageError) as raised:
        parse_way(text)
    assert raised.value.faults[0].what == text


def test_credentials_in_a_url_are_refused_and_not_repeated():
    with pytest.raises(UsageError) as raised:
        parse_way("https://u:secret@x/check")
    assert str(raised.value).startswith(
        "https://…@x: netfront sends no credentials of its own there\n  name a netfront"
    )
    with pytest.raises(UsageError) as raised:
        parse_issuer("https://u:secret@x")
    assert str(raised.value).endswith(
        "\n  what an issuer says of itself is public: write its URL without them"
    )


def test_a_place_has_one_pool_and_is_verified_whatever_backends_are():
    ways = [parse_way(text) for text in ("https://a.test/x", "https://a.test/y", "http://b.test:8/")]
    pools = outward_pools(ways, ServeFlags(insecure=True, backend_name="c.test", backend_ca="ca.pem"))
    assert [pool.name for pool in pools] == ["https://a.test", "http://b.test:8"]
    tls = pools[0].targets[0].tls
    assert tls is not None
    assert (tls.server_name, tls.ca, tls.insecure) == ("a.test", "ca.pem", False)
    assert pools[1].targets[0].tls is None
