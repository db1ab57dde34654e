"""Memory that a request holds."""

import pytest

from netfront.policy.memory import Held, MemoryFull, NeverFits
from netfront.policy.shared import Shared


def test_one_request_is_told_apart_whether_it_would_ever_fit():
    memory = Shared(100)
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
    with pytest.raises(MemoryFull):
        one.add(1)
    other.add(20)
    other.give_back()
    assert (memory.left, memory._by_network) == (100, {})


def test_what_is_part_of_a_whole_counts_with_it():
    memory = Shared(100)
    whole = Held(memory, b"192.0.2.1")
    part = Held(memory, b"192.0.2.1", whole=whole)
    inner = Held(memory, b"192.0.2.1", whole=part)
    whole.add(10)
    part.add(10)
    with pytest.raises(NeverFits):
        inner.add(6)
    part.give_back()
    inner.add(15)
    inner.free(15)
    inner.give_back()
    whole.give_back()
    assert (memory.left, memory._by_network) == (100, {})
