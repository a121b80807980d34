"""Summaries, the report's sections, and the page that MultiQC makes of them."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from cellbatch.quality.figures import FIGURES
from cellbatch.quality.verdict import default_thresholds, judge
from cellbatch.reporting.multiqc import write_report
from cellbatch.reporting.plots import MAX_BARS
from cellbatch.reporting.sections import MAX_TABLE_ROWS, RunFacts, build_sections
from cellbatch.reporting.summary import COLUMNS, Findings, merge_summaries, summarize_sample, summary_table
from cellbatch.reporting.timing_tables import merge_timings, table_timings
from cellbatch.reporting.timings import Timings
from cellbatch.spec import SampleSpec

RULES = default_thresholds()
JPEG = b"\xff\xd8 not really a picture"


def make_sample(name: str, **columns: str) -> SampleSpec:
    return SampleSpec(name, (), (20, 30), 0.5, "0", "", ("DNA",), "uint8", columns=columns)


def make_findings(count: int, counts: dict[str, int] | None = None, **settings) -> Findings:
    counts = {"whole_cell": count, "nuclear": 2} if counts is None else counts
    areas = 2 * (np.arange(count) + 2)
    means = np.stack([areas, 10.0 * areas], axis=1)
    figures = dict.fromkeys(FIGURES, np.nan) | {"focus": 0.5}
    verdict, reasons = judge({**figures, "cells": counts.get("whole_cell"), "nuclei": counts["nuclear"]}, RULES)
    return Findings(counts, areas, means, figures, verdict, tuple(reasons), **settings)


def make_row(name: str, count: int = 3, **columns: str) -> dict:
    return summarize_sample(make_sample(name, **columns), "b1", make_findings(count))


def make_timings() -> pd.DataFrame:
    timings = Timings("infer", "b1")
    timings.add("", "load_model", 1.5)
    timings.add("s", "infer", 0.5)
    return merge_timings([table_timings(timings)])


def make_facts(rows: list[dict], **settings) -> RunFacts:
    return RunFacts(merge_summaries([summary_table(rows)]), make_timings(), **settings)


def section(facts: RunFacts, name: str) -> dict:
    return json.loads(build_sections(facts)[f"cellbatch_{name}_mqc.json"])


def test_summary_of_a_sample():
    row = make_row("s", 3, cohort="x")
    assert list(row) == [*COLUMNS, "cohort"]
    expected = {
        "sample": "s",
        "batch": "b1",
        "verdict": "pass",
        "reasons": "",
        "cells": 3,
        "nuclei": 2,
        "cell_density_per_mm2": pytest.approx(3 / (600 * 0.25e-6)),
        "coverage": pytest.approx(18 / 600),
        "area_p5_um2": pytest.approx(1.05),
        "area_p25_um2": 1.25,
        "median_area_um2": 1.5,
        "area_p75_um2": 1.75,
        "area_p95_um2": pytest.approx(1.95),
        "nuclear_p50": 6.0,
        "membrane_p25": 50.0,
        "focus": 0.5,
        "y_px": 20,
        "x_px": 30,
        "image_mpp": 0.5,
        "overlay_reduction": 1,
        "crops": 0,
        "cohort": "x",
    }
    assert {name: row[name] for name in expected} == expected
    assert all(np.isnan(row[name]) for name in FIGURES if name != "focus")


def test_summary_without_cells_warns():
    row = summarize_sample(make_sample("s"), "b1", make_findings(0, {"whole_cell": 0, "nuclear": 0}))
    assert (row["verdict"], row["reasons"]) == ("warn", "no cells; no nuclei")
    assert np.isnan(row["median_area_um2"])
    assert row["coverage"] == row["cell_density_per_mm2"] == 0


def test_summary_of_one_compartment_leaves_the_other_open():
    row = summarize_sample(make_sample("s"), "b1", make_findings(2, {"nuclear": 2}))
    table = summary_table([row])
    assert (row["verdict"], row["nuclei"]) == ("pass", 2)
    assert table["cells"].isna().all()
    assert table["cells"].dtype == "Int64"


def test_samplesheet_columns_do_not_overwrite_results():
    row = make_row("s", 3, cells="999", site="skin")
    assert (row["cells"], row["samplesheet_cells"], row["site"]) == (3, "999", "skin")


def test_merged_summaries_are_sorted_and_typed():
    first, second = summary_table([make_row("b", 2), make_row("a", 0)]), summary_table([make_row("c", 1)])
    merged = merge_summaries([first, summary_table([]), second])
    assert merged["sample"].tolist() == ["a", "b", "c"]
    assert merged["cells"].tolist() == [0, 2, 1]
    assert list(merged) == list(COLUMNS)
    assert merged.dtypes.equals(first.dtypes)


def test_merged_summaries_survive_a_trip_through_csv():
    table = summary_table([make_row("b", 2), make_row("a", 0)])
    merged = merge_summaries([pd.read_csv(io.StringIO(table.to_csv(index=False)))])
    pd.testing.assert_frame_equal(merged, table.sort_values("sample", ignore_index=True))


def test_merge_refuses_a_sample_twice_and_a_missing_column():
    table = summary_table([make_row("twin")])
    with pytest.raises(ValueError, match="twin"):
        merge_summaries([table, table])
    with pytest.raises(ValueError, match="lacks cells, coverage"):
        merge_summaries([table.drop(columns=["cells", "coverage"])])


def test_no_samples_at_all_still_make_a_report():
    facts = RunFacts(merge_summaries([]), merge_timings([]))
    assert list(build_sections(facts)) == ["cellbatch_glance_mqc.json"]


def test_glance_counts_and_names_what_to_look_at():
    rows = [make_row("good", 3), make_row("blank", 0)]
    text = section(make_facts(rows, model={"name": "demo", "version": "1", "licence": "MIT"}), "glance")["data"]
    assert "<strong>2</strong>samples<" in text
    assert "<strong>3</strong>cells<" in text
    assert "<strong>1</strong>warn<" in text
    assert "<b>blank</b>: no cells" in text
    assert "good" not in text
    assert "demo 1</b>, licence MIT" in text


def test_what_was_not_segmented_comes_first_and_is_counted_at_a_glance():
    failed = tuple({"sample": name, "phase": "infer", "reason": "<crashed>"} for name in ("x", "y"))
    facts = make_facts([make_row("good")], failed=failed)
    assert next(iter(build_sections(facts))) == "cellbatch_failed_mqc.json"
    text = section(facts, "failed")["data"]
    assert "2 samples were NOT segmented" in text
    assert "<td>x</td><td>infer</td><td>&lt;crashed&gt;</td>" in text
    assert '<div class="cellbatch-not-segmented"><strong>2</strong>not segmented' in section(facts, "glance")["data"]
    assert "1 sample was NOT" in section(make_facts([make_row("good")], failed=failed[:1]), "failed")["data"]


def test_sample_table_holds_every_value():
    table = section(make_facts([make_row("a.csv", 3, site="<i>skin</i>"), make_row("a.txt", 0, site="")]), "samples")
    assert list(table["data"]) == ["a.txt", "a.csv"]
    second, first = table["data"].values()
    assert (first["cells"], first["coverage"], first["size"]) == (3, pytest.approx(3.0), "20\u00a0×\u00a030")
    assert first["column_0"] == "&lt;i&gt;skin&lt;/i&gt;"
    assert second["reasons"] == "no cells"
    assert "median_area_um2" not in second
    assert list(table["headers"])[:2] == ["verdict", "reasons"]
    assert table["headers"]["column_0"]["title"] == "site"


def test_long_sample_table_keeps_to_the_doubtful():
    rows = [make_row(f"s{i}", int(i > 0)) for i in range(MAX_TABLE_ROWS + 1)]
    table = section(make_facts(rows), "samples")
    assert list(table["data"]) == ["s0"]
    assert f"{MAX_TABLE_ROWS + 1:,}" in table["description"]


def test_thumbnails_are_inlined_with_the_doubtful_first():
    rows = [make_row("a", 3), make_row("b", 0), make_row("c", 2)]
    facts = make_facts(rows, thumbnails={"a": JPEG, "b": JPEG}, overlays={"a": "../qc/a.overlay.png"})
    text = section(facts, "overlays")["data"]
    assert re.findall(r'aria-label="enlarge (\w+)"', text) == ["b", "a"]
    assert text.count(base64.b64encode(JPEG).decode()) == 2
    assert text.count("../qc/a.overlay.png") == 2
    assert "http" not in text


def test_of_more_than_100_samples_only_the_doubtful_show_thumbnails():
    rows = [make_row(f"s{i:03d}", int(i != 7)) for i in range(101)]
    text = section(make_facts(rows, thumbnails={row["sample"]: JPEG for row in rows}), "overlays")["data"]
    assert re.findall(r'aria-label="enlarge (\w+)"', text) == ["s007"]


def test_cells_are_bars_for_few_and_a_distribution_for_many_samples():
    few = section(make_facts([make_row("a", 3), make_row("b", 0)]), "cells")
    assert few["plot_type"] == "bargraph"
    assert few["data"] == [{"a": {"cells": 3}, "b": {"cells": 0}}, {"a": {"nuclei": 2}, "b": {"nuclei": 2}}]
    many = section(make_facts([make_row(f"s{i}", i % 4) for i in range(MAX_BARS + 1)]), "cells")
    assert many["plot_type"] == "linegraph"
    assert sum(count for _, count in many["data"][0]["samples"]) == MAX_BARS + 1


def test_areas_are_boxes_for_few_and_a_distribution_for_many_samples():
    few = section(make_facts([make_row("a", 3), make_row("b", 0)]), "areas")
    assert few["data"] == {
        "a": {"min": pytest.approx(1.05), "q1": 1.25, "median": 1.5, "q3": 1.75, "max": pytest.approx(1.95)}
    }
    many = section(make_facts([make_row(f"s{i}", i % 4) for i in range(2 * MAX_BARS)]), "areas")
    assert sum(count for _, count in many["data"]["samples"]) == 1.5 * MAX_BARS


def test_time_keeps_set_up_apart():
    time = section(make_facts([make_row("a")]), "time")
    assert time["data"] == {"infer": {"set-up": 1.5, "work": 0.5}}
    assert "loaded 1 × for 1 batches" in time["description"]


def test_facts_are_escaped_and_flattened():
    parameters = {"input": "<x>.csv", "percentile": None, "gpu": {"count": 2, "names": ["T4", "L4"]}, "cleanup": False}
    text = section(make_facts([make_row("a")], parameters=parameters), "parameters")["data"]
    rows = re.findall(r"<th>(.*?)</th><td>(.*?)</td>", text)
    assert rows == [
        ("input", "&lt;x&gt;.csv"),
        ("gpu · count", "2"),
        ("gpu · names", "T4, L4"),
        ("cleanup", "no"),
    ]


def test_settings_of_a_cloud_that_was_not_used_are_left_out():
    parameters = {"place": "local", "gcp_spot": True, "input": "x"}
    assert "gcp_spot" not in section(make_facts([make_row("a")], parameters=parameters), "parameters")["data"]
    parameters["place"] = "google"
    assert "gcp_spot" in section(make_facts([make_row("a")], parameters=parameters), "parameters")["data"]


def rows_of(html: str) -> list[list[str]]:
    return [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_memory_stands_beside_what_was_planned():
    timings = merge_timings([make_timings().assign(peak_mb=[200.0, 384.0])])
    facts = RunFacts(merge_summaries([summary_table([make_row("a")])]), timings, plan={"memory_mb": {"infer": 1024}})
    assert rows_of(section(facts, "memory")["data"])[1] == ["infer", "1,024", "384", "38 %", "0"]
    assert "wrong" not in section(facts, "memory")["description"]


def test_a_task_that_needed_more_memory_than_planned_is_told():
    timings = make_timings().assign(peak_mb=[200.0, 384.0])
    again = timings[-1:].assign(step="attempt_2_after_exit_137", seconds=0.0)
    other = timings[-1:].assign(step="attempt_2_after_exit_50001", seconds=0.0)
    facts = RunFacts(
        merge_summaries([summary_table([make_row("a")])]),
        merge_timings([timings, again, other]),
        plan={"memory_mb": {"infer": 256}},
    )
    memory = section(facts, "memory")
    assert rows_of(memory["data"])[1] == ["infer", "256", "384", "150 %", "1"]
    assert "The plan was wrong" in memory["description"]


def test_plan_stands_beside_the_time_that_it_took():
    estimate = {"mode": "split", "market": "spot", "tasks": 4, "hours": 1.5, "dollars": 12.5, "setup_share": 0.25}
    plan = {
        "samples": 1,
        "image_pixels": 2_500_000,
        "handoff_bytes": {"pixels": 2e9, "heads": 5e8},
        "phases": {"choice": "split"},
        "place": "google",
        "estimates": [{**estimate, "mode": "fused"}, {**estimate, "task_hours": {"INFER_TILES": 0.01}}],
    }
    html = section(make_facts([make_row("a")], plan=plan), "plan")["data"]
    rows = rows_of(html)
    assert ["image", "2.50 Mpx"] in rows
    assert ["handed over between phases", "2.50 GB"] in rows
    assert ["split, spot (chosen)", "4", "90.0 min", "$12.50", "25 %", ""] in rows
    assert ["infer", "36.0 s", "2.0 s"] in rows
    assert section(make_facts([make_row("a")], plan=plan), "glance")["data"].count("$12.50") == 1


def test_the_guide_names_files_that_this_run_wrote():
    facts = [make_row("a<b")], {"formats": "ome-zarr,geojson", "table_format": "csv", "compartment": "nuclear"}
    html = section(make_facts(facts[0], parameters=facts[1]), "open")["data"]
    assert "shapes/a&lt;b.geojson" in html
    assert "zarr/a&lt;b.ome.zarr" in html
    assert "read_csv(&quot;cells/a&lt;b.cells.csv&quot;)" in html
    assert "labels/" not in html
    assert (
        "labels/a.nuclear.ome.tif"
        in section(make_facts([make_row("a")], parameters={"compartment": "nuclear"}), "open")["data"]
    )


def test_crops_are_linked_and_a_reduced_overlay_is_told():
    row = summarize_sample(make_sample("a"), "b1", make_findings(3, reduction=4, crops=2))
    html = section(make_facts([row], thumbnails={"a": JPEG}, overlays={"a": "../qc/a.overlay.png"}), "overlays")["data"]
    assert re.findall(r'href="([^"]+)"', html) == ["../qc/a.overlay.png", "../qc/a.crop1.png", "../qc/a.crop2.png"]
    assert "overlay reduced 1:4" in html


def test_intensities_stand_on_an_axis_without_zero():
    row = make_row("a") | {"nuclear_p5": 0.0}
    plot = section(make_facts([row]), "nuclear_intensity")
    assert plot["data"]["a"]["min"] == 5
    assert plot["pconfig"]["xlog"] is True


def test_every_section_has_its_place_in_the_settings(project):
    settings = yaml.safe_load((project / "assets" / "multiqc_config.yml").read_text())
    facts = make_facts(
        [make_row("a")],
        failed=({"sample": "b", "phase": "preprocess", "reason": "holds NaN"},),
        thumbnails={"a": JPEG},
        model={"name": "demo"},
        parameters={"input": "x"},
        plan={"samples": 1, "memory_mb": {"infer": 512}},
        versions={"python": "3.12"},
    )
    files = build_sections(facts)
    assert json.loads(files.pop("cellbatch_mqc_versions.yml")) == {"python": "3.12"}
    assert settings["custom_content"]["order"] == [json.loads(text)["id"] for text in files.values()]


def test_report_is_one_page_that_keeps_every_name_and_asks_nobody(project, tmp_path, monkeypatch):
    # settings of the user's own must not reach the page
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".multiqc_config.yaml").write_text("title: mine\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MULTIQC_TITLE", "mine, too")
    names = [f"s{i // 4}.{('csv', 'txt', 'bam', 'fastq.gz')[i % 4]}" for i in range(520)]
    facts = make_facts(
        [make_row(name, int(i > 0)) for i, name in enumerate(names)],
        thumbnails={names[0]: JPEG},
        model={"name": "demo", "licence": "MIT"},
        versions={"INFER_TILES": {"onnxruntime": "1.2.3-made-up"}},
    )
    report = tmp_path / "out" / "multiqc_report.html"
    report.parent.mkdir()
    write_report(build_sections(facts), project / "assets" / "multiqc_config.yml", report)
    assert [path.name for path in report.parent.iterdir()] == ["multiqc_report.html"]
    page = report.read_text(encoding="utf-8")
    table = page[page.index('id="cellbatch_samples') :]
    assert all(f'data-sorting-val="{name}"' in table or f">{name}<" in table for name in names)
    assert base64.b64encode(JPEG).decode() in page
    assert "1.2.3-made-up" in page
    assert "<title>cellbatch" in page
    assert "mine" not in page[page.index("<title>") : page.index("</title>")]
    assert str(tmp_path) not in page
    assert not re.search(r"<script[^>]+src=", page)
    markup = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert not re.search(r'<(?:link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//', markup)
    assert "ai-generate-button-wrapper" not in markup


def test_report_of_nothing_is_an_error_and_leaves_nothing(project, tmp_path):
    with pytest.raises(RuntimeError, match=r"MultiQC made no report of the sections broken_mqc\.json"):
        write_report({"broken_mqc.json": "{"}, project / "assets" / "multiqc_config.yml", tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
