"""Heads that several tasks wrote, read as one map."""

import numpy as np
import pytest

import cellbatch.io.handoff_reader
from cellbatch.errors import InputError
from cellbatch.io.handoffs import HandoffWriter
from cellbatch.phases.handoff_files import FIRST_ROW, ROWS, open_heads

NAME = "whole_cell_interior"


@pytest.fixture
def shards(tmp_path):
    """A map of 50 x 30 px in three pieces, beside a sample that only the first task had."""
    values = np.random.default_rng(0).random((50, 30), np.float32)
    paths = []
    for index, (first, end) in enumerate([(0, 20), (20, 21), (21, 50)]):
        paths.append(tmp_path / f"b.{index}.heads.zip")
        with HandoffWriter(paths[-1]) as handoff:
            handoff.write("big", NAME, values[first:end], {FIRST_ROW: first, ROWS: 50})
            if not index:
                handoff.write("small", NAME, values[:5])
    return values, paths


def test_pieces_read_as_one_map_in_any_order(shards):
    values, paths = shards
    heads = open_heads(paths[::-1], "big", NAME)
    assert heads.shape == (50, 30)
    np.testing.assert_array_equal(heads[0:50, 0:30], values)
    np.testing.assert_array_equal(heads[18:23, 4:9], values[18:23, 4:9])
    np.testing.assert_array_equal(heads[45:99, 0:30], values[45:])
    assert heads[7:7, 3:9].shape == (0, 6)
    np.testing.assert_array_equal(open_heads(paths, "small", NAME)[0:5, 0:30], values[:5])


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_an_absent_piece_is_an_error(shards, absent):
    _, paths = shards
    with pytest.raises(InputError, match=f"ends at row {[0, 20, 21][absent]} of 50"):
        open_heads([path for index, path in enumerate(paths) if index != absent], "big", NAME)


def test_a_sample_that_nobody_wrote_is_an_error(shards):
    with pytest.raises(InputError, match="other is in none of"):
        open_heads(shards[1], "other", NAME)


def test_chunks_that_neighbours_share_are_decoded_once(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((1100, 1500), np.float32)
    with HandoffWriter(tmp_path / "b.0.heads.zip") as handoff:
        handoff.write("big", NAME, values)
    heads = open_heads([tmp_path / "b.0.heads.zip"], "big", NAME)
    keys = []
    decode = cellbatch.io.handoff_reader.decode_chunk
    monkeypatch.setattr(cellbatch.io.handoff_reader, "decode_chunk", lambda *found: keys.append(1) or decode(*found))
    for x in range(0, 1500, 100):
        np.testing.assert_array_equal(heads[300:800, x : x + 120], values[300:800, x : x + 120])
    assert len(keys) == 6


def test_two_blocks_at_once_decode_the_chunks_of_their_row_once(tmp_path, monkeypatch):
    core, halo, height, width, names = 1536, 52, 1640, 7680, (NAME, "whole_cell_inner_distance")
    with HandoffWriter(tmp_path / "b.0.heads.zip") as handoff:
        for name in names:
            handoff.write("big", name, np.ones((height, width), np.float32))
    maps = [open_heads([tmp_path / "b.0.heads.zip"], "big", name) for name in names]
    decoded = []
    decode = cellbatch.io.handoff_reader.decode_chunk
    monkeypatch.setattr(cellbatch.io.handoff_reader, "decode_chunk", lambda *found: decoded.append(1) or decode(*found))
    for first in range(0, width, 2 * core):
        for one in maps:
            for x in range(first, min(first + 2 * core, width), core):
                one[0:height, max(x - halo, 0) : x + core + halo]
    assert len(decoded) == 2 * -(-height // 256) * -(-width // 1024)
