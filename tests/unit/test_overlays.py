"""Overlays: what is drawn where, and at which size."""

import io

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from skimage.segmentation import find_boundaries

from cellbatch.geometry.blocks import BlockGrid
from cellbatch.reporting.canvas import OverviewCanvas
from cellbatch.reporting.crops import choose_windows
from cellbatch.reporting.overlays import (
    MAX_SIDE_PX,
    MEMBRANE_RGB,
    MIN_SIDE_PX,
    NUCLEAR_OUTLINE_RGB,
    NUCLEAR_RGB,
    WHOLE_CELL_RGB,
    draw_overlay,
    draw_thumbnail,
    encode_png,
    find_limits,
    inner_boundaries,
    stretch_contrast,
)


def make_labels(shape: tuple[int, int] = (500, 500)) -> np.ndarray:
    labels = np.zeros(shape, np.uint32)
    labels[10:40, 10:40] = 1
    labels[10:40, 40:70] = 2
    return labels


def has_colour(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    return (picture == rgb).all(axis=2)


def test_channel_colours_can_be_added_without_overflow():
    assert max(a + b for a, b in zip(NUCLEAR_RGB, MEMBRANE_RGB, strict=True)) <= 255


@pytest.mark.parametrize("seed", range(5))
def test_inner_boundaries_equal_scikit_image(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (12, 9)).repeat(3, 0).repeat(4, 1).astype(np.uint32)
    assert_array_equal(inner_boundaries(labels), find_boundaries(labels, connectivity=1, mode="inner"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_inner_boundaries_of_thin_images(shape):
    labels = np.arange(6, dtype=np.uint32)[: shape[0] * shape[1]].reshape(shape)
    assert_array_equal(inner_boundaries(labels), (labels > 0) & (labels.size > 1))


def test_outlines_are_one_pixel_wide_inside_each_label():
    labels = make_labels()
    picture = draw_overlay(np.zeros((500, 500)), labels, None)
    assert_array_equal(has_colour(picture, WHOLE_CELL_RGB), inner_boundaries(labels))
    assert not picture[~inner_boundaries(labels)].any()


def test_both_outlines_show_where_they_coincide():
    labels = make_labels()
    picture = draw_overlay(np.zeros((500, 500, 2)), labels, labels)
    cells, nuclei = has_colour(picture, WHOLE_CELL_RGB), has_colour(picture, NUCLEAR_OUTLINE_RGB)
    assert_array_equal(cells | nuclei, inner_boundaries(labels))
    assert 0.4 < cells.sum() / (cells.sum() + nuclei.sum()) < 0.6


def test_nuclei_alone_get_their_own_colour():
    labels = make_labels()
    picture = draw_overlay(np.zeros((500, 500, 1)), None, labels)
    assert_array_equal(has_colour(picture, NUCLEAR_OUTLINE_RGB), inner_boundaries(labels))


def test_channels_have_their_colours():
    image = np.zeros((400, 400, 2), np.uint16)
    image[:, :100, 0] = 5000
    image[:, 300:, 1] = 9000
    picture = draw_overlay(image, None, None)
    assert tuple(picture[200, 50]) == NUCLEAR_RGB
    assert tuple(picture[200, 350]) == MEMBRANE_RGB
    assert not picture[:, 100:300].any()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((43, 50), (430, 500)),
        ((64, 64), (448, 448)),
        ((300, 310), (600, 620)),
        ((400, 400), (400, 400)),
        ((1, 700), (2, 1400)),
    ],
)
def test_small_images_are_magnified_by_a_whole_factor(shape, expected):
    rng = np.random.default_rng(0)
    picture = draw_overlay(rng.random((*shape, 2)), None, None)
    assert picture.shape == (*expected, 3)
    factor = expected[0] // shape[0]
    assert_array_equal(picture, picture[::factor, ::factor].repeat(factor, 0).repeat(factor, 1))


def test_outlines_of_magnified_images_stay_thin():
    labels = np.zeros((50, 50), np.uint32)
    labels[20:30, 20:30] = 1
    picture = draw_overlay(np.zeros((50, 50)), labels, None)
    side = 10 * (MIN_SIDE_PX // 50)
    assert has_colour(picture, WHOLE_CELL_RGB).sum() == 4 * (side - 1)


def test_wide_cells_of_a_large_picture_have_outlines_of_two_pixels():
    labels = np.zeros((1500, 1500), np.uint32)
    labels[300:600, 300:600] = 1
    outline = has_colour(draw_overlay(np.zeros((1500, 1500)), labels, None), WHOLE_CELL_RGB)
    assert np.diff(np.flatnonzero(np.diff(outline[450].astype(int)))).tolist()[::2] == [2, 2]


def test_cells_of_a_few_pixels_have_pale_outlines_that_leave_the_image_visible():
    labels = np.zeros((600, 600), np.uint32)
    labels[100:104, 100:104] = 1
    picture = draw_overlay(np.zeros((600, 600)), labels, None)
    edge = picture[inner_boundaries(labels)]
    assert not has_colour(picture, WHOLE_CELL_RGB).any()
    assert (edge > 0.3 * np.array(WHOLE_CELL_RGB)).all()
    assert (edge < 0.6 * np.array(WHOLE_CELL_RGB)).all()


def test_limits_of_the_whole_image_hold_for_a_crop():
    image = np.zeros((400, 400, 2), np.float32)
    image[:200, :, 0], image[200:, :, 0] = 1000, 10
    crop = draw_overlay(image[200:], None, None, limits=find_limits(image))
    assert crop.max() <= 10
    assert draw_overlay(image[100:300], None, None)[-1].max() == 0


@pytest.mark.parametrize(("shape", "reduction"), [((2048, 10), 1), ((2049, 100), 2), ((5000, 9000), 8)])
def test_overview_of_blocks_equals_the_reduced_image(shape, reduction):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, (*shape, 2)).astype(np.float32)
    labels = rng.integers(0, 9, shape).astype(np.uint32)
    canvas = OverviewCanvas(shape, ("whole_cell",))
    for core in BlockGrid(shape, 2048).cores():
        canvas.add_block(core, image[core.slices], {"whole_cell": labels[core.slices]})
    assert canvas.reduction == reduction
    assert max(canvas.shape) <= MAX_SIDE_PX
    corner = image[:reduction, :reduction].mean(axis=(0, 1))
    assert_allclose(canvas.inputs[0, 0], corner, rtol=1e-5)
    rest = [(size - 1) // reduction * reduction for size in shape]
    assert_allclose(canvas.inputs[-1, -1], image[rest[0] :, rest[1] :].mean(axis=(0, 1)), rtol=1e-5)
    assert canvas.labels["whole_cell"][0, 0] == labels[reduction // 2, reduction // 2]


def test_crops_are_the_densest_the_sparsest_and_the_worst_place():
    rng = np.random.default_rng(0)
    places = np.concatenate([rng.uniform(0, 256, (50, 2)), [[300, 300]], 512 + rng.uniform(0, 256, (20, 2))])
    places = np.concatenate([places, [[np.nan, np.nan]], 256 * np.array([0, 2]) + rng.uniform(0, 256, (10, 2))])
    doubtful = np.arange(len(places)) >= len(places) - 10
    windows = choose_windows((1000, 1000), 256, places, doubtful)
    assert [tuple(window) for window in windows] == [(0, 256, 0, 256), (256, 512, 256, 512), (0, 256, 512, 768)]


@pytest.mark.parametrize(("shape", "count"), [((64, 64), 0), ((511, 511), 0), ((512, 512), 3), ((100, 3000), 3)])
def test_small_images_have_no_crops(shape, count):
    places = np.random.default_rng(0).uniform(0, 1, (200, 2)) * shape
    windows = choose_windows(shape, 256, places, np.zeros(200, bool))
    assert len(set(windows)) == count
    assert all(0 <= w.y0 < w.y1 <= shape[0] and 0 <= w.x0 < w.x1 <= shape[1] for w in windows)


def test_an_image_without_cells_has_three_crops_somewhere():
    assert len(choose_windows((1024, 1024), 256, np.zeros((0, 2)), np.zeros(0, bool))) == 3


def test_stretch_ignores_outliers_and_what_is_not_finite():
    rng = np.random.default_rng(0)
    channel = rng.normal(100, 10, (200, 200))
    channel[0, :4] = np.nan, np.inf, -np.inf, 1e9
    grey = stretch_contrast(channel)
    assert grey[0, :4].tolist() == [0, 255, 0, 255]
    assert 100 < grey.mean() < 155


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_constant_and_empty_channels_are_black(value):
    assert not stretch_contrast(np.full((9, 9), value, np.float32)).any()


def test_sparse_counts_are_visible():
    channel = np.zeros((100, 100), np.uint8)
    channel[50, 50] = 3
    assert stretch_contrast(channel)[50, 50] == 255


def test_extreme_integers_do_not_wrap():
    channel = np.array([[0, 2**63], [2**64 - 1, 2**62]], np.uint64)
    assert stretch_contrast(channel).argsort(axis=None).tolist()[-1] == 2


@pytest.mark.parametrize("shape", [(5,), (0, 4), (4, 4, 0), (2, 3, 4, 5)])
def test_images_that_cannot_be_drawn_are_refused(shape):
    with pytest.raises(ValueError, match="overlay needs an image"):
        draw_overlay(np.zeros(shape), None, None)


def test_labels_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"nuclear labels have the shape \(4, 5\)"):
        draw_overlay(np.zeros((4, 4)), None, np.zeros((4, 5), np.uint32))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (37, 11)])
def test_png_decodes_to_the_same_pixels(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        image.load()
        assert image.mode == "RGB"
        assert_array_equal(np.asarray(image), picture)


@pytest.mark.parametrize("shape", [(500, 500), (90, 2048), (1, 1)])
@pytest.mark.parametrize("max_bytes", [8000, 2500])
def test_thumbnail_keeps_to_its_size_and_proportions(shape, max_bytes):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    jpeg = draw_thumbnail(picture, max_bytes)
    assert len(jpeg) <= max_bytes
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        assert image.width == pytest.approx(image.height * shape[1] / shape[0], rel=0.1, abs=1.5)


def test_thumbnail_that_cannot_be_small_enough_is_an_error():
    with pytest.raises(ValueError, match="at most 100 bytes"):
        draw_thumbnail(np.zeros((20, 20, 3), np.uint8), max_bytes=100)
