"""Machines and prices: one dated table that a user can replace; what it does not know is an error, never zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cellbatch.errors import ConfigError

# the operating system and the container runtime keep the rest
USABLE_MEMORY = 0.9
MEMORY_STEP_MB = 256
MB_PER_GB = 1024
MARKETS = ("spot", "on_demand")
WHERE = "in a copy of assets/prices.json and give --prices"


@dataclass(frozen=True)
class Machine:
    """One machine type: its vCPUs, and the MiB that a task may ask for."""

    name: str
    family: str
    vcpus: int
    memory_gb: float

    @property
    def task_memory_mb(self) -> int:
        """MiB that a task can have on it, a multiple of 256."""
        return int(self.memory_gb * MB_PER_GB * USABLE_MEMORY) // MEMORY_STEP_MB * MEMORY_STEP_MB


@dataclass(frozen=True)
class Prices:
    """The table of ``assets/prices.json``: dollars per hour by family, GPU and market, and of storage."""

    table: Mapping[str, Any]

    def machines(self, family: str) -> list[Machine]:
        """Machine types of a family, the smallest first.

        Raises
        ------
        ConfigError
            If the table does not know the family.
        """
        families = self.table["machine_families"]
        if family not in families:
            raise ConfigError(
                f"no prices for the machine family {family!r}; the table of {self.table['date']} knows "
                f"{', '.join(families)}: choose one of them, or add it {WHERE}"
            )
        facts = families[family]
        return [Machine(f"{family}-{n}", family, n, n * facts["gb_per_vcpu"]) for n in sorted(facts["vcpus"])]

    def machine(self, name: str) -> Machine:
        """Find one machine type by name, such as ``g2-standard-4``."""
        found = {machine.name: machine for machine in self.machines(name.rpartition("-")[0])}
        if name not in found:
            raise ConfigError(
                f"no machine type {name!r} in the table of prices; it knows {', '.join(found)}: choose one of them, "
                f"or add it {WHERE}"
            )
        return found[name]

    def machines_with(self, gpu: str, smallest: Machine) -> list[Machine]:
        """Machine types of a family from ``smallest`` on that can have one GPU, the smallest first.

        Raises
        ------
        ConfigError
            If the GPU is not known or does not go with ``smallest``.
        """
        self._check_gpu(gpu, smallest)
        most = self.table["gpus"][gpu].get("most_vcpus", math.inf)
        return [m for m in self.machines(smallest.family) if smallest.vcpus <= m.vcpus <= most]

    def machine_hour(self, machine: Machine, market: str, gpu: str | None = None) -> float:
        """Dollars per hour of a machine, with one GPU if it is named.

        Raises
        ------
        ConfigError
            If the GPU is not known, does not go with the machine, or has no price on this market.
        """
        family = self.table["machine_families"][machine.family]
        price = machine.vcpus * _price(family["vcpu_hour"], market, machine.family)
        price += machine.memory_gb * _price(family["gb_hour"], market, machine.family)
        if gpu is None:
            return price
        self._check_gpu(gpu, machine)
        return price + _price(self.table["gpus"][gpu]["hour"], market, gpu)

    def _check_gpu(self, gpu: str, machine: Machine) -> None:
        """Refuse a GPU that is not known, or that the machine cannot have."""
        gpus = self.table["gpus"]
        if gpu not in gpus:
            raise ConfigError(
                f"no price for the GPU {gpu!r}; the table of {self.table['date']} knows {', '.join(gpus)}: choose one "
                f"of them, or add it {WHERE}"
            )
        families, most = gpus[gpu]["families"], gpus[gpu].get("most_vcpus", math.inf)
        if machine.family not in families or machine.vcpus > most:
            up_to = f" up to {most} vCPUs" if most < math.inf else ""
            raise ConfigError(
                f"{gpu} does not go with {machine.name}; it goes with machines of {', '.join(families)}{up_to}: "
                "choose one of them (--gcp_gpu_machine)"
            )


def read_prices(table: Mapping[str, Any]) -> Prices:
    """Check a table of prices.

    Parameters
    ----------
    table : as in ``assets/prices.json``

    Raises
    ------
    ConfigError
        If something is missing or is no price.
    """
    wanted = {
        "date": str,
        "machine_families": Mapping,
        "gpus": Mapping,
        "head_machine": str,
        "disk_gb_month": int | float,
        "bucket_gb_month": int | float,
        "write_operations_per_1000": int | float,
        "read_operations_per_1000": int | float,
        "local_hour": int | float,
    }
    faults = [f"{name} is missing" for name in wanted if name not in table]
    present = {name: kind for name, kind in wanted.items() if name in table}
    faults += [f"{name} is {table[name]!r}" for name, kind in present.items() if not isinstance(table[name], kind)]
    for name, family in dict(table.get("machine_families") or {}).items():
        missing = {"vcpus", "gb_per_vcpu", "vcpu_hour", "gb_hour"} - set(family)
        faults += [f"machine family {name}: {', '.join(sorted(missing))} is missing"] if missing else []
    numbers = [table.get(name, 0) for name, kind in wanted.items() if kind not in (str, Mapping)]
    faults += [f"a price of {value} is negative" for value in numbers if isinstance(value, int | float) and value < 0]
    if faults:
        raise ConfigError(
            "the table of prices is not usable: " + "; ".join(faults) + "; compare it with assets/prices.json"
        )
    return Prices(table)


def smallest_machine(machines: list[Machine], vcpus: int, memory_mb: int) -> Machine | None:
    """Give the first machine with enough vCPUs and memory, ``None`` where none has.

    Examples
    --------
    >>> sizes = [Machine("n-2", "n", 2, 8), Machine("n-4", "n", 4, 16)]
    >>> smallest_machine(sizes, 2, 9000).name
    'n-4'
    """
    return next((m for m in machines if m.vcpus >= vcpus and m.task_memory_mb >= memory_mb), None)


def _price(prices: Mapping[str, Any], market: str, what: str) -> float:
    value = prices.get(market)
    if not isinstance(value, int | float) or value < 0:
        raise ConfigError(
            f"no {market.replace('_', '-')} price for {what}; fill it in {WHERE}"
            + (", or take machines on demand (--gcp_spot false)" if market == "spot" else "")
        )
    return float(value)
