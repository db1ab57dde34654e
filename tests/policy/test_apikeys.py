"""API keys: made, written, found again."""

import hashlib

import pytest

from netfront.errors import UsageError
from netfront.policy.apikeys import is_key_name, key_line, make_key, parse_keys


def test_a_key_is_found_by_its_line():
    key = make_key(bytes(range(32)))
    assert key == "nf_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    keys = parse_keys(f"{key_line('shop', key)} read orders:write  # since May\n", "f")
    owner = keys.owner(key.encode())
    assert (owner.kind, owner.user, owner.key) == ("api-key", "shop", "shop")
    assert owner.scopes == {"read", "orders:write"}
    assert owner.claims == {"sub": "shop", "scope": "read orders:write"}
    for wrong in (b"", key[:-1].encode(), key.encode() + b" ", key.upper().encode(), b"\xff", b"x" * 10_000):
        assert keys.owner(wrong) is None


def test_a_key_cannot_be_read_off_its_line():
    key = make_key(bytes(32))
    assert key not in key_line("shop", key)
    assert key_line("shop", key).split()[1] == f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def test_one_name_may_have_two_keys():
    one, two = make_key(bytes(32)), make_key(b"1" * 32)
    keys = parse_keys(f"{key_line('shop', one)}\n{key_line('shop', two)} read\n", "f")
    assert keys.owner(one.encode()).scopes == frozenset()
    assert keys.owner(two.encode()).scopes == {"read"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("shop", "not NAME"),
        ("shop nf_AAAA", "not NAME"),
        ("shop sha256:abc", "not NAME"),
        ("shop sha1:" + "a" * 64, "not NAME"),
        ("shop sha256:" + "A" * 64, "not NAME"),
        ("sh:op sha256:" + "a" * 64, "not NAME"),
        ("shop sha256:" + "a" * 64 + ' rea"d', "no scope"),
        ("a sha256:" + "a" * 64 + "\nb sha256:" + "a" * 64, "there already"),
    ],
)
def test_what_is_no_line_is_refused_and_not_repeated(text, why):
    with pytest.raises(UsageError) as raised:
        parse_keys(text, "--api-key @f")
    assert why in str(raised.value)
    assert "nf_" not in str(raised.value)


@pytest.mark.parametrize(("name", "fits"), [("shop", True), ("a.b@c-d_1", True), ("", False), ("a b", False),
                                            ("#a", False), ("x" * 65, False)])  # fmt: skip
def test_names(name, fits):
    assert is_key_name(name) is fits
