"""References: what stands in their place, and what cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.policy.reference import Missing, parse_template
from netfront.wire.jsontext import parse
from netfront.wire.target import parse_target

THINGS = {
    "user": parse(
        b'{"id":7,"big":10000000000000001,"price":0.10,"far":1e400,"yes":true,"name":"a/b c?&=#%\xc3\xbc",'
        b'"none":null,"o":{},"l":[{"k":1},{"k":"x"}],"odd key":{"a.b":"q"}}'
    ),
    "params": {"id": "x"},
    "query": {"q": ["1", "2"], "empty": [""]},
    "claims": {"sub": "ann", "a.b": "dotted", "a": {"b": "nested"}, "groups": ["g", "h"]},
    "body": [3],
}


def fill(text):
    template, _ = parse_template(text, 0)
    return template.fill(lambda reference: reference.value(THINGS.__getitem__))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/u", b"/u"),
        ("/u/{user.id}", b"/u/7"),
        ("/u/{user.big}?p={user.price}&f={user.far}", b"/u/10000000000000001?p=0.10&f=1e400"),
        ("/u/{user.yes}", b"/u/true"),
        ("/u/{user.name}", b"/u/a%2Fb%20c%3F%26%3D%23%25%C3%BC"),
        ("/u?n={user.name}", b"/u?n=a%2Fb%20c%3F%26%3D%23%25%C3%BC"),
        ("/u/{user.l[0].k}/{user.l[-1].k}", b"/u/1/x"),
        ('/u/{user."odd key"."a.b"}', b"/u/q"),
        ("/u/{params.id}", b"/u/x"),
        ("/u?q={query.q}&e={query.empty}", b"/u?q=1&e="),
        ("/u/{claims.sub}", b"/u/ann"),
        ("/u/{claims.a.b}", b"/u/dotted"),
        ("/u/{body[0]}.json", b"/u/3.json"),
    ],
)
def test_a_value_is_put_in_percent_encoded(text, target):
    assert fill(text) == target


@pytest.mark.parametrize(
    ("text", "source", "why"),
    [
        ("/u/{user.nope}", "user", "{user.nope} is missing"),
        ("/u/{user.none}", "user", "{user.none} is missing"),
        ("/u/{user.id.x}", "user", "{user.id.x} is missing"),
        ("/u/{user.l[2]}", "user", "{user.l[2]} is missing"),
        ("/u/{user.o}", "user", "{user.o} is an object, which is no text"),
        ("/u/{user.l}", "user", "{user.l} is an array, which is no text"),
        ("/u?q={query.nope}", "query", "{query.nope} is missing"),
        ("/u/{claims.nope}", "claims", "{claims.nope} is missing"),
        ("/u/{query.empty}/x", "query", "{query.empty} is empty, which is no path segment"),
    ],
)
def test_a_missing_value_is_told_by_its_reference(text, source, why):
    with pytest.raises(Missing) as caught:
        fill(text)
    assert (caught.value.source, caught.value.why) == (source, why)


@pytest.mark.parametrize("value", [".", "..", "../admin", "a/../b", "..;x", "x\\..", "a\x00", ""])
@pytest.mark.parametrize("template", ["/u/{user}", "/u/{user}/x", "/u/{user}?q=1"])
def test_a_value_that_could_move_a_path_is_refused(template, value):
    parsed, _ = parse_template(template, 0)
    with pytest.raises(Missing):
        parsed.fill(lambda _: value)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("/a/%2e{user}", "."),
        ("/a/%2E{user}", "%2e"),
        ("/a/{user}", "..%2fadmin"),
        ("/a/{user}", "x%5C.."),
        ("/a/{user}", "..%3bx"),
    ],
)
def test_a_value_that_is_encoded_already_moves_no_path_of_who_decodes_twice(template, value):
    parsed, _ = parse_template(template, 0)
    with pytest.raises(Missing, match="makes a dot segment"):
        parsed.fill(lambda _: value)


@pytest.mark.parametrize(
    ("value", "target"), [("", b"/f-"), ("..", b"/f-.."), ("a/../b", None), (".", b"/f-.")]
)
def test_a_value_beside_text_is_part_of_a_segment(value, target):
    parsed, _ = parse_template("/f-{user}", 0)
    if target is not None:
        assert parsed.fill(lambda _: value) == target
    else:
        with pytest.raises(Missing):
            parsed.fill(lambda _: value)


def test_values_that_together_are_nothing_make_no_segment():
    parsed, _ = parse_template("/u/{user}{query.a}/x/", 0)
    with pytest.raises(Missing, match="is empty"):
        parsed.fill(lambda _: "")


@pytest.mark.parametrize("value", ["/x", "\\x"])
def test_a_dot_segment_cannot_be_put_together(value):
    parsed, _ = parse_template("/u/..{user}/x", 0)
    with pytest.raises(Missing, match="makes a dot segment"):
        parsed.fill(lambda _: value)


@given(st.text(min_size=1))
def test_whatever_a_value_is_it_stays_within_its_segment(value):
    parsed, _ = parse_template("/a/{user}/b?q={user}&r=1", 0)
    try:
        target = parsed.fill(lambda _: value)
    except Missing:
        return
    path, _, query = target.partition(b"?")
    assert path.count(b"/") == 3
    assert query.count(b"&") == 1
    assert parse_target(b"GET", target).path == path


def test_a_path_is_given_with_a_word_for_segments_with_references():
    template, _ = parse_template("/a/x{user.id}y/{user.id}{user.l}?q={user.id}", 0)
    assert template.path_with("*") == "/a/*/*"


def test_a_reference_runs_over_an_array():
    template, _ = parse_template("/i/{user.l[].k}", 0)
    each = template.each
    assert [each.of_item(item) for item in each.items(THINGS.__getitem__)] == [1, "x"]


def test_a_query_and_claims_may_have_several():
    template, _ = parse_template("/i/{query.q[]}/{claims.groups[]}", 0)
    query, claims = template.references
    assert query.items(THINGS.__getitem__) == ["1", "2"]
    assert [claims.of_item(item) for item in claims.items(THINGS.__getitem__)] == ["g", "h"]


def test_what_is_no_array_is_not_run_over():
    template, _ = parse_template("/i/{user.id[].k}", 0)
    with pytest.raises(Missing, match="runs over a number"):
        template.each.items(THINGS.__getitem__)
