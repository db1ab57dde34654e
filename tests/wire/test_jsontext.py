"""JSON that goes on as it came, and what is refused of it."""

import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netfront.wire.jsontext import DEEPEST, Number, check, has_numbers, parse, parse_prefix, quote, render

SKIM = msgspec.json.Decoder(type=msgspec.Raw).decode
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    "text",
    [
        b"10000000000000001",
        b"1e400",
        b"0.10",
        b"-0",
        b"-0.0",
        b"1E+2",
        b"123456789" * 50,
        b'[1.0,{"a":2.50,"b":[-0]}]',
        b'{"z":1,"a":2}',
        b'{"half":"\\ud800"}',
        '{"ü":"\u2028€"}'.encode(),
        b"[]",
        b"{}",
        b'[true,false,null,"",{"":[]}]',
    ],
)
def test_a_text_without_spaces_is_written_as_it_was_read(text):
    assert render(parse(text)) == text


@pytest.mark.parametrize("count", [1, 1000])
def test_a_whole_number_of_many_digits_keeps_its_text(count):
    texts = ["7" * 40, "7" * 41, "-" + "7" * 4300, "7" * 5000]
    data = b"[" + b",".join(text.encode() for text in texts * count) + b"]"
    value = parse(data)
    assert value[0] == int(texts[0])
    assert [isinstance(one, Number) for one in value[:4]] == [False, True, True, True]
    assert has_numbers(data)
    assert render(value) == data


def test_a_number_with_a_fraction_is_the_nearest_double_and_keeps_its_text():
    value = parse(b"[0.10, 1e400]")
    assert value == [0.1, float("inf")]
    assert [one.text for one in value] == ["0.10", "1e400"]
    assert [isinstance(one, Number) for one in value] == [True, True]


@given(VALUES)
def test_what_is_written_is_read_as_the_same(value):
    text = render(value)
    assert json.loads(text) == value
    assert parse(text) == value


@given(VALUES)
def test_plain_values_are_written_alike_in_both_ways(value):
    assert json.loads(render(value, plain=True)) == json.loads(render(value))


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0123.eE-+ntf\\u"', max_size=40).map(str.encode))
def test_garbage_raises_value_error_alone(data):
    try:
        value = parse(data)
    except ValueError:
        return
    assert parse(render(value)) == value


def is_json(data):
    """Tell by Python's own reader, which takes NaN beside what is JSON."""
    try:
        json.loads(data.decode(), parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return True


@given(VALUES, st.data())
def test_what_passes_the_check_is_what_readers_take(value, data):
    text = bytearray(json.dumps(value, ensure_ascii=data.draw(st.booleans())).encode(errors="surrogatepass"))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 1))] = data.draw(st.sampled_from(_DAMAGE))
    text = bytes(text)
    for skim in (None, SKIM):
        try:
            check(text, skim)
        except ValueError:
            assert not is_json(text)
        else:
            assert is_json(text)


_DAMAGE = [
    b"",
    *(bytes([byte]) for byte in b'{}[]",:\\/019eE+-.tfnu \n\0\x1f\x7f\x80\xc3\xff'),
    b"\\ud800",
    b"NaN",
]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a":1,"a":2}', 'it has the name "a" twice in one object'),
        (b'[{"b":{"a":1,"\\u0061":1}}]', 'it has the name "a" twice in one object'),
        (b"[NaN]", "it has NaN, which is no JSON"),
        (b"-Infinity", "it has -Infinity, which is no JSON"),
        (b'"\xff"', "it is not UTF-8"),
        (b"[" * 101 + b"]" * 101, "it is nested more than 100 levels deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "it is nested more than 100 levels deep"),
        (b'{"a":}', "it is no JSON from byte 5 on"),
        ('["€",]'.encode(), "it is no JSON from byte 7 on"),
        (b"", "it is no JSON from byte 0 on"),
        (b"1 2", "it is no JSON from byte 2 on"),
        (b"01", "it is no JSON from byte 1 on"),
        (b"'a'", "it is no JSON from byte 0 on"),
        (b'"a\nb"', "it is no JSON from byte 2 on"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == why


def test_brackets_in_strings_are_not_counted_as_levels():
    text = json.dumps(["[" * 500, "\\" + "{" * 500 + '"'], separators=(",", ":")).encode()
    assert render(parse(text)) == text


def test_many_shallow_brackets_are_no_depth():
    text = b"[" + b",".join([b"{}"] * 500) + b"]"
    assert len(parse(text)) == 500
    assert parse(b"[" * DEEPEST + b"]" * DEEPEST)


def test_a_byte_order_mark_is_passed_over():
    assert parse(b"\xef\xbb\xbf[1]") == [1]


def test_a_value_is_read_in_front_of_other_text():
    assert parse_prefix('x={"a": " + "}:/b', 2) == ({"a": " + "}, 14)
    with pytest.raises(ValueError, match="expecting"):
        parse_prefix("{a}", 0)


def test_computed_numbers_that_are_none_are_null():
    assert render([float("inf"), float("nan"), 0.5]) == b"[null,null,0.5]"


def test_numbers_whose_text_counts_are_found():
    assert has_numbers(b'{"a":1.5}')
    assert not has_numbers(b'{"a":15,"b":"x"}')


def test_a_key_is_written_with_its_escapes():
    assert quote('a"\n') == b'"a\\"\\n"'


@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:0123.eE-+ntf\\u"', max_size=40).map(str.encode))
def test_what_is_checked_is_what_is_read_but_for_names_that_are_there_twice(data):
    why = ["", ""]
    for at, read in enumerate((check, parse)):
        try:
            read(data)
        except ValueError as error:
            why[at] = str(error)
    assert why[0] == why[1] or (not why[0] and "twice" in why[1])


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf[1]", b"-0", b"1" * 5000, b'{"a":1,"a":2}', b" [1e400] \n"])
def test_what_may_go_on_is_checked_and_no_more(data):
    check(data)


@pytest.mark.parametrize("data", [b"", b"[NaN]", b'"\xff"', b"[" * 101 + b"]" * 101, b"1" * 5000 + b"x"])
def test_what_is_no_json_is_refused_by_a_check_too(data):
    with pytest.raises(ValueError):
        check(data)


def test_a_name_that_comes_twice_among_many_costs_no_more_than_reading_them():
    """The text is a client's: to count each name among all would take an hour, with nothing else served."""
    names = ",".join(f'"k{number}":0' for number in (*range(200_000), 199_999))
    with pytest.raises(ValueError) as caught:
        parse(b"{%b}" % names.encode())
    assert str(caught.value) == 'it has the name "k199999" twice in one object'


@pytest.mark.parametrize("text", [b"A" * 300_000, b"\\n" * 150_000], ids=["plain", "escapes"])
def test_a_long_string_costs_no_memory_of_its_own(text):
    """To look for depth is to pass over strings: what could be gone back to was remembered, 117 bytes for each."""
    data = b'[%b,"%b"]' % (b",".join([b"{}"] * 101), text)
    parse(data)  # what is made once
    tracemalloc.start()
    try:
        check(data)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(data)
    finally:
        tracemalloc.stop()
