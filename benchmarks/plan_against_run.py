"""What the plan says of a samplesheet, beside what the run on this machine then takes: time and memory by phase.

    python benchmarks/plan_against_run.py --input samplesheet.csv --outdir DIR

The plan is made first, by ``--plan_only``, and nothing of the run goes into it. Processor time is what the system
counted for the tasks (Nextflow's %cpu times the duration): it says more than wall time where other work shares the
machine.
"""

import argparse
import csv
import json
import os
import subprocess
from pathlib import Path

from cellbatch.planning.rates import FUSED, PROCESS_NAMES, TILES_PER_MPX, Rates

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20


def run(options: argparse.Namespace, *more: str) -> None:
    """One launch of the pipeline."""
    command = ["nextflow", "-log", str(options.outdir / "nextflow.log"), "run", str(ROOT / "main.nf")]
    command += ["--input", str(options.input.resolve()), "--outdir", str(options.outdir), "--phases", options.phases]
    command += ["-work-dir", str(options.outdir / "work"), *more]
    subprocess.run(command, cwd=options.outdir, check=True, env={**os.environ, "NXF_ANSI_LOG": "false"})


def read_measured(outdir: Path) -> dict[str, dict[str, float]]:
    """Wall seconds, processor seconds and peak memory in MiB of each process, of its largest task."""
    measured: dict[str, dict[str, float]] = {}
    with (outdir / "pipeline_info/execution_trace.txt").open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["status"] != "COMPLETED":
                continue
            found = measured.setdefault(row["process"].split(":")[-1], {"wall": 0.0, "cpu": 0.0, "mb": 0.0})
            seconds = int(row["realtime"]) / 1000
            found["wall"] += seconds
            found["cpu"] += seconds * float(row["%cpu"]) / 100
            found["mb"] = max(found["mb"], int(row["peak_rss"]) / MIB)
    return measured


def main() -> None:
    """Plan, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--phases", default="split", choices=["split", "fused"])
    options = parser.parse_args()
    options.outdir = options.outdir.resolve()
    options.outdir.mkdir(parents=True, exist_ok=True)
    run(options, "--plan_only")
    plan = json.loads((options.outdir / "plan/plan.json").read_text(encoding="utf-8"))
    load_before = os.getloadavg()[0]
    run(options)
    load = (load_before + os.getloadavg()[0]) / 2
    measured = read_measured(options.outdir)
    estimate = next(row for row in plan["estimates"] if row["mode"] == options.phases)
    print(f"{plan['samples']} samples, {plan['model_pixels'] / 1e6:.1f} Mpx, {plan['tiles']} tiles, load {load:.1f}")
    print("process               planned s    wall s  planned processor s  processor s  planned MiB  peak MiB")
    rates = Rates()
    network_s = plan["tiles"] / TILES_PER_MPX * rates.network_core_s_per_mpx
    for phase, need_mb in plan["memory_mb"].items():
        process = PROCESS_NAMES[phase]
        planned_s, found = estimate["task_hours"][process] * 3600, measured[process]
        per_mpx = sum(rates.core_s_per_mpx) if phase == FUSED else rates.core_s(phase)
        core_s = plan["model_pixels"] / 1e6 * per_mpx + (network_s if phase in ("infer", FUSED) else 0.0)
        times = f"{planned_s:>11.1f}{found['wall']:>10.1f}{core_s:>21.1f}{found['cpu']:>13.1f}"
        print(f"{process:<20}{times}{need_mb:>13}{found['mb']:>10.0f}")


if __name__ == "__main__":
    main()
