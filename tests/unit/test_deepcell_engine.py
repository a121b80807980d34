"""``--engine deepcell``: DeepCell's own code in a Python of its own; here a Python with a small stand-in for it."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellbatch.errors import ConfigError, EngineError, InputError
from cellbatch.inference.deepcell_process import DEEPCELL_VERSION, DeepcellProcess
from cellbatch.io.model_sources import describe_source
from cellbatch.io.models import hash_weights, read_manifest
from cellbatch.phases.cell_tables import TableOptions
from cellbatch.phases.deepcell_application import check_options, name_application
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.measure_cells import MeasuredFiles
from cellbatch.phases.method_options import adapt_manifest
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.prepare_model import PreparationOptions, prepare_model
from cellbatch.phases.sample_work import SegmentFiles, SegmentOptions
from cellbatch.phases.segment_batch import segment_batch
from cellbatch.phases.segment_with_deepcell import predict_options
from cellbatch.planning.memory import project_whole_mb
from cellbatch.spec import Batch, ImageSource, SampleSpec
from tests.drawn_cells import draw_cells

DEFAULTS = SegmentOptions()
TENSORFLOW = """
import os
class config:
    class threading:
        set_intra_op_parallelism_threads = staticmethod(lambda count: None)
    list_physical_devices = staticmethod(lambda kind: [])
class errors:
    class ResourceExhaustedError(Exception): pass
    class InternalError(Exception): pass
    class UnknownError(Exception): pass
class keras:
    class models:
        @staticmethod
        def load_model(path, compile):
            if not os.path.exists(os.path.join(path, "saved_model.pb")):
                raise OSError("no SavedModel")
            print("libraries talk")
            return path
"""
# labels 2, 4, … in columns of 10 px: numbers with gaps, as DeepCell may leave them
APPLICATIONS = """
import json, os, numpy, tensorflow
class Mesmer:
    model_mpp = 0.5
    def __init__(self, model): self.model = model
    def predict(self, image, image_mpp, **options):
        mode = open(os.path.join(self.model, "saved_model.pb")).read()
        if mode == "memory": raise MemoryError()
        if mode == "dies": os._exit(9)
        if mode == "full": raise OSError(28, "No space left on device")
        if mode == "gpu": raise tensorflow.errors.InternalError("CUDA error")
        if image.min() < 0: [][0]
        if image.max() > 1e6: raise ValueError("too bright")
        with open(os.path.join(self.model, "..", "..", "asked.json"), "w") as file:
            json.dump([image_mpp, image.dtype.name, image.shape, options], file)
        columns = 2 + 2 * (numpy.arange(image.shape[2]) // 10)
        labels = numpy.where(image[..., :1] > 0.5 * image[..., :1].max(), columns[:, None], 0)
        kept = {"both": 2, "whole-cell": 1, "nuclear": 1}[options["compartment"]]
        return numpy.concatenate([labels] * kept, axis=-1)
"""


def make_python(folder: Path, version: str = DEEPCELL_VERSION) -> str:
    """A program that starts this Python with stand-ins for TensorFlow and DeepCell."""
    (folder / "deepcell").mkdir(parents=True)
    (folder / "tensorflow.py").write_text(TENSORFLOW)
    (folder / "deepcell" / "__init__.py").write_text("")
    (folder / "deepcell" / "applications.py").write_text(APPLICATIONS)
    if version:
        (folder / "deepcell-0.dist-info").mkdir()
        (folder / "deepcell-0.dist-info" / "METADATA").write_text(f"Name: deepcell\nVersion: {version}\n")
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def make_model(folder: Path, mode: str = "") -> Path:
    """A prepared model folder with Mesmer's interface, whose SavedModel only the stand-in takes for one."""
    source = folder / "source"
    (source / "saved_model").mkdir(parents=True)
    (source / "saved_model" / "saved_model.pb").write_text(mode)
    record = json.loads((find_model("demo") / "manifest.json").read_text())
    record["weights"] = {"saved_model": {"file": "saved_model", "sha256": hash_weights(source / "saved_model")}}
    (source / "manifest.json").write_text(json.dumps(record))
    prepare_model(describe_source(source), folder / "model", PreparationOptions("deepcell"))
    return folder / "model"


def run(folder: Path, image: np.ndarray, how: InferenceOptions, options: SegmentOptions = DEFAULTS):
    """A fused task of one sample ``a``."""
    path = folder / "images" / "1" / "a.tif"
    path.parent.mkdir(parents=True)
    tifffile.imwrite(path, image, photometric="minisblack")
    sample = SampleSpec("a", (ImageSource("image", 1),), image.shape[1:], 0.25, "0", "1", ("a", "b"), "float32")
    places = [folder / name for name in ("images", "labels", "cells", "qc")]
    measured = MeasuredFiles(*places, TableOptions("csv", "cellbatch", ()))
    files = SegmentFiles(folder / "model", folder / "labels", measured, folder / "summary.parquet", folder)
    return segment_batch(Batch("b", (sample,)), files, replace(options, inference=how))


def test_deepcell_labels_and_everything_else_is_as_ever(tmp_path):
    make_model(tmp_path)
    image = draw_cells(1, (90, 110))
    how = InferenceOptions("deepcell", deepcell_python=make_python(tmp_path / "env"), tile_batch=3)
    timings = run(tmp_path, image, how, SegmentOptions(watershed={"maxima_threshold_nuclear": 0.15, "radius": 5}))
    labels = {path.name: tifffile.imread(path) for path in (tmp_path / "labels").iterdir()}
    assert sorted(labels) == ["a.nuclear.ome.tif", "a.nuclear_matched.ome.tif", "a.whole_cell.ome.tif"]
    expected = np.where(image[0] > 0.5 * image[0].max(), 1 + np.arange(110) // 10, 0)
    numbers = np.unique(expected)
    expected = np.searchsorted(numbers, expected)
    for found in labels.values():
        assert found.dtype == np.uint32
        np.testing.assert_array_equal(found, expected)
    assert len((tmp_path / "cells" / "a.cells.csv").read_text().splitlines()) == len(numbers)
    mpp, dtype, shape, options = json.loads((tmp_path / "asked.json").read_text())
    assert (mpp, dtype, shape) == (0.25, "float32", [1, 90, 110, 2])
    assert (options["batch_size"], options["compartment"], options["pad_mode"]) == (3, "both", "constant")
    assert options["postprocess_kwargs_nuclear"]["maxima_threshold"] == 0.15
    assert options["postprocess_kwargs_nuclear"]["small_objects_threshold"] == 30
    of_model = read_manifest(tmp_path / "model").compartments["whole_cell"].watershed
    assert options["postprocess_kwargs_whole_cell"]["maxima_threshold"] == of_model.maxima_threshold
    assert options["postprocess_kwargs_whole_cell"]["radius"] == 5
    assert options["preprocess_kwargs"] == {
        "percentile": 99.9, "threshold": True, "normalize": True, "kernel_size": 128
    }  # fmt: skip
    steps = [row["step"] for row in timings.rows()]
    assert {"import", "load_model", "read", "deepcell", "postprocess", "measure"} <= set(steps)
    # nothing is left of what went from step to step
    assert not list(tmp_path.glob("fused.*"))


def test_one_compartment(tmp_path):
    make_model(tmp_path)
    how = InferenceOptions("deepcell", deepcell_python=make_python(tmp_path / "env"))
    run(tmp_path, draw_cells(1, (50, 60)), how, SegmentOptions("nuclear"))
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["a.nuclear.ome.tif"]


@pytest.mark.parametrize(
    ("mode", "bright", "error", "message"),
    [
        ("memory", 1, EngineError, "sample a: DeepCell ran out of memory: MemoryError; the task"),
        ("full", 1, EngineError, r"sample a: the machine failed DeepCell .OSError: .* No space left on device.; look"),
        ("gpu", 1, EngineError, r"sample a: the machine failed DeepCell .InternalError: CUDA error.; look"),
        ("dies", 1, EngineError, "sample a: the process of --engine deepcell died at 'label'"),
        ("", 1e9, InputError, "sample a: DeepCell refuses the image: too bright"),
        ("", -1, InputError, "sample a: DeepCell refuses the image: IndexError: list index out of range"),
    ],
)
def test_what_goes_wrong_with_a_sample(tmp_path, mode, bright, error, message):
    make_model(tmp_path, mode)
    how = InferenceOptions("deepcell", deepcell_python=make_python(tmp_path / "env"))
    with pytest.raises(error, match=message):
        run(tmp_path, draw_cells(1, (50, 60)) * np.float32(bright), how)


def test_an_image_that_goes_wrong_does_not_take_the_next_one_along(tmp_path):
    make_model(tmp_path)
    process = DeepcellProcess(make_python(tmp_path / "env"))
    try:
        process.load("Mesmer", tmp_path / "model" / "saved_model", "cpu", 1)
        for name, sign in (("bad", -1), ("good", 1)):
            np.save(tmp_path / f"{name}.npy", sign * np.ones((9, 12, 2), np.float32))
        with pytest.raises(InputError, match="IndexError"):
            process.label(tmp_path / "bad.npy", 0.5, tmp_path / "labels", {"compartment": "both"})
        process.label(tmp_path / "good.npy", 0.5, tmp_path / "labels", {"compartment": "both"})
    finally:
        process.close()
    assert np.load(tmp_path / "labels").shape == (9, 12, 2)


def test_a_network_that_deepcell_cannot_load(tmp_path):
    shutil.rmtree(make_model(tmp_path) / "saved_model")
    process = DeepcellProcess(make_python(tmp_path / "env"))
    try:
        with pytest.raises(InputError, match="DeepCell cannot load this network: no SavedModel"):
            process.load("Mesmer", tmp_path / "model" / "saved_model", "cpu", 1)
        with pytest.raises(ConfigError, match="sees no GPU, but --device gpu was asked for"):
            process.load("Mesmer", tmp_path / "model" / "saved_model", "gpu", 1)
    finally:
        process.close()


def test_environments_that_will_not_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no/python: cannot be started .*create_reference"):
        DeepcellProcess(str(tmp_path / "no" / "python"))
    with pytest.raises(ConfigError, match=r"/bin/cat: is no Python that runs deepcell_runner.py"):
        DeepcellProcess("/bin/cat")
    with pytest.raises(ConfigError, match=f"DeepCell {DEEPCELL_VERSION} was expected, found 0.11.0"):
        DeepcellProcess(make_python(tmp_path / "old", "0.11.0"))
    with pytest.raises(ConfigError, match="was expected, found none"):
        DeepcellProcess(make_python(tmp_path / "none", ""))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"deepcell_python": None}, "needs --deepcell_python"),
        ({"precision": "fp16"}, "--precision fp16 is not known"),
        ({"preview": True}, "--preview tries"),
        ({"model_mpp": 0.4}, "--model_mpp is fixed"),
    ],
)
def test_options_that_deepcell_does_not_have(parameters, message):
    check_options({"deepcell_python": "python"})
    with pytest.raises(ConfigError, match=message):
        check_options({"deepcell_python": "python", **parameters})


def test_applications_by_manifest():
    manifests = {name: read_manifest(find_model(name)) for name in ("mesmer", "nuclear", "cytoplasm", "demo")}
    assert {name: name_application(manifest) for name, manifest in manifests.items()} == {
        "mesmer": "Mesmer",
        "nuclear": "NuclearSegmentation",
        "cytoplasm": "CytoplasmSegmentation",
        "demo": "Mesmer",
    }
    options = predict_options(manifests["nuclear"], "nuclear", {}, None)
    assert options["postprocess_kwargs"]["radius"] == 10
    # DeepCell's own kernel, which grows with the image
    assert options["preprocess_kwargs"] == {"kernel_size": None}
    assert (options["batch_size"], options["pad_mode"]) == (4, "reflect")
    asked = adapt_manifest(manifests["nuclear"], {"clahe_kernel_size": 128})
    assert predict_options(asked, "nuclear", {}, None)["preprocess_kwargs"] == {"kernel_size": 128}
    with pytest.raises(ConfigError, match="no application for the model 'mesmer' with 2 channels"):
        name_application(replace(manifests["mesmer"], tile_stride=0.5))


def test_the_plan_asks_for_memory_for_whole_images():
    assert project_whole_mb("deepcell", [1 << 20, 1 << 22]) > 4 * project_whole_mb("deepcell", [1 << 19]) > 0
    assert project_whole_mb("onnxruntime", [1 << 22]) == 0
