"""How busy the GPU is while it runs the network, as NVIDIA's management library (NVML) says."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

logger = logging.getLogger(__name__)

# NVML itself looks back over a sixth of a second to one second, by device
PERIOD_S = 0.25


class Gauge(Protocol):
    """One device that can be asked.

    Attributes
    ----------
    name : model of the device
    """

    name: str

    def busy(self) -> float:
        """Share of the last moments in which the device worked, 0 … 1."""
        ...


@dataclass(frozen=True)
class Mark:
    """A moment of a meter's life: how many samples there were, and their sum."""

    count: int
    total: float


class GpuMeter:
    """Asks a gauge again and again, in a thread of its own, until the process ends or the gauge fails.

    Parameters
    ----------
    gauge : of the device
    period_s : seconds between two questions

    Attributes
    ----------
    name : model of the device
    """

    def __init__(self, gauge: Gauge, period_s: float = PERIOD_S) -> None:
        self.name = gauge.name
        self._gauge, self._period_s = gauge, period_s
        self._mark, self._stopped = Mark(0, 0.0), threading.Event()
        threading.Thread(target=self._sample, name="gpu meter", daemon=True).start()

    def mark(self) -> Mark:
        """Give this moment, for ``busy_since``."""
        return self._mark

    def busy_since(self, mark: Mark) -> float | None:
        """Mean share of the time since a mark in which the device worked, 0 … 1; None where it was not asked."""
        now = self._mark
        return (now.total - mark.total) / (now.count - mark.count) if now.count > mark.count else None

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def _sample(self) -> None:
        while not self._stopped.wait(self._period_s):
            try:
                busy = self._gauge.busy()
            except Exception as error:  # NVML's errors are not known without it, and a figure is not worth a run
                logger.warning("the GPU's busy share is no longer recorded: %s", error)
                return
            # replaced as a whole, so that readers in other threads never see half of it
            self._mark = Mark(self._mark.count + 1, self._mark.total + busy)


def open_gpu_meter(device: str, period_s: float = PERIOD_S) -> GpuMeter | None:
    """Start to watch the GPU that the network runs on.

    Parameters
    ----------
    device : where the network runs, ``cpu`` or ``gpu``
    period_s : seconds between two questions

    Returns
    -------
    GpuMeter or None
        None on a CPU, and where NVML or its Python package (extra ``gpu``) is not there.
    """
    if device != "gpu":
        return None
    try:
        return GpuMeter(_NvmlGauge(import_module("pynvml"), os.environ.get("CUDA_VISIBLE_DEVICES", "")), period_s)
    except ImportError:
        logger.info("the GPU's busy share is not recorded: pip install 'cellbatch[gpu]' for it")
    except Exception as error:  # whatever NVML lacks on this machine: figures are not worth a run
        logger.warning("the GPU's busy share is not recorded: %s", error)
    return None


class _NvmlGauge:
    """The first visible device, through NVML."""

    def __init__(self, nvml: Any, visible: str) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        first = visible.split(",")[0].strip()
        if first.startswith(("GPU-", "MIG-")):
            self._handle = nvml.nvmlDeviceGetHandleByUUID(first)
        else:
            self._handle = nvml.nvmlDeviceGetHandleByIndex(int(first or 0))
        name = nvml.nvmlDeviceGetName(self._handle)
        self.name = name.decode() if isinstance(name, bytes) else str(name)

    def busy(self) -> float:
        """Share of the last moments in which the device worked, 0 … 1."""
        return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100
