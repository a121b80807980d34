"""Processor time per pixel of a small and of a large slide, phase by phase and in turn.

python benchmarks/flat_time.py --outdir flat_time --sides 4096,32768 --fine 2

A processor shared with others gives the same work a different time from minute to minute. So the tasks of the small
slide run before, between and after those of the large one; the ratio is of the large slide's time per pixel to the
median of the small one's. The time in which a script starts and imports its libraries is taken off each task.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from any_size import PHASES, Run, Tasks
from end_to_end import start_cpu_s
from results import Results, add_csv_option

COLUMNS = ("phase", "small_px", "large_px", "tasks", "small_ns_px", "lowest_ns_px", "highest_ns_px", "large_ns_px")


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

    def measure(self, tasks: Tasks, commands: list[tuple[Any, ...]]) -> float:
        """Run tasks; their processor time in ns per px of the whole slide."""
        seconds = sum(tasks.run(*command).cpu_s - start_cpu_s(command[0]) for command in commands)
        return 1e9 * seconds / self.pixels


def compare(phase: str, small: Slide, large: Slide, turns: int) -> tuple[list[float], float, int]:
    """Measure a phase: times of the small slide, one per run, of the large one, and how many tasks that has."""
    tasks = Tasks(is_forked=False)
    whole = [command for part in small.parts(phase, 1) for command in part]
    parts = list(large.parts(phase, turns))
    runs = range(-(-turns // len(parts)))
    times = [small.measure(tasks, whole) for _ in runs]
    total = 0.0
    for part in parts:
        total += large.measure(tasks, part)
        times += [small.measure(tasks, whole) for _ in runs]
    return times, total, sum(map(len, parts))


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
    print(f"{'phase':<12}{'tasks':>6}{'small_ns_px':>12}{'lowest':>9}{'highest':>9}{'large_ns_px':>12}{'ratio':>7}")
    for phase in options.phases.split(","):
        times, total, count = compare(phase, small, large, options.turns)
        row = (phase, small.pixels, large.pixels, count, median(times), min(times), max(times), total)
        results.add(**dict(zip(COLUMNS, row, strict=True)))
        print(f"{phase:<12}{count:>6}{row[4]:>12.1f}{row[5]:>9.1f}{row[6]:>9.1f}{total:>12.1f}{total / row[4]:>7.2f}")


if __name__ == "__main__":
    main()
