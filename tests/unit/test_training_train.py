"""Cuts, batches and loss of the training; needs TensorFlow, and skips without it."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is needed for training")

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from fields import Field, Recipe, load_fields, make_field
from samples import EMPTY_SHARE, draw_sample, hide_marker
from scipy import ndimage
from targets import BACKGROUND, inner_distance, pixel_classes, touching_pixels
from train import TrainingOptions, draw_ahead, draw_batches, loss_of, make_recipes


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field(Recipe("drawn", "train", 1, seed=2))


def test_cuts_have_the_input_size_even_of_small_fields(field: Field) -> None:
    small = Field(**{name: values[:90, :140] for name, values in vars(field).items()})
    for source in (field, small):
        image, distance, classes, touching = draw_sample(source, np.random.default_rng(0))
        assert image.shape == distance.shape == classes.shape == touching.shape == (256, 256, 2)
        assert image.dtype == np.float32
        assert np.array_equal(classes == 2, distance == 0)


def test_a_resumed_run_sees_the_same_batches(field: Field, tmp_path: Path) -> None:
    options = TrainingOptions(None, tmp_path, tmp_path, batch=2, drawn_fields=1)
    fresh, resumed = draw_batches([field], options, 0), draw_batches([field], options, 1)
    next(fresh)
    assert all(np.array_equal(a, b) for a, b in zip(next(fresh), next(resumed), strict=True))


def test_batches_drawn_ahead_are_the_same_in_the_same_order(field: Field, tmp_path: Path) -> None:
    options = TrainingOptions(None, tmp_path, tmp_path, batch=2, drawn_fields=1)
    ahead, plain = draw_ahead(draw_batches([field], options, 0)), draw_batches([field], options, 0)
    for _ in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(next(ahead), next(plain), strict=True))


def test_loss_rewards_the_truth() -> None:
    rng = np.random.default_rng(4)
    distance = rng.random((1, 8, 8, 2)).astype(np.float32)
    classes = rng.integers(0, 3, (1, 8, 8, 2)).astype(np.int32)
    perfect = [
        head for i in range(2) for head in (distance[..., i : i + 1], np.eye(3, dtype=np.float32)[classes[..., i]])
    ]
    wrong = [1 - perfect[0], np.roll(perfect[1], 1, axis=-1), *perfect[2:]]
    nowhere = np.zeros_like(distance)
    assert float(loss_of(perfect, distance, classes, nowhere, 3)) == pytest.approx(0, abs=1e-5)
    assert float(loss_of(wrong, distance, classes, nowhere, 3)) > 5


@pytest.mark.parametrize("weight", [0, 1, 3])
def test_a_fault_where_cells_meet_costs_as_much_more_as_the_weight_says(weight: float) -> None:
    distance, classes = np.ones((1, 8, 8, 2), np.float32), np.ones((1, 8, 8, 2), np.int32)
    heads = [np.full((1, 8, 8, 1), 0.5, np.float32), np.eye(3, dtype=np.float32)[classes[..., 0]]] * 2
    nowhere, everywhere = np.zeros_like(distance), np.ones_like(distance)
    costs = [float(loss_of(heads, distance, classes, touching, weight)) for touching in (nowhere, everywhere)]
    assert costs[1] == pytest.approx((1 + weight) * costs[0])


def test_every_other_drawn_field_is_a_widefield_one_if_asked(tmp_path: Path) -> None:
    for asked, expected in ((False, [False] * 4), (True, [False, True, False, True])):
        options = TrainingOptions(None, tmp_path, tmp_path, widefield=asked)
        assert [recipe.is_widefield for recipe in make_recipes(options, "train", 4, 0)] == expected


def test_a_widefield_one_is_kept_beside_the_plain_one(tmp_path: Path) -> None:
    recipes = [Recipe("drawn", "test", 1, seed=2, is_widefield=wide) for wide in (False, True)]
    plain, wide = load_fields(recipes, tmp_path)
    assert len(list(tmp_path.glob("*/*.npz"))) == 2
    assert plain.image.shape != wide.image.shape or not np.array_equal(plain.image, wide.image)


def test_without_marker_a_cell_is_its_nucleus_and_a_rim(field: Field) -> None:
    hidden = hide_marker(field)
    far = ndimage.distance_transform_edt(field.nuclear == 0) > 3
    assert (field.whole_cell[far] > 0).any(), "the field has no cell that reaches farther"
    assert not hidden.whole_cell[far].any()
    assert np.array_equal(hidden.whole_cell[hidden.whole_cell > 0], field.whole_cell[hidden.whole_cell > 0])
    assert np.array_equal(hidden.classes[..., 0] == 2, hidden.whole_cell == 0)
    assert np.array_equal(hidden.distance[..., 0] > 0, hidden.whole_cell > 0)
    meeting = hidden.touching[..., 0]
    assert meeting.any(), "no two nuclei with their rims meet"
    assert np.array_equal(meeting, touching_pixels(hidden.whole_cell))
    # cells that were cut back to their nuclei meet in fewer places
    assert meeting.sum() < field.touching[..., 0].sum()
    for name in ("distance", "classes", "touching"):
        assert np.array_equal(getattr(hidden, name)[..., 1], getattr(field, name)[..., 1])


@pytest.fixture(scope="module")
def wide_cells() -> Field:
    """Cells of radius 20 px around nuclei of radius 6, no pixel of the image at 0."""
    y, x = np.mgrid[:300, :300]
    number = (1 + y // 50 * 6 + x // 50).astype(np.uint32)
    radius = np.hypot(y % 50 - 25, x % 50 - 25)
    cells, nuclei = np.where(radius < 20, number, 0), np.where(radius < 6, number, 0)
    image = np.stack([0.2 + (nuclei > 0), 0.2 + (cells > 0)], axis=-1).astype(np.float32)
    pair = (cells, nuclei)
    return Field(
        image,
        *pair,
        distance=np.stack([inner_distance(labels) for labels in pair], axis=-1).astype(np.float16),
        classes=np.stack([pixel_classes(labels) for labels in pair], axis=-1),
        touching=np.zeros((300, 300, 2), bool),
    )


@pytest.mark.parametrize("shape", [(512, 512), (90, 140)])
def test_a_strange_marker_stands_in_for_the_fields_own_and_nowhere_else(
    wide_cells: Field, shape: tuple[int, int]
) -> None:
    marker, seen = np.full(shape, 7, np.float32), set()
    for seed in range(25):
        own, strange = (draw_sample(wide_cells, np.random.default_rng(seed), which)[0] for which in (None, marker))
        outside = (own == 0).all(axis=-1)
        assert not strange[outside].any()
        inside = strange[~outside][:, 1]
        if inside.mean() > 3:
            assert inside.min() > 3
        elif inside.any():
            # a ground that does not tell the cells of 20 px from what lies between them
            assert inside.std() > 0.02
            assert inside.max() < 2
            assert abs(np.corrcoef(inside, own[~outside][:, 1])[0, 1]) < 0.5
        seen.add("nothing" if not inside.any() else "other" if inside.mean() > 3 else "ground")
    assert seen == {"nothing", "other", "ground"}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_batches_show_strange_markers_as_often_as_asked(wide_cells: Field, tmp_path: Path, share: float) -> None:
    options = TrainingOptions(None, tmp_path, tmp_path, batch=100, drawn_fields=1, strange_share=share)
    images, _, classes, _ = next(draw_batches([wide_cells], options, 0))
    cells = (classes[..., 0] != BACKGROUND).mean(axis=(1, 2))
    nuclei = (classes[..., 1] != BACKGROUND).mean(axis=(1, 2))
    assert (cells < 3 * nuclei).mean() == pytest.approx(share, abs=0.12)
    assert (cells > 8 * nuclei).mean() == pytest.approx(1 - share, abs=0.12)
    assert (images[..., 1].max(axis=(1, 2)) == 0).mean() == pytest.approx(share * EMPTY_SHARE, abs=0.12)
