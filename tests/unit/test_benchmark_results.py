"""Benchmarks write what they measure as tables that the documentation is written from."""

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setattr("sys.argv", ["/elsewhere/benchmarks/one.py", "--outdir", "/elsewhere/out", "--csv", "one.csv"])
    import results

    return results


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_rows_are_appended_with_what_they_were_measured_on(results, tmp_path):
    path = tmp_path / "new" / "one.csv"
    results.Results(path, ("side_px", "wall_s", "remark")).add(2, side_px=4096, wall_s=1.23456789)
    results.Results(path, ("side_px", "wall_s", "remark")).add(side_px=8192, remark="a, b")
    first, second = read(path)
    assert (first["side_px"], first["wall_s"], first["remark"], first["repeat"]) == ("4096", "1.23457", "", "2")
    assert (second["wall_s"], second["remark"], second["repeat"]) == ("", "a, b", "1")
    for name in (
        "date",
        "load_start",
        "cpu",
        "cpu_threads",
        "memory_gb",
        "python",
        "numpy",
        "onnxruntime",
        "cellbatch",
    ):
        assert first[name], name
    assert first["command"] == "python benchmarks/one.py --outdir OUTDIR"
    assert first["nextflow"] == ""


def test_a_table_with_other_columns_is_left_alone(results, tmp_path):
    path = tmp_path / "one.csv"
    results.Results(path, ("wall_s",)).add(wall_s=1.0)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="move it away"):
        results.Results(path, ("cpu_s",))
    with pytest.raises(ValueError, match="unknown"):
        results.Results(path, ("wall_s",)).add(unknown=1.0)
    assert path.read_bytes() == before


def test_without_a_path_nothing_is_written(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results.Results(None, ("wall_s",)).add(wall_s=1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("--outdir=/x/y --sides 1,2", "--outdir OUTDIR --sides 1,2"),
        ("--csv a.csv --fields ../images", "--fields FIELDS"),
        ("--reference ~/env/bin/python", "--reference REFERENCE/bin/python"),
        ("/x/heads.zip --side 8", "heads.zip --side 8"),
        ("--fine 2 --flat", "--fine 2 --flat"),
    ],
)
def test_commands_show_no_place_of_this_machine(results, given, shown):
    assert results.shown_command(["/x/benchmarks/one.py", *given.split()]) == f"python benchmarks/one.py {shown}"


def test_a_folder_named_like_a_shipped_model_is_not_taken_for_it(results, tmp_path, monkeypatch):
    from founding_table import locate_model

    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert locate_model("demo") == "demo"
    (tmp_path / "demo/manifest.json").touch()
    assert locate_model("demo") == str(tmp_path / "demo")
    assert locate_model("other") == "other"
