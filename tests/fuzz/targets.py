"""What a mutant is given to, and what may come of it: a correct result, or an error that is meant for the user."""

import io
import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from cellbatch.errors import CellbatchError
from cellbatch.io.folders import ImageCollection
from cellbatch.io.images import ImageReader, open_image
from cellbatch.io.markers import NUCLEAR, parse_markers
from cellbatch.io.models import read_manifest
from cellbatch.io.parameters import read_parameters
from cellbatch.io.reader import ReadOptions
from cellbatch.io.samplesheet import read_samplesheet
from cellbatch.preprocessing.channels import combine, parse_recipe, resolve_recipe
from cellbatch.spec import Window

ROOT = Path(__file__).resolve().parents[2]
LARGEST_PX = 4_000_000
CHANNELS = ("DAPI", "PanCK", "CD45", "CD8", "CD20", "CD20 (L26)", "", "a'b")
# how seeds of these names are to be understood
OPTIONS = {
    "stack": ReadOptions(projection="max"),
    "plane": ReadOptions(z_plane=1),
    "colour": ReadOptions(allow_rgb=True),
}


class SilentlyWrong(AssertionError):
    """A result without a message that an independent reader contradicts."""


def check(kind: str, name: str, data: bytes, folder: Path) -> str:
    """Give one mutant to the code under test.

    Returns
    -------
    str
        ``result`` or ``refused``

    Raises
    ------
    Exception
        anything but the project's own errors is a finding
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            TARGETS[kind](name, data, folder)
    except CellbatchError:
        return "refused"
    return "result"


def _image(name: str, data: bytes, folder: Path) -> None:
    path = folder / f"mutant-{name}"
    path.write_bytes(data)
    with open_image(path, OPTIONS.get(name.split(".")[0], ReadOptions())) as reader:
        pixels = _read(reader)
        if pixels is not None and path.suffix in (".tif", ".tiff"):
            _compare(data, pixels)


def _read(reader: ImageReader) -> np.ndarray | None:
    """All pixels of a small image, a corner of a large one; windows must agree with the whole."""
    count, height, width = reader.header.shape
    assert len(reader.header.channel_names) == count
    mpp = reader.header.image_mpp
    assert mpp is None or 0.01 <= mpp <= 100
    reader.missing_chunks(count - 1)
    if count * height * width > LARGEST_PX:
        reader.read(count - 1, Window(0, min(64, height), 0, min(64, width)))
        return None
    pixels = np.stack([reader.read(channel) for channel in range(count)])
    assert pixels.shape == (count, height, width)
    assert pixels.dtype == reader.header.dtype
    window = Window(height // 3, height, width // 2, width)
    if not np.array_equal(
        reader.read(count - 1, window), pixels[(count - 1, *window.slices)], equal_nan=pixels.dtype.kind == "f"
    ):
        raise SilentlyWrong("a window differs from the whole")
    return pixels


def _compare(data: bytes, pixels: np.ndarray) -> None:
    """Hold the pixels against tifffile's own array reader, where that reads the file without complaint."""
    try:
        expected = tifffile.imread(io.BytesIO(data))
    except Exception:  # the other reader may refuse what is read here
        return
    if expected.size == pixels.size and not np.array_equal(
        expected.reshape(pixels.shape), pixels, equal_nan=pixels.dtype.kind in "f"
    ):
        channels_last = np.moveaxis(expected, -1, 0).reshape(pixels.shape) if expected.ndim == 3 else expected
        if not np.array_equal(channels_last.reshape(pixels.shape), pixels, equal_nan=pixels.dtype.kind in "f"):
            raise SilentlyWrong("pixels differ from tifffile's")


def _zarr(name: str, data: bytes, folder: Path) -> None:
    place = folder / "mutant.zarr"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except Exception:  # the archive is only the seed's wrapping here
        return
    place.mkdir()
    for inside, content in files:
        path = place / inside
        if ".." in path.parts or not path.is_relative_to(place) or max(map(len, path.parts)) > 200 or path.is_dir():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            continue
    with open_image(place, OPTIONS.get(name.split(".")[0], ReadOptions())) as reader:
        _read(reader)


def _zip(name: str, data: bytes, folder: Path) -> None:
    path = folder / "mutant.zip"
    path.write_bytes(data)
    with ImageCollection(path) as collection:
        for member in collection.members:
            with collection.open(member) as reader:
                _read(reader)


def _sheet(name: str, data: bytes, folder: Path) -> None:
    path = folder / "sheet.csv"
    path.write_bytes(data)
    for row in read_samplesheet(path):
        assert row.sample.isascii()
        assert row.image or row.nuclear_image
        assert "/" not in row.sample


def _markers(name: str, data: bytes, folder: Path) -> None:
    table = parse_markers(data.decode("utf-8", "replace"), "markers.csv")
    assert all(marker.name for marker in table.markers)
    assert len(table.names_for(3)) == 3
    recipe = table.recipe(NUCLEAR)
    if recipe:
        parse_recipe(recipe)


def _recipe(name: str, data: bytes, folder: Path) -> None:
    try:
        resolved = resolve_recipe(data.decode("utf-8", "replace"), CHANNELS, len(CHANNELS))
    except ValueError:
        return
    assert resolve_recipe(resolved, ("",) * len(CHANNELS), len(CHANNELS)) == resolved
    combine(parse_recipe(resolved), lambda channel: np.full((2, 2), channel, np.uint16))


def _manifest(name: str, data: bytes, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(data)
    read_manifest(folder)


def _parameters(name: str, data: bytes, folder: Path) -> None:
    try:
        values = json.loads(data)
    except ValueError:
        return
    if isinstance(values, dict):
        read_parameters(ROOT / "nextflow_schema.json", values)


TARGETS: dict[str, Callable[[str, bytes, Path], None]] = {
    "tiff": _image,
    "array": _image,
    "picture": _image,
    "zarr": _zarr,
    "zip": _zip,
    "sheet": _sheet,
    "markers": _markers,
    "recipe": _recipe,
    "manifest": _manifest,
    "parameters": _parameters,
}


def clear(folder: Path) -> None:
    """Empty the folder for the next mutant."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
