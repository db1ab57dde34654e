"""What is said of who asks, read by name, and two identities at once."""

import pytest

from netfront.policy.claims import Identity, claim, holds, texts

CLAIMS = {
    "sub": "ann",
    "realm": {"roles": ["a", "b"], "deep": {"x": 0}},
    "a.b": "as it stands",
    "a": {"b": "inside"},
    "https://id.test/roles": ["admin"],
    "yes": True,
    "none": None,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sub", "ann"),
        ("realm.roles", ["a", "b"]),
        ("realm.deep.x", 0),
        ("a.b", "as it stands"),
        ("https://id.test/roles", ["admin"]),
        ("none", None),
        ("sub.x", None),
        ("realm.roles.0", None),
        ("realm.nothing", None),
        ("", None),
        (".", None),
        ("sub.", None),
    ],
)
def test_a_claim_is_found_by_its_dotted_name(name, value):
    assert claim(CLAIMS, name) == value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("x", ("x",)),
        (7, ("7",)),
        (True, ("true",)),
        (False, ("false",)),
        (None, ()),
        ({}, ()),
        ([], ()),
        (["x", 1, None, {"y": 1}, ["z"]], ("x", "1")),
    ],
)
def test_values_are_read_as_text(value, read):
    assert texts(value) == read


def test_an_array_holds_one_of_the_wanted():
    assert holds(["a", "b"], {"b", "c"})
    assert not holds(["a", "b"], {"c"})
    assert not holds(None, {"None", "null", ""})
    assert not holds("admin, user", {"admin"})


def test_of_both_the_narrower_names_the_user_and_scopes_add_up():
    wide = Identity("api-key", "shop", {"sub": "shop", "plan": "gold"}, frozenset({"read"}), "shop")
    narrow = Identity("jwt", "ann", {"sub": "ann"}, frozenset({"write"}))
    both = wide.also(narrow)
    assert (both.kind, both.user, both.key) == ("api-key+jwt", "ann", "shop")
    assert both.claims == {"sub": "ann", "plan": "gold"}
    assert both.scopes == {"read", "write"}


def test_claims_are_not_shown():
    assert "secret" not in repr(Identity("jwt", "ann", {"email": "secret"}))
