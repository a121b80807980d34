"""The shipped model demo_nuclear is what its manifest and the recipe say, and it segments drawn nuclei."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cellbatch import segment
from cellbatch.io.models import read_manifest
from cellbatch.phases.model_shelves import find_model

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from draw_tissue import draw_tissue
from scores import f1_at_iou
from tissue_options import TissueOptions

MODEL = find_model("demo_nuclear")
HEADS = {"nuclear_inner_distance": 1, "nuclear_pixelwise": 3}
FIELD_PX = 41


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])


def predict(session: onnxruntime.InferenceSession, tile: np.ndarray) -> list[np.ndarray]:
    return session.run(list(HEADS), {session.get_inputs()[0].name: tile})


def test_hash_and_size() -> None:
    content = (MODEL / "model.onnx").read_bytes()
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["weights"]["onnx"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert len(content) <= 5e6
    assert read_manifest(MODEL).channels == ("nuclear",)


def test_an_answer_rests_on_41_pixels_along_each_axis(session: onnxruntime.InferenceSession) -> None:
    rng = np.random.default_rng(2)
    tile = rng.random((1, 256, 256, 1), np.float32)
    before = predict(session, tile)
    for head, channels in zip(before, HEADS.values(), strict=True):
        assert head.shape == (1, 256, 256, channels)
    reached = np.zeros((256, 256), bool)
    for value in (0.0, 0.5, 1.0):
        changed = tile.copy()
        changed[0, 128, 128] = value
        for one, other in zip(before, predict(session, changed), strict=True):
            reached |= (one != other).any(axis=-1)[0]
    # a pair of rows shares its features, so a pixel reaches one row more than it is seen from
    for places in np.nonzero(reached):
        assert FIELD_PX - 2 <= np.ptp(places) + 1 <= FIELD_PX + 1


def test_segments_drawn_nuclei() -> None:
    scores = []
    for seed in range(3):
        drawn = draw_tissue((256, 256), np.random.default_rng([77, seed]), TissueOptions())
        labels = segment(drawn.image[..., :1], image_mpp=0.5, model="demo_nuclear", compartment="nuclear", device="cpu")
        assert list(labels) == ["nuclear"]
        scores.append(f1_at_iou(drawn.nuclear, labels["nuclear"]))
    assert np.mean(scores) >= 0.75


def test_empty_image_has_no_nuclei() -> None:
    assert not segment(np.zeros((100, 120, 1), np.uint16), image_mpp=0.5, model="demo_nuclear")["nuclear"].any()
