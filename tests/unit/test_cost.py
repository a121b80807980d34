"""What a run took and cost, on recorded traces: a local one, and one as Google Batch writes it."""

import io
import json

import pandas as pd
import pytest

from cellbatch.errors import InputError
from cellbatch.phases.cost_run import cost_run
from cellbatch.reporting.cost import build_cost, read_attempts
from cellbatch.reporting.paid import fill_paid, place_of_paid

HEADER = "task_id hash native_id process tag name status exit attempt submit start complete realtime cpus memory"
# memory in GB here
# queue 100 s, image and staging 60 s, work 200 s; a preempted attempt of 90 s; a death for memory of 50 s
GOOGLE = [
    "1 a/1 nf-1 PLAN_BATCHES - PLAN_BATCHES COMPLETED 0 1 0 100000 130000 10000 1 2",
    "2 a/2 nf-2 PREPROCESS_IMAGES b1_(5) x COMPLETED 0 1 130000 230000 490000 200000 2 7",
    "3 a/3 nf-3 SEGMENT_SPLIT:INFER_TILES b1_(5) x FAILED 50001 1 490000 590000 680000 - 4 14",
    "4 a/4 nf-4 SEGMENT_SPLIT:INFER_TILES b1_(5) x COMPLETED 0 2 680000 780000 1040000 200000 4 14",
    "5 a/5 nf-5 POSTPROCESS_LABELS b1_(5) x FAILED 137 1 1040000 1140000 1190000 50000 2 7",
    "6 a/6 nf-6 POSTPROCESS_LABELS b1_(5) x COMPLETED 0 2 1190000 1290000 1390000 40000 2 14",
    "7 a/7 nf-7 MEASURE_CELLS b1_(5) x CACHED 0 1 1 2 999999999 500 2 7",
    "8 a/8 nf-8 REPORT_RUN - x ABORTED - 1 1390000 - - - 1 2",
]
PLAN = {
    "place": "google",
    "market": "spot",
    "samples": 5,
    "model_pixels": 5_000_000,
    "batch_list": [
        {"id": "b1", "machine": {phase: ["small", "large"] for phase in ("preprocess", "postprocess", "measure")}}
        | {"machine_memory": {phase: [7168, 14336] for phase in ("preprocess", "postprocess", "measure", "infer")}}
    ],
    "estimates": [
        {"mode": "split", "market": "on_demand", "hours": 9, "dollars": 9, "setup_share": 0.9},
        {"mode": "split", "market": "spot", "hours": 0.5, "dollars": 0.25, "setup_share": 0.5, "machine_hours": 0.2}
        | {"gpu_hours": 0.1, "task_hours": {"INFER_TILES": 0.1}, "dollars_by": {"INFER_TILES": 0.02}},
    ],
    "machine_hour": {"small": 3.6, "large": 36.0, "gpu": 360.0},
    "default_machine": "small",
    "head_hour": 1.0,
}
PLAN["batch_list"][0]["machine"]["infer"] = ["gpu", "gpu"]


def _trace(rows: list[str]) -> pd.DataFrame:
    text = "\n".join("\t".join(line.split()) for line in [HEADER, *rows]).replace("b1_", "b1 ").replace("_(", " (")
    table = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    return table.assign(memory=[str(int(size) << 30) for size in table["memory"]])


def _timings() -> pd.DataFrame:
    rows = [("infer", "b1", "", "load_model", 20.0), ("infer", "b1", "s", "network", 105.0)]
    return pd.DataFrame(rows, columns=["phase", "batch", "sample", "step", "seconds"])


def _measured(table: pd.DataFrame, quantity: str, process: str = "") -> float:
    row = table[(table["quantity"] == quantity) & (table["name"] == process)]
    assert len(row) == 1
    return float(row["measured"].iloc[0])


def test_failed_and_preempted_attempts_are_paid_and_cached_tasks_are_not():
    attempts = read_attempts(_trace(GOOGLE), PLAN).set_index(["process", "attempt"])
    assert "MEASURE_CELLS" not in attempts.index.get_level_values(0)
    assert attempts.loc[("INFER_TILES", 1), "outcome"] == "preempted"
    assert attempts.loc[("INFER_TILES", 1), "dollars"] == pytest.approx(90 * 0.1)
    assert attempts.loc[("POSTPROCESS_LABELS", 1), "outcome"] == "failed"
    assert list(attempts["queue_s"]) == [100] * 6 + [0]
    assert attempts.loc[("REPORT_RUN", 1), "held_s"] == 0


def test_the_attempt_after_a_death_for_memory_pays_for_its_larger_machine():
    attempts = read_attempts(_trace(GOOGLE), PLAN).set_index(["process", "attempt"])
    assert list(attempts.loc["POSTPROCESS_LABELS", "machine"]) == ["small", "large"]
    assert attempts.loc[("POSTPROCESS_LABELS", 2), "dollars"] == pytest.approx(100 * 0.01)


def test_an_attempt_pays_for_the_machine_that_its_memory_asked_for():
    # taken back after a death for memory, it has the larger machine again
    rows = [
        "5 a/5 nf-5 POSTPROCESS_LABELS b1_(5) x FAILED 137 1 0 100000 150000 - 2 7",
        "6 a/6 nf-6 POSTPROCESS_LABELS b1_(5) x FAILED 50001 2 150000 250000 300000 - 2 14",
        "7 a/7 nf-7 POSTPROCESS_LABELS b1_(5) x COMPLETED 0 3 300000 400000 500000 90000 2 14",
        "8 a/8 nf-8 MEASURE_CELLS b1_(5) x COMPLETED 0 1 500000 600000 700000 90000 2 99",
    ]
    assert list(read_attempts(_trace(rows), PLAN)["machine"]) == ["small", "large", "large", "large"]


def test_shards_of_a_batch_are_tasks_of_their_own():
    # the first of two shards dies for memory, the second is taken back
    shards = [
        "2 a/2 nf-2 SEGMENT_SPLIT:INFER_TILES b1_1/2_(5) x FAILED 137 1 0 100000 200000 - 4 7",
        "3 a/3 nf-3 SEGMENT_SPLIT:INFER_TILES b1_2/2_(5) x FAILED 50001 1 0 100000 200000 - 4 7",
        "4 a/4 nf-4 SEGMENT_SPLIT:INFER_TILES b1_1/2_(5) x COMPLETED 0 2 200000 300000 400000 90000 4 14",
        "5 a/5 nf-5 SEGMENT_SPLIT:INFER_TILES b1_2/2_(5) x COMPLETED 0 2 200000 300000 400000 90000 4 7",
    ]
    plan = {**PLAN, "batch_list": [{"id": "b1", "machine": {"infer": ["small", "large"]}}]}
    plan["batch_list"][0]["machine_memory"] = {"infer": [7168, 14336]}
    attempts = read_attempts(_trace(shards), plan)
    assert list(attempts["machine"]) == ["small", "small", "large", "small"]
    assert set(attempts["batch"]) == {"b1"}
    table = build_cost(_trace(shards), _timings(), plan)
    assert _measured(table, "tasks", "INFER_TILES") == 2
    assert _measured(table, "attempts", "INFER_TILES") == 4
    assert _measured(table, "cost", "INFER_TILES") == pytest.approx(3 * 100 * 0.001 + 100 * 0.01)


def test_previews_are_paid_as_the_gpu_machines_that_they_run_on():
    preview = ["2 a/2 nf-2 PREVIEW_IMAGES b1_(5) x COMPLETED 0 1 0 100000 200000 90000 4 7"]
    plan = {**PLAN, "batch_list": [{"id": "b1", "machine": {"infer": ["large"]}, "machine_memory": {"infer": [14336]}}]}
    table = build_cost(_trace(preview), _timings(), plan)
    assert _measured(table, "cost", "PREVIEW_IMAGES") == pytest.approx(100 * 0.01)
    assert _measured(table, "GPU time", "") == 100


def test_the_table_adds_up():
    table = build_cost(_trace(GOOGLE), _timings(), PLAN)
    assert _measured(table, "end-to-end time") == 1390
    assert _measured(table, "total runtime") == 10 + 200 + 200 + 40
    assert _measured(table, "machine time") == 30 + 260 + 90 + 260 + 50 + 100
    assert _measured(table, "lost time") == 140
    assert _measured(table, "GPU time") == 350
    assert _measured(table, "GPU idle share") == pytest.approx(1 - 105 / 350)
    cost = 30 * 0.001 + 260 * 0.001 + 350 * 0.1 + 50 * 0.001 + 100 * 0.01
    assert _measured(table, "cost") == pytest.approx(cost + 1390 / 3600)
    assert _measured(table, "cost per sample") == pytest.approx((cost + 1390 / 3600) / 5)
    assert _measured(table, "cost per Mpx") == pytest.approx((cost + 1390 / 3600) / 5)
    processes = table[(table["scope"] == "process") & (table["quantity"] == "cost")]["measured"].sum()
    assert processes == pytest.approx(cost)
    staging = 20 + 60 + 0 + 60 + 0 + 60
    assert _measured(table, "set-up share") == pytest.approx((600 + staging + 20) / (600 + 790))


def test_counts_by_process_and_plan_beside_measurement():
    table = build_cost(_trace(GOOGLE), _timings(), PLAN)
    infer = [_measured(table, f"{what}", "INFER_TILES") for what in ("tasks", "attempts", "preempted attempts")]
    assert infer == [1, 2, 1]
    planned = table.set_index(["name", "quantity"])["planned"]
    assert planned["", "cost"] == 0.25
    assert planned["", "end-to-end time"] == 1800
    assert planned["INFER_TILES", "machine time"] == 360
    assert planned["INFER_TILES", "cost"] == 0.02


def test_a_run_whose_tasks_were_all_cached_costs_nothing():
    table = build_cost(_trace([GOOGLE[6]]), _timings(), PLAN)
    assert _measured(table, "cost") == 0
    assert _measured(table, "end-to-end time") == 0
    assert list(table["scope"].unique()) == ["run"]


def test_a_machine_without_a_price_is_an_error():
    with pytest.raises(ValueError, match="no price for the machine small"):
        build_cost(_trace(GOOGLE), _timings(), {**PLAN, "machine_hour": {"large": 1, "gpu": 1}})


def test_a_local_run_costs_nothing_and_has_no_gpu_hours():
    plan = {**PLAN, "place": "local", "market": "local", "machine_hour": {"local": 0}, "default_machine": "local"}
    plan |= {"head_hour": 0, "batch_list": [{"id": "b1"}], "estimates": []}
    table = build_cost(_trace(GOOGLE), _timings(), plan)
    assert _measured(table, "cost") == 0
    assert _measured(table, "GPU time") == 0
    assert table["planned"].isna().all()
    page = fill_paid(place_of_paid("glance") + place_of_paid("plan"), table)
    assert "this machine has no price" in page
    assert "total runtime" in page
    assert "$" not in page


def test_the_command_writes_the_table_and_names_what_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"execution_trace\.txt"):
        cost_run(tmp_path)
    (tmp_path / "pipeline_info").mkdir()
    (tmp_path / "plan").mkdir()
    _trace(GOOGLE).to_csv(tmp_path / "pipeline_info/execution_trace.txt", sep="\t", index=False)
    (tmp_path / "plan/plan.json").write_text(json.dumps({"batch_list": []}), encoding="utf-8")
    with pytest.raises(InputError, match="older version"):
        cost_run(tmp_path)
    (tmp_path / "plan/plan.json").write_text(json.dumps(PLAN), encoding="utf-8")
    (tmp_path / "pipeline_info/timings.csv").touch()
    cost_run(tmp_path)
    written = pd.read_csv(tmp_path / "pipeline_info/cost.csv")
    assert list(written.columns) == ["scope", "name", "quantity", "unit", "planned", "measured"]
    assert len(written) > 40


def test_the_page_gets_what_the_run_took(tmp_path):
    for name in ("pipeline_info", "plan", "report"):
        (tmp_path / name).mkdir()
    page = tmp_path / "report/multiqc_report.html"
    empty = f"<p>before</p>{place_of_paid('glance')}<p>between</p>{place_of_paid('plan')}<p>after</p>"
    page.write_text(empty, encoding="utf-8")
    (tmp_path / "plan/plan.json").write_text(json.dumps(PLAN), encoding="utf-8")
    trace = tmp_path / "pipeline_info/execution_trace.txt"
    # a page that this run did not finish belongs to another
    _trace(GOOGLE).to_csv(trace, sep="\t", index=False)
    cost_run(tmp_path)
    assert page.read_text(encoding="utf-8") == empty
    done = "8 a/8 nf-8 REPORT_RUN - x COMPLETED 0 1 1390000 1390000 1390000 0 1 2"
    _trace([*GOOGLE[:7], done]).to_csv(trace, sep="\t", index=False)
    cost_run(tmp_path)
    filled = page.read_text(encoding="utf-8")
    assert "took <b>23.2 min</b>" in filled
    assert "cost <b>$36.73</b>, planned $0.25: $7.35 per sample" in filled
    assert "<td>end-to-end time</td><td>30.0 min</td><td>23.2 min</td>" in filled.replace("\n", "")
    assert all(filled.count(f"<p>{word}</p>") == 1 for word in ("before", "between", "after"))
    cost_run(tmp_path)
    assert page.read_text(encoding="utf-8") == filled
