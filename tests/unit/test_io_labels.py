"""Label images."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellbatch.errors import InputError
from cellbatch.io.images import read_header
from cellbatch.io.labels import read_labels, write_labels
from cellbatch.spec import Window


def draw(shape: tuple[int, int], top: int = 2**32 - 1) -> np.ndarray:
    blocks = np.random.default_rng(1).integers(0, top, (-(-shape[0] // 8), -(-shape[1] // 8)), dtype=np.uint32)
    return np.kron(blocks, np.ones((8, 8), np.uint32))[: shape[0], : shape[1]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (64, 64), (513, 511), (700, 1030)])
def test_labels_come_back(tmp_path: Path, shape: tuple[int, int]) -> None:
    path, labels = tmp_path / "a.ome.tif", draw(shape)
    write_labels(path, labels, 0.325, "whole_cell")
    np.testing.assert_array_equal(read_labels(path), labels)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    header = read_header(path)
    assert header.shape == (1, *shape)
    assert header.dtype == "uint32"
    assert header.channel_names == ("whole_cell",)
    assert header.image_mpp == 0.325
    assert header.format == "ome-tiff"


def test_a_rectangle_is_read(tmp_path: Path) -> None:
    path, labels = tmp_path / "a.ome.tif", draw((700, 600))
    write_labels(path, labels, 0.5, "nuclear")
    np.testing.assert_array_equal(read_labels(path, Window(500, 520, 3, 590)), labels[500:520, 3:590])


def test_file_structure(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    write_labels(path, draw((600, 600)), 0.65, 'a <&"> name')
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        assert tif.is_ome
        assert not tif.is_bigtiff
        assert (page.tilelength, page.tilewidth) == (512, 512)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.resolution == pytest.approx((1e4 / 0.65, 1e4 / 0.65), rel=1e-6)
        assert page.resolutionunit == tifffile.RESUNIT.CENTIMETER
        assert len(tif.series[0].levels) == 1
        assert "DateTime" not in page.tags
        assert "Software" not in page.tags
    assert read_header(path).channel_names == ('a <&"> name',)


def test_large_labels_have_a_pyramid(tmp_path: Path) -> None:
    path, labels = tmp_path / "a.ome.tif", draw((4100, 300))
    counted: list[int] = []
    write_labels(path, labels, 0.5, "whole_cell", 2, counted.append)
    assert len(counted) > 8
    assert sum(counted) == labels.size
    with tifffile.TiffFile(path) as tif:
        levels = tif.series[0].levels
        assert [level.shape for level in levels] == [(4100, 300), (2050, 150), (1025, 75), (513, 38)]
        for index, level in enumerate(levels):
            np.testing.assert_array_equal(level.asarray(), labels[:: 2**index, :: 2**index])
            assert level.pages[0].is_reduced == (index > 0)
    np.testing.assert_array_equal(read_labels(path), labels)


def test_equal_labels_give_equal_bytes(tmp_path: Path) -> None:
    labels = draw((600, 4200))
    for name in ("a", "b"):
        write_labels(tmp_path / name, labels, 0.5, "whole_cell")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_bigtiff_where_the_size_calls_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellbatch.io.labels.CLASSIC_LIMIT_BYTES", 1000)
    labels = draw((64, 64))
    write_labels(tmp_path / "a.ome.tif", labels, None, "whole_cell")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        assert tif.is_bigtiff
    np.testing.assert_array_equal(read_labels(tmp_path / "a.ome.tif"), labels)
    assert read_header(tmp_path / "a.ome.tif").image_mpp is None


def test_memory_maps_and_views_are_written(tmp_path: Path) -> None:
    labels = draw((600, 500))
    np.save(tmp_path / "a.npy", labels)
    write_labels(tmp_path / "a.ome.tif", np.load(tmp_path / "a.npy", mmap_mode="r")[::-1, ::2], 0.5, "nuclear")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.ome.tif"), labels[::-1, ::2])


def test_no_cells_is_a_result(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.ome.tif", np.zeros((30, 20), np.uint32), 0.5, "nuclear")
    assert not read_labels(tmp_path / "a.ome.tif").any()


def test_other_arrays_are_wrong_calls(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="labels of type int64"):
        write_labels(tmp_path / "a", np.zeros((3, 3), np.int64), 0.5, "nuclear")
    with pytest.raises(ValueError, match=r"shape \(3, 0\)"):
        write_labels(tmp_path / "a", np.zeros((3, 0), np.uint32), 0.5, "nuclear")
    with pytest.raises(ValueError, match="expected"):
        write_labels(tmp_path / "a", np.zeros((1, 3, 3), np.uint32), 0.5, "nuclear")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64"])
def test_labels_of_other_writers(tmp_path: Path, dtype: str) -> None:
    labels = (draw((40, 30)) % 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", labels)
    found = read_labels(tmp_path / "a.tif")
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4), -1, "int32"), "labels from -1 to -1"),
        (np.full((4, 4), 2**32, "uint64"), "expected 0 to 2"),
        (np.zeros((4, 4), "float32"), "channels of float32"),
        (np.zeros((2, 4, 4), "uint16"), "2 channels"),
    ],
)
def test_what_is_no_label_image_is_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    with pytest.raises(InputError, match=message):
        read_labels(tmp_path / "a.tif")
