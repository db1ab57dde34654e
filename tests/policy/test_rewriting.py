"""Rewriting and templates: what is sent, what stays, and what is no template."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.errors import BadMessage, UsageError
from netfront.policy.rewriting import Rewriting
from netfront.policy.scope import parse_scope
from netfront.policy.template import Template
from netfront.wire.target import parse_target


def rewritten(scope, path, raw):
    return Rewriting(parse_scope(scope), path).of(parse_target(b"GET", raw))


@pytest.mark.parametrize(
    ("scope", "raw", "sent"),
    [
        ("/old/{id}", b"/old/7/a", b"/new/7/a"),
        ("/old/{id}", b"/old", None),
        ("/old/{id}", b"/older/7", None),
        ("/old/{id}", b"/x/../old/7", b"/new/7"),
        ("/old/{id}", b"/old/7%2f..%2f..", None),
        ("/old/{id}$", b"/old/7/a", None),
        ("GET a.test/old/{id}", b"/old/7", b"/new/7"),
    ],
)
def test_another_target_is_rewritten_where_the_scope_has_its_path(scope, raw, sent):
    change = Rewriting(parse_scope(scope), "/new/{id}")
    assert change.of_another(parse_target(b"PUT", raw)) == sent


@pytest.mark.parametrize(
    ("scope", "path", "raw", "sent"),
    [
        ("/old/{id}", "/new/{id}", b"/old/7", b"/new/7"),
        ("/old/{id}", "/new/{id}", b"/old/7/", b"/new/7/"),
        ("/old/{id}", "/new/{id}", b"/old/7/a/b", b"/new/7/a/b"),
        ("/old/{id}", "/new/{id}", b"/old/7?a=1&a=2", b"/new/7?a=1&a=2"),
        ("/old/{id}", "/new/{id}", b"/old/7?", b"/new/7?"),
        ("/old/{id}", "/new/{id}$", b"/old/7/a/b?q", b"/new/7?q"),
        ("/old/{a}/{b}", "/{b}/{a}", b"/old/1/2", b"/2/1"),
        ("/old/*/{b}", "/{b}", b"/old/1/2/3", b"/2/3"),
        ("/old/**", "/new/**", b"/old/1/2", b"/new/1/2"),
        ("/old", "/new", b"/old", b"/new"),
        ("/old", "/", b"/old", b"/"),
        ("/old", "/", b"/old/x", b"/x"),
        ("/", "/v2", b"/x", b"/v2/x"),
        ("/", "/v2", b"/", b"/v2/"),
        ("/old/{id}", "/new?id={id}", b"/old/7", b"/new?id=7"),
        ("/old/{id}", "/new?id={id}", b"/old/7/x?q=1", b"/new/x?id=7&q=1"),
        ("/old/{id}", "/new?id={id}", b"/old/a&b=c+d", b"/new?id=a%26b%3Dc%2Bd"),
        # a segment stays the bytes it was, and no more than a segment
        ("/old/{id}", "/new/{id}", b"/old/a%2Fb", b"/new/a%2Fb"),
        ("/old/{id}", "/new/{id}", b"/old/a%3fb%23", b"/new/a%3fb%23"),
        ("/old/{id}", "/new/{id}", b"/old/%C3%A9", b"/new/%C3%A9"),
        ("/old/{id}", "/new/{id}", b"/old/7;v=1", b"/new/7;v=1"),
        ("/old/{id}", "/new/{id}", b"/o%6Cd/a%62c", b"/new/abc"),
        ("/old/{id}", "/new/{id}", b"//old/./x/../7", b"/new/7"),
    ],
)
def test_path_is_rewritten(scope, path, raw, sent):
    assert rewritten(scope, path, raw) == sent


@pytest.mark.parametrize("raw", [b"/old/%00", b"/old/..;/x", b"/old/%c0%ae"])
def test_what_cannot_be_normalised_is_not_rewritten(raw):
    with pytest.raises(BadMessage):
        rewritten("/old/{id}", "/new/{id}", raw)


SEGMENT = st.text("ab.;%2fFeE\\&?=", min_size=1, max_size=8)


@given(SEGMENT)
def test_parameter_leads_nowhere_but_where_the_template_says(segment):
    try:
        sent = rewritten("/old/{id}", "/new/{id}/end", b"/old/" + segment.encode().replace(b"?", b"%3f"))
        target = parse_target(b"GET", sent)
        assert target.normalised.startswith(b"/new/")
    except BadMessage:
        return
    except IndexError:
        # the segment was none: such a request is not in the scope
        assert segment.startswith((".", ";", "%2e", "%2E"))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("new", "not a path"),
        ("//new", "not a path"),
        ("/new/{other}", "no {other} in its scope"),
        ("/new/{id", "cannot stand in a URL"),
        ("/a b", "cannot stand in a URL"),
        ("/%zz", "encodes nothing"),
        ("/a/../b", "path that can be sent"),
        ("/a/%2e%2E", "path that can be sent"),
        ("/a#b", "path that can be sent"),
    ],
)
def test_what_is_no_path_is_refused(path, why):
    with pytest.raises(UsageError) as caught:
        Rewriting(parse_scope("/old/{id}"), path)
    assert why in str(caught.value)


def test_template_is_filled():
    template = Template("https://e.test/{a}/x{b}?q={a}#{b}", ("a", "b"))
    assert template.fill({"a": b"1&2", "b": b"%2F"}) == b"https://e.test/1&2/x%2F?q=1%262#%2F"
    assert Template("/plain").fill({}) == b"/plain"
