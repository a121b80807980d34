"""Time and money of a run before it runs, for one process per phase and for one fused task per batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cellbatch.planning.rates import CPU_SUFFIX, FUSED, PHASES, PROCESS_NAMES, Place, Rates

MPX = 1e6
HOUR_S = 3600.0
MONTH_H = 730.0
GB = 1e9
# files that a task moves through the bucket besides its hand-offs: script, log, exit code, timings, summary
FILES_PER_TASK = 12


@dataclass(frozen=True)
class Station:
    """Where the tasks of one process run: how many at a time, with how many vCPUs, at which price."""

    slots: int
    vcpus: int
    gpu: bool
    hour: float
    machine: str


@dataclass(frozen=True)
class Fleet:
    """Stations by process name, and what the run pays besides them.

    ``cpu_side`` is where the batches are inferred that no GPU sees; None where there are no such machines.
    """

    stations: Mapping[str, Station]
    place: Place
    market: str
    head_hour: float = 0.0
    disk_gb: float = 0.0
    disk_gb_month: float = 0.0
    bucket_gb_month: float = 0.0
    write_operation: float = 0.0
    read_operation: float = 0.0
    cpu_side: Station | None = None

    @property
    def without_gpus(self) -> Fleet:
        """The same with ``cpu_side`` in place of every GPU."""
        if self.cpu_side is None:
            return self
        stations = {name: self.cpu_side if station.gpu else station for name, station in self.stations.items()}
        return replace(self, stations=stations, cpu_side=None)


@dataclass(frozen=True)
class Workload:
    """Batches of a run: pixels at the model's pixel size, images and bytes of their input.

    ``network_pixels`` are those that the network sees, per batch: its tiles have one size, so of many small images it
    sees far more than they have. Empty where they are as many as of large images. ``on_cpu`` says of each batch whether
    the fleet's machines without GPU infer it; empty where none is.
    """

    pixels: Sequence[int]
    samples: int
    image_bytes: float
    published_files: int
    network_pixels: Sequence[float] = ()
    on_cpu: Sequence[bool] = ()


@dataclass(frozen=True)
class Estimate:
    """What a run will take; ``hours`` is end to end, ``dollars`` all that is paid for it."""

    mode: str
    market: str
    tasks: int
    hours: float
    dollars: float
    setup_share: float
    handoff_bytes: float
    machine_hours: float
    gpu_hours: float
    limited_by: str
    dollars_by: Mapping[str, float] = field(default_factory=dict)
    task_hours: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Give plain types, numbers with four significant digits."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def billed_s(work_s: float, losses_per_h: float) -> float:
    """Seconds of machine time until a task of ``work_s`` has once run through without loss.

    Losses come at a constant rate and a lost task starts anew, so the expectation is (exp(rate · work) − 1) / rate.

    Examples
    --------
    >>> billed_s(600, 0)
    600
    >>> round(billed_s(3600, 0.05))
    3692
    """
    rate = losses_per_h / HOUR_S
    return math.expm1(rate * work_s) / rate if rate else work_s


def work_s(process: str, mpx: float, station: Station, rates: Rates, network_mpx: float | None = None) -> float:
    """Seconds of one task between its start and its end, staging apart.

    Within a fused task the phases overlap, so the slower of GPU and CPU decides; alone, inference first computes and
    then cuts and blends on one core. The network sees ``network_mpx``, ``mpx`` where that is not given.
    """
    network = 1 / rates.gpu_mpx_per_s if station.gpu else rates.network_core_s_per_mpx / station.vcpus
    network *= mpx if network_mpx is None else network_mpx
    if process == FUSED:
        cpu = mpx * sum(rates.core_s_per_mpx) / station.vcpus
        seconds = max(network, cpu) if station.gpu else network + cpu
    elif process == "infer":
        seconds = network + mpx * rates.core_s("infer")
    else:
        seconds = mpx * rates.core_s(process) / station.vcpus
    load = rates.model_load_s if process in ("infer", FUSED) else 0.0
    return rates.task_s + load + seconds


def task_s(
    process: str, pixels: float, image_bytes: float, fleet: Fleet, rates: Rates, network_pixels: float | None = None
) -> float:
    """Seconds of one task with its staging.

    The bucket is mounted, so a fused task reads its images while it computes; results are written when it is done.
    """
    seen = pixels if network_pixels is None else network_pixels
    work = work_s(process, pixels / MPX, fleet.stations[process], rates, seen / MPX)
    speed = fleet.place.transfer_bytes_per_s
    if process == FUSED:
        return max(work, image_bytes / speed) + pixels * rates.results_bytes_per_px / speed
    return work + moved_bytes(process, pixels, image_bytes, rates) / speed


def moved_bytes(process: str, pixels: float, image_bytes: float, rates: Rates) -> float:
    """Bytes that one task stages in and out."""
    bins, heads, results = rates.pixels_bytes_per_px, rates.heads_bytes_per_px, rates.results_bytes_per_px
    return {
        "preprocess": image_bytes + pixels * bins,
        "infer": pixels * (bins + heads),
        "postprocess": pixels * (heads + results),
        "measure": image_bytes + pixels * results,
        FUSED: image_bytes + pixels * results,
    }[process]


def estimate(mode: str, workload: Workload, fleet: Fleet, rates: Rates) -> Estimate:
    """Project one way of running.

    Parameters
    ----------
    mode : ``split`` or ``fused``
    workload : what is segmented
    fleet : where
    rates : how fast

    Returns
    -------
    Estimate
    """
    place, batches = fleet.place, max(1, len(workload.pixels))
    processes = (FUSED,) if mode == FUSED else PHASES
    image_share = workload.image_bytes / max(1.0, float(sum(workload.pixels)))
    busy, dollars, limits, moved, useful = {}, {}, {}, 0.0, 0.0
    longest: dict[str, float] = {}
    lanes = list(_lanes(processes, workload, fleet))
    for name, process, lane, tasks in lanes:
        station = lane.stations[process]
        sizes = [moved_bytes(process, pixels, pixels * image_share, rates) for pixels, _ in tasks]
        works = [work_s(process, pixels / MPX, station, rates, seen / MPX) for pixels, seen in tasks]
        held = [
            billed_s(
                place.start_s + task_s(process, pixels, pixels * image_share, lane, rates, seen), place.losses_per_h
            )
            for pixels, seen in tasks
        ]
        busy[name], most = sum(held), max(held, default=0.0)
        longest[process] = max(longest.get(process, 0.0), most)
        limits[name] = max(busy[name] / max(1, min(station.slots, len(tasks))), most)
        hour = station.hour + fleet.disk_gb * fleet.disk_gb_month / MONTH_H
        dollars[name] = busy[name] / HOUR_S * hour
        moved += sum(sizes)
        fixed = rates.task_s + (rates.model_load_s if process in ("infer", FUSED) else 0.0)
        useful += sum(works) - fixed * len(works)
    ends = 2 * place.start_s + place.plan_s(workload.samples, rates) + rates.report_s
    ends += workload.published_files / place.publish_files_per_s
    limits = {"submission": len(processes) * batches * place.submit_s + min(longest.values(), default=0.0)} | limits
    if math.isinf(place.transfer_bytes_per_s):
        # one machine: its cores are shared by all processes, so nothing overlaps
        limits = {"this machine": sum(limits[name] for name in busy)}
    slowest = max(limits, key=lambda name: limits[name])
    # what limits the run holds one task already: submission the shortest, a process its own
    within = next((longest[process] for name, process, *_ in lanes if name == slowest), min(longest.values()))
    others = sum(longest.values()) - within if len(limits) > 1 else 0.0
    hours = (limits[slowest] + (others if mode != FUSED else 0.0) + ends) / HOUR_S
    dollars |= _overheads(workload, fleet, moved, hours, batches * len(processes))
    total = sum(busy.values()) + ends
    return Estimate(
        mode=mode,
        market=fleet.market,
        tasks=batches * len(processes),
        hours=hours,
        dollars=sum(dollars.values()),
        setup_share=1 - useful / total if total else 0.0,
        handoff_bytes=sum(workload.pixels) * (rates.pixels_bytes_per_px + rates.heads_bytes_per_px) * (mode != FUSED),
        machine_hours=sum(busy.values()) / HOUR_S,
        gpu_hours=sum(busy[name] for name, process, lane, _ in lanes if lane.stations[process].gpu) / HOUR_S,
        limited_by=slowest,
        dollars_by=dollars,
        task_hours={name: seconds / HOUR_S for name, seconds in busy.items()},
    )


def stated_error(place: str) -> str:
    """Say how far the hours may be off, as tried (docs/google.md) or published.

    Examples
    --------
    >>> stated_error("local")
    '19 small images -33 to -1 %, one of 400 Mpx 0 to +9 %, single phases -53 to +87 %; on an idle machine'
    """
    if place == "local":
        return "19 small images -33 to -1 %, one of 400 Mpx 0 to +9 %, single phases -53 to +87 %; on an idle machine"
    if place == "cluster":
        return "rates of another machine, and as many tasks at once as this one has cores for; not tried there"
    return "the GPU's speed is published, 5 to 10 Mpx/s: hours that it limits may be -25 to +50 % off; not tried there"


def choose_mode(split: Estimate, fused: Estimate) -> tuple[str, str]:
    """Give the cheaper way, the faster where nothing is paid, and say why."""
    by_dollars = max(split.dollars, fused.dollars) > 0
    best, other = sorted((split, fused), key=lambda e: (e.dollars, e.hours) if by_dollars else (e.hours, e.dollars))
    return best.mode, (
        f"{best.mode}: {best.hours:.2f} h and {best.dollars:.2f} dollars, {other.mode}: {other.hours:.2f} h and "
        f"{other.dollars:.2f} dollars ({best.market.replace('_', ' ')}); {other.mode} is limited by {other.limited_by}"
    )


def _lanes(
    processes: Sequence[str], workload: Workload, fleet: Fleet
) -> Iterator[tuple[str, str, Fleet, list[tuple[int, float]]]]:
    """Name, process, machines and tasks (pixels, and those that the network sees) of all that runs side by side."""
    tasks = list(zip(workload.pixels, workload.network_pixels or workload.pixels, strict=True))
    on_cpu = workload.on_cpu or [False] * len(tasks)
    beside = [task for task, is_beside in zip(tasks, on_cpu, strict=True) if is_beside]
    others = [task for task, is_beside in zip(tasks, on_cpu, strict=True) if not is_beside]
    for process in processes:
        name, station = PROCESS_NAMES[process], fleet.stations[process]
        if not (beside and station.gpu):
            yield name, process, fleet, tasks
            continue
        if others:
            yield name, process, fleet, others
        yield name + CPU_SUFFIX, process, fleet.without_gpus, beside


def _overheads(workload: Workload, fleet: Fleet, moved: float, hours: float, tasks: int) -> dict[str, float]:
    """Head, bucket and operations; every hand-off stays in the bucket until the run ends."""
    files = tasks * FILES_PER_TASK
    bucket = moved / GB * fleet.bucket_gb_month * hours / MONTH_H
    operations = (files + workload.published_files) * fleet.write_operation + files * 2 * fleet.read_operation
    return {"head": hours * fleet.head_hour, "bucket": bucket, "operations": operations}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    return value
