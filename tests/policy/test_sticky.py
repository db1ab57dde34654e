"""Sticking: who is named is picked, and only if that may be picked; the others are as they were."""

import random

import pytest

from netfront.policy.pick import PICKERS, make_picker
from netfront.policy.sticky import Sticky
from tests.policy.candidates import Fake


def token(name):
    return b"t-" + name


def made(*names, others="rr"):
    picker = Sticky(make_picker(others, random.Random(0)), token)
    candidates = [Fake(name) for name in names]
    picker.arrange(candidates)
    return picker, candidates


def picks(picker, keys, tried=()):
    return [picker.pick(key, tried, 0.0).name for key in keys]


def test_who_is_named_is_picked_each_time():
    picker, _ = made(b"a", b"b", b"c")
    assert picks(picker, [b"t-b"] * 5) == [b"b"] * 5


@pytest.mark.parametrize("key", [None, b"", b"b", b"t-gone"])
def test_who_names_nobody_gets_whose_turn_it_is(key):
    picker, _ = made(b"a", b"b", b"c")
    assert sorted(picks(picker, [key] * 3)) == [b"a", b"b", b"c"]


def test_one_that_was_tried_or_is_not_arranged_is_fallen_back_from():
    picker, (a, b) = made(b"a", b"b")
    assert picks(picker, [b"t-b"], (b,)) == [b"a"]
    picker.arrange([a])
    assert picks(picker, [b"t-b"]) == [b"a"]
    picker.arrange([a, b])
    assert picks(picker, [b"t-b"]) == [b"b"]
    assert picker.pick(b"t-b", (a, b), 0.0) is None


@pytest.mark.parametrize("others", PICKERS)
def test_it_follows_load_where_the_others_do(others):
    picker, (a, _) = made(b"a", b"b", others=others)
    assert picker.follows_load is make_picker(others, random.Random(0)).follows_load
    picker.moved(a)
