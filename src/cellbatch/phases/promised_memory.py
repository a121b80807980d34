"""How much of an image a task may hold at once without using more memory than it was promised."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cellbatch.errors import InputError, NeedsMoreMemory
from cellbatch.phases.timing_files import read_attempt
from cellbatch.planning.memory import MEMORY_MODELS, MIB, project_memory_mb
from cellbatch.postprocessing.blocks import BlockOptions, NeedsWholeImage
from cellbatch.spec import LAST_ATTEMPT, SampleSpec

# of the maps, the labels and the kernels while an image is labelled at once; measured at 67 Mpx
WHOLE_BYTES_PER_PX = 24
# exit codes after which a task is given more memory; see conf/base.config
MEMORY_EXITS = (75, 137)


def whole_image_px(samples: Sequence[SampleSpec], model_pixels: Sequence[int], processes: int) -> int:
    """Largest image that POSTPROCESS_LABELS may label at once, where exact ties ask for it.

    Parameters
    ----------
    samples, model_pixels, processes : as in ``project_memory_mb``

    Returns
    -------
    int
        What fits beside the process into the memory that this attempt of the task was promised; outside a Nextflow task
        nothing was promised, and the kernels' own limit holds.
    """
    most = BlockOptions().whole_image_px
    if not os.environ.get("NXF_TASK_WORKDIR"):
        return most
    attempt, code = read_attempt()
    promised_mb = project_memory_mb("postprocess", samples, model_pixels, processes)
    promised_mb *= attempt if code in MEMORY_EXITS else 1
    return min(max(promised_mb - MEMORY_MODELS["postprocess"].base_mb, 0) * MIB // WHOLE_BYTES_PER_PX, most)


def tie_error(error: NeedsWholeImage, pixels: int, where: str) -> NeedsMoreMemory | InputError:
    """Say that an image must be labelled at once: with more memory, where a further attempt will have it.

    Parameters
    ----------
    error : of ``label_by_blocks``
    pixels : of the image
    where : the maps in question
    """
    if pixels <= BlockOptions().whole_image_px and read_attempt()[0] < LAST_ATTEMPT:
        return NeedsMoreMemory(f"{where}: {error}; the task is tried again with more memory")
    return InputError(f"{where}: {error} (--interior_smooth)")
