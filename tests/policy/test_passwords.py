"""Users and hashes: each kind that htpasswd makes, and what is refused."""

import pytest

from netfront.errors import UsageError
from netfront.policy.passwords import parse_passwords

FILE = """\
# made by htpasswd and mkpasswd; all have the password "pässword"
bcrypt:$2y$05$1e2dBskcwO.bCJFHVu9f..davjP8f2xHVJlTFFuquDws3/cErxUvu
apr1:$apr1$Z6.fEG2E$8IWailUvYJMrDow2kuU4n1

sha1:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=
sha256:$5$giq58r9pxHlJodlP$AdYo6XfdZXg0a8iniyniJtQQ7JJ4aDIu3/Kp5CPjF16
sha512:$6$0xVYY1oTTm3o.uW6$mfdBiUO5z44M3K8pRpAks1T1iLKxpHjzJHW84PrBh39X8XOGDMx4LMIM3nL3JtlFq29pYuFzTQJoXL7JZ1MrD0
more:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=:what else a line has
"""
PASSWORD = "pässword".encode()


@pytest.mark.parametrize("user", ["bcrypt", "apr1", "sha1", "sha256", "sha512", "more"])
def test_a_password_is_right_or_wrong(user):
    passwords = parse_passwords(FILE, "--basic @f")
    assert passwords.are_right(user, PASSWORD)
    for wrong in (
        b"",
        b"password",
        PASSWORD + b"x",
        PASSWORD[:-1],
        b"\xff\xfe",
        PASSWORD + b"\0",
        b"x" * 5000,
    ):
        assert not passwords.are_right(user, wrong)
    assert not passwords.are_right(user.upper(), PASSWORD)


def test_a_user_whom_nobody_knows_is_wrong_after_the_same_work(monkeypatch):
    passwords = parse_passwords(FILE, "--basic @f")
    checked = []
    monkeypatch.setattr("netfront.policy.passwords._verify", lambda hashed, _: checked.append(hashed) or True)
    assert not passwords.are_right("nobody", PASSWORD)
    assert checked == [passwords.hashes["bcrypt"]]


def test_bcrypt_looks_at_72_bytes_as_htpasswd_does():
    import bcrypt

    long = b"a" * 80
    made = bcrypt.hashpw(long[:72], bcrypt.gensalt(4)).decode()
    assert parse_passwords(f"ann:{made}", "f").are_right("ann", long)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ann", "not user:hash"),
        (":{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=", "not user:hash"),
        ("ann:secret", "neither bcrypt"),
        ("ann:", "neither bcrypt"),
        ("ann:rqXexS6ZhobKA", "neither bcrypt"),
        ("ann:$2y$99$1e2dBskcwO.bCJFHVu9f..davjP8f2xHVJlTFFuquDws3/cErxUvu", "neither bcrypt"),
        ("ann:$5$rounds=99999999$abc$" + "a" * 43, "more than"),
        ("bob:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=\nbob:{SHA}I7dElEdfX4dJgLdnbVEeI9iG2mQ=", "there already"),
    ],
)
def test_what_is_no_hash_is_refused_and_not_repeated(line, why):
    with pytest.raises(UsageError) as raised:
        parse_passwords(line, "--basic @f")
    assert why in str(raised.value)
    assert "secret" not in str(raised.value)


def test_every_wrong_line_is_told_of():
    with pytest.raises(UsageError) as raised:
        parse_passwords("ann:x\nbob:y\n", "--basic @f")
    assert [fault.what for fault in raised.value.faults] == ["--basic @f, line 1", "--basic @f, line 2"]


def test_no_hash_is_shown():
    assert repr(parse_passwords(FILE, "f")) == "<Passwords of 6 users>"
