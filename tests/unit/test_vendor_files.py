"""CZI, LIF and ND2 through bioio's plugins: a stand-in for one, and the real ones where they are installed."""

import importlib
import importlib.util
import struct
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellbatch.errors import EngineError, InputError, explain_system_error
from cellbatch.io import vendor_files
from cellbatch.io.folders import list_members
from cellbatch.io.images import is_supported, open_image
from cellbatch.spec import ReadOptions, Window

Sizes = namedtuple("Sizes", "Z Y X")
Dims = namedtuple("Dims", "order shape")
PIXELS = np.random.default_rng(4).integers(0, 60000, (1, 3, 4, 20, 30), np.uint16)


class Plane:
    """What dask gives for a plane: nothing is decoded before ``compute``."""

    def __init__(self, pixels: np.ndarray, chunks: tuple[int, int], fault: Exception | None, log: list[Any]) -> None:
        self.pixels, self.chunksize, self.fault, self.log = pixels, chunks, fault, log

    def __getitem__(self, index: Any) -> "Plane":
        return Plane(self.pixels[index], self.chunksize, self.fault, self.log)

    def compute(self, scheduler: str) -> np.ndarray:
        assert scheduler == "synchronous"
        if self.fault:
            raise self.fault
        self.log.append(self.pixels.shape)
        return self.pixels


class Image:
    """A plugin's reader of one sound image; tests change what they are about."""

    scenes: tuple[str, ...] = ("one",)
    pixels = PIXELS[:, :, :1]
    order = "TCZYX"
    channel_names: tuple[str, ...] | None = ("DAPI", "CD45", "Channel:0:2")
    physical_pixel_sizes = Sizes(None, 0.325, 0.325)
    chunks = (20, 30)
    fault: Exception | None = None

    def __init__(self, path: str) -> None:
        self.path, self.log, self.is_open = path, [], True
        self.dims, self.dtype = Dims(self.order, self.pixels.shape), self.pixels.dtype

    def get_image_dask_data(self, order: str, **place: int) -> Plane:
        assert order == "YX"
        assert set(place) == set(self.order) & set("TCZ")
        index = tuple(place.get(axis, slice(None)) for axis in self.order)
        return Plane(self.pixels[index], self.chunks, self.fault, self.log)

    def close(self) -> None:
        self.is_open = False


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> type[Image]:
    kind = type("Changed", (Image,), {})
    monkeypatch.setattr(vendor_files, "find_plugin", lambda suffix, name: kind)
    return kind


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    return tmp_path / "a.czi"


def test_header_and_pixels(plugin: type[Image], path: Path) -> None:
    with open_image(path) as reader:
        header = reader.header
        assert (header.shape, header.dtype, header.format) == ((3, 20, 30), "uint16", "czi")
        assert header.channel_names == ("DAPI", "CD45", "")
        assert header.image_mpp == 0.325
        for channel in range(3):
            assert np.array_equal(reader.read(channel), PIXELS[0, channel, 0])
        image = reader._image  # type: ignore[attr-defined]
    assert not image.is_open


def test_a_plane_that_is_decoded_whole_is_decoded_once(plugin: type[Image], path: Path) -> None:
    with open_image(path) as reader:
        assert reader.block_shape(0) == (20, 30)
        for y in range(0, 20, 5):
            assert np.array_equal(reader.read(1, Window(y, y + 5, 3, 9)), PIXELS[0, 1, 0, y : y + 5, 3:9])
        assert reader._image.log == [(20, 30)]  # type: ignore[attr-defined]


def test_of_a_plane_in_pieces_only_the_window_is_decoded(plugin: type[Image], path: Path) -> None:
    plugin.chunks = (8, 8)
    with open_image(path) as reader:
        assert reader.block_shape(0) == (8, 8)
        assert np.array_equal(reader.read(2, Window(2, 7, 3, 9)), PIXELS[0, 2, 0, 2:7, 3:9])
        assert reader._image.log == [(5, 6)]  # type: ignore[attr-defined]


def test_large_planes_are_named_with_their_memory(plugin: type[Image], path: Path) -> None:
    plugin.pixels = np.broadcast_to(np.uint16(7), (1, 3, 1, 5000, 5000))
    plugin.chunks = (5000, 5000)
    with open_image(path) as reader:
        assert reader.header.forced_bytes == 100_000_000


def test_stacks_need_a_plane_or_projection(plugin: type[Image], path: Path) -> None:
    plugin.pixels = PIXELS
    with pytest.raises(InputError, match=r"is a z-stack of 4 planes.*--z_plane"):
        open_image(path)
    with open_image(path, ReadOptions(z_plane=2)) as reader:
        assert np.array_equal(reader.read(1), PIXELS[0, 1, 2])
    with open_image(path, ReadOptions(projection="mean")) as reader:
        assert reader.header.dtype == "float32"
        assert np.allclose(reader.read(0), PIXELS[0, 0].mean(axis=0))
    plugin.pixels = PIXELS.swapaxes(0, 2)
    with pytest.raises(InputError, match="is a time series of 4 planes"):
        open_image(path)
    with open_image(path, ReadOptions(projection="max")) as reader:
        assert np.array_equal(reader.read(2), PIXELS[0, 2].max(axis=0))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scenes": ("one", "two")}, r"holds 2 images \(one, two\), expected one"),
        ({"order": "MCZYX", "pixels": np.repeat(PIXELS[:, :, :1], 2, 0)}, "is a mosaic of tiles.*length 2"),
        ({"order": "TCYXS", "pixels": np.zeros((1, 1, 20, 30, 3), np.uint8)}, "is a colour image.*length 3"),
        ({"order": "HCZYX", "pixels": np.repeat(PIXELS[:, :, :1], 2, 0)}, "axis 'H' has the length 2"),
        ({"pixels": PIXELS[:, :, :1].astype(np.complex64)}, "complex64 cannot be segmented"),
        ({"physical_pixel_sizes": Sizes(1, 0.5, 0.25)}, "pixels are not square"),
    ],
)
def test_what_is_refused(plugin: type[Image], path: Path, change: dict[str, Any], text: str) -> None:
    for name, value in change.items():
        setattr(plugin, name, value)
    with pytest.raises(InputError, match=text):
        open_image(path)


@pytest.mark.parametrize("sizes", [(None, None), (1.0, 1.0), (0.0, 0.0), (0.5, None), (5000.0, 5000.0)])
def test_a_pixel_size_that_is_not_stated(plugin: type[Image], path: Path, sizes: tuple[Any, Any]) -> None:
    plugin.physical_pixel_sizes = Sizes(None, *sizes)
    with open_image(path) as reader:
        assert reader.header.image_mpp is None


def test_axes_that_the_file_lacks(plugin: type[Image], path: Path) -> None:
    plugin.order, plugin.pixels, plugin.channel_names = "YX", PIXELS[0, 0, 0], None
    with open_image(path) as reader:
        assert reader.header.channel_names == ("",)
        assert np.array_equal(reader.read(0), PIXELS[0, 0, 0])


def test_damage_and_a_disk_that_fails(plugin: type[Image], path: Path) -> None:
    plugin.fault = RuntimeError("bad segment")
    with (
        open_image(path) as reader,
        pytest.raises(InputError, match=r"channel 1 cannot be decoded \(RuntimeError: bad"),
    ):
        reader.read(1)
    plugin.fault = OSError(5, "Input/output error")
    with open_image(path) as reader, pytest.raises(OSError, match="Input/output error") as caught:
        reader.read(1)
    assert isinstance(explain_system_error(caught.value), EngineError)


def test_a_plugin_that_gives_something_else_than_it_said(plugin: type[Image], path: Path) -> None:
    with open_image(path) as reader:
        reader._image.pixels = PIXELS[:, :, :1].astype(np.float64)  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="of float64, its header says"):
            reader.read(0)


@pytest.mark.parametrize("suffix", [".czi", ".lif", ".nd2"])
def test_without_the_extra_the_message_names_it(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vendor_files.PLUGINS, suffix, "bioio_that_is_not_installed")
    (tmp_path / f"A{suffix}").write_bytes(b"x")
    assert is_supported(f"A{suffix.upper()}")
    assert list_members(tmp_path) == [f"A{suffix}"]
    with pytest.raises(InputError, match=r"pip install 'cellbatch\[bioio\]'"):
        open_image(tmp_path / f"A{suffix}")


def write_czi(path: Path, pixels: np.ndarray) -> None:
    """With Zeiss's own library, which comes with the plugin."""
    czi = importlib.import_module("pylibCZIrw.czi")
    with czi.create_czi(str(path)) as document:
        for t, c, z in np.ndindex(pixels.shape[:3]):
            document.write(data=np.ascontiguousarray(pixels[t, c, z, ..., None]), plane={"T": t, "C": c, "Z": z})
        document.write_metadata(document_name="a", channel_names={0: "DAPI", 1: "CD45"}, scale_x=5e-7, scale_y=5e-7)


def lif_block(text: str, data: bytes | None = None) -> bytes:
    """A block of text, or of data under a name."""
    words = text.encode("utf-16-le")
    head = b"" if data is None else struct.pack("<BQ", 0x2A, len(data))
    body = head + struct.pack("<BI", 0x2A, len(text)) + words
    return struct.pack("<II", 0x70, len(body)) + body + (data or b"")


def write_lif(path: Path, pixels: np.ndarray) -> None:
    """After the layout of Leica's image files: a block of XML, then one of pixels."""
    (times, _, depth, height, width), size = pixels.shape, pixels.itemsize
    plane = height * width * size
    channels = "".join(
        f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * size}" NameOfMeasuredQuantity="" Min="0" '
        f'Max="1" Unit="" LUTName="{name}" IsLUTInverted="0" BytesInc="{at * plane}" BitInc="0">'
        "</ChannelDescription>"
        for at, name in enumerate(("DAPI", "CD45"))
    )
    axes = [(1, width, 5e-7, "m", size), (2, height, 5e-7, "m", width * size)]
    axes += [(3, depth, 1e-6, "m", 2 * plane)] * (depth > 1) + [(4, times, 1, "s", 2 * plane * depth)] * (times > 1)
    dimensions = "".join(
        f'<DimensionDescription DimID="{axis}" NumberOfElements="{count}" Origin="0" Length="{step * (count - 1)}" '
        f'Unit="{unit}" BitInc="0" BytesInc="{stride}"/>'
        for axis, count, step, unit, stride in axes
    )
    image = (
        f'<Element Name="one" UniqueID="u"><Data><Image><ImageDescription><Channels>{channels}</Channels><Dimensions>'
        f"{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_1"/><Children/></Element>'
    )
    text = (
        '<LMSDataContainerHeader Version="2"><Element Name="all" UniqueID="p"><Data><Experiment Path="a"/></Data>'
        f'<Memory Size="0" MemoryBlockID="MemBlock_0"/><Children>{image}</Children></Element></LMSDataContainerHeader>'
    )
    data = np.ascontiguousarray(pixels.transpose(0, 2, 1, 3, 4)).tobytes()
    path.write_bytes(lif_block(text) + lif_block("MemBlock_0", b"") + lif_block("MemBlock_1", data))


WRITERS = {".czi": write_czi, ".lif": write_lif}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", WRITERS)
def test_the_real_plugins_read_what_was_written(tmp_path: Path, suffix: str) -> None:
    if importlib.util.find_spec(vendor_files.PLUGINS[suffix]) is None:
        pytest.skip("the extra bioio is not installed")
    path = tmp_path / f"plain{suffix}"
    WRITERS[suffix](path, PIXELS[:, :2, :1])
    with open_image(path) as reader:
        assert (reader.header.channel_names, reader.header.image_mpp) == (("DAPI", "CD45"), 0.5)
        assert np.array_equal(reader.read(1, Window(3, 17, 5, 29)), PIXELS[0, 1, 0, 3:17, 5:29])
    data = path.read_bytes()
    for twentieth in range(1, 20):
        path.write_bytes(data[: len(data) * twentieth // 20])
        with pytest.raises(InputError), open_image(path) as reader:
            reader.read(1)
    for axis, stack in (("z", PIXELS[:, :2]), ("t", PIXELS[:, :2].swapaxes(0, 2))):
        path = tmp_path / f"{axis}{suffix}"
        WRITERS[suffix](path, stack)
        with pytest.raises(InputError, match="of 4 planes"):
            open_image(path)
        with open_image(path, ReadOptions(z_plane=3)) as reader:
            assert np.array_equal(reader.read(0), PIXELS[0, 0, 3])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", vendor_files.PLUGINS)
def test_the_real_plugins_refuse_damage(tmp_path: Path, suffix: str) -> None:
    if importlib.util.find_spec(vendor_files.PLUGINS[suffix]) is None:
        pytest.skip("the extra bioio is not installed")
    path = tmp_path / f"a{suffix}"
    for data in (b"x" * 2000, b"ZISRAWFILE" + bytes(3000), b"\xda\xce\xbe\x0a" + bytes(100), b"\x70" + bytes(300)):
        path.write_bytes(data)
        with pytest.raises(InputError, match="cannot be read as"):
            open_image(path)
