"""A million existing, empty files in 1,000 folders through a stub run, and its resume: time, and memory of the engine.

    python benchmarks/million.py --outdir million

The plan is real (a stub run takes an empty file for an image of 1 Mpx); the heavy phases only leave empty files.
"""

import argparse
import csv
import os
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS, PER_FOLDER = 1000, 1000
BATCH_PIXELS = 2**34
# the process holds more than its heap: 2 GB are all that it may
HEAP = "-Xmx1500m"


def make_files(folder: Path) -> None:
    """Empty files, once."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(FOLDERS):
        plate = folder / f"plate_{i:04}"
        if not plate.exists():
            plate.mkdir()
            for j in range(PER_FOLDER):
                (plate / f"field_{j:03}.tif").touch()


def read_peak(process: int) -> int:
    """Peak resident memory of a process in bytes, 0 when it has gone."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0)


def children(process: int) -> list[int]:
    """Find all processes below one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == process:
                found += [int(entry.name), *children(int(entry.name))]
    return found


def run(outdir: Path) -> dict[str, float]:
    """Run or resume; wall and CPU seconds, peak of the JVM and of the plan, tasks that were not cached."""
    environment = {**os.environ, "NXF_OPTS": HEAP, "NXF_JVM_ARGS": HEAP, "NXF_ANSI_LOG": "false"}
    command = ["nextflow", "-log", str(outdir / "nextflow.log"), "run", str(ROOT / "main.nf"), "-stub", "-resume"]
    command += ["--input", str(outdir / "sheet.csv"), "--outdir", str(outdir / "results")]
    command += ["--batch_pixels", str(BATCH_PIXELS), "-work-dir", str(outdir / "work")]
    start, before = time.perf_counter(), os.times()
    process = subprocess.Popen(command, cwd=outdir, env=environment)
    peaks = {"java": 0, "python": 0}

    def watch() -> None:
        while process.poll() is None:
            for child in [process.pid, *children(process.pid)]:
                try:
                    name = Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip()
                except OSError:
                    continue
                kind = "java" if name == "java" else "python" if name.startswith(("python", "plan_batches")) else ""
                if kind:
                    peaks[kind] = max(peaks[kind], read_peak(child))
            time.sleep(1)

    thread = threading.Thread(target=watch)
    thread.start()
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    thread.join()
    after = os.times()
    with (outdir / "results/pipeline_info/execution_trace.txt").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    plan = next(row for row in rows if row["process"] == "PLAN_BATCHES")
    first = min((int(row["submit"]) for row in rows if row["process"].endswith("PREPROCESS_IMAGES")), default=0)
    return {
        "wall": time.perf_counter() - start,
        "cpu": after.children_user + after.children_system - before.children_user - before.children_system,
        "plan task": int(plan["realtime"]) / 1000,
        "until the first batch": first / 1000 - (time.time() - (time.perf_counter() - start)),
        "jvm_gb": peaks["java"] / 1e9,
        "plan_gb": peaks["python"] / 1e9,
        "tasks": len(rows),
        "not cached": sum(row["status"] != "CACHED" for row in rows),
    }


def main() -> None:
    """Make the files, run, resume, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    outdir = parser.parse_args().outdir.resolve()
    make_files(outdir / "images")
    rows = [f"plate_{i:04},images/plate_{i:04},0,1" for i in range(FOLDERS)]
    text = "\n".join(["sample,image,nuclear_channel,membrane_channel", *rows]) + "\n"
    if not (outdir / "sheet.csv").exists():
        (outdir / "sheet.csv").write_text(text, encoding="utf-8")
    for name in ("run", "resume"):
        print(name, {key: round(value, 2) for key, value in run(outdir).items()}, flush=True)


if __name__ == "__main__":
    main()
