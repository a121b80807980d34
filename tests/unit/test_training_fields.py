"""Training fields: inputs as inference sees them, answers that fit, real nuclei kept."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from fields import Field, Recipe, make_field, nuclei_names
from targets import BACKGROUND, INTERIOR
from tissue_signal import BARE_MARGIN_PX


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nuclei") / "nuclei.npz"
    y, x = np.ogrid[:120, :150]
    labels = np.zeros((120, 150), np.uint16)
    for number, (cy, cx) in enumerate([(30, 30), (30, 60), (80, 40), (85, 110)], start=1):
        labels[np.hypot(y - cy, x - cx) < 11] = number
    image = np.where(labels > 0, 180, 12).astype(np.uint8)
    arrays = {f"{name}_{kind}": a for name in "abcdefghijklmno" for kind, a in (("image", image), ("labels", labels))}
    np.savez(path, **arrays)
    return path


def _check_answers(field: Field) -> None:
    assert field.image.dtype == np.float32
    assert field.image.min() >= 0
    assert field.image.max() <= 1
    for index, labels in enumerate((field.whole_cell, field.nuclear)):
        assert np.array_equal(field.classes[..., index] == BACKGROUND, labels == 0)
        assert np.array_equal(field.distance[..., index] > 0, labels > 0)
        assert len(np.unique(labels[field.classes[..., index] == INTERIOR])) <= labels.max()


def test_drawn_field() -> None:
    field = make_field(Recipe("drawn", "train", 1, seed=3))
    assert field.nuclear.max() > 0
    _check_answers(field)


@pytest.mark.parametrize("index", range(4))
def test_real_nuclei_keep_their_labels_inside_grown_cells(archive: Path, index: int) -> None:
    field = make_field(Recipe("real", "train", index, seed=3, nuclei=f"{archive}#a"))
    assert field.nuclear.max() == 4
    owners = np.unique(np.stack([field.nuclear, field.whole_cell], -1)[field.nuclear > 0], axis=0)
    assert len(owners) == 4
    assert (owners[:, 1] > 0).all()
    if not field.image[..., 1].any():
        # without a marker a cell is its nucleus and a rim of 1.5 µm
        outside = ndimage.distance_transform_edt(field.nuclear == 0)[field.whole_cell > 0]
        assert 1 < outside.max() <= BARE_MARGIN_PX
    _check_answers(field)


def test_same_recipe_same_field_and_splits_differ() -> None:
    first, again, other = (make_field(Recipe("drawn", split, 0, 1)) for split in ("train", "train", "test"))
    assert np.array_equal(first.image, again.image)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_splits_share_no_image(archive: Path) -> None:
    parts = [nuclei_names(archive, split) for split in ("train", "validation", "test")]
    assert sorted(name for part in parts for name in part) == list("abcdefghijklmno")
    assert len(parts[0]) > len(parts[1])
