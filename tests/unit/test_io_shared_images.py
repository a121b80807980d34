"""Real files of other writers: read like an independent reader reads them, or refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from cellbatch.errors import InputError
from cellbatch.io.images import open_image, read_header
from cellbatch.io.reader import ReadOptions
from cellbatch.spec import Window

REFUSED = {
    "gray.c8.tif": "pixels of type complex64",
    "gray.c16.tif": "pixels of type complex128",
    "gray.contig.u1.tif": "leave open which are the channels",
    "gray.separate.u1.tif": "leave open which are the channels",
    "gray.depth.u1.tif": "z-stack of 5 planes",
    "gray.depth.deflate.u1.tif": "z-stack of 5 planes",
    "gray.series.u1.tif": "holds 2 images",
    "mti-utils__rename_test.ome.tiff": "claims 19 planes that do not fit the 2 pages",
    **{f"multifile-Z{index}.ome.tiff": "one part of a data set in several files" for index in range(1, 6)},
}


def independent(path: Path) -> np.ndarray:
    """Channels of a TIFF as tifffile's own array reader gives them."""
    array = tifffile.imread(path, series=0)
    return array.reshape(-1, *array.shape[-2:])


def test_every_tiff_reads_right_or_is_refused(shared_data: Path) -> None:
    files = sorted([*shared_data.glob("images/**/*.tif*"), *shared_data.glob("readers/**/*.tif*")])
    assert len(files) >= 129
    rng = np.random.default_rng(5)
    for path in files:
        reason = REFUSED.get(path.name, "RGB colour" if path.name.startswith("rgb") else "")
        if reason:
            with pytest.raises(InputError, match=reason):
                read_header(path)
            continue
        expected = independent(path)
        with open_image(path) as reader:
            assert reader.header.shape == expected.shape, path
            assert reader.header.dtype == expected.dtype.name, path
            height, width = expected.shape[1:]
            for channel, plane in enumerate(expected):
                np.testing.assert_array_equal(reader.read(channel), plane, err_msg=str(path))
                y0, x0 = int(rng.integers(height)), int(rng.integers(width))
                window = Window(y0, int(rng.integers(y0 + 1, height + 1)), x0, int(rng.integers(x0 + 1, width + 1)))
                np.testing.assert_array_equal(reader.read(channel, window), plane[window.slices], err_msg=str(path))


def test_colour_is_read_where_it_is_allowed(shared_data: Path, tmp_path: Path) -> None:
    for name in ("rgb.tiled.jpeg.u1", "rgb.separate.tiled.u1", "rgba.tiled.u1", "rgb.predict.u1", "rgb.tiled.webp.u1"):
        source = shared_data / "readers" / "imagecodecs" / f"{name}.tif"
        with pytest.raises(InputError, match="leave open which are the channels"):
            read_header(source, ReadOptions(allow_rgb=True))
        page = tifffile.imread(source, key=0)
        planes = page if "separate" in name else np.moveaxis(page, -1, 0)
        single = tmp_path / f"{name}.tif"
        tifffile.imwrite(single, page, photometric="rgb", planarconfig="separate" if "separate" in name else "contig")
        with open_image(single, ReadOptions(allow_rgb=True)) as reader:
            assert reader.header.channel_names == ("R", "G", "B")
            np.testing.assert_array_equal([reader.read(channel) for channel in range(3)], planes[:3])


@pytest.mark.parametrize(
    ("path", "names", "image_mpp", "form"),
    [
        ("mibi_breast_fov8/nuc_mem.ome.tif", ("HH3", "Membrane"), 0.390625, "ome-tiff"),
        ("mibi_tb_granuloma/nuc_mem.ome.tif", ("HH3", "HLA-I+NaKATPase+CD45"), None, "ome-tiff"),
        ("imc_mock/nuc_mem.ome.tif", ("Yb172 H3K27Ac", "Pr141 Cytokeratin 5"), 1.0, "ome-tiff"),
        ("cardiomyocyte_omezarr/nuc_mem.ome.tif", ("DAPI", "Lamin B1"), 0.65, "ome-tiff"),
        (
            "cardiomyocyte_omezarr/orig/cardio_v04_trimmed.zarr",
            ("DAPI", "nanog", "Lamin B1"),
            0.65,
            "ome-zarr-0.4",
        ),
        (
            "cardiomyocyte_omezarr/orig/cardio_v05_derived.zarr",
            ("DAPI", "nanog", "Lamin B1"),
            0.65,
            "ome-zarr-0.5",
        ),
        ("cycif_exemplar001/orig/exemplar001.ome.zarr", ("DNA", "FDX1", "CD1D", "CD357"), None, "ome-zarr-0.4"),
        ("stardist_nuclei/img2d.tif", ("",), None, "tiff"),
    ],
)
def test_headers(shared_data: Path, path: str, names: tuple[str, ...], image_mpp: float | None, form: str) -> None:
    header = read_header(shared_data / "images" / path)
    assert header.channel_names == names
    assert header.image_mpp == image_mpp
    assert header.format == form


def test_mibi_pages_name_channels_and_size(shared_data: Path) -> None:
    (path,) = (shared_data / "images" / "mibi_breast_fov8" / "orig").glob("*Filtered.tiff")
    header = read_header(path)
    assert header.channel_names[:4] == ("Background", "BetaCatenin", "BetaTubulin", "CD20")
    assert header.image_mpp == 0.390625


@pytest.mark.parametrize("name", ["cardio_v04_trimmed", "cardio_v05_derived"])
def test_ome_zarr_reads_like_zarr(shared_data: Path, name: str) -> None:
    path = shared_data / "images" / "cardiomyocyte_omezarr" / "orig" / f"{name}.zarr"
    array = zarr.open_array(path / "1", mode="r")
    with open_image(path) as reader:
        assert reader.header.shape == (3, 1080, 1280)
        for channel in range(3):
            np.testing.assert_array_equal(reader.read(channel), array[channel, 0])
        window = Window(250, 600, 1000, 1280)
        np.testing.assert_array_equal(reader.read(1, window), array[1, 0, 250:600, 1000:1280])
