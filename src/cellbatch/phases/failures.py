"""Samples that a run left out because they went wrong, on their way to the report."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from cellbatch.errors import CellbatchError
from cellbatch.io.atomic import write_text
from cellbatch.io.handoffs import HandoffWriter
from cellbatch.spec import Batch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """One sample, the phase in which it went wrong, and why."""

    sample: str
    phase: str
    reason: str


class Failures:
    """The samples of one task that went wrong.

    Parameters
    ----------
    phase : name of the phase
    """

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.found: list[Failure] = []

    def add(self, sample: str, error: BaseException) -> None:
        """Note a sample; an error that is not meant for users is shown whole in the log."""
        text = str(error).removeprefix(f"sample {sample}: ")
        if not isinstance(error, CellbatchError):
            logger.error("sample %s: a fault of cellbatch itself", sample, exc_info=error)
            text = f"a fault of cellbatch itself ({type(error).__name__}: {text}); please report it with the file"
        logger.warning("sample %s is left out: %s", sample, text)
        self.found.append(Failure(sample, self.phase, text))

    def write(self, path: Path) -> None:
        """Write one line of JSON per sample; no file where none went wrong."""
        if self.found:
            write_text(path, "".join(json.dumps(asdict(failure)) + "\n" for failure in self.found))


def leave_out(failures: Failures | None, batch: Batch, handoff: HandoffWriter | None, *folders: Path) -> None:
    """Take what was made of failed samples back, so that no part of a result looks like one.

    Parameters
    ----------
    failures : of this task; None changes nothing
    batch : the task's samples
    handoff : the hand-off that is being written
    folders : with results ``<sample>.<suffix>``
    """
    failed = {failure.sample for failure in failures.found} if failures is not None else set()
    for sample in failed if handoff is not None else ():
        handoff.discard(sample)
    names = sorted((sample.sample for sample in batch.samples), key=len, reverse=True)
    for path in [path for folder in folders if folder.is_dir() for path in folder.iterdir()] if failed else []:
        owner = next((name for name in names if path.name.startswith(f"{name}.")), "")
        if owner in failed and path.is_dir():
            shutil.rmtree(path)
        elif owner in failed:
            path.unlink()


def remove_empty(output: Path, handoff: HandoffWriter) -> None:
    """Delete a hand-off of which no sample is left; the batch ends there."""
    if not handoff.samples():
        output.unlink()


def read_failures(paths: Iterable[Path]) -> list[Failure]:
    """Failures of several tasks."""
    lines = (line for path in paths for line in path.read_text(encoding="utf-8").splitlines())
    return [Failure(**json.loads(line)) for line in lines]
