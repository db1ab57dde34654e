"""Memory that many share: a bound for all, and one for each address that is of another machine."""

import pytest

from netfront.policy.memory import Held, Memory, MemoryFull, NeverFits


def test_all_may_hold_so_much_and_one_address_a_quarter_of_it():
    memory = Memory(100)
    assert memory.take(25, b"192.0.2.1")
    assert not memory.take(1, b"192.0.2.1")
    assert memory.take(75, b"127.0.0.1")
    assert not memory.take(1, b"192.0.2.2")
    memory.give_back(5, b"192.0.2.1")
    assert memory.take(5, b"192.0.2.2")
    assert memory.left == 0


def test_what_is_given_back_leaves_nothing():
    memory = Memory(100)
    for address in (b"192.0.2.1", b"", b"::1"):
        assert memory.take(20, address)
        memory.give_back(20, address)
    assert (memory.left, memory._by_address) == (100, {})


def test_who_has_no_address_and_who_is_of_this_machine_may_hold_all():
    memory = Memory(100)
    for address in (b"", b"::1", b"127.0.0.9"):
        assert memory.take(100, address)
        memory.give_back(100, address)


def test_one_request_is_told_apart_whether_it_would_ever_fit():
    memory = Memory(100)
    one, other = Held(memory, b"192.0.2.1"), Held(memory, b"192.0.2.1")
    one.add(20)
    with pytest.raises(MemoryFull):
        other.add(6)
    with pytest.raises(NeverFits) as caught:
        other.add(26)
    assert caught.value.most == 25
    other.add(5)
    with pytest.raises(NeverFits):
        one.add(6)
    one.give_back()
    one.give_back()
    other.add(20)
    other.give_back()
    assert (memory.left, memory._by_address) == (100, {})
