"""JMESPath over documents whose numbers keep their text."""

import pytest

from netfront.errors import UsageError
from netfront.policy.jmes import compile_expression
from netfront.wire.jsontext import parse, render

DOCUMENT = parse(
    b'{"big":10000000000000001,"far":1e400,"price":0.10,"xs":[{"p":1.50,"n":"a"},{"p":2,"n":"b"}],'
    b'"whole":[9007199254740993,0],"small":[1,2]}'
)


def run(text):
    return render(compile_expression(text, text, 0).run(DOCUMENT))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{b: big, f: far, p: price}", b'{"b":10000000000000001,"f":1e400,"p":0.10}'),
        ("xs[?p > `1`].p", b"[1.50,2]"),
        ("xs[?p == `1.5`].n | [0]", b'"a"'),
        ("max(whole)", b"9007199254740993"),
        ("sort_by(xs, &p)[].p", b"[1.50,2]"),
        ("[`0.10`, `1e400`, `10000000000000001`]", b"[0.10,1e400,10000000000000001]"),
        ("{n: xs[?p > `1.40`].p, l: `2.50`}", b'{"n":[1.50,2],"l":2.50}'),
        ("big == `10000000000000001`", b"true"),
        ("big == `10000000000000000`", b"false"),
    ],
)
def test_a_number_that_is_copied_keeps_its_text(text, result):
    assert run(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("sum(whole)", b"9007199254740992.0"),
        ("sum(small)", b"3"),
        ("avg(small)", b"1.5"),
        ("abs(price)", b"0.1"),
        ("ceil(price)", b"1"),
        ("floor(price)", b"0"),
        ("to_number('0.50')", b"0.5"),
        ("to_number('nan')", b"null"),
        ("to_number('1_0')", b"null"),
        ("to_number(' 12 ')", b"null"),
        ("to_number('-1.5e2')", b"-150"),
        ("to_string(xs[0].p)", b'"1.50"'),
        ("to_string(far)", b'"1e400"'),
        ("to_string('a')", b'"a"'),
        ("length(xs)", b"2"),
    ],
)
def test_a_number_that_is_computed_is_a_double(text, result):
    assert run(text) == result


@pytest.mark.parametrize(
    "text", ["abs(far)", "ceil(far)", "floor(far)", "sum([far, far])", "avg([far])", "to_number('1e999')"]
)
def test_a_number_that_no_double_holds_is_not_computed(text):
    with pytest.raises(ValueError, match="out of bounds"):
        run(text)


@pytest.mark.parametrize("text", ["`{bad}`", "x == `[1,]`", "`01`", "`-`"])
def test_a_literal_that_begins_as_json_is_json(text):
    with pytest.raises(UsageError, match="in backticks is JSON"):
        compile_expression(text, text, 0)


@pytest.mark.filterwarnings("ignore:deprecated string literal")
def test_a_word_in_backticks_is_a_text_still():
    assert run("`word`") == b'"word"'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.b", {"a"}),
        ("{x: a.b, y: c[0].d}", {"a", "c"}),
        ("a[?b == c].d", {"a"}),
        ("a | b", {"a"}),
        ("a || b && !c", {"a", "b", "c"}),
        ("map(&x, a)", {"a"}),
        ("join(', ', a[].b)", {"a"}),
        ("`1`", set()),
        ("a.{x: b}", {"a"}),
        ("@", None),
        ("@.a", None),
        ("keys(@)", None),
        ("*.a", None),
    ],
)
def test_the_names_that_are_taken_are_known(text, names):
    found = compile_expression(text, text, 0).names
    assert found == (None if names is None else frozenset(names))


def test_the_keys_of_an_object_are_known():
    assert compile_expression("{b: x, a: y}", "{b: x, a: y}", 0).keys == ("b", "a")
    assert compile_expression("x", "x", 0).keys is None


@pytest.mark.parametrize("text", ["sum(big)", "length(price)", "sort(xs)", "join('', small)"])
def test_a_function_that_gets_what_it_does_not_take_is_a_value_error(text):
    with pytest.raises(ValueError):
        run(text)
