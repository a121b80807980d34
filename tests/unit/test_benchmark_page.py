"""docs/benchmarks.md holds what the benchmarks measured, and no other figure."""

import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = {
    **{"repeat": 1, "date": "2026-01-02T03:04Z", "load_start": 0.5, "cpu": "A processor", "cpu_threads": 2},
    **{"memory_gb": 8.1, "python": "3.12.1", "numpy": "2.0", "onnxruntime": "1.20", "cellbatch": "0.1.0"},
    **{"commit": "abc1234", "nextflow": float("nan"), "command": "python benchmarks/start_up.py --outdir OUTDIR"},
}
UNIT = r"(?:s|ms|min|h|ns|µs|MB|GB|kB|MB/s|%|times|fold|px/s|dollars)"


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import write_page

    return write_page


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import page_pictures

    return page_pictures


def measured(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([{**CONTEXT, **row} for row in rows])


def test_page_is_written_from_the_tables(page):
    tables = page.read_tables(page.MEASURED)
    assert tables
    expected = page.write_page(page.PROSE.read_text(encoding="utf-8"), tables, page.read_notes(page.MEASURED))
    assert page.PAGE.read_text(encoding="utf-8") == expected


def test_pictures_are_drawn_from_the_tables(page, pictures):
    tables = page.read_tables(page.MEASURED)
    for name, (_, sources, _) in pictures.PICTURES.items():
        if sources[0] in tables:
            fingerprint = pictures.digest(*(tables[source] for source in sources if source in tables))
            drawing = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
            assert f"drawn from {fingerprint}" in drawing, f"{name}: python benchmarks/write_page.py --pictures"


def test_prose_has_no_measured_figure(page):
    notes = page.read_notes(page.MEASURED)
    assert set(notes) <= set(page.TABLES)
    for prose in (page.PROSE.read_text(encoding="utf-8"), *notes.values()):
        assert not re.findall(rf"\d[\d.,]*\s?{UNIT}\b", prose)


def test_every_place_is_a_table_and_every_measured_table_has_a_place(page):
    places = page.PLACE.findall(page.PROSE.read_text(encoding="utf-8"))
    assert sorted(places) == sorted(page.TABLES)
    assert {path.stem for path in page.MEASURED.glob("*.csv")} <= set(places)


def test_sections_without_a_measurement_are_left_out(page):
    prose = "# Top\n\nText.\n\n## One\n\n<!-- start_up -->\n\n## Two\n\n<!-- peers -->\n\n### Three\n\nProse.\n"
    moments = dict.fromkeys(("plan_done_s", "task_starts_s", "network_loaded_s", "first_tile_s", "end_s"), 1.0)
    table = measured([{"way": "pipeline, split", **moments}])
    text = page.write_page(prose, {"start_up": table}, {"start_up": "A note.", "peers": "Not here."})
    assert "A note." in text
    assert "Not here." not in text
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Top", "## One", "### Three"]
    assert "<!--" not in text
    assert "python benchmarks/start_up.py --outdir OUTDIR" in text
    for word in (
        "A processor, 2 threads, 8 GB",
        "2026-01-02",
        "Python 3.12.1",
        "0.1.0 at abc1234",
        "load when started 0.5",
    ):
        assert word in text
    assert "Nextflow" not in text


def test_figures_are_medians_and_ratios_of_turns(page):
    from page_format import make_table, ratio_in_turn, show

    # the second of a pair is always twice as fast as the first, whatever the machine does meanwhile
    rows = [
        {"way": way, "repeat": repeat, "side_px": 8, "cpu_us_cell": spent / share}
        for repeat, spent in enumerate((10.0, 90.0, 20.0), start=1)
        for way, share in (("theirs", 1), ("ours", 2))
    ]
    ratio = ratio_in_turn(measured(rows), "cpu_us_cell", ("theirs", "ours"), ["side_px"])
    assert ratio.to_dict() == {8: 2.0}
    assert ratio_in_turn(measured(rows), "cpu_us_cell", ("theirs", "absent"), ["side_px"]).empty
    assert [show(value) for value in (0.0004567, 0.12345, 1.0, 99.94, 123.4, 9876543.2)] == [
        *("0.000457", "0.123", "1", "99.9", "123", "9,876,543")
    ]
    assert make_table(["a", "b"], [("x", 12.345)]) == "| a | b |\n| --- | --- |\n| x | 12.3 |\n"


def test_medians_of_runs(page):
    moments = ("plan_done_s", "task_starts_s", "network_loaded_s", "first_tile_s", "end_s")
    rows = [{"way": "w", "repeat": at, **dict.fromkeys(moments, value)} for at, value in enumerate((3.0, 50.0, 4.0))]
    text = page.TABLES["start_up"](measured(rows))
    assert "| w | 4 | 4 | 4 | 4 | 4 |" in text
    assert "Medians of 3 runs." in text


def test_labels_that_differ_are_said_so(page):
    rows = [
        {"fields": "drawn", "side_px": 64, "cut": "a", "compartment": "nuclear", "is_equal": is_equal, "objects": 5}
        | {"blocks": 4, "widened": 1, "uncertified": 0}
        for is_equal in (True, False)
    ]
    assert "| drawn | 64² | 1 of 2 | – | 5 | 8 | 2 | 0 |" in page.TABLES["equal_labels"](measured(rows))


def test_make_bench_names_benchmarks_with_a_place_on_the_page(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    names = [
        name
        for line in re.findall(r"^(?:KERNEL_)?BENCHMARKS := (.+)$", makefile, re.MULTILINE)
        for name in line.split()
    ]
    assert len(names) > 10
    for name in names:
        assert name in page.TABLES
        assert "add_csv_option(parser)" in (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
