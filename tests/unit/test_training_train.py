"""Cuts, batches and loss of the training; needs TensorFlow, and skips without it."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is needed for training")

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from fields import Field, Recipe, make_field
from train import TrainingOptions, draw_ahead, draw_batches, draw_sample, loss_of


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field(Recipe("drawn", "train", 0, seed=2))


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
