"""What is remembered of credentials: for a time, so many, and none of them in clear."""

from netfront.policy.remembered import Remembered

KEY = bytes(32)


def test_it_is_known_until_its_time():
    memory = Remembered(KEY)
    memory.put(b"one", 1, until=10.0, now=0.0)
    assert memory.get(b"one", 9.9) == 1
    assert memory.get(b"one", 10.0) is None
    assert memory.get(b"two", 0.0) is None


def test_what_is_over_goes_first_then_the_oldest():
    memory = Remembered(KEY, most=4)
    for index in range(4):
        memory.put(b"%d" % index, index, until=10.0 if index else 1.0, now=0.0)
    memory.put(b"4", 4, until=10.0, now=2.0)
    assert [memory.get(b"%d" % index, 3.0) for index in range(5)] == [None, 1, 2, 3, 4]
    memory.put(b"5", 5, until=10.0, now=3.0)
    assert [memory.get(b"%d" % index, 3.0) for index in range(1, 6)] == [None, None, 3, 4, 5]
    for index in range(1000):
        memory.put(b"%d" % index, index, until=10.0, now=3.0)
        assert len(memory) <= 4


def test_no_credential_is_kept():
    memory = Remembered(KEY)
    memory.put(b"my secret", 1, until=1.0, now=0.0)
    assert b"my secret" not in repr(vars(memory)).encode()


def test_another_key_finds_nothing():
    one, two = Remembered(KEY), Remembered(b"1" * 32)
    one.put(b"x", 1, until=1.0, now=0.0)
    two._entries = one._entries
    assert two.get(b"x", 0.0) is None


def test_all_is_forgotten():
    memory = Remembered(KEY)
    memory.put(b"x", 1, until=1.0, now=0.0)
    memory.clear()
    assert memory.get(b"x", 0.0) is None
