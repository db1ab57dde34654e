"""Fields of a head whose shape is known: the same to whoever asks, taken apart or not."""

from hypothesis import given
from hypothesis import strategies as st

from netfront.wire.fields import OVERRIDE, Edit, Field, Fields, Layout, field

NAMES = [b"A", b"a", b"Authorization", b"X-Key", b"Cookie"]
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([b"", b"1", b"two words"])), max_size=6)


def laid_out(pairs, added):
    """Make a section that is not taken apart, behind a part that is not of it."""
    rows = [field(*pair) for pair in pairs]
    parts = (b"GET / HTTP/1.1\r\n", *(row.raw for row in rows))
    layout = Layout([(at + 1, row) for at, row in enumerate(rows)])
    extra = tuple(field(*pair) for pair in added)
    return Fields.laid_out(layout, parts, extra, b"".join(row.raw for row in extra))


@given(PAIRS, PAIRS)
def test_what_is_asked_for_is_found_without_taking_it_apart(pairs, added):
    section, plain = laid_out(pairs, added), Fields.of(*pairs, *added)
    for _ in range(2):
        for name in (b"a", b"authorization", b"x-key", b"cookie", b"none"):
            assert section.get(name) == plain.get(name)
            assert section.get_all(name) == plain.get_all(name)
            assert section.has_any(frozenset({name})) is (plain.get(name) is not None)
        assert section.has_any(frozenset({b"a", b"none"})) is plain.has_any(frozenset({b"a", b"none"}))
    assert section._rows is None  # reading it has not made it dear
    assert [(row.name, row.value) for row in section] == [(row.name, row.value) for row in plain]
    assert section.get(b"a") == plain.get(b"a")


@given(PAIRS, PAIRS, st.sampled_from(NAMES))
def test_so_is_what_an_edit_leaves(pairs, added, name):
    edit = Edit(names=[name.lower()], added=[field(b"X-New", b"n")])
    section, plain = laid_out(pairs, added).edited(edit), Fields.of(*pairs, *added).edited(edit)
    for asked in (b"a", b"authorization", b"x-key", b"cookie", b"x-new"):
        assert section.get_all(asked) == plain.get_all(asked)
        assert section.has_any(frozenset({asked})) is plain.has_any(frozenset({asked}))
    assert section.rendered == plain.rendered


@given(PAIRS, PAIRS)
def test_what_an_edit_adds_is_known_by_its_kind(pairs, added):
    """Whoever looks for a kind looks at `kinds` alone, whichever way the section came and was edited."""
    row = Field(b"destination", b"/x", b"Destination: /x\r\n", OVERRIDE)
    for section in (laid_out(pairs, added), Fields.of(*pairs, *added)):
        once = section.edited(Edit(names=[b"a"], added=[row]))
        for edited in (once, once.edited(Edit(names=[b"x-key"])), once.plus(field(b"X-New", b"n"))):
            assert edited.kinds >> OVERRIDE & 1
        assert not section.kinds >> OVERRIDE & 1


def test_what_is_remembered_of_names_is_bounded():
    section = laid_out([(b"A", b"1")], [])
    for index in range(1000):
        assert section.get(b"x%d" % index) is None
    assert section.get(b"a") == b"1"
    assert len(section._layout._found) <= 64
