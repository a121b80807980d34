"""Parameters against a schema in nf-core's style."""

import json
from pathlib import Path
from typing import Any

import pytest

from cellbatch.errors import ConfigError
from cellbatch.io.parameters import read_parameters

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "input": {
            "type": "object",
            "properties": {
                "input": {"type": "string", "pattern": r"^\S+\.csv$", "errorMessage": "a path that ends in .csv"},
                "nuclear_channel": {"type": "string"},
                "image_mpp": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
            },
            "required": ["input"],
        },
        "how": {
            "type": "object",
            "properties": {
                "compartment": {"type": "string", "enum": ["both", "whole-cell", "nuclear"], "default": "both"},
                "maxima_threshold_nuclear": {"type": "number", "minimum": 0},
                "tile_batch": {"type": "integer", "minimum": 1},
                "batch_pixels": {"type": ["string", "integer"], "default": "auto"},
                "keep_going": {"type": "boolean", "default": False},
            },
        },
    },
    "allOf": [{"$ref": "#/$defs/input"}, {"$ref": "#/$defs/how"}],
}


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "nextflow_schema.json"
    path.write_text(json.dumps(SCHEMA))
    return path


def test_defaults_fill_in(schema: Path) -> None:
    assert read_parameters(schema, {"input": "a.csv", "tile_batch": None, "image_mpp": ""}) == {
        "input": "a.csv",
        "nuclear_channel": None,
        "image_mpp": None,
        "compartment": "both",
        "maxima_threshold_nuclear": None,
        "tile_batch": None,
        "batch_pixels": "auto",
        "keep_going": False,
    }


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("image_mpp", "0.5", 0.5),
        ("image_mpp", 1, 1),
        ("tile_batch", "8", 8),
        ("tile_batch", 8.0, 8),
        ("batch_pixels", "1000", 1000),
        ("batch_pixels", "auto", "auto"),
        ("keep_going", "true", True),
        ("keep_going", "False", False),
        ("keep_going", True, True),
        ("nuclear_channel", 0, "0"),
        ("nuclear_channel", "max(a,b)", "max(a,b)"),
        ("maxima_threshold_nuclear", 0, 0),
        ("maxima_threshold_nuclear", "1e-2", 0.01),
    ],
)
def test_values_are_converted(schema: Path, name: str, given: Any, expected: Any) -> None:
    found = read_parameters(schema, {"input": "a.csv", name: given})[name]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("image_mpp", "0,5", "--image_mpp: found '0,5', expected number, above 0, at most 100"),
        ("image_mpp", "0", "found '0'"),
        ("image_mpp", "nan", "found 'nan'"),
        ("image_mpp", "inf", "found 'inf'"),
        ("image_mpp", True, "found True"),
        ("image_mpp", float("nan"), "found nan"),
        ("tile_batch", "1.5", "--tile_batch: found '1.5', expected integer, at least 1"),
        ("tile_batch", 1.5, "found 1.5"),
        ("compartment", "cell", "--compartment: found 'cell', expected one of both, whole-cell, nuclear"),
        ("keep_going", "yes", "--keep_going: found 'yes', expected boolean"),
        ("keep_going", 1, "found 1"),
        ("input", "a.tsv", "--input: found 'a.tsv', expected a path that ends in .csv"),
    ],
)
def test_values_outside_of_the_schema(schema: Path, name: str, given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match="wrong parameters:") as caught:
        read_parameters(schema, {"input": "a.csv", name: given})
    assert message in str(caught.value)
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("maxima_treshold_nuclear", "maxima_threshold_nuclear"),
        ("tileBatch", "tile_batch"),
        ("image-mpp", "image_mpp"),
        ("compartments", "compartment"),
    ],
)
def test_unknown_names_get_the_nearest(schema: Path, name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"--{name}: is no parameter; did you mean --{near}\?"):
        read_parameters(schema, {"input": "a.csv", name: 1})


def test_all_faults_at_once(schema: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_parameters(schema, {"zzz": 1, "tile_batch": 0, "compartment": "x"})
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert lines[1] == "  --zzz: is no parameter; see the list of parameters in the documentation"
    assert lines[-1] == "  --input: is missing; expected a path that ends in .csv"


def test_the_pipeline_schema_is_understood(project: Path) -> None:
    path = project / "nextflow_schema.json"
    values = read_parameters(path, {"input": "a.csv"})
    assert values["compartment"] == "both"
    assert values["engine"] == "onnxruntime"
    with pytest.raises(ConfigError, match="did you mean --maxima_threshold"):
        read_parameters(path, {"input": "a.csv", "maxima_treshold_nuclear": 0.1})
