"""The shipped demo model is what its manifest and its sources say, and it segments drawn tissue."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cellbatch import segment

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from draw_tissue import draw_tissue
from scores import f1_at_iou
from tissue_options import TissueOptions

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "assets" / "models" / "demo"
WEIGHTS = ROOT / "training" / "demo.weights.npz"
HEADS = {
    "whole_cell_inner_distance": 1,
    "whole_cell_pixelwise": 3,
    "nuclear_inner_distance": 1,
    "nuclear_pixelwise": 3,
}


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    drawn = draw_tissue((256, 256), np.random.default_rng(8), TissueOptions()).image.astype(np.float32)
    return np.stack([drawn / drawn.max(axis=(0, 1)), np.zeros((256, 256, 2), np.float32)])


def test_hash_and_size() -> None:
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    content = (MODEL / "model.onnx").read_bytes()
    assert manifest["weights"]["onnx"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(content) <= 5e6


def test_interface_is_mesmers(session: onnxruntime.InferenceSession, tiles: np.ndarray) -> None:
    (entry,) = session.get_inputs()
    assert entry.shape[1:] == [256, 256, 2]
    assert not isinstance(entry.shape[0], int)
    heads = dict(zip(HEADS, session.run(list(HEADS), {entry.name: tiles}), strict=True))
    assert [output.name for output in session.get_outputs()] == list(HEADS)
    for name, channels in HEADS.items():
        assert heads[name].shape == (2, 256, 256, channels)
        assert heads[name].dtype == np.float32
        assert heads[name].min() >= 0
        assert heads[name].max() <= 1
        if channels == 3:
            np.testing.assert_allclose(heads[name].sum(axis=-1), 1, atol=1e-5)


def test_parameter_count() -> None:
    with np.load(WEIGHTS) as stored:
        assert sum(stored[name].size for name in stored.files) <= 1_200_000


def test_segments_drawn_tissue() -> None:
    scores: dict[str, list[float]] = {"whole_cell": [], "nuclear": []}
    for seed in range(3):
        drawn = draw_tissue((256, 256), np.random.default_rng([77, seed]), TissueOptions())
        labels = segment(drawn.image, image_mpp=0.5, model=MODEL, device="cpu")
        scores["whole_cell"].append(f1_at_iou(drawn.whole_cell, labels["whole_cell"]))
        scores["nuclear"].append(f1_at_iou(drawn.nuclear, labels["nuclear"]))
    assert np.mean(scores["whole_cell"]) >= 0.8
    assert np.mean(scores["nuclear"]) >= 0.85


def test_empty_image_has_no_cells() -> None:
    labels = segment(np.zeros((100, 120, 2), np.uint16), image_mpp=0.5, model=MODEL, device="cpu")
    assert not labels["whole_cell"].any()
    assert not labels["nuclear"].any()
