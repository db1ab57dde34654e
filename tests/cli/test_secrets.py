"""Secrets: where they are read from, what is refused, and that none is ever said."""

import stat

import pytest

from netfront.cli.plan import Secret
from netfront.cli.secrets import read_secret, sticky_secret
from netfront.errors import UsageError

GOOD = b"0123456789abcdef"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def refused(secret, **least):
    with pytest.raises(UsageError) as error:
        read_secret(secret, "--sticky-key", **least)
    return [str(fault) for fault in error.value.faults]


def test_a_file_is_read_without_the_space_around(data):
    (data / "key").write_bytes(b"\n " + GOOD + b"\r\n")
    assert read_secret(Secret(file=str(data / "key")), "--x") == GOOD


def test_a_variable_is_read_byte_for_byte(monkeypatch):
    monkeypatch.setenv("KEY", "\udcff\udc80" + GOOD.decode())
    assert read_secret(Secret(variable="KEY"), "--x") == b"\xff\x80" + GOOD


def test_what_cannot_be_read_or_is_too_short_is_refused_without_saying_it(data, monkeypatch):
    missing = str(data / "none")
    assert refused(Secret(file=missing)) == [f"--sticky-key @{missing}: no such file or directory"]
    monkeypatch.setenv("KEY", "hunter2")
    assert refused(Secret(variable="KEY"), least=16) == [
        "--sticky-key env:KEY: shorter than 16 bytes\n  as from: openssl rand -base64 32"
    ]
    assert refused(Secret(variable="NOT_SET")) == [
        "--sticky-key env:NOT_SET: there is no such variable\n  as in: NOT_SET=… netfront …"
    ]
    monkeypatch.setenv("EMPTY", " ")
    assert refused(Secret(variable="EMPTY"), least=16) == ["--sticky-key env:EMPTY: it is empty"]


def test_a_key_of_ones_own_has_at_least_sixteen_bytes(data):
    (data / "key").write_bytes(GOOD)
    assert sticky_secret(Secret(file=str(data / "key"))) == GOOD
    (data / "key").write_bytes(GOOD[:-1])
    with pytest.raises(UsageError):
        sticky_secret(Secret(file=str(data / "key")))


def test_one_that_is_made_is_kept_and_readable_by_its_owner_alone(data):
    made = sticky_secret(None)
    assert len(made) == 32
    assert sticky_secret(None) == made
    [path] = list((data / "data").rglob("sticky.key"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_that_is_damaged_is_made_anew(data):
    made = sticky_secret(None)
    [path] = list((data / "data").rglob("sticky.key"))
    path.write_bytes(b"")
    again = sticky_secret(None)
    assert len(again) == 32
    assert again != made
    assert sticky_secret(None) == again
