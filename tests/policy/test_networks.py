"""Networks: how they are written, and which addresses lie in them."""

import pytest

from netfront.errors import UsageError
from netfront.policy.networks import parse_network, plain_address, within


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("FD00::/8", "fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_read(text, network):
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "hint"),
    [("10.0.0.1/8", "did you mean 10.0.0.0/8?"), ("ten", "as in 10"), ("010.0.0.1", "as in 10")],
)
def test_what_is_none_is_refused(text, hint):
    with pytest.raises(UsageError) as refused:
        parse_network(text)
    assert refused.value.faults[0].why == "not a network"
    assert refused.value.faults[0].hint.startswith(hint)


@pytest.mark.parametrize(
    ("address", "lies"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::ffff:0a01:0203", True),
        ("::1", True),
        ("0:0::1", True),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("::10.1.2.3", False),
        ("fe80::1%eth0", False),
        ("10.1.2.3:80", False),
        ("010.1.2.3", False),
        ("unknown", False),
        ("", False),
        ("1" * 100_000, False),
    ],
)
def test_an_address_lies_in_a_network(address, lies):
    test = within(["10.0.0.0/8", "::1", "::ffff:192.0.2.1"])
    assert [test(address), test(address)] == [lies, lies]


def test_nothing_lies_in_none():
    assert not within([])("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "plain"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("0:0::1", "::1"), ("10.0.0.1", "10.0.0.1"), ("unknown", "unknown")],
)
def test_an_address_is_written_shortly(text, plain):
    assert plain_address(text) == plain
