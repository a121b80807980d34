"""The plan's part on machines, hours and dollars, and the batch size that follows from them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cellbatch.errors import ConfigError
from cellbatch.phases.plan_machines import CPUS_PER_TASK, GOOGLE, check_share, gigabytes, machine_hours
from cellbatch.planning.batch_size import LEAST_LOG2, choose_batch_pixels, fitting_log2
from cellbatch.planning.cost import (
    MPX,
    Estimate,
    Fleet,
    Station,
    Workload,
    choose_mode,
    estimate,
)
from cellbatch.planning.machines import MARKETS, Prices, smallest_machine
from cellbatch.planning.rates import (
    FUSED,
    GOOGLE_ON_DEMAND,
    GOOGLE_SPOT,
    LOCAL,
    PHASES,
    TILES_PER_MPX,
    Rates,
)
from cellbatch.spec import SampleSpec

# CPU tasks at a time where no executor says otherwise; a new project's quota allows about as many
CPU_TASKS = 100
# of the boot disk: operating system and three times the image, see docs/google.md
DISK_KEPT_GB = 20
# intermediate files of one task on this machine's disk
LOCAL_DISK_BYTES = 1.1e10
FILES_PER_SAMPLE = 5
FILES_PER_BATCH = 4
FLEETS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Setting:
    """What the parameters say of the place: its fleet by market, and the rates of its tasks."""

    fleets: Mapping[str, Fleet]
    market: str
    rates: Rates
    disk_bytes: float
    machine_hour: Mapping[str, float]
    cpu_share: float = 0.0

    @property
    def fleet(self) -> Fleet:
        """The fleet on the market that the run will use."""
        return self.fleets[self.market]


def read_setting(parameters: Mapping[str, Any], prices: Prices | None, weights_bytes: int = 0) -> Setting:
    """Settle the fleet from the parameters, and the network's speed on a CPU from the bytes of its weights.

    Raises
    ------
    ConfigError
        If the machines or GPUs that the parameters name have no price.
    """
    if prices is None or parameters.get("place") != GOOGLE:
        hour = prices.table["local_hour"] if prices else 0.0
        slots = max(1, (os.cpu_count() or CPUS_PER_TASK) // CPUS_PER_TASK)
        station = Station(slots, CPUS_PER_TASK, False, hour, "local")
        stations = dict.fromkeys((*PHASES, FUSED), station)
        fleet = Fleet(stations, LOCAL, "local")
        return Setting({"local": fleet}, "local", Rates().of_weights(weights_bytes), LOCAL_DISK_BYTES, {"local": hour})
    market = "spot" if parameters.get("gcp_spot") else "on_demand"
    fleets = {}
    for name in MARKETS:
        try:
            fleets[name] = _google_fleet(parameters, prices, name)
        except ConfigError:
            if name == market:
                raise
    disk = max(1.0, fleets[market].disk_gb - DISK_KEPT_GB) * 1e9
    return Setting(
        fleets,
        market,
        Rates().of_weights(weights_bytes),
        disk,
        machine_hours(parameters, prices, market),
        check_share(parameters),
    )


def auto_batch_pixels(parameters: Mapping[str, Any], setting: Setting, *, is_packed: bool = False) -> int:
    """Pixels per batch for ``--batch_pixels auto``, from the fleet, and whether results are files per batch."""
    mode = parameters.get("phases") or "split"
    if mode == "auto":
        mode = FUSED
    rates = setting.rates.packed if is_packed else setting.rates
    # what the slower of two kinds of machines does in a good time, the faster one does, too
    fleets = [setting.fleet] * (setting.cpu_share < 1) + [setting.fleet.without_gpus] * (setting.cpu_share > 0)
    return min(choose_batch_pixels(mode, fleet, rates, setting.disk_bytes) for fleet in fleets)


def project_money(
    pixels: Sequence[int],
    samples: Sequence[SampleSpec],
    parameters: Mapping[str, Any],
    setting: Setting,
    tiles: Sequence[int] = (),
    on_cpu: Sequence[bool] = (),
    *,
    is_packed: bool = False,
) -> dict[str, Any]:
    """Hours and dollars of both ways of running, on both markets, and the cheapest batch size and fleet.

    Parameters
    ----------
    pixels : per batch, at the model's pixel size
    samples : all samples
    parameters : of the run
    setting : as ``read_setting`` gives it
    tiles : of the network, per batch; as of large images where they are not given
    on_cpu : whether machines without GPU infer them, per batch; none where it is not given
    is_packed : the results are files per batch, not per sample
    """
    if is_packed:
        setting = replace(setting, rates=setting.rates.packed)
    files = FILES_PER_BATCH * len(pixels) if is_packed else FILES_PER_SAMPLE * len(samples)
    seen = [count / TILES_PER_MPX * MPX for count in tiles]
    workload = Workload(pixels, len(samples), _image_bytes(samples), files, seen, on_cpu)
    found = [
        estimate(mode, workload, fleet, setting.rates) for mode in ("split", FUSED) for fleet in setting.fleets.values()
    ]
    split, fused = (next(e for e in found if (e.mode, e.market) == (m, setting.market)) for m in ("split", FUSED))
    cheaper, why = choose_mode(split, fused)
    asked = parameters.get("phases") or "split"
    money = {
        "place": parameters.get("place") or "local",
        "phases": {"choice": cheaper if asked == "auto" else asked, "why": f"--phases {asked}; by the plan, {why}"},
        "estimates": [entry.to_json() for entry in found],
        "disk_gb_per_task": round(setting.disk_bytes / 1e9, 1),
        "market": setting.market,
        "head_hour": setting.fleet.head_hour,
        "default_machine": setting.fleet.stations["preprocess"].machine,
        "machine_hour": dict(setting.machine_hour),
    }
    if setting.market != "local":
        money |= _alternatives(workload, setting)
    return money


def _google_fleet(parameters: Mapping[str, Any], prices: Prices, market: str) -> Fleet:
    """GPU machines up to ``--gcp_max_gpus`` and the smallest machines of the CPU family."""
    gpu_type = str(parameters["gcp_gpu_type"])
    gpu_machine = prices.machine(str(parameters["gcp_gpu_machine"]))
    cpu_machine = smallest_machine(prices.machines(str(parameters["gcp_cpu_machine"])), CPUS_PER_TASK, 0)
    assert cpu_machine is not None  # every family has a machine of two vCPUs
    gpu = Station(int(parameters["gcp_max_gpus"]), gpu_machine.vcpus, True, 0.0, gpu_machine.name)
    gpu = replace(gpu, hour=prices.machine_hour(gpu_machine, market, gpu_type))
    cpu_hour = prices.machine_hour(cpu_machine, market)
    cpu = Station(CPU_TASKS, CPUS_PER_TASK, False, cpu_hour, cpu_machine.name)
    side, table = None, prices.table
    if check_share(parameters):
        machine = prices.machine(str(parameters["gcp_cpu_share_machine"]))
        slots = int(parameters["gcp_cpu_share_tasks"])
        side = Station(slots, machine.vcpus, False, prices.machine_hour(machine, market), machine.name)
    return Fleet(
        stations={phase: gpu if phase in ("infer", FUSED) else cpu for phase in (*PHASES, FUSED)},
        place=GOOGLE_SPOT if market == "spot" else GOOGLE_ON_DEMAND,
        market=market,
        head_hour=prices.machine_hour(prices.machine(table["head_machine"]), "on_demand"),
        disk_gb=gigabytes(str(parameters["gcp_boot_disk"])),
        disk_gb_month=table["disk_gb_month"],
        bucket_gb_month=table["bucket_gb_month"],
        write_operation=table["write_operations_per_1000"] / 1000,
        read_operation=table["read_operations_per_1000"] / 1000,
        cpu_side=side,
    )


def _alternatives(workload: Workload, setting: Setting) -> dict[str, Any]:
    """Try modes, batch sizes and numbers of GPUs on the run's market; give the cheapest and the fastest."""
    total, fleet = float(sum(workload.pixels)), setting.fleet
    tried: list[tuple[Estimate, int, int]] = []
    for mode in ("split", FUSED):
        for exponent in range(LEAST_LOG2, fitting_log2(mode, setting.rates, setting.disk_bytes) + 1):
            count = max(1, round(total / 2 ** (exponent - 1))) if total > 2**exponent else 1
            seen = [sum(workload.network_pixels) / count] * count if workload.network_pixels else ()
            beside = round(count * sum(workload.on_cpu) / max(1, len(workload.on_cpu)))
            on_cpu = [i < beside for i in range(count)]
            sized = replace(workload, pixels=[int(total / count)] * count, network_pixels=seen, on_cpu=on_cpu)
            for gpus in (0,) if on_cpu and all(on_cpu) else FLEETS:
                if gpus > fleet.stations["infer"].slots:
                    continue
                stations = {p: replace(s, slots=gpus) if s.gpu else s for p, s in fleet.stations.items()}
                tried.append((estimate(mode, sized, replace(fleet, stations=stations), setting.rates), exponent, gpus))
            if total <= 2**exponent:
                break
    side = fleet.without_gpus.stations["infer"].machine
    best = {
        "cheapest": min(tried, key=lambda t: (round(t[0].dollars, 2), t[0].hours)),
        "fastest": min(tried, key=lambda t: (round(t[0].hours, 2), t[0].dollars)),
    }
    return {
        name: {
            "mode": e.mode,
            "batch_pixels": 2**exponent,
            "gpus": gpus,
            "machine": fleet.stations["infer"].machine if gpus else side,
        }
        | {"hours": e.to_json()["hours"], "dollars": e.to_json()["dollars"]}
        for name, (e, exponent, gpus) in best.items()
    }


def _image_bytes(samples: Sequence[SampleSpec]) -> float:
    """Bytes of all images as stored without compression."""
    return float(
        sum(s.shape[0] * s.shape[1] * max(1, len(s.channel_names)) * np.dtype(s.dtype).itemsize for s in samples)
    )
