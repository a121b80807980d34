"""Cuts, batches and loss of the training; needs TensorFlow, and skips without it."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is needed for training")

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from fields import Field, Recipe, make_field
from train import TrainingOptions, draw_batches, draw_sample, loss_of


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field(Recipe("drawn", "train", 0, seed=2))


def test_cuts_have_the_input_size_even_of_small_fields(field: Field) -> None:
    small = Field(
        *(a[:90, :140] for a in (field.image, field.whole_cell, field.nuclear, field.distance, field.classes))
    )
    for source in (field, small):
        image, distance, classes = draw_sample(source, np.random.default_rng(0))
        assert image.shape == distance.shape == classes.shape == (256, 256, 2)
        assert image.dtype == np.float32
        assert np.array_equal(classes == 2, distance == 0)


def test_a_resumed_run_sees_the_same_batches(field: Field, tmp_path: Path) -> None:
    options = TrainingOptions(None, tmp_path, tmp_path, batch=2, drawn_fields=1)
    fresh, resumed = draw_batches([field], options, 0), draw_batches([field], options, 1)
    next(fresh)
    assert all(np.array_equal(a, b) for a, b in zip(next(fresh), next(resumed), strict=True))


def test_loss_rewards_the_truth() -> None:
    rng = np.random.default_rng(4)
    distance = rng.random((1, 8, 8, 2)).astype(np.float32)
    classes = rng.integers(0, 3, (1, 8, 8, 2)).astype(np.int32)
    perfect = [
        head for i in range(2) for head in (distance[..., i : i + 1], np.eye(3, dtype=np.float32)[classes[..., i]])
    ]
    wrong = [1 - perfect[0], np.roll(perfect[1], 1, axis=-1), *perfect[2:]]
    assert float(loss_of(perfect, distance, classes)) == pytest.approx(0, abs=1e-5)
    assert float(loss_of(wrong, distance, classes)) > 5
