"""Tokens: which are believed, and which never."""

import json
import math
import time
import warnings
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netfront.policy.token import (
    TokenRefused,
    TokenRules,
    UnknownKey,
    parse_keys,
    read_issued,
    read_issuer,
    scopes_of,
    verify,
)
from tests.support.issuer import Signer, forgeries

RULES = TokenRules("https://id.test", frozenset({"shop"}))
SIGNERS = {alg: Signer(alg=alg) for alg in ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")}


@pytest.mark.parametrize("alg", SIGNERS)
def test_a_signed_token_is_believed(alg):
    signer = SIGNERS[alg]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verified = verify(signer.token(exp=2_000_000_000), parse_keys(signer.jwks), RULES, time.time())
    assert verified.claims["sub"] == "ada"
    assert verified.until == 2_000_000_030


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
@pytest.mark.parametrize("kind", forgeries(SIGNERS["RS256"]))
def test_what_is_forged_is_not(alg, kind):
    forged = forgeries(SIGNERS[alg]).get(kind)
    if forged is not None:
        with pytest.raises(TokenRefused):
            verify(forged, parse_keys(SIGNERS[alg].jwks), RULES, time.time())


@settings(deadline=None)
@given(st.data())
def test_a_token_with_a_byte_changed_is_refused(data):
    signer = SIGNERS["ES256"]
    token = bytearray(_TOKEN)
    at = data.draw(st.integers(0, len(token) - 1))
    token[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != token[at]))
    with pytest.raises(TokenRefused):
        verify(bytes(token), parse_keys(signer.jwks), RULES, time.time())


_TOKEN = SIGNERS["ES256"].token(exp=4_000_000_000)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(data):
    with pytest.raises(TokenRefused):
        verify(data, parse_keys(SIGNERS["ES256"].jwks), RULES, 0.0)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.builds(SIGNERS["ES256"].token, st.binary(max_size=200)))
def test_of_garbage_no_issuer_is_read(data):
    assert read_issuer(data) == ""


@pytest.mark.parametrize(
    ("claims", "issued"),
    [
        (b'{"iat": 17}', 17),
        (b'{"iat": 17.5}', 17.5),
        (b"{}", -math.inf),
        (b'{"iat": "17"}', -math.inf),
        (b'{"iat": true}', -math.inf),
        (b'{"iat": NaN}', -math.inf),
        (b'{"iat": 1e400}', math.inf),
        (b'{"iat": 1, "iat": 2}', -math.inf),
        (b"[", -math.inf),
    ],
)
def test_when_a_token_was_issued_is_read_unverified(claims, issued):
    assert read_issued(SIGNERS["ES256"].token(claims)) == issued


def test_the_issuer_of_a_token_is_read_unverified():
    assert read_issuer(SIGNERS["ES256"].token(iss="https://x.test/")) == "https://x.test"
    assert read_issuer(SIGNERS["ES256"].token(iss=["https://x.test"])) == ""
    assert read_issuer(SIGNERS["ES256"].token(b'{"iss": "a", "iss": "b"}')) == ""


def test_the_leeway_is_for_both_ends():
    signer = SIGNERS["ES256"]
    keys = parse_keys(signer.jwks)
    token = signer.token(exp=1000, nbf=500)
    for now, is_good in ((469, False), (470, True), (1029, True), (1030, False)):
        if is_good:
            verify(token, keys, RULES, now)
        else:
            with pytest.raises(TokenRefused):
                verify(token, keys, RULES, now)


def test_only_the_algorithms_named_count():
    signer = SIGNERS["PS256"]
    rules = TokenRules(algorithms=frozenset({"RS256"}))
    with pytest.raises(TokenRefused):
        verify(signer.token(), parse_keys(signer.jwks), rules, time.time())


def test_the_algorithm_of_a_key_counts_and_not_that_of_its_type():
    signer = SIGNERS["PS256"]
    fixed = json.dumps({"keys": [{**signer.jwk, "alg": "RS256"}]}).encode()
    with pytest.raises(TokenRefused):
        verify(signer.token(), parse_keys(fixed), RULES, time.time())


def test_an_unknown_key_is_told_from_a_bad_signature():
    one, other = Signer("k1", "ES256"), Signer("k2", "ES256")
    keys = parse_keys(one.jwks)
    with pytest.raises(UnknownKey):
        verify(other.token(), keys, RULES, time.time())
    with pytest.raises(TokenRefused) as raised:
        verify(other.token(header={"kid": "k1"}), keys, RULES, time.time())
    assert not isinstance(raised.value, UnknownKey)


def test_a_token_without_a_key_id_is_tried_with_all():
    signers = [Signer(kid, "ES256") for kid in ("a", "b")]
    keys = parse_keys(json.dumps({"keys": [one.jwk for one in signers]}).encode())
    for signer in signers:
        verify(signer.token(header={"kid": None}), keys, RULES, time.time())
    with pytest.raises(UnknownKey):
        verify(Signer(None, "ES256").token(), keys, RULES, time.time())


def test_keys_without_an_id_are_tried_for_any():
    signer = Signer(None, "ES256")
    verify(signer.token(header={"kid": "x"}), parse_keys(signer.jwks), RULES, time.time())


def test_a_secret_counts_where_it_is_none_that_is_published():
    signer = Signer(alg="HS256")
    assert parse_keys(signer.jwks).keys == ()
    verify(signer.token(), parse_keys(signer.jwks, symmetric=True), RULES, time.time())
    for jwks in (signer.jwks, SIGNERS["ES256"].jwks):
        with pytest.raises(TokenRefused) as caught:
            verify(signer.token(header={"kid": None}), parse_keys(jwks), RULES, time.time())
        assert not isinstance(caught.value, UnknownKey)  # for which the issuer would be asked


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_claims_have_a_bound_of_depth_and_tokens_one_of_length():
    signer = SIGNERS["ES256"]
    keys = parse_keys(signer.jwks)
    wide = [{"]}": '\\"['}] * 900
    verify(signer.token(groups=wide, deep=nested(98)), keys, replace(RULES, longest=65_536), time.time())
    for claims in ({"deep": nested(101)}, {"deep": [nested(50), {"x": nested(100)}]}, {"groups": wide}):
        with pytest.raises(TokenRefused):
            verify(signer.token(**claims), keys, RULES, time.time())


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "RSA", "n": "sXch", "e": "AQAB"},
        {"kty": "oct", "k": "c2hvcnQ"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "new"},
        {**SIGNERS["ES256"].jwk, "use": "enc"},
        {**SIGNERS["ES256"].jwk, "key_ops": ["sign"]},
        {**SIGNERS["ES256"].jwk, "alg": "RS256"},
        {**SIGNERS["ES256"].jwk, "kid": 5},
        "nothing",
        None,
    ],
)
def test_keys_that_cannot_be_used_are_left_out_and_the_others_stay(jwk):
    keys = parse_keys(json.dumps({"keys": [jwk, SIGNERS["ES256"].jwk]}).encode(), symmetric=True)
    assert (len(keys.keys), len(keys.unused)) == (1, 1)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [' + b"{}," * 64 + b"{}]}"])
def test_what_is_no_jwk_set_is_refused(data):
    with pytest.raises(ValueError):
        parse_keys(data)


def test_a_key_is_the_same_whatever_it_is_called():
    signer = Signer("a", "ES256")
    before = parse_keys(signer.jwks).marks
    signer.kid = "b"
    assert parse_keys(signer.jwks).marks == before


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scp": ["a", 5]}, {"a"}),
        ({"scope": "a", "scp": "b"}, {"a", "b"}),
        ({"scope": None}, set()),
        ({"scope": {"a": 1}}, set()),
        ({}, set()),
    ],
)
def test_scopes_come_as_text_or_array(claims, scopes):
    assert scopes_of(claims) == scopes
