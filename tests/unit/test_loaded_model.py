"""A loaded model, with the demo network behind an engine that runs short of memory."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from cellbatch.errors import ConfigError, EngineError, InputError
from cellbatch.inference import onnxruntime_engine
from cellbatch.inference.engine import EngineOptions, OutOfDeviceMemory, load_engine
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel

DEMO = Path(__file__).parents[2] / "assets" / "models" / "demo"


def infer(model):
    pixels = np.random.default_rng(0).random((300, 500, 2)).astype(np.float32)
    heads = model.infer(pixels)
    return [heads[name][head] for name in heads for head in heads[name]]


class Tight:
    """An engine with room for so many tiles."""

    def __init__(self, engine, room):
        self.engine, self.room = engine, room
        self.device, self.outputs = engine.device, engine.outputs

    def predict(self, tiles):
        if len(tiles) > self.room:
            raise OutOfDeviceMemory(f"{len(tiles)} tiles do not fit")
        return self.engine.predict(tiles)


@pytest.mark.parametrize("room", [1, 3])
def test_short_memory_halves_the_calls_and_changes_nothing(room, caplog):
    model = LoadedModel(DEMO, InferenceOptions(device="cpu", tile_batch=6))
    expected = infer(model)
    model = LoadedModel(DEMO, InferenceOptions(device="cpu", tile_batch=6))
    model.engine = Tight(model.engine, room)
    for found, whole in zip(infer(model), expected, strict=True):
        np.testing.assert_array_equal(found, whole)
    assert "6 tiles do not fit; going on with 3 tiles per call" in caplog.text


def test_a_tile_that_does_not_fit_alone_is_an_error():
    model = LoadedModel(DEMO, InferenceOptions(device="cpu", tile_batch=2))
    model.engine = Tight(model.engine, 0)
    with pytest.raises(OutOfDeviceMemory, match="1 tiles do not fit"):
        infer(model)


def test_fp16_stays_near_float32():
    pytest.importorskip("onnx")
    half = infer(LoadedModel(DEMO, InferenceOptions(device="cpu", precision="fp16")))
    whole = infer(LoadedModel(DEMO, InferenceOptions(device="cpu")))
    worst = max(float(np.abs(a - b).max()) for a, b in zip(half, whole, strict=True))
    assert 0 < worst < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EngineOptions("tpu"), "unknown device 'tpu'"),
        (EngineOptions(precision="int4"), "unknown precision 'int4'"),
        (EngineOptions("cpu", precision="tf32"), "tf32 is a mode of NVIDIA GPUs"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        load_engine("onnxruntime", str(DEMO / "model.onnx"), options)


def test_an_engine_that_cannot_be():
    with pytest.raises(ConfigError, match="unknown engine 'torch'"):
        load_engine("torch", "", EngineOptions())


def test_a_visible_gpu_that_does_not_start_may_be_tried_again(monkeypatch):
    """A runtime without CUDA on a machine that seems to have a GPU: what such a runtime does is to fall back."""
    monkeypatch.setattr(onnxruntime_engine, "_choose_gpu", lambda *_: True)
    monkeypatch.setattr(onnxruntime_engine, "GPU_PROVIDER", "CUDAExecutionProvider")
    with pytest.raises(EngineError, match="a GPU is visible, but ONNX Runtime could not start on it") as caught:
        load_engine("onnxruntime", str(DEMO / "model.onnx"), EngineOptions("gpu"))
    assert caught.value.exit_code == 75
    with pytest.raises(InputError, match="cannot load this network"):
        load_engine("onnxruntime", str(DEMO / "manifest.json"), EngineOptions("gpu"))


@pytest.mark.parametrize("is_gpu", [True, False])
def test_libraries_of_cuda_are_loaded_before_a_session_with_a_gpu(monkeypatch, is_gpu):
    loaded = []
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: loaded.append("cuda"), raising=False)
    monkeypatch.setattr(onnxruntime_engine, "_choose_gpu", lambda *_: is_gpu)
    try:
        load_engine("onnxruntime", str(DEMO / "model.onnx"), EngineOptions())
    except EngineError:
        assert is_gpu
    assert loaded == ["cuda"] * is_gpu


def test_a_gpu_without_its_runtime_is_told(monkeypatch, caplog):
    monkeypatch.setattr(onnxruntime_engine, "is_gpu_visible", lambda: True)
    engine = load_engine("onnxruntime", str(DEMO / "model.onnx"), EngineOptions())
    assert engine.device == "cpu"
    assert "has no CUDA provider: running on the CPU" in caplog.text


def test_damaged_weights_are_told_by_their_hash_whatever_the_runtime_says(tmp_path):
    folder = shutil.copytree(DEMO, tmp_path / "demo")
    weights = folder / "model.onnx"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match="sha256"):
        LoadedModel(folder, InferenceOptions(device="cpu"))


def test_a_task_of_inference_starts_without_libraries_that_it_does_not_need():
    """Imports stand in front of every task: 0.9 s of 1.6 were pandas, zarr and scipy.ndimage."""
    code = "import cellbatch.phases.infer_tiles, cellbatch.phases.preprocess_images, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "pyarrow", "zarr", "scipy.ndimage"} & set(found)
