"""Image formats: what was written by an independent writer is read back, whole and by rectangle."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cellbatch.errors import InputError
from cellbatch.io.images import is_ome_zarr, is_supported, open_image, read_header
from cellbatch.io.reader import ReadOptions
from cellbatch.spec import Window

WINDOWS = (Window(0, 1, 0, 1), Window(3, 40, 17, 33), Window(0, 70, 5, 6), Window(69, 70, 0, 90))


def draw(channels: int = 2, shape: tuple[int, int] = (70, 90), dtype: str = "uint16") -> np.ndarray:
    values = np.random.default_rng(7).integers(0, 200, (channels, *shape))
    return values.astype(dtype)


def assert_reads(path: Path, expected: np.ndarray, options: ReadOptions | None = None) -> None:
    """Every channel, whole and by rectangle, equals ``expected`` (C, Y, X) in values and type."""
    with open_image(path, options) as reader:
        assert reader.header.shape == expected.shape
        assert reader.header.dtype == expected.dtype.name
        for channel, plane in enumerate(expected):
            whole = reader.read(channel)
            assert whole.dtype == expected.dtype
            np.testing.assert_array_equal(whole, plane)
            for window in WINDOWS:
                np.testing.assert_array_equal(reader.read(channel, window), plane[window.slices])


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (32, 16)},
        {"compression": "zlib", "rowsperstrip": 9},
        {"compression": "zlib", "tile": (16, 32), "predictor": True},
        {"compression": "zstd", "tile": (32, 32)},
        {"compression": "lzw"},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib", "tile": (32, 32)},
        {"bigtiff": True},
        {"bigtiff": True, "tile": (32, 32), "compression": "zlib"},
    ],
    ids=str,
)
def test_ome_tiff_layouts(tmp_path: Path, layout: dict) -> None:
    path, image = tmp_path / "a.ome.tif", draw(3)
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": ["DAPI", "CD45", "Pan CK"]},
        "PhysicalSizeX": 0.65,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.65,
        "PhysicalSizeYUnit": "µm",
    }
    tifffile.imwrite(path, image, photometric="minisblack", metadata=metadata, **layout)
    assert_reads(path, image)
    header = read_header(path)
    assert header.format == "ome-tiff"
    assert header.channel_names == ("DAPI", "CD45", "Pan CK")
    assert header.image_mpp == 0.65


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32", "int64", "float16", "float32", "float64", "bool"])
def test_plain_tiff_types(tmp_path: Path, dtype: str) -> None:
    path, image = tmp_path / "a.tif", draw(2, dtype=dtype)
    with tifffile.TiffWriter(path) as tif:
        for plane in image:
            tif.write(plane, photometric="minisblack", metadata=None, contiguous=False)
    assert_reads(path, image)
    assert read_header(path).image_mpp is None


def test_two_dimensional_tiff_is_one_channel(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tiff", draw(1)
    tifffile.imwrite(path, image[0])
    assert_reads(path, image)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_samples_are_channels(tmp_path: Path, planar: str, compression: str | None) -> None:
    path, image = tmp_path / "a.tif", draw(4)
    data = image if planar == "separate" else np.moveaxis(image, 0, -1)
    tifffile.imwrite(path, data, photometric="minisblack", planarconfig=planar, compression=compression, metadata=None)
    assert_reads(path, image)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_rgb_is_refused_unless_allowed(tmp_path: Path, planar: str) -> None:
    path, image = tmp_path / "a.tif", draw(3, dtype="uint8")
    data = image if planar == "separate" else np.moveaxis(image, 0, -1)
    tifffile.imwrite(path, data, photometric="rgb", planarconfig=planar)
    with pytest.raises(InputError, match=r"a\.tif: is an RGB colour image.*separate channels"):
        read_header(path)
    allowed = ReadOptions(allow_rgb=True)
    assert_reads(path, image, allowed)
    assert read_header(path, allowed).channel_names == ("R", "G", "B")


def test_palette_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, draw(1, dtype="uint8")[0], photometric="palette", colormap=np.zeros((3, 256), "uint16"))
    with pytest.raises(InputError, match="colour model PALETTE"):
        read_header(path)


@pytest.mark.parametrize("virtual", [False, True])
def test_imagej_hyperstack(tmp_path: Path, virtual: bool) -> None:
    path, image = tmp_path / "a.tif", draw(3)
    metadata = {"axes": "CYX", "unit": "micron", "Labels": ["DAPI", "CD3", "CD8"]}
    tifffile.imwrite(path, image, imagej=True, metadata=metadata, resolution=(1 / 0.325, 1 / 0.325))
    if virtual:
        # ImageJ keeps one directory only for stacks above 4 GB; the pixels of the others follow without gaps.
        data = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as tif:
            place = tif.pages[0].offset
        end = place + 2 + 12 * int.from_bytes(data[place : place + 2], (tif.byteorder == "<" and "little") or "big")
        data[end : end + 4] = bytes(4)
        path.write_bytes(data)
    assert_reads(path, image)
    header = read_header(path)
    assert header.image_mpp == pytest.approx(0.325, rel=1e-6)
    assert header.channel_names == ("DAPI", "CD3", "CD8")


def write_qptiff(path: Path, image: np.ndarray, names: list[str]) -> None:
    """The layout of a QPTIFF: full planes, a thumbnail in colour, then the planes at half size."""

    def describe(kind: str, name: str = "") -> str:
        return (
            '<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription>'
            f"<ImageType>{kind}</ImageType>{f'<Name>{name}</Name>' if name else ''}"
            "</PerkinElmer-QPI-ImageDescription>"
        )

    common = {"photometric": "minisblack", "metadata": None, "resolutionunit": "CENTIMETER", "tile": (32, 32)}
    with tifffile.TiffWriter(path) as tif:
        for name, plane in zip(names, image, strict=True):
            tif.write(
                plane,
                description=describe("FullResolution", name),
                software="PerkinElmer-QPI",
                resolution=(20000, 20000),
                contiguous=False,
                **common,
            )
        thumbnail = np.zeros((12, 16, 3), "uint8")
        tif.write(thumbnail, photometric="rgb", metadata=None, description=describe("Thumbnail"), subfiletype=1)
        for plane in image:
            tif.write(
                plane[::2, ::2],
                description=describe("ReducedResolution"),
                subfiletype=1,
                resolution=(10000, 10000),
                contiguous=False,
                **common,
            )


def test_qptiff(tmp_path: Path) -> None:
    path, image = tmp_path / "a.qptiff", draw(3)
    write_qptiff(path, image, ["DAPI", "Opal 520", "A &amp; B"])
    assert_reads(path, image)
    header = read_header(path)
    assert header.format == "qptiff"
    assert header.channel_names == ("DAPI", "Opal 520", "A & B")
    assert header.image_mpp == 0.5


def test_pages_name_their_channels(tmp_path: Path) -> None:
    path, image = tmp_path / "a.tiff", draw(2)
    with tifffile.TiffWriter(path) as tif:
        for name, plane in zip(["HH3", "CD45"], image, strict=True):
            description = json.dumps({"channel.target": name, "shape": plane.shape})
            tif.write(plane, metadata=None, description=description, software=False, contiguous=False)
    assert read_header(path).channel_names == ("HH3", "CD45")


@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [("nm", 325, 0.325), ("µm", 0.5, 0.5), ("mm", 0.0002, 0.2), ("pixel", 1, None), ("µm", 10000, None)],
)
def test_ome_units(tmp_path: Path, unit: str, size: float, expected: float | None) -> None:
    path = tmp_path / "a.ome.tif"
    sizes = {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    tifffile.imwrite(path, draw(1)[0], metadata={"axes": "YX", **sizes})
    found = read_header(path).image_mpp
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("CENTIMETER", 20000, 0.5),
        ("INCH", 50800, 0.5),
        ("CENTIMETER", 1, None),
        ("INCH", 1, None),
        ("INCH", 72, None),
        ("INCH", 96, None),
        ("INCH", 300, None),
        ("INCH", 1200, None),
        ("INCH", 2400, None),
        ("CENTIMETER", 300 / 2.54, None),
        ("NONE", 20000, None),
    ],
)
def test_resolution_tags(tmp_path: Path, unit: str, per_unit: float, expected: float | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, draw(1)[0], resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None)
    found = read_header(path).image_mpp
    assert found == (expected if expected is None else pytest.approx(expected))


def test_oblong_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, draw(1)[0], metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.6})
    with pytest.raises(InputError, match=r"pixels are not square.*0.5 µm in X, 0.6 µm in Y"):
        read_header(path)


@pytest.mark.parametrize(("axes", "word"), [("ZCYX", "z-stack of 3"), ("TCYX", "time series of 3")])
def test_stacks_are_refused(tmp_path: Path, axes: str, word: str) -> None:
    stack = draw(6).reshape(3, 2, 70, 90)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(InputError, match=rf"{word} planes.*2-D image"):
        read_header(tmp_path / "a.ome.tif")


def test_stacks_of_one_plane_are_read(tmp_path: Path) -> None:
    path, image = tmp_path / "a.ome.tif", draw(2)
    tifffile.imwrite(path, image[None, :, None], photometric="minisblack", metadata={"axes": "TCZYX"})
    assert_reads(path, image)


def test_channels_last_without_axes_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 60, 2), "uint16"), photometric="minisblack")
    np.save(tmp_path / "a.npy", np.zeros((64, 60, 2), "uint16"))
    for name in ("a.tif", "a.npy"):
        with pytest.raises(InputError, match=r"looks like \(Y, X, C\)"):
            read_header(tmp_path / name)


def test_several_images_in_a_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(draw(2), photometric="minisblack", metadata={"axes": "CYX"})
        tif.write(draw(2, (60, 80)), photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(InputError, match="holds 2 images"):
        read_header(path)


def test_pyramid_levels_are_no_images(tmp_path: Path) -> None:
    path, image = tmp_path / "a.ome.tif", draw(2, (128, 96))
    with tifffile.TiffWriter(path, ome=True) as tif:
        options = {"photometric": "minisblack", "tile": (32, 32)}
        tif.write(image, subifds=2, metadata={"axes": "CYX"}, **options)
        tif.write(image[:, ::2, ::2], subfiletype=1, **options)
        tif.write(image[:, ::4, ::4], subfiletype=1, **options)
    assert_reads(path, image)


def write_zarr(path: Path, image: np.ndarray, version: str, axes: str = "cyx", **metadata: object) -> None:
    store = 2 if version == "0.4" else 3
    group = zarr.open_group(path, mode="w", zarr_format=store)
    options = {"shards": (1, 64, 64)} if store == 3 and image.ndim == 3 else {}
    chunks = (1,) * (image.ndim - 2) + (32, 32)
    array = group.create_array("0", shape=image.shape, chunks=chunks, dtype=image.dtype, **options)
    array[...] = image
    units = metadata.pop("units", {})
    scale = metadata.pop("scale", [1.0] * image.ndim)
    multiscale = {
        "axes": [{"name": axis, **({"unit": units[axis]} if axis in units else {})} for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
        **metadata,
    }
    omero = {"channels": [{"label": f"marker {index}"} for index in range(image.shape[0])]}
    if store == 2:
        group.attrs.update({"multiscales": [{"version": "0.4", **multiscale}], "omero": omero})
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "omero": omero}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    path, image = tmp_path / "a.ome.zarr", draw(3)
    write_zarr(path, image, version, units={"y": "nanometer", "x": "nanometer"}, scale=[1.0, 325.0, 325.0])
    assert is_ome_zarr(path)
    assert_reads(path, image)
    header = read_header(path)
    assert header.format == f"ome-zarr-{version}"
    assert header.channel_names == ("marker 0", "marker 1", "marker 2")
    assert header.image_mpp == 0.325


def test_ome_zarr_scale_counts_only_with_a_unit(tmp_path: Path) -> None:
    write_zarr(tmp_path / "a.zarr", draw(2), "0.4", scale=[1.0, 0.5, 0.5])
    assert read_header(tmp_path / "a.zarr").image_mpp is None


def test_ome_zarr_scales_multiply(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    outer = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    units = {"y": "micrometer", "x": "micrometer"}
    write_zarr(path, draw(2), "0.5", units=units, scale=[1.0, 2.6, 2.6], coordinateTransformations=outer)
    assert read_header(path).image_mpp == 1.3


def test_ome_zarr_other_axis_order(tmp_path: Path) -> None:
    path, image = tmp_path / "a.zarr", draw(2)
    write_zarr(path, np.moveaxis(image, 0, -1), "0.4", axes="yxc")
    assert_reads(path, image)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multiscales": []}, "no multiscales"),
        ({"multiscales": [{"version": "0.4", "axes": [{"name": "y"}, {"name": "x"}]}]}, "incomplete"),
        ({"multiscales": [{"version": "0.3"}]}, r"is OME-Zarr 0\.3"),
        ({"plate": {}}, "is a plate"),
        ({"multiscales": [7]}, "incomplete"),
        ({"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}, "incomplete"),
        ({"multiscales": [{"axes": [{"name": "c"}, {"name": "q"}], "datasets": [{"path": "0"}]}]}, "without y and x"),
        ({"multiscales": [{"axes": [{"name": a} for a in "zyx"], "datasets": [{"path": "0"}]}]}, "z-stack of 2"),
        ({"multiscales": [{"axes": [{"name": a} for a in "ayx"], "datasets": [{"path": "0"}]}]}, "an axis 'a'"),
        ({"multiscales": [{"axes": [{"name": a} for a in "yx"], "datasets": [{"path": "0"}]}]}, "for axes yx"),
        ({"multiscales": [{"axes": [{"name": a} for a in "cyx"], "datasets": [{"path": "9"}]}]}, "incomplete"),
    ],
)
def test_ome_zarr_with_other_metadata_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    write_zarr(tmp_path / "a.zarr", draw(2), "0.4")
    zarr.open_group(tmp_path / "a.zarr", mode="r+").attrs.update(change)
    with pytest.raises(InputError, match=message):
        read_header(tmp_path / "a.zarr")


def test_ome_zarr_cannot_lead_elsewhere(tmp_path: Path) -> None:
    write_zarr(tmp_path / "other.zarr", draw(2), "0.4")
    datasets = [{"path": "../other.zarr/0", "coordinateTransformations": []}]
    write_zarr(tmp_path / "a.zarr", draw(2), "0.4", datasets=datasets)
    with pytest.raises(InputError, match="leaves the image"):
        read_header(tmp_path / "a.zarr")


def test_ome_zarr_damaged_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_zarr(path, draw(2), "0.4")
    chunk = next(file for file in path.rglob("*") if file.is_file() and file.name == "0.0.0")
    chunk.write_bytes(chunk.read_bytes()[:20])
    with open_image(path) as reader, pytest.raises(InputError, match=r"channel 0.*a chunk is damaged"):
        reader.read(0)


def test_bioformats2raw_folder(tmp_path: Path) -> None:
    image = draw(2)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    write_zarr(tmp_path / "a.zarr" / "0", image, "0.4")
    assert_reads(tmp_path / "a.zarr", image)
    write_zarr(tmp_path / "a.zarr" / "1", image, "0.4")
    with pytest.raises(InputError, match="holds 2 images"):
        read_header(tmp_path / "a.zarr")


def test_numpy_files(tmp_path: Path) -> None:
    image = draw(3)
    np.save(tmp_path / "a.npy", image)
    np.save(tmp_path / "big.npy", image.astype(">u2"))
    np.save(tmp_path / "flat.npy", image[0])
    np.savez_compressed(tmp_path / "a.npz", image=image, channel_names=["a", "b", "c"], image_mpp=0.5)
    np.savez(tmp_path / "last.npz", image=np.moveaxis(image, 0, -1), axes="YXC")
    for name in ("a.npy", "big.npy", "a.npz", "last.npz"):
        assert_reads(tmp_path / name, image)
    assert_reads(tmp_path / "flat.npy", image[:1])
    header = read_header(tmp_path / "a.npz")
    assert header.channel_names == ("a", "b", "c")
    assert header.image_mpp == 0.5
    assert header.format == "npz"


def test_numpy_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", image=np.array([{"a": 1}], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match=r"cannot be read as NP|cannot be read as NumPy"):
            read_header(tmp_path / name)


def test_cut_numpy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", draw(2))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:-10])
    with pytest.raises(InputError, match=r"a\.npy: cannot be read"):
        read_header(tmp_path / "a.npy")


@pytest.mark.parametrize(("name", "dtype"), [("a.png", "uint8"), ("b.png", "uint16")])
def test_grey_pictures(tmp_path: Path, name: str, dtype: str) -> None:
    image = draw(1, dtype=dtype)
    Image.fromarray(image[0]).save(tmp_path / name)
    assert_reads(tmp_path / name, image)
    assert read_header(tmp_path / name).image_mpp is None


def test_colour_pictures(tmp_path: Path) -> None:
    image = draw(3, dtype="uint8")
    Image.fromarray(np.moveaxis(image, 0, -1)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="convert it to grey"):
        read_header(tmp_path / "a.png")
    assert_reads(tmp_path / "a.png", image, ReadOptions(allow_rgb=True))


def test_pictures_of_a_size_that_bombs_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(draw(1, dtype="uint8")[0]).save(tmp_path / "a.png")
    for limit in (4000, 100):
        monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", limit)
        with pytest.raises(InputError, match="too large a picture"):
            read_header(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tif", b"", "is empty"),
        ("a.tif", b"not a tiff at all", "cannot be read as TIFF"),
        ("a.npy", b"text", "cannot be read"),
        ("a.npz", b"PK text", "cannot be read"),
        ("a.png", b"text", "cannot be read"),
        ("a.oir", b"text", "files of type '.oir' are not read"),
        ("a", b"text", "files of type 'unknown' are not read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_header(tmp_path / name)


def test_absent_file_and_plain_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_header(tmp_path / "a.tif")
    with pytest.raises(InputError, match="folder that is no OME-Zarr"):
        read_header(tmp_path)


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 4), "complex64"))
    with pytest.raises(InputError, match="pixels of type complex64"):
        read_header(tmp_path / "a.npy")


def test_reads_outside_of_the_image_are_wrong_calls(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", draw(2))
    with open_image(tmp_path / "a.npy") as reader:
        with pytest.raises(ValueError, match="channel 2"):
            reader.read(2)
        with pytest.raises(ValueError, match="expected inside 70 x 90 px"):
            reader.read(0, Window(0, 71, 0, 90))


def test_names_of_image_files() -> None:
    assert is_supported("x/A.OME.TIF")
    assert not is_supported("x/readme.txt")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"PhysicalSizeX": 0.0, "PhysicalSizeY": 0.0},
            "its PhysicalSizeY of 0 µm is no size and is taken as not",
        ),
        ({"PhysicalSizeX": -0.5, "PhysicalSizeY": -0.5}, "its PhysicalSizeX of -0.5 µm is no size"),
        ({"PhysicalSizeX": 0.5, "PhysicalSizeY": float("nan")}, "its PhysicalSizeY of nan µm is no size"),
        (
            {
                "PhysicalSizeX": 1,
                "PhysicalSizeY": 1,
                "PhysicalSizeXUnit": "reference frame",
                "PhysicalSizeYUnit": "reference frame",
            },
            "of 1 reference frame is no size",
        ),
        ({"PhysicalSizeX": 0.5}, "it states PhysicalSizeX only"),
    ],
    ids=str,
)
def test_a_size_that_is_none_is_remarked_on(
    tmp_path: Path, metadata: dict, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, draw(2), photometric="minisblack", metadata={"axes": "CYX", **metadata})
    assert read_header(path).image_mpp is None
    assert message in caplog.text


@pytest.mark.parametrize(("scale", "message"), [(0.65, "of 0.65 without a unit is no size"), (1.0, "")])
def test_a_scale_without_a_unit_is_remarked_on(
    tmp_path: Path, scale: float, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_zarr(tmp_path / "a.zarr", draw(2), "0.4", scale=[1.0, scale, scale])
    assert read_header(tmp_path / "a.zarr").image_mpp is None
    assert message in caplog.text
    assert bool(caplog.text) == bool(message)
