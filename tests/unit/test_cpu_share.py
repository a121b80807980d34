"""The share of the batches that machines without GPU infer: which they are, their machines, hours and dollars."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from cellbatch.errors import ConfigError
from cellbatch.phases.plan_machines import ON_CPU, assign_machines
from cellbatch.phases.plan_money import auto_batch_pixels, project_money, read_setting
from cellbatch.planning.batches import is_on_cpu, name_batch
from cellbatch.planning.cost import Workload, estimate
from cellbatch.planning.machines import read_prices
from cellbatch.planning.rates import FUSED, Rates
from cellbatch.reporting.cost import build_cost

TABLE = json.loads((Path(__file__).resolve().parents[2] / "assets/prices.json").read_text(encoding="utf-8"))
PRICES = read_prices(TABLE)
MESMER_BYTES = 104_000_000
GOOGLE = {
    "place": "google",
    "phases": "auto",
    "gcp_spot": True,
    "gcp_cpu_machine": "n2d-standard",
    "gcp_gpu_machine": "g2-standard-16",
    "gcp_gpu_type": "nvidia-l4",
    "gcp_max_gpus": 4,
    "gcp_boot_disk": "50 GB",
    "gcp_cpu_share": 0.5,
    "gcp_cpu_share_machine": "n2d-standard-32",
    "gcp_cpu_share_tasks": 16,
}


def _batch(device: str | None, memory_mb: int = 9000) -> dict:
    memory = {"preprocess": memory_mb, "infer": memory_mb, "postprocess": memory_mb, "measure": memory_mb}
    meta = {"id": "b1", "memory": memory, **({"device": device} if device else {})}
    return {"meta": meta, "record": {"samples": [{"sample": "huge", "shape": (90000, 80000)}]}}


def test_a_larger_share_only_adds_batches():
    names = [name_batch([f"s{i}"]) for i in range(4000)]
    chosen = {share: {name for name in names if is_on_cpu(name, share)} for share in (0, 0.1, 0.3, 0.9, 1)}
    assert chosen[0] == set()
    assert chosen[1] == set(names)
    assert chosen[0.1] < chosen[0.3] < chosen[0.9]
    assert len(chosen[0.3]) / len(names) == pytest.approx(0.3, abs=0.03)


def test_without_a_share_nothing_changes():
    setting = read_setting({**GOOGLE, "gcp_cpu_share": 0}, PRICES)
    assert setting.fleet.cpu_side is None
    assert setting.fleet.without_gpus is setting.fleet
    assert not any(name.startswith("n2d-standard-32") for name in _machines(_batch(None), 0))


def test_its_inference_gets_the_named_machine_and_a_larger_one_for_more_memory():
    used = assign_machines([_batch(ON_CPU), _batch(None)], GOOGLE, PRICES)
    assert used["INFER_TILES_CPU"] == {"n2d-standard-32": 1}
    assert used["INFER_TILES"] == {"g2-standard-16": 1}
    assert used["MEASURE_CELLS"] == {"n2d-standard-4": 2}
    assert set(_machines(_batch(ON_CPU, 150_000))) >= {"n2d-standard-48", "n2d-standard-96"}
    with pytest.raises(ConfigError, match=r"INFER_TILES.*--gcp_cpu_share_machine"):
        assign_machines(
            [_batch(ON_CPU) | {"meta": {"id": "b1", "device": ON_CPU, "memory": {"infer": 10**6}}}], GOOGLE, PRICES
        )
    with pytest.raises(ConfigError, match="x9-standard"):
        read_setting({**GOOGLE, "gcp_cpu_share_machine": "x9-standard-32"}, PRICES)


def _machines(batch: dict, share: float = 0.5) -> list[str]:
    assign_machines([batch], {**GOOGLE, "gcp_cpu_share": share}, PRICES)
    return batch["meta"]["machine"]["infer"]


@pytest.mark.parametrize("mode", ["split", FUSED])
def test_gpus_and_cpus_work_side_by_side(mode):
    setting = read_setting(GOOGLE, PRICES, MESMER_BYTES)
    pixels = [10**9] * 40
    halves = [i % 2 == 0 for i in range(40)]
    rows = {
        name: estimate(mode, Workload(pixels, 40, 8e10, 200, on_cpu=on_cpu), setting.fleet, setting.rates)
        for name, on_cpu in {"gpu": (), "half": halves, "cpu": [True] * 40}.items()
    }
    process = "SEGMENT_BATCH" if mode == FUSED else "INFER_TILES"
    assert rows["half"].task_hours[process] == pytest.approx(rows["gpu"].task_hours[process] / 2)
    assert rows["half"].task_hours[f"{process}_CPU"] == pytest.approx(rows["cpu"].task_hours[f"{process}_CPU"] / 2)
    assert process not in rows["cpu"].task_hours
    assert rows["half"].gpu_hours == pytest.approx(rows["gpu"].gpu_hours / 2)
    assert rows["cpu"].gpu_hours == 0
    assert rows["half"].tasks == rows["gpu"].tasks
    assert rows["half"].hours < rows["gpu"].hours
    for row in rows.values():
        assert sum(row.dollars_by.values()) == pytest.approx(row.dollars)
    middle = (rows["gpu"].dollars + rows["cpu"].dollars) / 2
    assert rows["half"].dollars == pytest.approx(middle, rel=0.1)


def test_without_any_gpu_the_plan_names_none():
    parameters = {**GOOGLE, "gcp_cpu_share": 1}
    setting = read_setting(parameters, PRICES, MESMER_BYTES)
    money = project_money([10**9] * 4, [], parameters, setting, on_cpu=[True] * 4)
    assert money["cheapest"]["gpus"] == 0
    assert money["cheapest"]["machine"] == "n2d-standard-32"
    assert all(row["gpu_hours"] == 0 for row in money["estimates"])
    # a batch suits the machines that infer it
    small = {**parameters, "gcp_cpu_share_machine": "n2d-standard-4"}
    sizes = [auto_batch_pixels(p, read_setting(p, PRICES, MESMER_BYTES)) for p in (small, parameters, GOOGLE)]
    assert sizes[0] < sizes[1] <= sizes[2]


def test_batches_suit_the_slower_of_both_sides():
    sizes = {}
    for share in (0, 0.4, 1):
        parameters = {**GOOGLE, "gcp_max_gpus": 16, "gcp_cpu_share": share, "gcp_cpu_share_tasks": 64}
        sizes[share] = auto_batch_pixels(parameters, read_setting(parameters, PRICES, MESMER_BYTES), is_packed=True)
    assert sizes == {0: 2**34, 0.4: 2**33, 1: 2**33}


@pytest.mark.parametrize("other", [{"engine": "tensorflow"}, {"precision": "tf32"}, {"tensorrt_cache": "engines"}])
def test_both_sides_compute_the_same_or_the_plan_stops(other):
    with pytest.raises(ConfigError, match=rf"--gcp_cpu_share 0\.5 .*--{next(iter(other))}"):
        read_setting({**GOOGLE, **other}, PRICES)
    read_setting({**GOOGLE, **other, "gcp_cpu_share": 0}, PRICES)
    assert read_setting({**other, "gcp_cpu_share": 0.5}, PRICES).cpu_share == 0


def test_a_larger_network_takes_longer_on_a_cpu():
    speeds = [Rates().of_weights(size).network_core_s_per_mpx for size in (0, 2_600_000, 50_000_000, MESMER_BYTES)]
    assert speeds[0] == speeds[1] == Rates().network_core_s_per_mpx
    assert speeds == sorted(speeds)
    assert speeds[-1] == 8.6
    local = read_setting({}, None, MESMER_BYTES)
    assert local.rates.network_core_s_per_mpx == 8.6


def test_its_tasks_are_paid_as_their_machines_and_no_gpu_is_idle_for_them():
    trace = """process tag status exit attempt submit start complete realtime memory
SEGMENT_FUSED:SEGMENT_BATCH b1_(5) COMPLETED 0 1 0 0 100000 100000 1
SEGMENT_FUSED:SEGMENT_BATCH_CPU b2_(5) COMPLETED 0 1 0 0 200000 200000 1"""
    table = pd.read_csv(io.StringIO(trace), sep=" ", dtype=str)
    table["tag"] = table["tag"].str.replace("_", " ")
    steps = [("fused", name, "s", "network", seconds) for name, seconds in (("b1", 60.0), ("b2", 190.0))]
    timings = pd.DataFrame(steps, columns=["phase", "batch", "sample", "step", "seconds"])
    sizes = {"machine_memory": {"fused": [1]}}
    plan = {
        "place": "google",
        "market": "spot",
        "samples": 10,
        "model_pixels": 10**6,
        "default_machine": "small",
        "machine_hour": {"gpu": 36.0, "large": 3.6, "small": 1.0},
        "estimates": [
            {"mode": "fused", "market": "spot", "hours": 1, "dollars": 5, "dollars_by": {"SEGMENT_BATCH_CPU": 2}}
        ],
        "batch_list": [
            {"id": "b1", "machine": {"fused": ["gpu"]}, **sizes},
            {"id": "b2", "machine": {"fused": ["large"]}, **sizes},
        ],
    }
    cost = build_cost(table, timings, plan).set_index(["name", "quantity"])
    assert cost["measured"]["SEGMENT_BATCH", "cost"] == pytest.approx(1.0)
    assert cost["measured"]["SEGMENT_BATCH_CPU", "cost"] == pytest.approx(0.2)
    assert cost["planned"]["SEGMENT_BATCH_CPU", "cost"] == 2
    assert cost["measured"]["", "GPU time"] == 100
    assert cost["measured"]["", "GPU idle share"] == pytest.approx(0.4)
