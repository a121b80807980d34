"""The machine that a task runs on: heads are equal to the last bit only between machines of one model."""

import platform
from pathlib import Path

from cellbatch.inference.gpu_meter import GpuMeter

CPU_FILE = Path("/proc/cpuinfo")
GPU_FOLDER = Path("/proc/driver/nvidia/gpus")


def describe_machine(device: str, gpu: GpuMeter | None = None) -> str:
    """Model of the processor, or of the accelerator where ``device`` is ``gpu``.

    Parameters
    ----------
    device : ``cpu`` or ``gpu``
    gpu : knows the accelerator's name, also in containers that do not show the driver's files

    Examples
    --------
    >>> describe_machine("cpu") != ""
    True
    """
    if gpu is not None:
        return gpu.name
    files = sorted(GPU_FOLDER.glob("*/information")) if device == "gpu" else [CPU_FILE]
    for file in files:
        if file.is_file():
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, value = line.partition(":")
                if name.strip().lower() in ("model name", "model") and not value.strip().isdigit():
                    return value.strip()
    return f"{platform.machine()} {device}"
