"""Processor time per pixel of a small and of a large slide, phase by phase and in turn.

python benchmarks/flat_time.py --outdir flat_time --sides 4096,32768 --fine 2

A processor shared with others gives the same work a different time from second to second. So the tasks of the small
slide run before, between and after those of the large one, and the processor's pace is sampled during each (see
``pace.py``): times are given as measured, and as they would be at the pace of the median run of the small slide. The
ratio is of the large slide's time per pixel to the median of the small one's, both at one pace. The time in which a
script starts and imports its libraries is taken off each task.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from any_size import PHASES, Run, Tasks
from end_to_end import start_cpu_s
from pace import Pace
from results import Results, add_csv_option

COLUMNS = ("phase", "small_px", "large_px", "tasks", "small_ns_px", "large_ns_px")
COLUMNS += ("paced_small_ns_px", "lowest_ns_px", "highest_ns_px", "paced_large_ns_px")


class Spent(NamedTuple):
    """Processor time in ns per px of the whole slide, and the pace meanwhile: s for a fixed piece of work."""

    ns_px: float
    pace_s: float


class Slide:
    """A slide and what its tasks took.

    Parameters
    ----------
    folder : where its files go
    side : px
    fine : see ``make_slide.py``
    """

    def __init__(self, folder: Path, side: int, fine: int) -> None:
        self.pixels = side * side
        self._run = Run(folder / str(side), (side, side), 4, ["--fine", str(fine)])

    def parts(self, phase: str, count: int) -> Iterator[list[tuple[Any, ...]]]:
        """Cut the tasks of a phase into at most ``count`` parts."""
        commands = self._run.commands(phase, 2)
        size = -(-len(commands) // count)
        yield from (commands[first : first + size] for first in range(0, len(commands), size))

    def measure(self, tasks: Tasks, commands: list[tuple[Any, ...]]) -> list[Spent]:
        """Run tasks."""
        spent = []
        for command in commands:
            with Pace() as pace:
                seconds = tasks.run(*command).cpu_s
            spent.append(Spent(1e9 * (seconds - start_cpu_s(command[0])) / self.pixels, pace.seconds))
        return spent


def compare(phase: str, small: Slide, large: Slide, turns: int) -> tuple[list[list[Spent]], list[Spent]]:
    """Measure a phase: the tasks of each run of the small slide, and those of the large one."""
    tasks = Tasks(is_forked=False)
    whole = [command for part in small.parts(phase, 1) for command in part]
    parts = list(large.parts(phase, turns))
    runs = range(-(-turns // len(parts)))
    before = [small.measure(tasks, whole) for _ in runs]
    spent = []
    for part in parts:
        spent += large.measure(tasks, part)
        before += [small.measure(tasks, whole) for _ in runs]
    return before, spent


def sum_up(phase: str, small: Slide, large: Slide, turns: int) -> dict[str, Any]:
    """Measure a phase; a row of the table."""
    runs, spent = compare(phase, small, large, turns)
    pace_s = median(task.pace_s for run in runs for task in run)
    paced = [sum(task.ns_px * pace_s / task.pace_s for task in run) for run in [*runs, spent]]
    measured = [sum(task.ns_px for task in run) for run in [*runs, spent]]
    row = (phase, small.pixels, large.pixels, len(spent), median(measured[:-1]), measured[-1])
    return dict(zip(COLUMNS, (*row, median(paced[:-1]), min(paced[:-1]), max(paced[:-1]), paced[-1]), strict=True))


def main() -> None:
    """Print a row per phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--sides", default="2048,8192", help="of the small and of the large slide, px")
    parser.add_argument("--fine", type=int, default=1, help="see make_slide.py")
    parser.add_argument(
        "--phases", default=",".join(PHASES), help="with commas; what those before them made must lie there"
    )
    parser.add_argument("--turns", type=int, default=4, help="parts of the large slide's tasks")
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, COLUMNS)
    small, large = (Slide(options.outdir, int(side), options.fine) for side in options.sides.split(","))
    print("".join(f"{name:>18}" for name in (*COLUMNS, "ratio")))
    for phase in options.phases.split(","):
        row = sum_up(phase, small, large, options.turns)
        results.add(**row)
        ratio = row["paced_large_ns_px"] / row["paced_small_ns_px"]
        shown = (f"{value:.1f}" if isinstance(value, float) else value for value in row.values())
        print("".join(f"{value:>18}" for value in (*shown, f"{ratio:.2f}")), flush=True)


if __name__ == "__main__":
    main()
