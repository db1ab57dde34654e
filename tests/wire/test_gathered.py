"""Bytes that come in pieces and are held whole."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from netfront.wire.gathered import Gathered


@given(st.lists(st.binary(min_size=1, max_size=9)))
def test_pieces_make_a_whole(pieces):
    gathered = Gathered()
    for at, piece in enumerate(pieces, start=1):
        gathered.add(piece)
        assert len(gathered) == len(b"".join(pieces[:at]))
    assert gathered.whole() == b"".join(pieces)


def test_one_piece_is_itself():
    gathered, piece = Gathered(), b"x" * 99
    gathered.add(piece)
    assert gathered.whole() is piece


def test_many_small_pieces_take_about_their_bytes():
    gathered = Gathered()
    tracemalloc.start()
    for _ in range(200_000):
        gathered.add(b"ab")
    held, _ = tracemalloc.get_traced_memory()
    whole = gathered.whole()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(whole) == 400_000
    assert held < 600_000
    assert most < 900_000
