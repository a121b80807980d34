"""Put faults into the code on purpose, one at a time, and see that the named tests fail.

Usage: python -m tests.faults [--only WORDS]

Each fault is made in a copy of the code in a temporary folder. A fault that no test notices is an error, and so is one
whose lines no longer stand in the code. The last fault is none: with it the same tests must pass.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
COPIED = ("src", "tests", "assets", "conf", "bin", "docs", "demo", "modules", "subworkflows", "training", "benchmarks")
FILES = ("pyproject.toml", "nextflow.config", "nextflow_schema.json", "main.nf", "setup.py", "mkdocs.yml", "README.md")
COLUMNS = "{:<38}{:<58}{}"


@dataclass(frozen=True)
class Fault:
    """One line of the package, what stands there instead, and the tests that must notice it."""

    about: str
    path: str
    good: str
    bad: str
    tests: str


FAULTS = (
    Fault(
        "geometry: size rounded",
        "geometry/scale.py",
        "(int(n * scale) for n in shape)",
        "(round(n * scale) for n in shape)",
        "tests/unit/test_geometry.py",
    ),
    Fault(
        "geometry: padding on the other side",
        "geometry/tiles.py",
        "excess - excess // 2, excess // 2)",
        "excess // 2, excess - excess // 2)",
        "tests/unit/test_tiles.py",
    ),
    Fault(
        "geometry: edge repeated in mirrors",
        "geometry/mirror.py",
        "period = 2 * (size - 1)",
        "period = 2 * size",
        "tests/unit/test_geometry.py tests/unit/test_tiles.py",
    ),
    Fault(
        "geometry: halo one px short",
        "geometry/blocks.py",
        "max(window.y0 - halo_px, 0)",
        "max(window.y0 - halo_px + 1, 0)",
        "tests/unit/test_geometry.py tests/unit/test_blocks.py",
    ),
    Fault(
        "stitching: pieces not added up",
        "postprocessing/stitching.py",
        'for name in ("area", "quarters"):',
        'for name in ("quarters",):',
        "tests/unit/test_blocks.py",
    ),
    Fault(
        "stitching: nuclei by less than half",
        "postprocessing/matching.py",
        "2 * counts >= area",
        "3 * counts >= area",
        "tests/property/test_matching_property.py",
    ),
    Fault(
        "threshold: small objects",
        "postprocessing/stitching.py",
        'objects["area"] >= small_objects',
        'objects["area"] > small_objects',
        "tests/unit/test_blocks.py",
    ),
    Fault(
        "threshold: limit of markers",
        "_native/watershed.py",
        "options.maxima_threshold,\n",
        "options.maxima_threshold * 1.001,\n",
        "tests/parity/test_watershed_parity.py",
    ),
    Fault(
        "threshold: percentile",
        "preprocessing/clip.py",
        "percentile / 100",
        "percentile / 100.01",
        "tests/unit/test_clip.py",
    ),
    Fault(
        "planning: batch beyond its budget",
        "planning/batches.py",
        "if ends_px[-1] <= batch_pixels:",
        "if ends_px[-1] <= 8 * batch_pixels:",
        "tests/property/test_batches.py tests/unit/test_planning.py",
    ),
    Fault(
        "planning: pieces over their budget",
        "planning/shards.py",
        "-(-pixels // shard_pixels)",
        "(pixels // shard_pixels)",
        "src/cellbatch/planning/shards.py",
    ),
    Fault(
        "planning: workers' memory forgotten",
        "planning/memory.py",
        "1 + workers",
        "1",
        "tests/unit/test_memory_plan.py",
    ),
    Fault(
        "cost: failed attempts for nothing",
        "reporting/cost.py",
        "dollars=held / 3600",
        "dollars=held.where(done, 0) / 3600",
        "tests/unit/test_cost.py",
    ),
    Fault(
        "cost: minutes as hours",
        "planning/cost.py",
        "HOUR_S = 3600.0",
        "HOUR_S = 60.0",
        "tests/unit/test_cost.py tests/unit/test_simulation.py",
    ),
    Fault(
        "reader: column of tiles",
        "io/tiff_segments.py",
        "first + row * across + column",
        "first + row * down + column",
        "tests/unit/test_io_regions.py",
    ),
    Fault(
        "reader: gap taken for data",
        "io/tiff_segments.py",
        "target[...] = self._page.nodata",
        "target[...] = 1",
        "tests/unit/test_io_tiff_damage.py",
    ),
    Fault(
        "reader: first channel for every name",
        "preprocessing/channels.py",
        "read(channels_of(recipe)[0])",
        "read(0)",
        "tests/unit/test_channels.py",
    ),
    Fault("reader: centimetres", "io/tiff_metadata.py", "3: 10000.0", "3: 1000.0", "tests/unit/test_io_images.py"),
)


def main() -> int:
    """Make the faults one after the other; 1 if one of them goes unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults whose description holds these words")
    chosen = [fault for fault in FAULTS if parser.parse_args().only in fault.about]
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        print(COLUMNS.format("fault", "tests", "noticed by"))
        for fault in chosen:
            noticed = try_fault(copy, fault)
            missed += not noticed
            print(COLUMNS.format(fault.about, fault.tests.replace("tests/", ""), noticed or "NONE"), flush=True)
        tests = sorted({name for fault in chosen for name in fault.tests.split()})
        sound = run_tests(copy, tests)
        print(COLUMNS.format("none", "all of these", sound or "none, as it must be"))
    print(f"{len(chosen) - missed} of {len(chosen)} faults noticed")
    return int(bool(missed or sound))


def copy_project(folder: Path) -> Path:
    """Copy what the tests need, kernels included."""
    for name in COPIED:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    for name in FILES:
        shutil.copy2(PROJECT / name, folder / name)
    return folder


def try_fault(copy: Path, fault: Fault) -> str:
    """Run the tests with a fault; the first one that fails, or nothing."""
    path = copy / "src" / "cellbatch" / fault.path
    text = path.read_text()
    if fault.good not in text:
        raise SystemExit(f"{fault.path} no longer holds {fault.good!r}: write the fault {fault.about!r} anew")
    try:
        path.write_text(text.replace(fault.good, fault.bad, 1))
        return run_tests(copy, fault.tests.split())
    finally:
        path.write_text(text)


def run_tests(copy: Path, tests: list[str]) -> str:
    """First test that fails, or nothing."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    shared = PROJECT.parent / "shared" / "data"
    environment.setdefault("CELLBATCH_SHARED_DATA", str(shared))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    failed = re.findall(r"^(?:FAILED|ERROR) \S*?::(\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return failed[0] if failed else "" if done.returncode == 0 else "a failure without a name"


if __name__ == "__main__":
    sys.exit(main())
