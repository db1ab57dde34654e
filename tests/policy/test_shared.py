"""What many share: a bound for all, and one for each address that is of another machine."""

from netfront.policy.shared import Shared


def test_all_may_hold_so_much_and_one_address_a_quarter_of_it():
    shared = Shared(100)
    assert shared.take(25, b"192.0.2.1")
    assert not shared.take(1, b"192.0.2.1")
    assert shared.take(75, b"127.0.0.1")
    assert not shared.take(1, b"192.0.2.2")
    shared.give_back(5, b"192.0.2.1")
    assert shared.take(5, b"192.0.2.2")
    assert shared.left == 0


def test_what_is_given_back_leaves_nothing():
    shared = Shared(100)
    for address in (b"192.0.2.1", b"", b"::1"):
        assert shared.take(20, address)
        shared.give_back(20, address)
    assert (shared.left, shared._by_network) == (100, {})


def test_who_has_no_address_and_who_is_of_this_machine_may_hold_all():
    shared = Shared(100)
    for address in (b"", b"::1", b"127.0.0.9"):
        assert shared.take(100, address)
        shared.give_back(100, address)


def test_addresses_of_one_network_are_one():
    shared = Shared(100)
    assert shared.take(25, b"2001:db8::1")
    assert not shared.take(1, b"2001:db8::ffff:2")
    assert shared.take(25, b"2001:db8:0:1::1")
    assert shared.take(25, b"192.0.2.1")
    assert not shared.take(1, b"::ffff:192.0.2.1")
    shared.give_back(1, b"2001:db8::3")
    assert shared.take(1, b"2001:db8::2")
