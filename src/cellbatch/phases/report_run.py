"""REPORT_RUN: one summary file per batch, timings and plan become tables and one page."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from cellbatch.io.atomic import write_text
from cellbatch.io.models import read_manifest
from cellbatch.io.tables import read_table, write_table
from cellbatch.phases.failures import read_failures
from cellbatch.phases.rerun_samplesheet import find_undelivered, write_rerun
from cellbatch.phases.results_layout import BATCH
from cellbatch.reporting.multiqc import write_report
from cellbatch.reporting.sections import MAX_THUMBNAILS, RunFacts, build_sections
from cellbatch.reporting.summary import THUMBNAIL, merge_summaries
from cellbatch.reporting.timing_tables import merge_timings
from cellbatch.spec import Manifest

logger = logging.getLogger(__name__)

LIBRARIES = ("imagecodecs", "multiqc", "numpy", "pandas", "pyarrow", "scipy", "tifffile", "zarr")


@dataclass(frozen=True)
class ReportFiles:
    """What REPORT_RUN reads: folders with one summary and timings file per batch, plan, model and settings.

    ``failed`` is a folder with lists of samples that went wrong, ``rows`` the rows that would run them again.
    """

    summaries: Path
    timings: Path
    plan: Path
    model: Path
    config: Path
    failed: Path | None = None
    rows: Path | None = None


def report_run(files: ReportFiles, launch: Mapping[str, Any], outdir: Path) -> None:
    """Write ``multiqc_report.html``, ``summary.csv``, ``timings.csv``, ``params.json`` and ``software_versions.yml``.

    Parameters
    ----------
    files : what is read
    launch : ``parameters`` of the run, and ``versions`` as rows of process, tool and version
    outdir : existing folder
    """
    tables = [read_table(path) for path in sorted(files.summaries.glob("*"))]
    summary = merge_summaries([table.drop(columns=THUMBNAIL) for table in tables])
    timings = merge_timings(read_table(path) for path in sorted(files.timings.glob("*")))
    manifest = read_manifest(files.model)
    plan = json.loads(files.plan.read_text(encoding="utf-8"))
    versions = _by_process([*launch["versions"], *_installed_versions()])
    failures = read_failures(sorted(files.failed.rglob("*.jsonl"))) if files.failed else []
    undelivered = find_undelivered(plan, failures, summary["sample"])
    if files.rows:
        write_rerun(undelivered, files.rows, outdir, plan["samples"])
    facts = RunFacts(
        summary=summary,
        failed=tuple(asdict(failure) for failure in undelivered),
        timings=timings,
        thumbnails=_thumbnails(tables, summary),
        overlays={sample: f"../qc/{sample}.overlay.png" for sample in _pictured(plan, summary)},
        model=_model_facts(manifest),
        parameters={name: value for name, value in launch["parameters"].items() if value is not None},
        versions=versions,
        plan={name: value for name, value in plan.items() if name not in ("batch_list", "left_out")},
    )
    write_table(summary, outdir / "summary.csv", "csv")
    write_table(timings, outdir / "timings.csv", "csv")
    write_text(outdir / "params.json", json.dumps(launch["parameters"], indent=1, sort_keys=True) + "\n")
    write_text(outdir / "software_versions.yml", _yaml(versions))
    write_report(build_sections(facts), files.config, outdir / "multiqc_report.html")
    logger.info("reported %d samples", len(summary))


def _pictured(plan: Mapping[str, Any], summary: pd.DataFrame) -> pd.Series:
    """Find the samples of which pictures are kept: in files per batch not those that passed."""
    is_kept = summary["verdict"] != "pass" if plan.get("results_layout") == BATCH else summary["verdict"].notna()
    return summary.loc[is_kept, "sample"]


def _thumbnails(tables: list[pd.DataFrame], summary: pd.DataFrame) -> dict[str, bytes]:
    """Thumbnails by sample; of long runs only those of samples that did not pass."""
    shown = summary if len(summary) <= MAX_THUMBNAILS else summary[summary["verdict"] != "pass"]
    wanted = set(shown["sample"])
    pairs = (pair for table in tables for pair in zip(table["sample"], table[THUMBNAIL], strict=True))
    return {sample: picture for sample, picture in pairs if picture and sample in wanted}


def _model_facts(manifest: Manifest) -> dict[str, Any]:
    weights = {f"sha256 ({form})": weights.sha256 for form, weights in manifest.weights.items()}
    return {
        "name": manifest.name,
        "version": manifest.version,
        "licence": manifest.licence,
        "pixel size": f"{manifest.model_mpp} µm/px",
        "description": manifest.description,
        "citation": manifest.citation,
        **weights,
    }


def _by_process(rows: Sequence[Sequence[str]]) -> dict[str, dict[str, str]]:
    versions: dict[str, dict[str, str]] = {}
    for process, tool, version in rows:
        versions.setdefault(process, {})[tool] = version.strip()
    return versions


def _installed_versions() -> list[tuple[str, str, str]]:
    """Versions of Python and of the libraries that results depend on, as this task finds them."""
    found = [("python", platform.python_version()), *((name, metadata.version(name)) for name in LIBRARIES)]
    return [("REPORT_RUN", tool, text) for tool, text in found]


def _yaml(versions: Mapping[str, Mapping[str, str]]) -> str:
    """Process, tool and version in the layout that nf-core pipelines use."""
    lines = []
    for process, tools in versions.items():
        lines.append(f"{process}:")
        lines.extend(f"  {tool}: {json.dumps(version)}" for tool, version in tools.items())
    return "\n".join(lines) + "\n"
