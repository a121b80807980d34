"""Z-stacks, time series and colour images: read as the user asks, refused where he does not."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cellbatch.errors import InputError
from cellbatch.io.images import open_image
from cellbatch.io.stains import STAINS, StainReader
from cellbatch.spec import ReadOptions, Window

STACK = np.random.default_rng(1).integers(0, 65000, (5, 2, 40, 50), np.uint16)
WINDOW = Window(7, 33, 10, 41)
LAYOUTS = {"ZCYX": (0, 1, 2, 3), "CZYX": (1, 0, 2, 3), "TCYX": (0, 1, 2, 3)}
# ImageJ stores one order only
KINDS = [
    (kind, axes) for kind in ("ome", "ome tiled", "imagej") for axes in LAYOUTS if kind != "imagej" or axes[1] == "C"
]
CHOICES = {
    "plane 0": (ReadOptions(z_plane=0), STACK[0]),
    "plane 4": (ReadOptions(z_plane=4), STACK[4]),
    "max": (ReadOptions(projection="max"), STACK.max(axis=0)),
    "mean": (ReadOptions(projection="mean"), STACK.mean(axis=0, dtype=np.float64).astype(np.float32)),
}


def assert_reads(path: Path, options: ReadOptions, expected: np.ndarray) -> None:
    with open_image(path, options) as reader:
        assert reader.header.shape == expected.shape
        assert reader.header.dtype == expected.dtype
        for channel, plane in enumerate(expected):
            np.testing.assert_array_equal(reader.read(channel), plane)
            np.testing.assert_array_equal(reader.read(channel, WINDOW), plane[WINDOW.slices])
            assert reader.missing_chunks(channel) == 0


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("kind", "axes"), KINDS)
def test_tiff(tmp_path: Path, kind: str, axes: str, choice: str) -> None:
    path = tmp_path / ("a.tif" if kind == "imagej" else "a.ome.tif")
    names = {"Channel": {"Name": ["DAPI", "CD45"]}} if kind != "imagej" else {}
    options = {"tile": (16, 16), "compression": "zlib"} if kind == "ome tiled" else {}
    tifffile.imwrite(
        path,
        np.ascontiguousarray(STACK.transpose(LAYOUTS[axes])),
        photometric="minisblack",
        metadata={"axes": axes, **names},
        imagej=kind == "imagej",
        **options,
    )
    assert_reads(path, *CHOICES[choice])
    with open_image(path, CHOICES[choice][0]) as reader:
        assert reader.header.channel_names == (("DAPI", "CD45") if names else ("", ""))
    with pytest.raises(InputError, match=r"of 5 planes.*--z_plane or --projection"):
        open_image(path)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("shards", [None, (2, 5, 40, 64)])
def test_ome_zarr(tmp_path: Path, shards: tuple[int, ...] | None, choice: str) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.create_group(path, zarr_format=3)
    array = group.create_array("0", shape=(2, 5, 40, 50), chunks=(1, 1, 20, 32), shards=shards, dtype="uint16")
    array[:] = STACK.transpose(1, 0, 2, 3)
    coarse = group.create_array("1", shape=(2, 2, 20, 25), chunks=(1, 1, 20, 25), dtype="uint16")
    coarse[:] = STACK.transpose(1, 0, 2, 3)[:, :2, ::2, ::2]
    axes = [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in "czyx"]
    scales = [{"version": "0.5", "axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    assert_reads(path, *CHOICES[choice])
    with open_image(path, ReadOptions(z_plane=1)) as reader:
        assert reader.levels == ((40, 50),)  # the coarser level has other planes


def test_a_lost_chunk_of_another_plane_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    group = zarr.create_group(path, zarr_format=2)
    for level, step in (("0", 1), ("1", 2)):
        values = STACK[:, 0, ::step, ::step]
        group.create_array(level, shape=values.shape, chunks=(1, 20, 25), dtype="uint16")[:] = values
    axes = [{"name": axis, "type": "space"} for axis in "zyx"]
    datasets = [{"path": "0"}, {"path": "1"}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    (path / "0" / "3.0.0").unlink()
    with open_image(path, ReadOptions(z_plane=2)) as reader:
        assert reader.missing_chunks(0) == 0
    for options in (ReadOptions(z_plane=3), ReadOptions(projection="max")):
        with open_image(path, options) as reader, pytest.raises(InputError, match="coarser level shows pixels"):
            reader.missing_chunks(0)


@pytest.mark.parametrize(
    ("axes", "options", "message"),
    [
        ("ZCYX", ReadOptions(z_plane=5), "has no plane 5; give --z_plane from 0 to 4"),
        ("ZTYX", ReadOptions(z_plane=0), "z-stack of 5 planes and a time series of 2 planes"),
    ],
)
def test_choices_that_do_not_fit(tmp_path: Path, axes: str, options: ReadOptions, message: str) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(InputError, match=message):
        open_image(path, options)


def test_plain_images_need_no_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK[0], photometric="minisblack", metadata={"axes": "CYX"})
    for options, _ in CHOICES.values():
        assert_reads(path, options, STACK[0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_stains_are_told_apart(tmp_path: Path, dtype: str) -> None:
    """An image mixed of known amounts of two stains gives these amounts back."""
    rng = np.random.default_rng(5)
    amounts = rng.uniform(0, 0.6, (2, 30, 40))
    vectors = np.array([STAINS["Hematoxylin"], STAINS["Eosin"]])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    white = np.iinfo(dtype).max
    density = np.einsum("syx,sc->yxc", amounts, vectors)
    pixels = np.clip(np.round((white + 1) * 10**-density - 1), 0, white).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(16, 16), compression="zlib")
    with StainReader("a.tif", open_image(path, ReadOptions(allow_rgb=True))) as reader:
        assert reader.header.channel_names == ("R", "G", "B", "Hematoxylin", "Eosin", "DAB")
        assert reader.header.shape == (6, 30, 40)
        tolerance = 0.03 if dtype == "uint8" else 2e-4
        for channel, expected in ((3, amounts[0]), (4, amounts[1]), (5, np.zeros((30, 40)))):
            np.testing.assert_allclose(reader.read(channel), expected, atol=tolerance)
        np.testing.assert_array_equal(reader.read(1), pixels[..., 1].astype(np.float32))
        np.testing.assert_array_equal(reader.read(3, WINDOW._replace(y1=30, x1=40)), reader.read(3)[7:30, 10:40])


def test_colour_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((9, 8, 3), 255, np.uint8)).save(path)
    with pytest.raises(InputError, match="--allow_rgb"):
        open_image(path)
    with StainReader("a.png", open_image(path, ReadOptions(allow_rgb=True))) as reader:
        assert not any(reader.read(channel).any() for channel in (3, 4, 5))


def test_colour_without_a_known_white_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((9, 8, 3), np.float32), photometric="rgb")
    with open_image(path, ReadOptions(allow_rgb=True)) as colours, pytest.raises(InputError, match="8 or 16 bits"):
        StainReader("a.tif", colours)
