"""TIFF files that are cut short, lie about their pages, or point elsewhere are refused before a pixel is read."""

import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellbatch.errors import InputError
from cellbatch.io.images import open_image, read_header

OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {root}>'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{x}" SizeY="64" '
    'SizeC="{c}" SizeZ="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
)


def write_pages(path: Path, xml: str | None = None, count: int = 3, **options: object) -> np.ndarray:
    """Pages of 64 x 48 px, the first with ``xml`` as description."""
    image = np.random.default_rng(3).integers(0, 1000, (count, 64, 48)).astype("uint16")
    with tifffile.TiffWriter(path) as tif:
        for index, plane in enumerate(image):
            description = xml.encode() if xml and index == 0 else None
            tif.write(plane, metadata=None, description=description, contiguous=False, software=False, **options)
    return image


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.99])
def test_cut_files_are_refused_at_any_place(tmp_path: Path, options: dict, share: float) -> None:
    path = tmp_path / "a.tif"
    write_pages(path, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(
        InputError, match=r"a\.tif: (the chain of pages|the file|cannot be read|its structure|the page)"
    ):
        read_header(path)


def test_message_of_a_cut_file_names_bytes_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((200, 100), "uint16"), metadata={"axes": "YX"})
    with path.open("r+b") as stream:
        stream.truncate(20000)
    with pytest.raises(InputError, match=r"needs \d+ bytes, the file has 20000; copy or write it again"):
        read_header(path)


def test_lost_last_page_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_pages(path)
    with tifffile.TiffFile(path) as tif:
        last = tif.pages[2].offset
        assert last > tif.pages[2].dataoffsets[0] or last > tif.pages[1].offset
    with path.open("r+b") as stream:
        stream.truncate(last)
    with pytest.raises(InputError, match="the chain of pages leads to byte"):
        read_header(path)


def test_circular_chain_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_pages(path)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[2].offset
    end = last + 2 + 12 * struct.unpack("<H", data[last : last + 2])[0]
    data[end : end + 4] = struct.pack("<I", first)
    path.write_bytes(data)
    with pytest.raises(InputError, match="goes in a circle after page 3"):
        read_header(path)


@pytest.mark.parametrize(
    ("width", "claimed", "data"),
    [(48, 5, "<TiffData/>"), (48, 19, '<TiffData IFD="0" PlaneCount="19"/>'), (500, 3, "<TiffData/>")],
)
def test_header_that_does_not_fit_the_pages(tmp_path: Path, width: int, claimed: int, data: str) -> None:
    path = tmp_path / "a.ome.tif"
    write_pages(path, OME.format(root="", x=width, c=claimed, data=data))
    with pytest.raises(InputError, match=rf"claims {claimed} planes that do not fit the 3 pages"):
        read_header(path)


def test_pages_in_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    data = "".join(
        f'<TiffData IFD="0" FirstC="{index}" PlaneCount="1">'
        f'<UUID FileName="{name}.ome.tif">urn:uuid:{name}</UUID></TiffData>'
        for index, name in enumerate("ab")
    )
    write_pages(path, OME.format(root='UUID="urn:uuid:a"', x=48, c=2, data=data), count=1)
    with pytest.raises(InputError, match="one part of a data set in several files"):
        read_header(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    xml = OME.format(root="", x=48, c=3, data="<TiffData/>").replace(
        "<OME", '<!DOCTYPE OME [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><OME', 1
    )
    write_pages(path, xml)
    with pytest.raises(InputError, match="declares entities"):
        read_header(path)


def test_unequal_pages_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(np.zeros((64, 64), "uint16"), metadata=None)
        tif.write(np.zeros((64, 64), "uint8"), metadata=None)
    with pytest.raises(InputError, match="holds 2 images"):
        read_header(path)


def test_pages_that_differ_behind_an_ome_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as tif:
        xml = OME.format(root="", x=48, c=2, data="<TiffData/>").encode()
        tif.write(np.zeros((64, 48), "uint16"), metadata=None, description=xml)
        tif.write(np.zeros((64, 48), "uint8"), metadata=None)
    with pytest.raises(
        InputError, match=r"page 1 is .* of uint8 in 8 bits .*, page 0 .* of uint16 .*; expected equal pages"
    ):
        read_header(path)


def test_a_pyramid_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    image = np.random.default_rng(1).integers(0, 1000, (128, 128)).astype("uint16")
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(image, subifds=1, tile=(32, 32))
        tif.write(image[::2, ::2], subfiletype=1, tile=(32, 32))
    with tifffile.TiffFile(path) as tif:
        end = max(
            offset + count
            for offset, count in zip(
                tif.series[0].levels[1].pages[0].dataoffsets,
                tif.series[0].levels[1].pages[0].databytecounts,
                strict=True,
            )
        )
    with path.open("r+b") as stream:
        stream.truncate(end - 100)
    with pytest.raises(InputError, match=r"is cut short|ends"):
        read_header(path)


def test_damaged_compressed_data_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_pages(path, compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[1].dataoffsets[2], tif.pages[1].databytecounts[2]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\x55" * count)
    with open_image(path) as reader:
        assert reader.read(0).shape == (64, 48)
        with pytest.raises(InputError, match=r"cannot decode part 2 of page 1 \(compression ADOBE_DEFLATE\)"):
            reader.read(1)


def test_absent_tiles_are_background(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_sparse(path)
    with open_image(path) as reader:
        np.testing.assert_array_equal(reader.read(0), np.kron(np.eye(2, dtype="uint16"), np.ones((32, 32), "uint16")))


def write_sparse(path: Path) -> None:
    """Two of four tiles absent, as writers that leave out empty tiles do: offset and byte count 0."""
    image = np.kron(np.eye(2, dtype="uint16"), np.ones((32, 32), "uint16"))
    tifffile.imwrite(path, image, tile=(32, 32), compression="zlib", metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        for tag in ("TileOffsets", "TileByteCounts"):
            entry = tif.pages[0].tags[tag]
            size = entry.valuebytecount // entry.count
            for index in (1, 2):
                place = entry.valueoffset + index * size
                data[place : place + size] = bytes(size)
    path.write_bytes(data)


def test_remarks_of_the_parser_do_not_reach_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.ome.tif"
    write_pages(path, OME.format(root="", x=48, c=9, data="<TiffData/>"))
    with caplog.at_level(logging.DEBUG), pytest.raises(InputError):
        read_header(path)
    assert caplog.records == []


def test_implausible_size_is_told_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.ome.tif"
    sizes = {"PhysicalSizeX": 10000.0, "PhysicalSizeY": 10000.0}
    tifffile.imwrite(path, np.zeros((8, 8), "uint8"), metadata={"axes": "YX", **sizes})
    with caplog.at_level(logging.WARNING):
        assert read_header(path).image_mpp is None
    assert "10000 µm is implausible" in caplog.text


@pytest.mark.parametrize("offset", [0, 2, 7])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_pixels_inside_the_header_are_refused(tmp_path: Path, offset: int, options: dict) -> None:
    """Found by the fuzzer: such an offset read the header's own bytes as pixels, without a word."""
    path = tmp_path / "a.tif"
    write_pages(path, count=2, **options)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[1].aspage().tags["StripOffsets"].valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 4] = struct.pack("<I", offset)
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"page 1 names a strip or tile at byte {offset} of"):
        read_header(path)


def test_a_strip_that_claims_far_more_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    """A kilobyte that unpacks to gigabytes is told by the size that the header claims."""
    path = tmp_path / "a.tif"
    write_pages(path, count=1, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        places = [tif.pages[0].tags[name].offset + 8 for name in ("ImageLength", "RowsPerStrip", "ImageWidth")]
    data = bytearray(path.read_bytes())
    for place in places:
        data[place - 6 : place - 4] = struct.pack("<H", 4)
        data[place : place + 4] = struct.pack("<I", 200_000)
    path.write_bytes(data)
    with pytest.raises(InputError, match="claims 80000000000 bytes in a strip or tile"):
        read_header(path)


def test_pages_that_are_coded_in_two_ways_are_refused(tmp_path: Path) -> None:
    """Found by the fuzzer: readers that look at the first page only gave other pixels."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((2, 64, 48), np.uint16), metadata={"axes": "CYX"}, ome=True)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[1].aspage().tags["BitsPerSample"].offset + 8
    data = bytearray(path.read_bytes())
    data[place : place + 2] = struct.pack("<H", 12)
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=r"page 1 is .* in 12 bits by NONE, page 0 .* in 16 bits by NONE; expected equal"
    ):
        read_header(path)


def test_an_uncompressed_strip_that_is_too_short_is_refused(tmp_path: Path) -> None:
    """Found by the fuzzer: its pixels would be filled up without a word."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((24, 18), np.uint8), rowsperstrip=8, metadata=None)
    with tifffile.TiffFile(path) as tif:
        place = tif.pages[0].tags["StripByteCounts"].valueoffset
        size = tif.pages[0].tags["StripByteCounts"].dtype
    # a gap between the strips, so that they are read one by one
    data = bytearray(path.read_bytes())
    width = {3: 2, 4: 4}[int(size)]
    data[place + width : place + 2 * width] = (100).to_bytes(width, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="part 1 of page 0 has 100 bytes, expected 144"):
        read_header(path)
