"""OME-Zarr with labels, read back by the libraries of the format's own community."""

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05 import Image
from ome_zarr_models.v05.image_label import ImageLabel

from cellbatch.io.images import open_image
from cellbatch.io.label_zarr import ZarrImage, write_label_zarr
from cellbatch.io.zarr_shards import ShardedWriter
from cellbatch.spec import Window

NAMES = ("whole_cell", "nuclear", "nuclear_matched")
ROLES = {"nuclear": "DAPI", "membrane": "max(PanCK,CD45)"}


def _draw(shape, dtype):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 60000, (2, -(-shape[0] // 10), -(-shape[1] // 10)))
    pixels = np.kron(small, np.ones((1, 10, 10)))[:, : shape[0], : shape[1]].astype(dtype)
    labels = {name: (pixels[0] % (7 + i)).astype(np.uint32) for i, name in enumerate(NAMES)}
    return pixels, labels


def _write(path, pixels, labels, mpp=0.325):
    read = dict(zip(ROLES, pixels, strict=True))
    image = ZarrImage(pixels.shape[1:], pixels.dtype, mpp, ROLES, lambda role, window: read[role][window.slices])
    write_label_zarr(path, image, labels)


@pytest.mark.parametrize(("shape", "dtype"), [((30, 40), "float32"), ((1100, 2090), "uint16")])
def test_independent_readers_find_image_and_labels(tmp_path, shape, dtype):
    pixels, labels = _draw(shape, dtype)
    path = tmp_path / "tissue.ome.zarr"
    _write(path, pixels, labels)
    group = zarr.open_group(path, mode="r")
    image = Image.from_zarr(group)
    assert image.labels.attributes.ome.labels == list(NAMES)
    multiscale = image.ome_attributes.multiscales[0]
    assert [axis.unit for axis in multiscale.axes[1:]] == ["micrometer"] * 2
    assert multiscale.datasets[0].coordinateTransformations[0].scale == [1, 0.325, 0.325]
    assert [channel["label"] for channel in image.ome_attributes.omero["channels"]] == list(ROLES.values())
    np.testing.assert_array_equal(group["0"][:], pixels)
    levels = 1 if max(shape) <= 1024 else 3
    for name, values in labels.items():
        label = ImageLabel.from_zarr(group[f"labels/{name}"])
        assert len(label.ome_attributes.multiscales[0].datasets) == levels
        for level in range(levels):
            found = group[f"labels/{name}/{level}"]
            np.testing.assert_array_equal(found[:], values[:: 2**level, :: 2**level])
    with open_image(path) as reader:
        assert reader.header.channel_names == tuple(ROLES.values())
        assert reader.header.image_mpp == 0.325
        np.testing.assert_array_equal(reader.read(1, Window(3, 9, 5, 21)), pixels[1, 3:9, 5:21])


def test_levels_are_means_of_pixels_in_their_places(tmp_path):
    pixels, labels = _draw((1031, 515), "uint16")
    path = tmp_path / "a.ome.zarr"
    _write(path, pixels, labels)
    smaller = zarr.open_group(path, mode="r")["1"][:]
    assert smaller.shape == (2, 516, 258)
    whole = pixels[:, :1030, :514].reshape(2, 515, 2, 257, 2).mean(axis=(2, 4))
    np.testing.assert_array_equal(smaller[:, :515, :257], np.rint(whole))
    np.testing.assert_array_equal(smaller[:, 515, 257], pixels[:, 1030, 514])
    datasets = Image.from_zarr(zarr.open_group(path, mode="r")).ome_attributes.multiscales[0].datasets
    scale, translation = datasets[1].coordinateTransformations
    assert scale.scale == [1, 0.65, 0.65]
    assert translation.translation == [0, 0.1625, 0.1625]


@pytest.mark.parametrize(("side", "levels"), [(4096, 3), (40000, 5), (300000, 5)])
def test_there_are_never_more_than_50_files(tmp_path, monkeypatch, side, levels):
    """Of an image that is one chunk high, so that its length alone counts; nothing in it, so that it is quick."""
    monkeypatch.setattr("cellbatch.io.label_zarr.BLOCK_PX", 1 << 16)
    blank = np.broadcast_to(np.uint32(0), (8, side))
    image = ZarrImage((8, side), np.dtype("uint8"), 0.5, ROLES, lambda _, window: np.zeros(window.shape, np.uint8))
    write_label_zarr(tmp_path / "a.ome.zarr", image, dict.fromkeys(NAMES, blank))
    assert len([path for path in (tmp_path / "a.ome.zarr").rglob("*") if path.is_file()]) <= 50
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="r")
    assert len(Image.from_zarr(group).ome_attributes.multiscales[0].datasets) == levels
    assert group[str(levels - 1)].shape[2] <= 4096
    assert not group["0"][:, :, -100:].any()


def test_equal_input_gives_equal_files_and_a_fault_leaves_none(tmp_path):
    pixels, labels = _draw((600, 700), "uint16")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name / "x.ome.zarr", pixels, labels)
    files = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*") if path.is_file())
        for name in "ab"
    ]
    assert files[0] == files[1]
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files[0])
    with pytest.raises(ValueError, match="labels nuclear uint32"):
        _write(tmp_path / "c.ome.zarr", pixels, labels | {"nuclear": labels["nuclear"][:5]})

    def stop(_role, _window):
        raise OSError("disk")

    image = ZarrImage((600, 700), pixels.dtype, 0.5, ROLES, stop)
    with pytest.raises(OSError, match="disk"):
        write_label_zarr(tmp_path / "c.ome.zarr", image, labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_blocks_begin_at_chunks(tmp_path):
    with (
        ShardedWriter(tmp_path / "0", (600, 600), np.dtype("uint8")) as writer,
        pytest.raises(ValueError, match="does not begin at a border"),
    ):
        writer.write(Window(0, 5, 3, 8), np.ones((5, 5), np.uint8))
