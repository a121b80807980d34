"""A sample's channels by rectangle."""

import numpy as np
import pytest
import tifffile

from cellbatch.phases.sources import SampleImage
from cellbatch.spec import ImageSource, SampleSpec, Window

SHAPE = (70, 90)
ROLES = ("nuclear", "membrane")
WINDOWS = [Window(0, 70, 0, 90), Window(3, 41, 17, 60), Window(69, 70, 89, 90)]


def _sample(nuclear: str, membrane: str, roles: tuple[str, ...] = ("image",)) -> SampleSpec:
    sources = tuple(ImageSource(role, index + 1) for index, role in enumerate(roles))
    names = ("",) * (4 if len(roles) == 1 else 5)
    return SampleSpec("s", sources, SHAPE, 0.5, nuclear, membrane, names, "uint16")


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(3)
    for position, count in ((1, 4), (2, 1)):
        folder = tmp_path / str(position)
        folder.mkdir()
        planes = rng.integers(0, 5000, (count, *SHAPE)).astype(np.uint16)
        tifffile.imwrite(folder / "a.tif", planes, photometric="minisblack", tile=(32, 32), compression="zlib")
    return tmp_path


@pytest.mark.parametrize(
    ("nuclear", "membrane", "roles"),
    [
        ("0", "3", ("image",)),
        ("max(0,2)", "", ("image",)),
        ("norm(1)", "sum(norm(3),0,norm(1))", ("image",)),
        ("1", "norm(0)", ("nuclear", "membrane")),
    ],
)
def test_a_window_equals_the_same_part_of_the_whole(images, nuclear, membrane, roles):
    sample = _sample(nuclear, membrane, roles)
    with SampleImage(sample, images) as image:
        whole = image.model_input(ROLES)
        assert whole.shape == (*SHAPE, 2)
        assert whole.dtype == np.float32
        assert bool(membrane) == bool(whole[..., 1].any())
    with SampleImage(sample, images) as image:
        for window in WINDOWS:
            np.testing.assert_array_equal(image.model_input(ROLES, window), whole[window.slices])


def test_channels_count_over_all_files(images):
    with SampleImage(_sample("0", "0", ("nuclear", "membrane")), images) as image:
        expected = tifffile.imread(images / "2/a.tif").reshape(SHAPE)
        np.testing.assert_array_equal(image.read(4), expected)
        np.testing.assert_array_equal(image.read(4, WINDOWS[1]), expected[WINDOWS[1].slices])
