"""API keys: where they come, and that none but a known one passes."""

import pytest

from netfront.errors import Refusal
from netfront.filters.api_key import ApiKey
from netfront.policy.claims import Identity
from tests.filters.requests import asking

SHOP = Identity("api-key", "shop", {"sub": "shop"}, frozenset({"read"}), "shop")


def owner(key):
    return SHOP if key == b"nf_good" else None


def test_a_known_key_passes():
    assert ApiKey(owner, b"x-api-key").check(asking((b"X-API-Key", b"nf_good"))) is SHOP


@pytest.mark.parametrize(
    "key", [b"", b"nf_", b"nf_bad", b"NF_GOOD", b"nf_good,nf_good", b"x" * 8000, b"\xff"]
)
def test_any_other_is_401(key):
    with pytest.raises(Refusal) as raised:
        ApiKey(owner, b"x-api-key").check(asking((b"X-API-Key", key)))
    assert raised.value.status == 401
    assert "bad" not in raised.value.why


def test_two_keys_are_none():
    with pytest.raises(Refusal):
        ApiKey(owner, b"x-api-key").check(asking((b"X-API-Key", b"nf_good"), (b"x-api-key", b"nf_good")))


@pytest.mark.parametrize("pairs", [[], [(b"X_API_Key", b"nf_good")], [(b"Authorization", b"Bearer nf_good")]])
def test_elsewhere_it_is_no_credential(pairs):
    assert ApiKey(owner, b"x-api-key").check(asking(*pairs)) is None


@pytest.mark.parametrize("value", [b"Bearer nf_good", b"bearer  nf_good", b"ApiKey nf_good"])
def test_in_authorization_it_stands_behind_a_scheme(value):
    assert ApiKey(owner, b"authorization").check(asking((b"Authorization", value))) is SHOP


@pytest.mark.parametrize("value", [b"nf_good", b"Basic nf_good", b"Bearer a.b.c"])
def test_what_others_put_into_authorization_is_theirs(value):
    assert ApiKey(owner, b"authorization").check(asking((b"Authorization", value))) is None
