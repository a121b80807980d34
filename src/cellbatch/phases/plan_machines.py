"""The plan's part on Google's machines: which of them each task gets, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cellbatch.errors import ConfigError
from cellbatch.planning.cost import MONTH_H
from cellbatch.planning.machines import Machine, Prices, smallest_machine
from cellbatch.planning.rates import CPU_SUFFIX, FUSED, PROCESS_NAMES
from cellbatch.spec import LAST_ATTEMPT

GOOGLE = "google"
CPUS_PER_TASK = 2
# a batch that machines without GPU infer
ON_CPU = "cpu"


def assign_machines(
    batches: Sequence[dict[str, Any]], parameters: Mapping[str, Any], prices: Prices | None
) -> dict[str, dict[str, int]]:
    """Give every task of a batch on Google Batch its machine, and round its memory to what the machine offers.

    Parameters
    ----------
    batches : as ``plan_batches`` makes them; ``meta`` gains ``machine`` (phase → machine type by attempt) and
        ``machine_memory`` (phase → MiB to ask for on it, by attempt)
    parameters : of the run
    prices : the table that knows the machine types

    Returns
    -------
    dict
        Process → machine type → tasks; empty at places that choose machines themselves.

    Raises
    ------
    ConfigError
        If a task needs more than the largest machine of its family.
    """
    if prices is None or parameters.get("place") != GOOGLE:
        return {}
    cpu = prices.machines(str(parameters["gcp_cpu_machine"]))
    gpu, beside = gpu_machines(parameters, prices), cpu_side_machines(parameters, prices)
    used: dict[str, dict[str, int]] = {}
    for batch in batches:
        memory, names, offered = batch["meta"]["memory"], {}, {}
        is_beside = batch["meta"].get("device") == ON_CPU
        for phase, need_mb in dict(memory).items():
            is_inferring = phase in ("infer", FUSED)
            sizes = cpu if not is_inferring else beside if is_beside else gpu
            first = smallest_machine(sizes, CPUS_PER_TASK, need_mb)
            if first is None:
                raise ConfigError(_too_large(batch, phase, need_mb, sizes))
            # a task that died on the first machine had all that this offers: each attempt after it needs a multiple
            chosen = [
                smallest_machine(sizes, CPUS_PER_TASK, first.task_memory_mb * attempt) or sizes[-1]
                for attempt in range(1, LAST_ATTEMPT + 1)
            ]
            memory[phase] = first.task_memory_mb
            names[phase] = [machine.name for machine in chosen]
            offered[phase] = [machine.task_memory_mb for machine in chosen]
            process = PROCESS_NAMES[phase] + (CPU_SUFFIX if is_inferring and is_beside else "")
            counts = used.setdefault(process, {})
            counts[first.name] = counts.get(first.name, 0) + 1
        batch["meta"] |= {"machine": names, "machine_memory": offered}
    return used


def check_share(parameters: Mapping[str, Any]) -> float:
    """Give the share of the batches that machines without GPU infer.

    Raises
    ------
    ConfigError
        If what these would do is not what a GPU does.
    """
    share = float(parameters.get("gcp_cpu_share") or 0) if parameters.get("place") == GOOGLE else 0.0
    known = {"engine": (None, "onnxruntime"), "precision": (None, "float32"), "tensorrt_cache": (None,)}
    for name, allowed in known.items():
        if share and parameters.get(name) not in allowed:
            raise ConfigError(
                f"--gcp_cpu_share {share:g} needs the same engine and arithmetic on both sides, but --{name} is "
                f"{parameters[name]!r}; leave one of them out"
            )
    return share


def gpu_machines(parameters: Mapping[str, Any], prices: Prices) -> list[Machine]:
    """Machines that a task with a GPU may get on Google Batch, the smallest first."""
    first = prices.machine(str(parameters["gcp_gpu_machine"]))
    return prices.machines_with(str(parameters["gcp_gpu_type"]), first)


def cpu_side_machines(parameters: Mapping[str, Any], prices: Prices) -> list[Machine]:
    """List machines without GPU that a share of the batches may get, the smallest first; none without one."""
    if not check_share(parameters):
        return []
    first = prices.machine(str(parameters["gcp_cpu_share_machine"]))
    return [machine for machine in prices.machines(first.family) if machine.vcpus >= first.vcpus]


def machine_hours(parameters: Mapping[str, Any], prices: Prices, market: str) -> dict[str, float]:
    """Dollars per hour of every machine that a task may get, its share of disk included."""
    disk = gigabytes(str(parameters["gcp_boot_disk"])) * prices.table["disk_gb_month"] / MONTH_H
    gpu_type = str(parameters["gcp_gpu_type"])
    hours = {m.name: prices.machine_hour(m, market) for m in prices.machines(str(parameters["gcp_cpu_machine"]))}
    hours |= {m.name: prices.machine_hour(m, market) for m in cpu_side_machines(parameters, prices)}
    hours |= {m.name: prices.machine_hour(m, market, gpu_type) for m in gpu_machines(parameters, prices)}
    return {name: round(hour + disk, 6) for name, hour in hours.items()}


def gigabytes(size: str) -> float:
    """Read a size as Nextflow writes it, such as ``50 GB``."""
    number, unit = size.replace(" ", "")[:-2], size[-2:].upper()
    return float(number) * (1000 if unit == "TB" else 1)


def _too_large(batch: Mapping[str, Any], phase: str, need_mb: int, sizes: Sequence[Machine]) -> str:
    samples = batch["record"]["samples"]
    largest = max(samples, key=lambda sample: sample["shape"][0] * sample["shape"][1])
    family = sizes[-1].family
    inferring = "--gcp_cpu_share_machine" if batch["meta"].get("device") == ON_CPU else "--gcp_gpu_machine"
    option = inferring if phase in ("infer", FUSED) else "--gcp_cpu_machine"
    return (
        f"{PROCESS_NAMES[phase]} of batch {batch['meta']['id']} needs {need_mb} MB for the sample "
        f"{largest['sample']} of {largest['shape'][0]} x {largest['shape'][1]} px, but the largest machine of "
        f"{family} gives a task {sizes[-1].task_memory_mb} MB; choose a family with more memory ({option})"
    )
