"""What is known of a backend: its silence while others answer."""

from netfront.endpoint import Endpoint
from netfront.net.backend import Backend, Member

LIMIT = 0.05


def backend():
    return Backend(Member(Endpoint("http", "localhost", 1), "b1", b"b1"))


def test_silence_counts_once_it_is_longer_than_the_limit():
    assert not backend().lost(10.0, 10.049, LIMIT)
    assert backend().lost(10.0, 10.051, LIMIT)


def test_silences_that_are_short_each_add_up_as_long_as_nothing_comes():
    one = backend()
    assert not one.lost(10.0, 10.02, LIMIT)
    assert not one.lost(10.02, 10.04, LIMIT)
    assert one.lost(10.04, 10.06, LIMIT)
    assert one.is_suspect
    one.heard()
    assert not one.is_suspect
    assert not one.lost(10.06, 10.08, LIMIT)


def test_one_in_whose_place_others_answer_for_a_second_is_known_to_be_silent():
    one = backend()
    one.lost(10.0, 10.06, LIMIT)
    assert not one.is_silent(10.9)
    assert one.is_silent(11.1)
    one.heard()
    assert not one.is_silent(11.1)


def test_an_answer_that_nobody_had_to_hear_of_ends_the_silence_too():
    one = backend()
    assert not one.lost(10.0, 10.02, LIMIT)
    one.is_suspect = False
    assert not one.lost(11.0, 11.02, LIMIT)


def test_a_pause_that_several_meet_counts_once_unless_it_is_a_long_one():
    one = backend()
    assert one.lost(10.0, 10.06, LIMIT)
    assert not one.lost(10.01, 10.07, LIMIT)
    assert not one.lost(10.05, 10.11, LIMIT)
    assert one.lost(10.07, 10.13, LIMIT)
    assert one.lost(10.05, 11.06, LIMIT)
