"""From TensorFlow's forms of a network to ONNX; needs TensorFlow, and skips without it."""

import json
from pathlib import Path

import numpy as np
import pytest

tensorflow = pytest.importorskip("tensorflow", reason="TensorFlow is needed for the conversion")
pytest.importorskip("tf2onnx", reason="tf2onnx is needed for the conversion")

from cellbatch.errors import InputError  # noqa: E402
from cellbatch.io.model_sources import find_source  # noqa: E402
from cellbatch.phases import prepare_model as phase  # noqa: E402
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel  # noqa: E402
from cellbatch.phases.prepare_model import PreparationOptions, prepare_model  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
ROOT = Path(__file__).parents[2]
TILES = ROOT / "assets" / "test" / "tissue_01.ome.tif"


def build_network(size=64):
    """Two heads, named against the order of the alphabet."""
    keras = tensorflow.keras
    keras.utils.set_random_seed(3)
    image = keras.Input((size, size, 1), name="image")
    features = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="features")(image)
    distance = keras.layers.Conv2D(1, 3, padding="same", name="semantic_2")(features)
    classes = keras.layers.Conv2D(3, 3, padding="same", activation="softmax", name="semantic_10")(features)
    return keras.Model(image, [distance, classes])


def write_manifest(path, size=64):
    record = json.loads((ROOT / "assets/models/nuclear/manifest.json").read_text())
    del record["archive"]
    record.update(name="small", input_shape=[size, size, 1], heads=[1, 3])
    path.write_text(json.dumps(record))


def save(folder, network, name="net"):
    """A SavedModel with a manifest beside it."""
    folder.mkdir(exist_ok=True)
    network.export(str(folder / name), verbose=False)
    write_manifest(folder / f"{name}.manifest.json")
    return find_source(folder)


@pytest.fixture(scope="module")
def network():
    return build_network()


@pytest.fixture(scope="module")
def source(network, tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved") / "source", network)


def test_a_saved_model_becomes_onnx_with_the_same_heads(source, tmp_path):
    prepare_model(source, tmp_path / "onnx", PreparationOptions(tiles=TILES))
    prepare_model(source, tmp_path / "saved", PreparationOptions("tensorflow"))
    pixels = np.random.default_rng(1).random((150, 100, 1)).astype(np.float32)
    heads = [
        LoadedModel(tmp_path / folder, InferenceOptions(engine, "cpu")).infer(pixels)["nuclear"]
        for folder, engine in (("onnx", "onnxruntime"), ("saved", "tensorflow"))
    ]
    for name in ("inner_distance", "interior"):
        np.testing.assert_allclose(heads[0][name], heads[1][name], atol=1e-5)
    note = json.loads((tmp_path / "onnx/conversion.json").read_text())
    assert 0 <= max(note["largest_difference"].values()) < 1e-5


def test_a_keras_file(network, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    network.save(folder / "net.keras")
    write_manifest(folder / "net.manifest.json")
    prepared = prepare_model(find_source(folder), tmp_path / "model")
    tile = np.random.default_rng(1).random((1, 64, 64, 1)).astype(np.float32)
    found = LoadedModel(tmp_path / "model", InferenceOptions(device="cpu")).engine.predict(tile)
    for head, expected in zip(sorted(found.values(), key=lambda h: h.shape[-1]), network(tile), strict=True):
        np.testing.assert_allclose(head, expected.numpy(), atol=1e-5)
    assert prepared.name == "small"
    (folder / "net.keras").write_bytes(b"no network")
    with pytest.raises(InputError, match="Keras cannot load this file"):
        prepare_model(find_source(folder), tmp_path / "other")


def test_a_conversion_that_differs_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(phase, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(InputError, match="differs from the original by"):
        prepare_model(source, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_tiles_of_another_size_are_refused(network, tmp_path):
    source = save(tmp_path / "source", network)
    write_manifest(tmp_path / "source/net.manifest.json", size=128)
    source = find_source(tmp_path / "source")
    with pytest.raises(InputError, match=r"takes tiles of \(64, 64, 1\)"):
        prepare_model(source, tmp_path / "model")


def test_a_network_that_runs_python_is_not_loaded(tmp_path):
    class Evil(tensorflow.Module):
        @tensorflow.function(input_signature=[tensorflow.TensorSpec((None, 64, 64, 1), tensorflow.float32)])
        def serve(self, image):
            return {"head": tensorflow.numpy_function(lambda x: x, [image], tensorflow.float32)}

    module = Evil()
    tensorflow.saved_model.save(module, str(tmp_path / "source/net"), signatures={"serving_default": module.serve})
    write_manifest(tmp_path / "source/net.manifest.json")
    with pytest.raises(InputError, match=r"run code or reach files \(.*PyFunc"):
        prepare_model(find_source(tmp_path / "source"), tmp_path / "model")


@pytest.mark.parametrize("graph", [b"", b"no graph at all"])
def test_a_damaged_saved_model(tmp_path, graph):
    (tmp_path / "source/net").mkdir(parents=True)
    (tmp_path / "source/net/saved_model.pb").write_bytes(graph)
    write_manifest(tmp_path / "source/net.manifest.json")
    with pytest.raises(InputError, match="fetch or export it again"):
        prepare_model(find_source(tmp_path / "source"), tmp_path / "model")
