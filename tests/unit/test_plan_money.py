"""Machines, hours and dollars of the plan."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from cellbatch.errors import ConfigError
from cellbatch.phases.batch_directives import fused_room_mb, refuse_fused
from cellbatch.phases.money_text import money_text
from cellbatch.phases.plan_machines import assign_machines, gpu_machines
from cellbatch.phases.plan_money import auto_batch_pixels, project_money, read_setting
from cellbatch.phases.records import BatchRecord, decode_record, encode_record
from cellbatch.planning.batch_size import LEAST_LOG2, choose_batch_pixels
from cellbatch.planning.batches import cut_batches
from cellbatch.planning.cost import Workload, billed_s, choose_mode, estimate, work_s
from cellbatch.planning.machines import Machine, read_prices, smallest_machine
from cellbatch.planning.rates import FUSED, GOOGLE_SPOT, TILES_PER_MPX, Rates
from cellbatch.spec import Batch, ImageSource, SampleSpec

WAYS = ("split", "fused")
ROOT = Path(__file__).resolve().parents[2]
TABLE = json.loads((ROOT / "assets/prices.json").read_text(encoding="utf-8"))
GOOGLE = {
    "place": "google",
    "phases": "auto",
    "gcp_spot": True,
    "gcp_cpu_machine": "n2d-standard",
    "gcp_gpu_machine": "g2-standard-4",
    "gcp_gpu_type": "nvidia-l4",
    "gcp_max_gpus": 4,
    "gcp_boot_disk": "50 GB",
}


def _batch(memory_mb: int) -> dict:
    sample = {"sample": "huge", "shape": (90000, 80000)}
    memory = dict.fromkeys(("preprocess", "infer", "postprocess", "measure"), memory_mb)
    return {"meta": {"id": "b1", "memory": memory}, "record": {"samples": [sample]}}


def _samples(count: int) -> list[SampleSpec]:
    source = (ImageSource("image", 1),)
    return [SampleSpec(f"s{i}", source, (1000, 1000), 0.5, "0", "1", ("a", "b"), "uint16") for i in range(count)]


def test_prices_add_up_for_a_known_machine():
    prices = read_prices(TABLE)
    machine = prices.machine("g2-standard-4")
    assert (machine.vcpus, machine.memory_gb) == (4, 16)
    assert prices.machine_hour(machine, "on_demand") == pytest.approx(0.44038 / 3, rel=1e-3)
    assert prices.machine_hour(machine, "on_demand", "nvidia-l4") == pytest.approx(0.7068, rel=1e-3)
    assert prices.machine_hour(prices.machine("n1-standard-8"), "spot") == pytest.approx(0.10446, rel=1e-3)
    assert prices.machine_hour(prices.machine("n2d-highcpu-16"), "spot") == pytest.approx(0.10358, rel=1e-3)


@pytest.mark.parametrize("name", ["x9-standard-4", "g2-standard-5"])
def test_an_unknown_machine_is_an_error(name):
    with pytest.raises(ConfigError, match=name.rpartition("-")[0]):
        read_prices(TABLE).machine(name)


def test_an_unknown_gpu_or_market_is_an_error():
    prices = read_prices(TABLE)
    with pytest.raises(ConfigError, match="nvidia-b9"):
        prices.machine_hour(prices.machine("g2-standard-4"), "spot", "nvidia-b9")
    with pytest.raises(ConfigError, match="does not go with"):
        prices.machine_hour(prices.machine("g2-standard-4"), "spot", "nvidia-tesla-t4")
    unpriced = json.loads(json.dumps(TABLE))
    unpriced["gpus"]["nvidia-tesla-t4"]["hour"]["spot"] = None
    with pytest.raises(ConfigError, match=r"no spot price for nvidia-tesla-t4.*--prices"):
        read_prices(unpriced).machine_hour(prices.machine("n1-standard-4"), "spot", "nvidia-tesla-t4")


def test_every_machine_that_a_run_may_get_has_a_price_and_a_source():
    prices = read_prices(TABLE)
    assert {"machine_families", "gpus", "storage"} <= TABLE["sources"].keys()
    for gpu, facts in TABLE["gpus"].items():
        for cpu_family in TABLE["machine_families"]:
            for family in facts["families"]:
                smallest = next(m.name for m in prices.machines(family) if m.vcpus >= 2)
                chosen = {"gcp_gpu_type": gpu, "gcp_gpu_machine": smallest, "gcp_cpu_machine": cpu_family}
                for is_spot in (True, False):
                    hours = read_setting({**GOOGLE, **chosen, "gcp_spot": is_spot}, prices).machine_hour
                    assert {m.name for m in gpu_machines({**GOOGLE, **chosen}, prices)} <= hours.keys()
                    assert {m.name for m in prices.machines(cpu_family)} <= hours.keys()
                    assert all(hour > 0.005 for hour in hours.values())


def test_one_t4_goes_with_48_vcpus_at_most():
    prices = read_prices(TABLE)
    t4 = {**GOOGLE, "gcp_gpu_type": "nvidia-tesla-t4", "gcp_gpu_machine": "n1-standard-4"}
    assert [machine.vcpus for machine in gpu_machines(t4, prices)] == [4, 8, 16, 32]
    with pytest.raises(ConfigError, match=r"n1-standard-64.*up to 48 vCPUs.*--gcp_gpu_machine"):
        read_setting({**t4, "gcp_gpu_machine": "n1-standard-64"}, prices)


@pytest.mark.parametrize("change", [{"date": 5}, {"disk_gb_month": -1}, {"machine_families": {"n": {}}}])
def test_a_broken_table_of_prices_is_an_error(change):
    with pytest.raises(ConfigError, match=r"assets/prices\.json"):
        read_prices({**TABLE, **change})
    with pytest.raises(ConfigError, match="is missing"):
        read_prices({name: value for name, value in TABLE.items() if name not in change})


def test_the_smallest_machine_that_holds_a_task():
    sizes = [Machine("n-2", "n", 2, 8), Machine("n-4", "n", 4, 16)]
    assert smallest_machine(sizes, 2, 7000) == sizes[0]
    assert smallest_machine(sizes, 2, 7400) == sizes[1]
    assert smallest_machine(sizes, 2, 15000) is None


def test_machines_are_assigned_and_memory_is_rounded_to_what_they_offer():
    batches = [_batch(1024), _batch(9000)]
    used = assign_machines(batches, GOOGLE, read_prices(TABLE))
    assert used["PREPROCESS_IMAGES"] == {"n2d-standard-2": 1, "n2d-standard-4": 1}
    assert used["INFER_TILES"] == {"g2-standard-4": 2}
    assert batches[0]["meta"]["memory"]["measure"] == 7168
    # an attempt after a death for memory asks for more and gets a machine that has it
    assert batches[1]["meta"]["machine"]["postprocess"] == [
        "n2d-standard-4",
        "n2d-standard-8",
        "n2d-standard-16",
        "n2d-standard-16",
    ]
    assert batches[1]["meta"]["machine_memory"]["postprocess"] == [14592, 29440, 58880, 58880]


@pytest.mark.parametrize("family", sorted(TABLE["machine_families"]))
def test_no_attempt_asks_for_more_than_its_machine_has(family):
    prices = read_prices(TABLE)
    cpu = prices.machines(family)
    parameters = {**GOOGLE, "gcp_cpu_machine": family}
    most_mb = min(cpu[-1].task_memory_mb, gpu_machines(parameters, prices)[-1].task_memory_mb)
    for need_mb in (1, 9000, most_mb // 3, most_mb):
        meta = (batch := _batch(need_mb))["meta"]
        assign_machines([batch], parameters, prices)
        for phase, names in meta["machine"].items():
            asked = meta["machine_memory"][phase]
            machines = [prices.machine(name) for name in names]
            assert len(asked) == len(machines) == 4
            assert need_mb <= asked[0] == meta["memory"][phase]
            assert all(mb <= machine.task_memory_mb for mb, machine in zip(asked, machines, strict=True))
            # more for each attempt, or all that the largest machine has
            largest = cpu[-1] if phase != "infer" else gpu_machines(parameters, prices)[-1]
            assert all(mb >= min(asked[0] * k, largest.task_memory_mb) for k, mb in enumerate(asked, 1))


def test_room_of_a_fused_task_is_that_of_the_largest_machine_with_a_gpu():
    prices = read_prices(TABLE)
    room_mb = fused_room_mb(GOOGLE, prices)
    batch = _batch(1)
    for need_mb, reason in ((room_mb, ""), (room_mb + 1, f"fused would need {room_mb + 1} MB")):
        batch["meta"]["memory"] = {"fused": need_mb}
        assert refuse_fused([batch], room_mb).startswith(reason)
        assert bool(refuse_fused([batch], room_mb)) == bool(reason)
    # what is refused here, no machine would have held
    with pytest.raises(ConfigError, match="SEGMENT_BATCH of batch b1 needs"):
        assign_machines([batch], GOOGLE, prices)
    assert fused_room_mb({"place": "slurm"}, prices) is None


def test_a_fused_task_gets_a_machine_with_a_gpu():
    batch = _batch(20000)
    batch["meta"]["memory"] = {"fused": 20000}
    assert assign_machines([batch], GOOGLE, read_prices(TABLE)) == {"SEGMENT_BATCH": {"g2-standard-8": 1}}
    assert batch["meta"]["machine"]["fused"][0] == "g2-standard-8"


def test_a_task_that_no_machine_holds_stops_the_run():
    with pytest.raises(ConfigError, match=r"PREPROCESS_IMAGES.*sample huge of 90000 x 80000.*--gcp_cpu_machine"):
        assign_machines([_batch(10**6)], GOOGLE, read_prices(TABLE))


def test_at_home_nothing_is_assigned_and_nothing_costs():
    batch = _batch(1024)
    assert assign_machines([batch], {"place": "local"}, read_prices(TABLE)) == {}
    assert "machine" not in batch["meta"]
    setting = read_setting({}, read_prices(TABLE))
    money = project_money([10**7], _samples(10), {}, setting)
    assert [row["dollars"] for row in money["estimates"]] == [0, 0]
    assert money["phases"]["choice"] == "split"


def test_losses_cost_more_the_longer_a_task_is():
    assert billed_s(600, 0) == 600
    rate = 0.1
    assert billed_s(3600, rate) == pytest.approx(3600 * (math.exp(0.1) - 1) / 0.1)
    assert billed_s(7200, rate) > 2 * billed_s(3600, rate)


def test_a_fused_task_waits_for_the_slower_of_gpu_and_cpu():
    station = read_setting(GOOGLE, read_prices(TABLE)).fleet.stations[FUSED]
    slow_gpu, fast_gpu = Rates(gpu_mpx_per_s=0.5), Rates(gpu_mpx_per_s=1000)
    set_up_s = Rates().task_s + Rates().model_load_s
    assert work_s(FUSED, 100, station, slow_gpu) == pytest.approx(set_up_s + 200)
    assert work_s(FUSED, 100, station, fast_gpu) == pytest.approx(set_up_s + 100 * sum(Rates().core_s_per_mpx) / 4)


def test_the_network_takes_time_by_tiles_not_by_pixels():
    # 2,000 images of 64² px are 8 Mpx, but a tile of 256² each
    setting = read_setting({}, None)
    rows = [
        project_money([8 * 10**6], _samples(4), {}, setting, tiles)["estimates"][0]["task_hours"]
        for tiles in ([8 * TILES_PER_MPX], [2000], ())
    ]
    assert rows[0] == rows[2]
    more_s = (rows[1]["INFER_TILES"] - rows[0]["INFER_TILES"]) * 3600
    extra_mpx = 2000 / TILES_PER_MPX - 8
    assert more_s == pytest.approx(extra_mpx * setting.rates.network_core_s_per_mpx / 2, rel=0.01)
    assert rows[1]["MEASURE_CELLS"] == rows[0]["MEASURE_CELLS"]
    on_google = read_setting(GOOGLE, read_prices(TABLE))
    small, large = (project_money([8 * 10**6], _samples(4), GOOGLE, on_google, tiles) for tiles in ([2000], [192]))
    assert small["estimates"][0]["gpu_hours"] > large["estimates"][0]["gpu_hours"]
    assert small["estimates"][0]["dollars"] > large["estimates"][0]["dollars"]


def test_submission_limits_very_many_tasks():
    setting = read_setting(GOOGLE, read_prices(TABLE))
    many = estimate("split", Workload([10**6] * 1000, 1000, 4e9, 5000), setting.fleet, setting.rates)
    assert many.tasks == 4000
    assert many.hours > 4000 * GOOGLE_SPOT.submit_s / 3600
    one = estimate(FUSED, Workload([10**9], 1000, 4e9, 5000), setting.fleet, setting.rates)
    assert one.handoff_bytes == 0
    assert one.setup_share < many.setup_share
    assert one.dollars < many.dollars


def test_both_ways_are_priced_and_auto_takes_the_cheaper():
    setting = read_setting(GOOGLE, read_prices(TABLE))
    money = project_money([4 * 10**6], _samples(15), GOOGLE, setting)
    assert money["phases"]["choice"] == "fused"
    assert money["phases"]["why"].startswith("--phases auto; by the plan, fused:")
    asked = {way: project_money([4 * 10**6], _samples(15), {**GOOGLE, "phases": way}, setting) for way in WAYS}
    assert {way: plan["phases"]["choice"] for way, plan in asked.items()} == {way: way for way in WAYS}
    assert all("by the plan, fused: " in plan["phases"]["why"] for plan in asked.values())
    assert {(row["mode"], row["market"]) for row in money["estimates"]} == {
        (mode, market) for mode in ("split", "fused") for market in ("spot", "on_demand")
    }
    split, fused = (e for e in money["estimates"] if e["market"] == "spot")
    assert fused["dollars"] < split["dollars"]
    assert sum(fused["dollars_by"].values()) == pytest.approx(fused["dollars"], rel=0.01)
    text = money_text({**money, "machines": {}, "prices": {"region": "r", "date": "d"}})
    assert "fused, on demand" in text
    assert "phases             fused (--phases auto; by the plan, fused: " in text
    assert "cheapest" in text
    assert "5 to 10 Mpx/s" in text


def test_the_choice_is_by_hours_where_nothing_is_paid():
    setting = read_setting({}, None)
    split = estimate("split", Workload([10**7], 10, 0, 50), setting.fleet, setting.rates)
    fused = estimate(FUSED, Workload([10**7], 10, 0, 50), setting.fleet, setting.rates)
    assert choose_mode(split, fused)[0] == "fused"


@pytest.mark.parametrize("parameters", [{}, GOOGLE, {**GOOGLE, "phases": "split"}])
def test_the_automatic_batch_size_is_a_power_of_two_and_does_not_depend_on_the_rows(parameters):
    pixels = auto_batch_pixels(parameters, read_setting(parameters, read_prices(TABLE)))
    assert pixels == 2 ** (pixels.bit_length() - 1)
    names = [f"s{i}" for i in range(3000)]
    before = {tuple(names[i] for i in cut) for cut in cut_batches(names, [10**8] * 3000, pixels)}
    names.append("appended")
    after = {tuple(names[i] for i in cut) for cut in cut_batches(names, [10**8] * 3001, pixels)}
    assert len(after - before) <= 2


def test_batches_shrink_with_preemption_and_gpus_and_by_the_disk():
    prices, roomy = read_prices(TABLE), {**GOOGLE, "gcp_boot_disk": "9 TB"}

    def size(**changes):
        parameters = {**roomy, **changes}
        return auto_batch_pixels(parameters, read_setting(parameters, prices))

    assert size(gcp_spot=False, gcp_max_gpus=1) > size(gcp_max_gpus=1) > size(gcp_max_gpus=64)
    assert size(phases="split", gcp_boot_disk="50 GB") < size(phases="split")
    assert auto_batch_pixels({}, read_setting({}, prices)) == 2**28


@pytest.mark.parametrize(
    ("processors", "fused"), [(2, 2**31), (3, 2**31), (4, 2**29), (7, 2**29), (8, 2**28), (64, 2**28)]
)
def test_the_batch_size_of_one_machine_is_what_the_documents_say(monkeypatch, processors, fused):
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    found = {way: auto_batch_pixels({"phases": way}, read_setting({}, read_prices(TABLE))) for way in (*WAYS, "auto")}
    assert found == {"split": 2**28, "fused": fused, "auto": fused}
    usage, cluster = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("usage.md", "hpc.md"))
    row = next(line for line in usage.splitlines() if line.startswith("| `--batch_pixels`"))
    assert f"{2**28:,} for `split`" in row
    assert f"{fused:,} with" in row
    assert f"{2**28 // 10**6} Mpx" in cluster
    assert f"{2**31 // 10**6:,} Mpx" in cluster


def _unlimited(mode, setting):
    """What the automatic batch size would be if nothing but the disk stood against large batches."""
    fleet = setting.fleet
    stations = {phase: replace(station, slots=1) for phase, station in fleet.stations.items()}
    place = replace(fleet.place, start_s=1e9, losses_per_h=0.0)
    return choose_batch_pixels(mode, replace(fleet, stations=stations, place=place), setting.rates, setting.disk_bytes)


@pytest.mark.parametrize("gigabytes", [20, 21, 22, 26])
def test_no_batch_size_is_advised_that_auto_would_refuse_for_its_disk(gigabytes):
    parameters = {**GOOGLE, "gcp_boot_disk": f"{gigabytes} GB", "gcp_max_gpus": 1}
    setting = read_setting(parameters, read_prices(TABLE))
    # for one GPU and so much work the largest batches that are allowed cost least
    money = project_money([2**31], _samples(4), parameters, setting)
    for way in ("cheapest", "fastest"):
        best = money[way]
        assert best["batch_pixels"] <= _unlimited(best["mode"], setting)
    rates = setting.rates
    split_bytes = rates.results_bytes_per_px + rates.pixels_bytes_per_px + rates.heads_bytes_per_px
    for mode, per_px in (("split", split_bytes), ("fused", rates.results_bytes_per_px)):
        most = _unlimited(mode, setting)
        assert most == 2**LEAST_LOG2 or 2 * most * per_px <= setting.disk_bytes < 4 * most * per_px


def test_a_long_record_is_packed_and_comes_back():
    short, long = (Batch("b1", tuple(_samples(count))) for count in (3, 2000))
    assert encode_record(short.to_json()).startswith("{")
    text = encode_record(long.to_json())
    assert "\n" not in text
    assert len(text) < len(json.dumps(long.to_json())) / 8
    assert decode_record(text) == long
    assert decode_record(encode_record(short.to_json())) == short


@pytest.mark.parametrize("measured", [False, True])
def test_the_record_of_a_batch_is_made_once_when_it_is_written(monkeypatch, measured):
    sample = replace(_samples(1)[0], columns={"organ": "lung"}, measured_channels=(1,))
    batch = Batch("b1", (sample,))
    record = BatchRecord(batch, measured=measured)
    assert dict(record) == record.to_json()
    assert record.sample_names == [sample["sample"] for sample in record["samples"]]

    made = []
    to_json = Batch.to_json
    monkeypatch.setattr(Batch, "to_json", lambda self: made.append(self) or to_json(self))
    back = decode_record(encode_record(record))
    assert len(made) == 1
    assert back == (batch if measured else Batch("b1", (replace(sample, columns={}, measured_channels=()),)))


def test_batches_with_results_by_batch_may_be_larger_because_the_disk_holds_more_of_them():
    google = {
        **GOOGLE,
        "phases": "fused",
        "gcp_gpu_machine": "g2-standard-16",
        "gcp_max_gpus": 16,
        "gcp_boot_disk": "50 GB",
    }
    setting = read_setting(google, read_prices(TABLE))
    found = [auto_batch_pixels(google, setting, is_packed=is_packed) for is_packed in (False, True)]
    # docs/simulation.md runs a million images in batches of the latter size
    assert found == [2**32, 2**34]
