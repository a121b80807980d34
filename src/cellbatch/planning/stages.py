"""How a fused task shares its cores: who works before, and who behind the network."""

from collections.abc import Sequence
from dataclasses import dataclass

from cellbatch.spec import SAMPLES_WORTH_A_PROCESS

# a batch of fewer px is done before worker processes have started
WORTH_A_PROCESS_PX = 1 << 26
# labels and measurements take several times as long as the preprocessing (rates of the plan)
FINISHED_PER_PREPARED = 5
# images with the network at once: one is inside while the other cuts and blends its tiles
INFERRED_AT_ONCE = 2
# of the images at a stage; their maps wait on the disk, 16 bytes per px
ROOM_PX = 1 << 26


@dataclass(frozen=True)
class Stages:
    """Workers of a fused task besides the process with the network.

    Attributes
    ----------
    prepare, finish : samples preprocessed, and labelled and measured, at once
    is_process : in processes, else in threads of the task's only process
    room_px : px of the images that may be in one stage; a larger image is there alone
    """

    prepare: int
    finish: int
    is_process: bool
    room_px: int = ROOM_PX


def share_out(shapes: Sequence[tuple[int, int]], processes: int, *, is_guarded: bool = False) -> Stages:
    """Choose the workers of a task.

    Parameters
    ----------
    shapes : (Y, X) of its samples, in px
    processes : cores of the task
    is_guarded : each sample is worked on where its death costs itself only

    Examples
    --------
    >>> share_out([(512, 512)] * 3, 8)
    Stages(prepare=1, finish=1, is_process=False, room_px=67108864)
    >>> share_out([(512, 512)] * 300, 8)
    Stages(prepare=1, finish=7, is_process=True, room_px=67108864)
    """
    is_long = len(shapes) >= SAMPLES_WORTH_A_PROCESS or sum(height * width for height, width in shapes) > (
        WORTH_A_PROCESS_PX
    )
    if not is_guarded and (not is_long or processes < 2 or len(shapes) < 2):
        return Stages(1, 1, False)
    prepare = max(1, processes // (1 + FINISHED_PER_PREPARED))
    return Stages(prepare, max(1, processes - prepare), True)
