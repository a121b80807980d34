"""ONNX and SavedModel of the same weights agree; needs TensorFlow, and skips without it."""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is needed for the export")
pytest.importorskip("tf2onnx", reason="tf2onnx is needed for the export")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "training"))

from draw_tissue import draw_tissue  # noqa: E402
from export import export_model_folder, load_network  # noqa: E402
from network import build_network, load_weights, save_weights  # noqa: E402

from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel  # noqa: E402
from cellbatch.postprocessing import deep_watershed  # noqa: E402
from cellbatch.preprocessing import preprocess  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
WEIGHTS = ROOT / "training" / "demo.weights.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "demo"
    export_model_folder(load_network(WEIGHTS), path)
    return path


def test_onnx_and_saved_model_agree_on_heads_and_labels(folder: Path) -> None:
    drawn = draw_tissue((300, 420), np.random.default_rng(12))
    pixels = preprocess(drawn.image.astype(np.float32), percentile=99.9, clahe_kernel_size=128)
    answers = {}
    for engine in ("onnxruntime", "tensorflow"):
        model = LoadedModel(folder, InferenceOptions(engine, "cpu"))
        answers[engine] = model.infer(pixels)
    for name, spec in model.manifest.compartments.items():
        ours, theirs = answers["onnxruntime"][name], answers["tensorflow"][name]
        for head in ours:
            assert np.abs(ours[head] - theirs[head]).max() <= 1e-5
        labels = [
            deep_watershed(maps["inner_distance"], maps["interior"], **asdict(spec.watershed))
            for maps in (ours, theirs)
        ]
        assert labels[0].max() > 5
        assert np.array_equal(*labels)


def test_shipped_onnx_has_these_weights(folder: Path) -> None:
    pixels = np.random.default_rng(1).random((256, 256, 2), np.float32)
    shipped, exported = (
        LoadedModel(path, InferenceOptions("onnxruntime", "cpu")).infer(pixels)
        for path in (ROOT / "assets" / "models" / "demo", folder)
    )
    for name, maps in shipped.items():
        for head, values in maps.items():
            assert np.abs(values - exported[name][head]).max() <= 1e-5


def test_weights_survive_the_file_and_foreign_ones_are_refused(tmp_path: Path) -> None:
    first, second = build_network(), build_network()
    save_weights(first, tmp_path / "weights.npz")
    load_weights(second, tmp_path / "weights.npz")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    np.savez(tmp_path / "other.npz", **{"foreign/0": np.zeros(3, np.float32)})
    with pytest.raises(ValueError, match="lacks"):
        load_weights(second, tmp_path / "other.npz")
