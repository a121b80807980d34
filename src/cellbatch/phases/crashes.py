"""A script that outlives the crash of its own process: it runs once more, then without the sample that crashes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cellbatch.phases.timing_files import read_attempt
from cellbatch.spec import LAST_ATTEMPT

# what a script tells the process that does its work: where to note the sample at hand, and which samples crashed it
AT_HAND = "CELLBATCH_AT_HAND"
CRASHED = "CELLBATCH_CRASHED"
# a task that is killed from outside is first tried again by Nextflow, with more memory
KILLED = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
DIED_TWICE = (
    "the process that worked on it died, and died again when it was tried once more: for lack of memory, or in a "
    "library that this file crashes; look at the file, or give the task more memory"
)


def outlive_crashes(body: Callable[[], int], arguments: Sequence[str]) -> int:
    """Run a script's work in a process of its own, where a run is to keep going; else run it here.

    Parameters
    ----------
    body : the script's work; gives its exit code
    arguments : command line of the script, its own path first; ``--failed`` says that the run keeps going

    Returns
    -------
    int
        The exit code of the work; 128 and the signal where it was killed from outside or not at work on a sample.
    """
    if "--failed" not in arguments or AT_HAND in os.environ:
        return body()
    tried: list[str] = []
    crashed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cellbatch-") as folder:
        note = Path(folder) / "at_hand"
        while True:
            note.write_text("", encoding="utf-8")
            told = {AT_HAND: str(note), CRASHED: json.dumps(crashed)}
            code = subprocess.run([sys.executable, *arguments], env={**os.environ, **told}, check=False).returncode
            if code >= 0:
                return code
            sample = note.read_text(encoding="utf-8")
            if not sample or (-code in KILLED and attempt() < LAST_ATTEMPT):
                return 128 - code
            sys.stderr.write(f"WARNING: the process died of {signal.Signals(-code).name} at sample {sample}\n")
            (crashed if sample in tried else tried).append(sample)


@contextmanager
def at_hand(sample: str) -> Iterator[None]:
    """Note that a sample is worked on in this process."""
    note = os.environ.get(AT_HAND)
    if note:
        Path(note).write_text(sample, encoding="utf-8")
    try:
        yield
    finally:
        if note:
            Path(note).write_text("", encoding="utf-8")


def crashed_samples() -> frozenset[str]:
    """Give the samples that killed this script's process twice."""
    return frozenset(json.loads(os.environ.get(CRASHED, "[]")))


def attempt() -> int:
    """Which attempt of a task this is, from 1, as ``conf/base.config`` notes it."""
    return read_attempt()[0]
