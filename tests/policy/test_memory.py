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
    other.add(20)
    other.give_back()
    assert (memory.left, memory._by_network) == (100, {})
