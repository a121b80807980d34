"""One image in memory, with the demo model."""

import numpy as np
import pytest

from cellbatch import segment
from cellbatch.errors import ConfigError
from tests.labels_equal import assert_contiguous


def _spots(shape=(180, 300)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    nuclear = sum(np.hypot(y - cy, x - cx) < 9 for cy in range(30, shape[0], 45) for cx in range(30, shape[1], 45))
    membrane = np.random.default_rng(0).integers(0, 60, shape)
    return np.stack([nuclear * 4000 + membrane, membrane], axis=-1).astype(np.uint16)


def test_spots_become_nuclei():
    labels = segment(_spots(), image_mpp=0.5)
    assert set(labels) == {"whole_cell", "nuclear"}
    for values in labels.values():
        assert values.dtype == np.uint32
        assert values.shape == (180, 300)
        assert_contiguous(values)
    assert 20 <= labels["nuclear"].max() <= 32


def test_labels_come_at_the_size_of_the_image():
    labels = segment(_spots(), image_mpp=0.8, compartment="nuclear")
    assert {name: values.shape for name, values in labels.items()} == {"nuclear": (180, 300)}


def test_an_empty_image_has_no_labels():
    labels = segment(np.zeros((70, 90, 2)), image_mpp=0.5)
    assert all(values.shape == (70, 90) for values in labels.values())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((20, 20)), r"\(Y, X, 2\) was expected"),
        (np.zeros((20, 20, 3)), r"\(Y, X, 2\) was expected"),
        (np.full((20, 20, 2), np.nan), "NaN or infinite"),
    ],
)
def test_images_that_do_not_fit_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        segment(image, image_mpp=0.5)


def test_a_pixel_size_must_be_positive():
    with pytest.raises(ValueError, match="image_mpp must be a positive number"):
        segment(np.zeros((20, 20, 2)), image_mpp=0)


def test_an_unknown_model_is_refused():
    with pytest.raises(ConfigError, match="no model 'nowhere'"):
        segment(np.zeros((20, 20, 2)), image_mpp=0.5, model="nowhere")


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("cellbatch.inference.onnxruntime_engine.is_gpu_visible", lambda: False)
    with pytest.raises(ConfigError, match="no GPU can be used"):
        segment(np.zeros((20, 20, 2)), image_mpp=0.5, device="gpu")
