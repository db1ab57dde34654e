"""What is typed while a table is shown."""

import pytest

from netfront.cli.keys import DRAIN, QUIT, REDRAW, UNDRAIN, Command, Keys


def typed(*parts):
    keys = Keys()
    return [command for part in parts for command in keys.feed(part)], keys.typed, keys.hint


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        (b"q", Command(QUIT)),
        (b"Q", Command(QUIT)),
        (b"d 2\r", Command(DRAIN, 2)),
        (b"d2\n", Command(DRAIN, 2)),
        (b"u 17\r", Command(UNDRAIN, 17)),
        (b"d 12\x7f\r", Command(DRAIN, 1)),
        (b"d\x7fu3\r", Command(UNDRAIN, 3)),
        (b"d 1\x1bu 2\r", Command(UNDRAIN, 2)),
        (b"d 1\x15d 3\r", Command(DRAIN, 3)),
        (b"d 1u 2\r", Command(UNDRAIN, 2)),
        (b"d 1q", Command(QUIT)),
        (b"\x1b[Ad\x1b[1;5C 2\x1bOP\r", Command(DRAIN, 2)),
        (b"\x0c", Command(REDRAW)),
        (b"d \xc3\xa9x2\r", Command(DRAIN, 2)),
    ],
)
def test_command_is_read_at_once_and_key_by_key(keys, command):
    assert typed(keys) == ([command], "", "")
    if b"\x1b[" not in keys and b"\x1bO" not in keys:
        assert typed(*(bytes([key]) for key in keys)) == ([command], "", "")


@pytest.mark.parametrize("keys", [b"x", b" ", b"\r", b"\x7f", b"\x1b", b"\x00\xff", b"\x1b[A"])
def test_what_means_nothing_does_nothing(keys):
    assert typed(keys) == ([], "", "")


def test_command_is_shown_as_far_as_it_was_typed():
    assert typed(b"d") == ([], "d", "")
    assert typed(b"d12") == ([], "d 12", "")


def test_what_is_missing_is_said():
    assert typed(b"d\r") == ([], "d", "its number is missing")
    assert typed(b"7") == ([], "", "d or u comes first")
    assert typed(b"7d") == ([], "d", "")


def test_number_has_a_bound():
    assert typed(b"d" + b"9" * 1000) == ([], "d " + "9" * 6, "")
