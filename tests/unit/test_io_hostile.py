"""Headers that claim more than their file holds, found by the fuzzer or written by hand: refused, never believed."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from cellbatch.errors import InputError
from cellbatch.io.images import open_image
from cellbatch.io.zarr_shards import crc32c

PIXELS = np.random.default_rng(3).integers(0, 60000, (3, 30, 20), np.uint16)


def npy(header: str, length: int | None = None, data: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text) if length is None else length) + text + data


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


SOUND = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", data=bytes(6))
NAMES = npy("{'descr': '<U9', 'fortran_order': False, 'shape': (99999999999,)}")
EMPTY = "{'descr': '<U0', 'fortran_order': False, 'shape': (2, 3)}"
TEXT = npy("{'descr': '<U3', 'fortran_order': False, 'shape': (2, 3)}", data=bytes(72))
PICKLE = npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}", data=b"cos\nsystem\n(S'touch pwned'\ntR.")
FILES = {
    "a header of 4 GB": ("a.npy", npy("{}", length=2**32 - 1), "its header claims 4294967295 bytes"),
    "a header of 4 GB in an archive": ("a.npz", zipped(image=npy("{}", length=2**32 - 1)), "header claims"),
    "values of no type": (
        "a.npy",
        npy("{'descr': '|V8', 'fortran_order': False, 'shape': (1, 1)}", data=bytes(8)),
        "expected numbers",
    ),
    "text for pixels": ("a.npy", TEXT, r"holds text .<U3., expected the numbers"),
    "text for pixels in an archive": ("a.npz", zipped(image=TEXT), r"holds text .<U3., expected the numbers"),
    "text without a length": ("a.npy", npy(EMPTY), r"holds text .<U0., expected the numbers"),
    "names of terabytes": ("a.npz", zipped(image=SOUND, channel_names=NAMES), "channel_names has"),
    "an object that runs code": ("a.npy", PICKLE, "expected numbers|Python objects"),
    "an object beside the image": ("a.npz", zipped(image=SOUND, axes=PICKLE), "expected numbers|Python objects"),
}


@pytest.mark.parametrize("what", FILES)
def test_numpy_files(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, data, text = FILES[what]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=text):
        open_image(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


def png(*chunks: tuple[bytes, bytes, int | None]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data, claimed in chunks:
        parts.append(struct.pack(">I", len(data) if claimed is None else claimed))
        parts.append(kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


def test_a_png_whose_chunk_claims_gigabytes(tmp_path: Path) -> None:
    head = (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0), None)
    path = tmp_path / "a.png"
    path.write_bytes(png(head, (b"IDAT", zlib.compress(bytes(20)), 2**31 - 1), (b"IEND", b"", None)))
    with pytest.raises(InputError, match="cut short or damaged"):
        open_image(path)
    path.write_bytes(png(head, (b"IDAT", zlib.compress(bytes(20)), None), (b"IEND", b"", None)))
    with open_image(path) as reader:
        assert not reader.read(0).any()


def test_a_png_of_a_hundred_bytes_that_claims_80_megapixels(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    head = (b"IHDR", struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0), None)
    path.write_bytes(png(head, (b"IDAT", zlib.compress(bytes(20)), None), (b"IEND", b"", None)))
    with pytest.raises(InputError, match="claims 9000 x 9000 px in"):
        open_image(path)


def test_a_png_of_more_pixels_than_any_picture_has(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (2, 2)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="too large a picture"):
        open_image(path)


@pytest.mark.parametrize("pair", [(8, 2**63), (2**64 - 8, 16), (2**40, 8)])
def test_a_shard_whose_index_leads_out_of_it(tmp_path: Path, pair: tuple[int, int]) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.create_group(path, zarr_format=3)
    array = group.create_array("0", shape=(32, 32), chunks=(8, 8), shards=(32, 32), dtype="uint16")
    array[:] = 7
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    scales = [{"version": "0.5", "axes": axes, "datasets": [{"path": "0"}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    shard = path / "0" / "c" / "0" / "0"
    data = shard.read_bytes()
    index = bytearray(data[-(16 * 16 + 4) : -4])
    index[:16] = struct.pack("<QQ", *pair)
    shard.write_bytes(data[: -(16 * 16 + 4)] + index + crc32c(bytes(index)).to_bytes(4, "little"))
    with open_image(path) as reader, pytest.raises(InputError, match="ends before chunks"):
        reader.read(0)


def changed(data: bytes, page: int, tag: int, number: int, value: int) -> bytes:
    """A TIFF with another value of a tag; of several values, number ``number``."""
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        entry = tif.pages[page].tags[tag]  # type: ignore[union-attr]
        width = {3: 2, 4: 4}[int(entry.dtype)]
        at = entry.valueoffset + number * width
    return data[:at] + value.to_bytes(width, "little") + data[at + width :]


def test_a_page_of_an_imagej_stack_that_lies_elsewhere(tmp_path: Path) -> None:
    """ImageJ and tifffile look at the first page only; others at each."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, PIXELS, imagej=True, metadata={"axes": "CYX"}, byteorder="<")
    sound, path = stream.getvalue(), tmp_path / "a.tif"
    path.write_bytes(sound)
    with open_image(path) as reader:
        assert np.array_equal(reader.read(2), PIXELS[2])
    path.write_bytes(changed(sound, 2, 273, 0, 400))
    with pytest.raises(InputError, match="programs disagree on its pixels"):
        open_image(path)


def test_parts_that_overlap(tmp_path: Path) -> None:
    """Programs that trust the first page to be laid out like all others read another row."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, PIXELS, rowsperstrip=1, metadata=None, byteorder="<", photometric="minisblack")
    path, sound = tmp_path / "a.tif", stream.getvalue()
    path.write_bytes(sound)
    with tifffile.TiffFile(path) as tif:
        offset = int(tif.pages[1].dataoffsets[7])
    path.write_bytes(changed(sound, 1, 273, 7, offset - 5))
    with pytest.raises(InputError, match=r"page 1 is in parts, .*, page 0 in one piece"):
        open_image(path)
    tifffile.imwrite(path, PIXELS[0], tile=(16, 16), metadata=None, byteorder="<")
    with tifffile.TiffFile(path) as tif:
        first = int(tif.pages[0].dataoffsets[0])
    path.write_bytes(changed(path.read_bytes(), 0, 324, 1, first + 8))
    with pytest.raises(InputError, match="two parts of page 0 overlap"):
        open_image(path)


def test_a_strip_with_a_place_and_no_length(tmp_path: Path) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, PIXELS[0], rowsperstrip=5, metadata=None, byteorder="<")
    path = tmp_path / "a.tif"
    path.write_bytes(changed(stream.getvalue(), 0, 279, 2, 0))
    with pytest.raises(InputError, match="part 2 of page 0 has a place in the file but no bytes"):
        open_image(path)
