"""One home per fact: the configuration, the schema and the scripts name the same parameters."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# what Nextflow itself uses: places and containers
NOT_PASSED = {"outdir", "publish_dir_mode", "model_cache", "container_cpu", "container_model", "container_report"}


def _config_parameters() -> dict[str, str]:
    text = (ROOT / "nextflow.config").read_text(encoding="utf-8")
    block = re.search(r"^params \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL).group(1)
    return dict(re.findall(r"^\s+(\w+)\s*=\s*(.+?)\s*$", block, re.MULTILINE))


def _schema_parameters() -> dict[str, dict]:
    schema = json.loads((ROOT / "nextflow_schema.json").read_text(encoding="utf-8"))
    return {name: value for group in schema["$defs"].values() for name, value in group["properties"].items()}


def test_schema_and_configuration_know_the_same_parameters():
    assert sorted(_config_parameters()) == sorted(_schema_parameters())


def test_defaults_agree():
    for name, written in _config_parameters().items():
        default = _schema_parameters()[name].get("default")
        value = None if written == "null" else json.loads(written.replace("'", '"'))
        assert value == default, name


def test_every_parameter_has_a_type_and_a_help_text():
    for name, schema in _schema_parameters().items():
        assert schema["type"], name
        assert schema["description"].endswith("."), name


def test_options_passed_to_scripts_exist_there():
    text = (ROOT / "conf/modules.config").read_text(encoding="utf-8")
    blocks = re.findall(r"withName: '(\w+)' \{(.*?)^    \}", text, re.MULTILINE | re.DOTALL)
    passed = 0
    for process, block in blocks:
        script = (ROOT / "bin" / f"{process.lower()}.py").read_text(encoding="utf-8")
        for name in set(re.findall(r"params\.(\w+)", block)) - NOT_PASSED:
            assert name in script, (process, name)
            passed += 1
    assert passed > 10


def test_a_fused_task_gets_all_options_of_the_phases():
    text = (ROOT / "conf/modules.config").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"withName: '(\w+)' \{(.*?)^    \}", text, re.MULTILINE | re.DOTALL))
    passed = {process: set(re.findall(r"params\.(\w+)", block)) for process, block in blocks.items()}
    phases = ("PREPROCESS_IMAGES", "INFER_TILES", "POSTPROCESS_LABELS", "MEASURE_CELLS")
    # DeepCell's own code replaces several phases at once, so only a fused task can have it
    assert passed["SEGMENT_BATCH"] == {"deepcell_python"}.union(*(passed[phase] for phase in phases))
    published = {process: set(re.findall(r"(\w+)(?=/\*|[,}])", block)) for process, block in blocks.items()}
    assert published["SEGMENT_BATCH"] >= {"labels", "cells", "qc", "zarr", "shapes", "spatialdata"}
