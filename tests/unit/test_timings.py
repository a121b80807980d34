"""Timings: what phases record and the report adds up."""

import io
import math

import pandas as pd
import pytest

from cellbatch.reporting.timing_tables import (
    merge_timings,
    mixed_machines,
    network_share,
    seconds_by_phase,
    table_timings,
)
from cellbatch.reporting.timings import COLUMNS, Timings


def read_back(table: pd.DataFrame) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(table.to_csv(index=False)))


def test_step_measures_its_body(monkeypatch):
    now = iter([10.0, 12.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    monkeypatch.setattr("time.time", lambda: 1000.0)
    timings = Timings("infer", "b1")
    with timings.step("load_model"):
        pass
    (row,) = timings.rows()
    # Python with pandas needs some 100 MB, and no test some GB
    assert 30 < row.pop("peak_mb") < 8000
    # nobody asked a GPU
    assert math.isnan(row.pop("gpu_busy"))
    assert row == (
        {
            "phase": "infer",
            "batch": "b1",
            "sample": "",
            "step": "load_model",
            "seconds": 2.5,
            "started": 997.5,
            "pixels": 0,
            "machine": "",
        }
    )


def test_step_that_fails_is_recorded_and_passes_the_error_on():
    timings = Timings("infer")
    with pytest.raises(RuntimeError, match="broken"), timings.step("infer", "s1", pixels=5):
        raise RuntimeError("broken")
    assert [(row["sample"], row["pixels"]) for row in timings.rows()] == [("s1", 5)]


def test_clock_runs_forward():
    clock = Timings.clock()
    first = clock()
    assert 0 <= first <= clock()


def test_empty_table_has_all_columns_and_types():
    table = table_timings(Timings("infer"))
    assert len(table) == 0
    assert table["seconds"].dtype == "float64"
    assert list(table) == list(COLUMNS)
    assert list(merge_timings([])) == list(COLUMNS)
    assert len(merge_timings([table, table])) == 0


def test_merge_survives_a_trip_through_csv_and_sorts_by_start():
    late, early = Timings("infer", "b2"), Timings("plan")
    early.add("", "plan", 90.0)
    late.add("s2", "infer", 0.5, pixels=9)
    merged = merge_timings(
        [read_back(table_timings(late)), read_back(table_timings(early)), read_back(table_timings(Timings("measure")))]
    )
    assert merged[["phase", "batch", "sample", "pixels"]].values.tolist() == [
        ["plan", "", "", 0],
        ["infer", "b2", "s2", 9],
    ]


def test_merge_names_what_is_missing():
    with pytest.raises(ValueError, match="lacks seconds"):
        merge_timings([table_timings(Timings("infer")).drop(columns="seconds")])


def test_set_up_stands_apart_from_work():
    timings = Timings("infer", "b1")
    timings.add("", "load_model", 2.0)
    timings.add("", "warm_up", 1.0)
    timings.add("s1", "infer", 0.25, pixels=100)
    timings.add("s2", "infer", 0.5, pixels=300)
    timings.add("s2", "write", 0.25)
    (row,) = seconds_by_phase(merge_timings([table_timings(timings)])).to_dict("records")
    assert row == {"phase": "infer", "setup_s": 3.0, "work_s": 1.0, "samples": 2, "pixels": 400}


def test_shards_on_different_machines_are_named():
    tables = []
    for batch, machine in [
        ("b1", "NVIDIA L4"),
        ("b1", "Tesla T4"),
        ("b1", "NVIDIA L4"),
        ("b2", "Tesla T4"),
        ("b3", ""),
    ]:
        timings = Timings("infer", batch)
        timings.machine = machine
        timings.add("s", "network", 1.0)
        tables.append(read_back(table_timings(timings)))
    assert mixed_machines(merge_timings(tables)) == {"b1": ["NVIDIA L4", "Tesla T4"]}


def test_what_a_fused_task_took_is_no_phase_but_says_how_long_the_network_waited():
    timings = Timings("fused", "b1")
    infer = Timings("infer", "b1")
    infer.add("a", "network", 6.0)
    infer.add("b", "network", 3.5)
    timings.extend(infer)
    assert network_share(merge_timings([table_timings(timings)])) is None
    timings.add("", "overlapped", 10.0, peak_mb=1234.0)
    table = merge_timings([table_timings(timings)])
    assert network_share(table) == pytest.approx(0.95)
    assert list(seconds_by_phase(table)["phase"]) == ["infer"]
    assert table.loc[table["phase"] == "fused", "peak_mb"].item() == 1234
