"""Images at the border of what an image can be, from file to labels: segmented like any other, or refused."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellbatch import segment
from cellbatch.io.images import open_image

RNG = np.random.default_rng(2)
SHAPE = (60, 80)


def two(pixels: np.ndarray) -> np.ndarray:
    return np.stack([pixels, pixels])


SEGMENTED = {
    "negative": two(RNG.normal(-50, 20, SHAPE).astype(np.float32)),
    "negative integers": two(RNG.integers(-2000, -10, SHAPE, np.int16)),
    "constant": np.full((2, *SHAPE), 700, np.uint16),
    "saturated": np.full((2, *SHAPE), 65535, np.uint16),
    "one pixel": np.full((2, 1, 1), 9, np.uint8),
    "one row": RNG.integers(0, 255, (2, 1, 300), np.uint8),
    "one column": RNG.integers(0, 255, (2, 300, 1), np.uint8),
    "signed bytes": two(RNG.integers(-128, 127, SHAPE, np.int8)),
    "bits": two(RNG.random(SHAPE) > 0.5),
    "large integers": two(RNG.integers(2**30, 2**32 - 1, SHAPE, np.uint32)),
    "double precision": two(RNG.normal(0, 1e30, SHAPE)),
}
REFUSED = {
    "NaN": two(np.where(RNG.random(SHAPE) > 0.99, np.nan, 1).astype(np.float32)),
    "infinite": two(np.where(RNG.random(SHAPE) > 0.99, -np.inf, 1).astype(np.float32)),
    "larger than single precision": two(np.full(SHAPE, 1e300)),
}


def read(folder: Path, pixels: np.ndarray) -> np.ndarray:
    """Through a file, as the network wants it (Y, X, C)."""
    path = folder / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
    with open_image(path) as reader:
        stored = np.stack([reader.read(channel) for channel in range(2)])
    assert stored.dtype == pixels.dtype
    assert np.array_equal(stored, pixels, equal_nan=pixels.dtype.kind == "f")
    return np.moveaxis(stored, 0, -1)


@pytest.mark.parametrize("kind", SEGMENTED)
def test_it_is_segmented(tmp_path: Path, kind: str) -> None:
    image = read(tmp_path, SEGMENTED[kind])
    labels = segment(image, image_mpp=0.5)
    assert all(values.shape == image.shape[:2] for values in labels.values())
    if kind in ("constant", "saturated", "one pixel"):
        assert all(values.max() <= 1 for values in labels.values())


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        segment(read(tmp_path, REFUSED[kind]), image_mpp=0.5)
