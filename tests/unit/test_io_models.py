"""Model folders."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cellbatch.errors import InputError
from cellbatch.io.models import hash_weights, read_manifest, verify_weights
from cellbatch.spec import HeadChannel, PreprocessingOptions, WatershedOptions

WEIGHTS = b"network"
RECORD: dict[str, Any] = {
    "schema_version": 1,
    "name": "demo",
    "version": "1.0",
    "licence": "MIT",
    "description": "For trying out",
    "citation": "none",
    "input_shape": [256, 256, 2],
    "channels": ["nuclear", "membrane"],
    "model_mpp": 0.5,
    "preprocessing": {"percentile": 99.9, "clahe_kernel_size": 128},
    "tile_padding": "constant",
    "tile_stride": 0.75,
    "compartments": {
        "whole_cell": {
            "inner_distance": {"head": "a", "channel": 0},
            "interior": {"head": "b", "channel": 1},
            "watershed": {"maxima_threshold": 0.075},
        },
        "nuclear": {"inner_distance": {"head": "c"}, "interior": {"head": "d", "channel": 1}},
    },
    "weights": {"onnx": {"file": "model.onnx", "sha256": hashlib.sha256(WEIGHTS).hexdigest()}},
}


def write(folder: Path, record: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(record))
    (folder / "model.onnx").write_bytes(WEIGHTS)
    return folder


def changed(path: str, value: Any = None) -> dict[str, Any]:
    """The record with one field set, or removed when there is no value."""
    record = copy.deepcopy(RECORD)
    target: Any = record
    *parents, last = path.split(".")
    for part in parents:
        target = target[int(part) if part.isdigit() else part]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return record


def test_manifest(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, RECORD))
    assert manifest.name == "demo"
    assert manifest.input_shape == (256, 256, 2)
    assert manifest.channels == ("nuclear", "membrane")
    assert manifest.preprocessing == PreprocessingOptions(99.9, 128)
    whole_cell = manifest.compartments["whole_cell"]
    assert whole_cell.interior == HeadChannel("b", 1)
    assert whole_cell.watershed == WatershedOptions(maxima_threshold=0.075)
    assert manifest.compartments["nuclear"].watershed == WatershedOptions()
    assert list(manifest.selected("whole-cell")) == ["whole_cell"]


def test_optional_fields_have_defaults(tmp_path: Path) -> None:
    record = {key: value for key, value in RECORD.items() if key not in ("tile_padding", "description", "citation")}
    record["preprocessing"] = {"percentile": None, "clahe_kernel_size": 128}
    manifest = read_manifest(write(tmp_path, record))
    assert manifest.tile_padding == "constant"
    assert manifest.preprocessing.percentile is None


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (changed("model_mpp", "half"), "model_mpp: 'half'"),
        (changed("model_mpp", 0), "model_mpp: 0"),
        (changed("model_mpp"), "manifest: 'model_mpp' is a required property"),
        (changed("schema_version", 2), "schema_version: 1 was expected"),
        (changed("input_shape", [256, 256]), r"input_shape: \[256, 256\] is too short"),
        (changed("input_shape", [256, 256, 3]), "channels: 2 names for an input of 3 channels"),
        (changed("channels", ["nuclear", "cyto"]), "channels.1: 'cyto'"),
        (changed("tile_padding", "wrap"), "tile_padding: 'wrap'"),
        (changed("preprocessing.percentile", 101), "preprocessing.percentile: 101"),
        (changed("compartments.nuclear.interior.head"), "compartments.nuclear.interior: 'head' is a required"),
        (changed("compartments.nuclear.watershed", {"maxima_treshold": 1}), "nuclear.watershed: .*maxima_treshold"),
        (changed("compartments.nuclear.watershed", {"radius": 0}), "nuclear.watershed.radius: 0"),
        (changed("compartments.cyto", {}), "compartments: .*'cyto'"),
        (changed("weights.onnx.sha256", "abc"), "weights.onnx.sha256: 'abc'"),
        (changed("weights.onnx.file", "../other.onnx"), "weights.onnx.file: '../other.onnx' lies outside"),
        (changed("weights.onnx.file", "/etc/passwd"), "weights.onnx.file: '/etc/passwd' lies outside"),
        (changed("weights", {}), "weights:"),
        ([], "manifest: .* is not of type 'object'"),
    ],
)
def test_errors_name_the_field(tmp_path: Path, record: Any, field: str) -> None:
    with pytest.raises(InputError, match=f"manifest.json: faults in the manifest.*\n.*{field}"):
        read_manifest(write(tmp_path, record))


def test_absent_or_broken_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a model is a folder with manifest.json"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        read_manifest(tmp_path)


def test_weights_are_compared(tmp_path: Path) -> None:
    folder = write(tmp_path, RECORD)
    manifest = read_manifest(folder)
    assert verify_weights(folder, manifest, "onnx") == folder / "model.onnx"
    with pytest.raises(InputError, match="has weights as onnx, not as saved_model"):
        verify_weights(folder, manifest, "saved_model")
    (folder / "model.onnx").write_bytes(WEIGHTS[:-1])
    with pytest.raises(InputError, match=r"sha256 .* but manifest.json names"):
        verify_weights(folder, manifest, "onnx")
    (folder / "model.onnx").unlink()
    with pytest.raises(InputError, match="are not there"):
        verify_weights(folder, manifest, "onnx")


def test_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    def fill(folder: Path, files: dict[str, bytes]) -> str:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return hash_weights(folder)

    one = fill(tmp_path / "1", {"a": b"xy", "b/c": b"z"})
    assert one == fill(tmp_path / "2", {"b/c": b"z", "a": b"xy"})
    others = [{"a": b"x", "b/c": b"yz"}, {"a": b"xy", "b/d": b"z"}, {"a": b"xy", "bc": b"z"}, {"a": b"xy"}]
    hashes = {fill(tmp_path / f"other{index}", files) for index, files in enumerate(others)}
    assert len(hashes | {one}) == 5


def test_weights_folder(tmp_path: Path) -> None:
    record = copy.deepcopy(RECORD)
    (tmp_path / "saved_model" / "variables").mkdir(parents=True)
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "saved_model" / "variables" / "v").write_bytes(b"values")
    record["weights"]["saved_model"] = {"file": "saved_model", "sha256": hash_weights(tmp_path / "saved_model")}
    manifest = read_manifest(write(tmp_path, record))
    assert verify_weights(tmp_path, manifest, "saved_model") == tmp_path / "saved_model"
    (tmp_path / "saved_model" / "variables" / "v").write_bytes(b"other")
    with pytest.raises(InputError, match="damaged or were exchanged"):
        verify_weights(tmp_path, manifest, "saved_model")
