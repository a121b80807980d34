"""Projected memory of each phase, from image sizes alone.

Bytes per pixel were measured with ``benchmarks/memory.py`` on drawn tissue and rounded up; the base is a Python
process with the libraries of that phase.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cellbatch.spec import SAMPLES_WORTH_A_PROCESS, SampleSpec

MIB = 2**20
MEMORY_STEP_MB = 256


@dataclass(frozen=True)
class MemoryModel:
    """Peak bytes of one task: a base, plus bytes per pixel of the largest image at image and at model resolution."""

    base_mb: int
    image_bytes_per_px: int
    model_bytes_per_px: int


MEMORY_MODELS = {
    "preprocess": MemoryModel(250, 20, 6),
    "infer": MemoryModel(250, 0, 44),
    "postprocess": MemoryModel(250, 8, 28),
    "measure": MemoryModel(250, 32, 0),
}


# beyond the first tile of a model call, and beyond ONNX Runtime, both for the demo model's size of network
TILE_MB = 12
ENGINE_MB = {"onnxruntime": 0, "tensorflow": 600}


def project_engine_mb(engine: str, tile_batch: int) -> int:
    """Memory of the network's runtime beyond one tile on ONNX Runtime, in MiB."""
    return ENGINE_MB[engine] + TILE_MB * (tile_batch - 1)


def project_memory_mb(
    phase: str, samples: Iterable[SampleSpec], model_pixels: Iterable[int], processes: int = 1, extra_mb: int = 0
) -> int:
    """Memory to ask for, in MiB, rounded up to a multiple of 256.

    Parameters
    ----------
    phase : ``preprocess``, ``infer``, ``postprocess`` or ``measure``
    samples : the samples of the task
    model_pixels : pixels of each sample at ``model_mpp``
    processes : worker processes, which only a long batch starts
    extra_mb : added as it is
    """
    model = MEMORY_MODELS[phase]
    needs = sorted(
        (
            sample.shape[0] * sample.shape[1] * model.image_bytes_per_px + pixels * model.model_bytes_per_px
            for sample, pixels in zip(samples, model_pixels, strict=True)
        ),
        reverse=True,
    )
    workers = processes if len(needs) >= SAMPLES_WORTH_A_PROCESS else 1
    bases = 1 if workers == 1 else 1 + workers
    need_mb = extra_mb + model.base_mb * bases + sum(needs[:workers]) / MIB
    return -(-int(need_mb + 1) // MEMORY_STEP_MB) * MEMORY_STEP_MB
