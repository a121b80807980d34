"""Large images go block by block and shard by shard; what comes out is the same to the last byte."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cellbatch.io.tiff_bytes
import cellbatch.phases.preprocess_images
import cellbatch.phases.sources
import cellbatch.phases.streamed_preprocessing
from cellbatch.errors import InputError
from cellbatch.io.model_sources import describe_source
from cellbatch.io.models import read_manifest
from cellbatch.phases.handoff_files import open_heads
from cellbatch.phases.infer_tiles import infer_batch
from cellbatch.phases.loaded_model import HEAD_NAMES, InferenceOptions
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.postprocess_labels import resolve_watershed
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.preprocess_images import is_small, preprocess_images
from cellbatch.phases.segment_crop import segment_crop
from cellbatch.planning.shards import Shard
from cellbatch.postprocessing.watershed import deep_watershed
from cellbatch.spec import Batch, ImageSource, SampleSpec, Window

CHANNELS = 4


def draw(shape: tuple[int, int], dtype: str = "uint16") -> np.ndarray:
    rng = np.random.default_rng(11)
    image = rng.integers(0, 300, (CHANNELS, *shape))
    for _ in range(60):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        image[:, max(y - 6, 0) : y + 6, max(x - 6, 0) : x + 6] += rng.integers(500, 3000, (CHANNELS, 1, 1))
    return image.astype(dtype)


class Staged:
    """Images staged as Nextflow stages them, with their samples."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.samples = folder, []
        prepare_model(describe_source(find_model("demo")), folder / "model")

    def add(self, image: np.ndarray, recipes: tuple[str, str] = ("0", "3"), mpp: float = 0.5, **layout: object) -> None:
        position = len(self.samples) + 1
        path = self.folder / "images" / str(position) / "a.tif"
        path.parent.mkdir(parents=True)
        tifffile.imwrite(path, image, photometric="minisblack", **layout)
        source = ImageSource("image", position)
        spec = SampleSpec(f"s{position}", (source,), image.shape[1:], mpp, *recipes, ("",) * CHANNELS, image.dtype.name)
        self.samples.append(spec)

    def preprocess(self, name: str = "b.pixels.zip") -> Path:
        output = self.folder / name
        preprocess_images(Batch("b", tuple(self.samples)), self.folder / "images", self.folder / "model", output)
        return output


@pytest.fixture
def staged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Staged(tmp_path)


CASES = {
    "tiles": ((300, 260), {"tile": (64, 64), "compression": "zlib"}),
    "strips": ((300, 260), {"rowsperstrip": 7, "compression": "zlib"}),
    "plain": ((257, 129), {}),
    "tall": ((700, 40), {"tile": (32, 32)}),
    "wide": ((30, 900), {"tile": (32, 32)}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mpp", [0.5, 0.31, 0.9])
def test_streamed_preprocessing_writes_the_same_file(staged, monkeypatch, case, mpp):
    shape, layout = CASES[case]
    image = draw(shape)
    staged.add(image, mpp=mpp, **layout)
    staged.add(image, ("sum(norm(1),norm(2))", "max(0,3)"), mpp=mpp, **layout)
    staged.add(image.astype(np.float32) / 7, ("2", ""), mpp=mpp)
    whole = staged.preprocess("whole.zip").read_bytes()
    monkeypatch.setattr(cellbatch.phases.preprocess_images, "IN_MEMORY_PX", 0)
    assert staged.preprocess("streamed.zip").read_bytes() == whole
    monkeypatch.setattr(cellbatch.phases.streamed_preprocessing, "STRIP_ROWS", 50)
    monkeypatch.setattr(cellbatch.phases.sources, "COPY_PX", 5000)
    monkeypatch.setattr(cellbatch.phases.sources, "COPY_ROWS", 20)
    assert staged.preprocess("blocks.zip").read_bytes() == whole


def test_an_image_counts_as_small_by_what_the_network_sees_of_it(staged):
    manifest = read_manifest(staged.folder / "model")
    fine, coarse = (SampleSpec("s", (), (2000, 2000), mpp, "0", "1", (), "uint8") for mpp in (0.5, 2.0))
    wide = SampleSpec("s", (), (4096, 4096), 4.0, "0", "1", (), "uint8")
    assert is_small(fine, manifest)
    assert not is_small(coarse, manifest)
    assert not is_small(wide, manifest)


def test_only_the_used_channels_are_read_and_only_once(staged, monkeypatch):
    monkeypatch.setattr(cellbatch.phases.preprocess_images, "IN_MEMORY_PX", 0)
    staged.add(draw((600, 500)), ("norm(1)", "3"), mpp=0.4, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(staged.folder / "images/1/a.tif") as tif:
        stored = sum(sum(tif.pages[channel].databytecounts) for channel in (1, 3))
    lengths: list[int] = []
    read = cellbatch.io.tiff_bytes.os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        lengths.append(size)
        return read(descriptor, size, offset)

    monkeypatch.setattr(cellbatch.io.tiff_bytes.os, "pread", counted)
    staged.preprocess()
    assert stored <= sum(lengths) <= 1.2 * stored


def test_a_pixel_that_is_no_number_is_found_in_any_strip(staged, monkeypatch):
    monkeypatch.setattr(cellbatch.phases.preprocess_images, "IN_MEMORY_PX", 0)
    image = draw((200, 100), "float32")
    image[0, 150, 3] = np.nan
    staged.add(image)
    with pytest.raises(InputError, match="sample s1: the image holds NaN or infinite pixels"):
        staged.preprocess()
    assert not (staged.folder / "b.pixels.zip").exists()


@pytest.fixture
def pixels(staged):
    """A batch of a tall image, which is cut into shards, and a small one, which is not."""
    staged.add(draw((900, 150)))
    staged.add(draw((100, 90)))
    return staged.preprocess()


def test_heads_do_not_depend_on_the_shards(staged, pixels):
    names = [f"{name}_{head}" for name in ("whole_cell", "nuclear") for head in ("inner_distance", "interior")]
    whole = None
    for count in (1, 3):
        size = -(-900 * 150 // count)
        paths = [staged.folder / f"b.{index}.of{count}.zip" for index in range(count)]
        for index, path in enumerate(paths):
            timings = infer_batch(pixels, staged.folder / "model", path, InferenceOptions(), shard=Shard(index, size))
            samples = {row["sample"] for row in timings.rows()} - {""}
            assert samples == ({"s1", "s2"} if index == 0 else {"s1"})
        heads = {
            (sample, name): open_heads(paths, sample, name)[0:900, 0:150] for sample in ("s1", "s2") for name in names
        }
        whole = whole or heads
        assert whole["s1", names[0]].shape == (900, 150)
        for key, values in heads.items():
            np.testing.assert_array_equal(values, whole[key], strict=True)


def test_a_crop_with_context_has_the_labels_of_the_whole(staged, pixels):
    model, heads = staged.folder / "model", staged.folder / "b.0.heads.zip"
    infer_batch(pixels, model, heads, InferenceOptions())
    for name, options in resolve_watershed(read_manifest(model).selected("both"), {}).items():
        whole = deep_watershed(
            *(open_heads((heads,), "s1", f"{name}_{head}")[0:900, 0:150] for head in HEAD_NAMES), **asdict(options)
        )
        for window in (Window(400, 500, 20, 130), Window(0, 64, 0, 64)):
            found = segment_crop(pixels, "s1", window, model, compartment=name.replace("_", "-"))[name]
            expected = np.unique(np.append(whole[window.slices], 0), return_inverse=True)[1][:-1].reshape(found.shape)
            assert expected.max() > 0
            np.testing.assert_array_equal(found, expected)


def test_a_shard_that_dies_leaves_no_file(staged, pixels, monkeypatch):
    def die(self, window):
        if window.y0 > 500:
            raise InputError("the machine went away")
        return read(self, window)

    read = cellbatch.phases.infer_tiles.PixelReader.read
    monkeypatch.setattr(cellbatch.phases.infer_tiles.PixelReader, "read", die)
    with pytest.raises(InputError, match="the machine went away"):
        infer_batch(pixels, staged.folder / "model", staged.folder / "b.0.heads.zip", InferenceOptions())
    assert not list(staged.folder.glob("*.heads.zip"))
