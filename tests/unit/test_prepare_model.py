"""Models in all forms become one checked folder."""

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from cellbatch.errors import ConfigError, InputError
from cellbatch.inference import conversion
from cellbatch.inference.conversion import compare_heads, converter_version
from cellbatch.io.model_sources import describe_source, find_source
from cellbatch.io.models import read_manifest
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.prepare_model import PreparationOptions, name_prepared, prepare_model
from tests.unit.test_io_model_sources import make_archive

DEMO = Path(__file__).parents[2] / "assets" / "models" / "demo"


def stage(folder, change=None, weights=None):
    """The demo network as a bare file with a manifest beside it."""
    folder.mkdir()
    record = json.loads((DEMO / "manifest.json").read_text())
    del record["weights"]
    (change or (lambda _: None))(record)
    (folder / "net.manifest.json").write_text(json.dumps(record))
    if weights is None:
        shutil.copyfile(DEMO / "model.onnx", folder / "net.onnx")
    else:
        (folder / "net.onnx").write_bytes(weights)
    return find_source(folder)


def test_a_bare_network_gets_its_hash(tmp_path):
    prepared = prepare_model(stage(tmp_path / "source"), tmp_path / "model")
    assert prepared == read_manifest(tmp_path / "model")
    assert prepared.weights["onnx"].sha256 == read_manifest(DEMO).weights["onnx"].sha256
    # what was prepared once needs no second time
    again = describe_source(tmp_path / "model")
    assert again.form == "folder"
    assert prepare_model(again, tmp_path / "again") == prepared


def set_head(record):
    record["compartments"]["nuclear"]["interior"]["head"] = "nuclear_pixelwize"


def set_position(record):
    record["compartments"]["nuclear"]["interior"]["head"] = 7


def set_heads(record):
    record["heads"] = [1, 2]


def set_channel(record):
    record["compartments"]["nuclear"]["interior"]["channel"] = 3


def set_input(record):
    record.update(input_shape=[256, 256, 1], channels=["nuclear"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_head, "from the head 'nuclear_pixelwize', but the network gives nuclear_inner_distance"),
        (set_position, "from the head 7, but the network gives"),
        (set_heads, "it is another network"),
        (set_channel, "with a channel 3 was expected"),
        (set_input, "cannot run on tiles of shape"),
    ],
)
def test_a_manifest_that_does_not_fit_the_network(tmp_path, change, message):
    source = stage(tmp_path / "source", change)
    with pytest.raises(InputError, match=message):
        prepare_model(source, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("kept_bytes", [0, 1000, 1_000_000])
def test_a_truncated_network(tmp_path, kept_bytes):
    source = stage(tmp_path / "source", weights=(DEMO / "model.onnx").read_bytes()[:kept_bytes])
    with pytest.raises(InputError, match="cannot load this network"):
        prepare_model(source, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_operators_of_ones_own_are_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Invented", ["image"], ["head"], domain="example.org")
    value = [onnx.helper.make_tensor_value_info(name, 1, [None, 256, 256, 1]) for name in ("image", "head")]
    graph = onnx.helper.make_graph([node], "net", value[:1], value[1:])
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("example.org", 1)]
    proto = onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)
    source = stage(tmp_path / "source", weights=proto.SerializeToString())
    with pytest.raises(InputError, match=r"cannot load this network.*example\.org"):
        prepare_model(source, tmp_path / "model")


@pytest.mark.parametrize("absent", ["tensorflow", "tf2onnx"])
def test_a_conversion_without_its_packages_tells_what_to_install(tmp_path, monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    if absent == "tf2onnx":
        pytest.importorskip("tensorflow")
    make_archive(tmp_path / "source/x.tar.gz", {"MultiplexSegmentation/saved_model.pb": b"graph"})
    with pytest.raises(ConfigError, match=rf"with {absent}, which is not installed.*cellbatch\[tensorflow\]"):
        prepare_model(find_source(tmp_path / "source"), tmp_path / "model")


def test_an_archive_without_a_network(tmp_path):
    make_archive(tmp_path / "source/x.tar.gz", {"MultiplexSegmentation/notes.txt": b"no graph"})
    with pytest.raises(InputError, match="one SavedModel was expected inside, found 0"):
        prepare_model(find_source(tmp_path / "source"), tmp_path / "model")


def test_words_need_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPCELL_ACCESS_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="DEEPCELL_ACCESS_TOKEN is not set"):
        prepare_model(describe_source(find_model("mesmer")), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_cannot_run_these_weights(tmp_path):
    with pytest.raises(ConfigError, match="needs a SavedModel"):
        prepare_model(stage(tmp_path / "source"), tmp_path / "model", PreparationOptions("tensorflow"))
    with pytest.raises(ConfigError, match="needs weights as saved_model"):
        prepare_model(describe_source(DEMO), tmp_path / "model", PreparationOptions("tensorflow"))


def test_the_name_follows_the_form_of_the_weights():
    source = describe_source(DEMO)
    assert name_prepared(source, "tensorflow") != name_prepared(source, "onnxruntime")


@pytest.mark.parametrize("found", ["1.16.1", "1.17.0", None])
def test_the_name_is_the_same_where_there_is_no_converter(monkeypatch, found):
    """A plan without TensorFlow, in a container of its own, names the model that another one with it prepares."""
    expected = name_prepared(describe_source(DEMO), "onnxruntime")

    def version(_):
        if found is None:
            raise PackageNotFoundError
        return found

    monkeypatch.setattr(conversion, "version", version)
    assert converter_version().endswith(f"tf2onnx {found}" if found else "no tf2onnx")
    assert name_prepared(describe_source(DEMO), "onnxruntime") == expected
    monkeypatch.setattr("cellbatch.phases.prepare_model.CONVERSION", conversion.CONVERSION + 1)
    assert name_prepared(describe_source(DEMO), "onnxruntime") != expected


def test_differences_of_heads():
    one = {"a": np.zeros((1, 2, 2, 1), np.float32)}
    assert compare_heads(one, {"a": one["a"] + np.float32(0.5)}) == {"a": 0.5}
    with pytest.raises(InputError, match="the original"):
        compare_heads(one, {"b": one["a"]})
