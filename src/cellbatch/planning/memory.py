"""Projected memory of each phase, from image sizes alone, and whether a machine holds it.

The constants were fitted to what ``benchmarks/any_size.py`` measured on drawn tissue of some sizes, and rounded up; a
test holds them against what the phases take for others. The base is a Python process with the libraries of that phase.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cellbatch.errors import ConfigError
from cellbatch.planning.rates import FUSED
from cellbatch.planning.stages import INFERRED_AT_ONCE, Stages
from cellbatch.spec import IN_MEMORY_PX, SAMPLES_WORTH_A_PROCESS, SampleSpec

MIB = 2**20
MEMORY_STEP_MB = 128


@dataclass(frozen=True)
class MemoryModel:
    """Peak memory of one task.

    Attributes
    ----------
    base_mb : the process itself
    small_bytes_per_px : of an image that is held in memory
    buffer_bytes_per_px : of the pixels of a larger image that are worked on at once
    buffer_px, buffer_rows : how many these are at most, and over how many rows of its width
    bytes_per_column : rows that are held over its whole width besides
    bytes_per_px : what grows with its size nevertheless, such as the list of its cells
    table_bytes_per_px : for each column of the table squared. A Parquet file keeps about 2 kB for every column of every
        piece until it is closed; pieces have one size, so that a table with more columns also has more pieces
    """

    base_mb: int
    small_bytes_per_px: float
    buffer_bytes_per_px: float
    buffer_px: int
    buffer_rows: int = 1 << 30
    bytes_per_column: int = 0
    bytes_per_px: float = 0.0
    table_bytes_per_px: float = 0.0


MEMORY_MODELS = {
    "preprocess": MemoryModel(190, 24, 52, 1 << 22, 512, bytes_per_px=0.2),
    "infer": MemoryModel(190, 14, 50, 1 << 20, 256, bytes_per_column=8704),
    "postprocess": MemoryModel(190, 28, 42, 11 << 19, bytes_per_px=0.3),
    "measure": MemoryModel(190, 52, 26, 25 << 19, bytes_per_px=0.5, table_bytes_per_px=6e-7),
}
# of the table of cells, at most: without any channel, and for each one that is measured
COLUMNS, COLUMNS_PER_CHANNEL = 27, 18
# phases that read the image file
READING_PHASES = ("preprocess", "measure")
# the process of a fused task has the libraries of all phases
FUSED_BASE_MB = 260
FINISHING_PHASES = ("postprocess", "measure")


# beyond the first tile of a model call, and beyond ONNX Runtime, both for the demo model's size of network
TILE_MB = 12
ENGINE_MB = {"onnxruntime": 0, "tensorflow": 600, "deepcell": 800}
# DeepCell's own code holds a whole image, its tiles and all their heads: 142 to 151 bytes per px beyond about 690 MB
# (docs/benchmarks.md), and the arrays that it is given and gives
ENGINE_BYTES_PER_PX = {"deepcell": 200}
# with a network of Mesmer's size (weights of 104 MB) and one tile INFER_TILES was seen to take 320 MB more than with
# the demo model, SEGMENT_BATCH 440 MB more
MEMORY_PER_WEIGHTS = 5.0
SMALL_WEIGHTS_BYTES = 4_000_000


def project_engine_mb(engine: str, tile_batch: int, weights_bytes: int = 0) -> int:
    """Memory of the network and its runtime beyond the demo model with one tile on ONNX Runtime, in MiB.

    Parameters
    ----------
    engine : name of the runtime
    tile_batch : tiles per model call
    weights_bytes : of the network
    """
    weights_mb = MEMORY_PER_WEIGHTS * max(0, weights_bytes - SMALL_WEIGHTS_BYTES) / MIB
    return ENGINE_MB[engine] + TILE_MB * (tile_batch - 1) + round(weights_mb)


def project_whole_mb(engine: str, pixels: Iterable[int]) -> int:
    """Memory of an engine that holds images as a whole, one at a time, in MiB; 0 of one that does not.

    Parameters
    ----------
    engine : name of the runtime
    pixels : of each image of a task, the larger of its own and of those at ``model_mpp``
    """
    return round(ENGINE_BYTES_PER_PX.get(engine, 0) * max(pixels, default=0) / MIB)


def project_sample_mb(phase: str, sample: SampleSpec, model_pixels: int) -> float:
    """Memory of one sample beyond the process itself, in MiB.

    Parameters
    ----------
    phase : ``preprocess``, ``infer``, ``postprocess`` or ``measure``
    sample : with its size in px
    model_pixels : its pixels at ``model_mpp``
    """
    model = MEMORY_MODELS[phase]
    image_pixels = sample.shape[0] * sample.shape[1]
    pixels = max(image_pixels, model_pixels)
    forced_mb = sample.forced_bytes / MIB if phase in READING_PHASES else 0.0
    if pixels <= IN_MEMORY_PX:
        return forced_mb + pixels * model.small_bytes_per_px / MIB
    columns = sample.shape[1] * math.sqrt(pixels / image_pixels)
    buffered = min(pixels, model.buffer_px, model.buffer_rows * columns)
    table = (COLUMNS + COLUMNS_PER_CHANNEL * len(sample.measured_channels or sample.channel_names)) ** 2
    grown = columns * model.bytes_per_column + pixels * (model.bytes_per_px + table * model.table_bytes_per_px)
    return forced_mb + (buffered * model.buffer_bytes_per_px + grown) / MIB


def project_memory_mb(
    phase: str, samples: Iterable[SampleSpec], model_pixels: Iterable[int], processes: int = 1, extra_mb: int = 0
) -> int:
    """Memory to ask for, in MiB, rounded up to a multiple of 128.

    Parameters
    ----------
    phase : ``preprocess``, ``infer``, ``postprocess`` or ``measure``
    samples : the samples of the task
    model_pixels : pixels of each sample at ``model_mpp``
    processes : worker processes, which only a long batch starts; large images are worked on one by one
    extra_mb : added as it is
    """
    base_mb = MEMORY_MODELS[phase].base_mb
    small: list[float] = []
    large = [0.0]
    for sample, pixels in zip(samples, model_pixels, strict=True):
        is_small = max(sample.shape[0] * sample.shape[1], pixels) <= IN_MEMORY_PX
        (small if is_small else large).append(project_sample_mb(phase, sample, pixels))
    workers = processes if len(small) >= SAMPLES_WORTH_A_PROCESS else 1
    bases = 1 if workers == 1 else 1 + workers
    need_mb = extra_mb + max(base_mb * bases + sum(sorted(small)[-workers:]), base_mb + max(large))
    return -(-int(need_mb + 1) // MEMORY_STEP_MB) * MEMORY_STEP_MB


def project_fused_mb(
    samples: Sequence[SampleSpec], model_pixels: Sequence[int], stages: Stages, extra_mb: int = 0
) -> int:
    """Memory to ask for where all phases of a batch run in one task, in MiB, rounded up to a multiple of 128.

    Every stage is taken to hold its largest images at the same time.

    Parameters
    ----------
    samples, model_pixels : as for ``project_memory_mb``
    stages : workers beside the process with the network
    extra_mb : added as it is
    """
    held = {
        phase: [project_sample_mb(phase, sample, px) for sample, px in zip(samples, model_pixels, strict=True)]
        for phase in MEMORY_MODELS
    }
    finish = [max(values) for values in zip(*(held[phase] for phase in FINISHING_PHASES), strict=True)]
    pixels = [sample.shape[0] * sample.shape[1] for sample in samples]
    counts = ((held["preprocess"], stages.prepare), (held["infer"], INFERRED_AT_ONCE), (finish, stages.finish))
    need_mb = extra_mb + FUSED_BASE_MB + sum(_most_at_once(values, pixels, n, stages.room_px) for values, n in counts)
    if stages.is_process:
        need_mb += (stages.prepare + stages.finish) * MEMORY_MODELS["measure"].base_mb
    return -(-int(need_mb + 1) // MEMORY_STEP_MB) * MEMORY_STEP_MB


def _most_at_once(values: Sequence[float], pixels: Sequence[int], count: int, room_px: int) -> float:
    """Sum of the ``count`` largest values; of images that fill a stage alone, one at most."""
    ordered = sorted(zip(values, pixels, strict=True), reverse=True)
    others = [value for value, px in ordered[1:] if px < room_px]
    return ordered[0][0] + sum(others[: count - 1]) if ordered else 0.0


def refuse_too_large(memory_mb: Mapping[str, int], samples: Sequence[SampleSpec], limit_mb: int) -> None:
    """Stop before a task is started that a machine cannot hold.

    Parameters
    ----------
    memory_mb : per phase, as projected for these samples
    samples : of one batch
    limit_mb : what the machine has

    Raises
    ------
    ConfigError
        With the image that needs most, what it needs, and what helps.
    """
    phase = max(memory_mb, key=lambda name: memory_mb[name])
    if memory_mb[phase] <= limit_mb:
        return
    # all phases at once need most where one of them alone does
    largest = "measure" if phase == FUSED else phase
    sample = max(samples, key=lambda one: project_sample_mb(largest, one, one.shape[0] * one.shape[1]))
    advice = "run on a machine with more memory (a profile such as slurm or gcb), or raise process.resourceLimits"
    if phase == FUSED:
        advice += "; with --phases split each phase has a task, and its memory, for itself"
    if phase in (*READING_PHASES, FUSED) and sample.forced_bytes > limit_mb * MIB / 4:
        advice += (
            f"; {sample.forced_bytes / MIB:.0f} MB of it are forced by the file, whose pixels lie in one compressed "
            "piece: write it again in tiles"
        )
    if phase in ("infer", FUSED):
        advice += "; a smaller --tile_batch helps where it was raised"
    size = f"{sample.shape[0]}x{sample.shape[1]} px"
    raise ConfigError(
        f"sample {sample.sample} ({size}): the phase {phase} needs {memory_mb[phase]} MB of memory, but {limit_mb} MB "
        f"is all there is; {advice}"
    )
