"""How the batches of a run are worked on, and the memory of their tasks that follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellbatch.io.host_memory import host_memory_mb
from cellbatch.phases.plan_machines import GOOGLE, gpu_machines
from cellbatch.phases.results_layout import SAMPLE
from cellbatch.planning.machines import Prices
from cellbatch.planning.memory import project_fused_mb, project_memory_mb, project_whole_mb
from cellbatch.planning.rates import FUSED, PHASES
from cellbatch.planning.stages import share_out
from cellbatch.spec import SampleSpec

# worker processes of a task, the cpus of process_medium in conf/base.config
PROCESSES = 2


@dataclass(frozen=True)
class Directives:
    """How all batches of a run are worked on.

    Attributes
    ----------
    phases : ``split`` or ``fused``
    engine : runtime of the network
    engine_mb : memory of the network's runtime beyond that of the demo model
    shard_pixels : px of an image per task of inference; a fused task does all of an image
    is_guarded : each sample is worked on in a process that may die alone
    fused_cores : of a fused task
    layout : of the results, of ``LAYOUTS``
    cpu_share : of the batches that machines without GPU infer
    cpu_side_cores : of a fused task there
    """

    phases: str
    engine: str
    engine_mb: int
    shard_pixels: int
    is_guarded: bool
    fused_cores: int = PROCESSES
    layout: str = SAMPLE
    cpu_share: float = 0.0
    cpu_side_cores: int = PROCESSES

    @property
    def names(self) -> tuple[str, ...]:
        """What runs in tasks of its own."""
        return (FUSED,) if self.phases == FUSED else PHASES

    def project_memory(
        self, samples: Sequence[SampleSpec], pixels: Sequence[int], *, is_beside: bool = False
    ) -> dict[str, int]:
        """Give the memory of each task of a batch, in MiB; ``is_beside``: of one on a machine without GPU."""
        if self.phases == FUSED:
            cores = self.cpu_side_cores if is_beside else self.fused_cores
            stages = share_out([sample.shape for sample in samples], cores, is_guarded=self.is_guarded)
            whole_mb = project_whole_mb(
                self.engine, (max(px, math.prod(sample.shape)) for px, sample in zip(pixels, samples, strict=True))
            )
            return {FUSED: project_fused_mb(samples, pixels, stages, self.engine_mb + whole_mb)}
        memory = {phase: project_memory_mb(phase, samples, pixels, processes=PROCESSES) for phase in PHASES}
        return memory | {"infer": project_memory_mb("infer", samples, pixels, extra_mb=self.engine_mb)}


def fused_room_mb(parameters: Mapping[str, Any], prices: Prices | None) -> int | None:
    """Most memory that a fused task can have where the run takes place, in MiB; None where nobody knows.

    Parameters
    ----------
    parameters : of the run; ``memory_limit`` is Nextflow's own limit for memory, such as ``8 GB``
    prices : the table that knows the machine types
    """
    place = parameters.get("place") or "local"
    if place == GOOGLE and prices is not None:
        return gpu_machines(parameters, prices)[-1].task_memory_mb
    return host_memory_mb(str(parameters.get("memory_limit") or "")) if place == "local" else None


def refuse_fused(batches: Sequence[Mapping[str, Any]], room_mb: int | None) -> str:
    """Say why fused tasks are out of the question; empty where they are not.

    Parameters
    ----------
    batches : as ``plan_batches`` describes them for ``fused``
    room_mb : see ``fused_room_mb``
    """
    need_mb = max((int(batch["meta"]["memory"][FUSED]) for batch in batches), default=0)
    if room_mb is None or need_mb <= room_mb:
        return ""
    return f"fused would need {need_mb} MB of memory for its largest task, and {room_mb} MB is all there is"
