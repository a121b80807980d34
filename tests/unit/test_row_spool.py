"""Rows that arrive in any order."""

from pathlib import Path

import numpy as np
import pytest

from cellbatch.io.row_spool import RowSpool


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
def test_rows_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_bytes: int) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = rng.random((1000, 7))
    with RowSpool(1000, 7, memory_bytes) as spool:
        for places in np.array_split(rng.permutation(1000), 13):
            spool.write(places, table[places])
        np.testing.assert_array_equal(np.concatenate(list(spool.pieces(500))), table)
        assert {len(piece) for piece in spool.pieces(560)} == {10}
        np.testing.assert_array_equal(spool.read(990, 1000), table[990:])
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_one_empty_piece() -> None:
    with RowSpool(0, 3) as spool:
        assert [piece.shape for piece in spool.pieces()] == [(0, 3)]
