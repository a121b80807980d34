"""One HTML page out of the sections, made by MultiQC without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

TIMEOUT_S = 600
_REPORT = "multiqc_report.html"


def write_report(content: Mapping[str, str], config: Path, report: Path) -> None:
    """Run MultiQC over custom content and leave nothing but the finished page.

    The only function of this room that knows paths. MultiQC runs in a process of its own, in a temporary folder beside
    the report, without the user's own MultiQC settings: these, and its global state, would change the page.

    Parameters
    ----------
    content : file name → text, as ``build_sections`` returns it
    config : the project's MultiQC settings
    report : where the page goes; replaced in one step when it is complete

    Raises
    ------
    RuntimeError
        MultiQC failed, found nothing to show, or took longer than ``TIMEOUT_S``.

    References
    ----------
    Ewels et al., MultiQC, Bioinformatics 32 (2016) 3047, https://doi.org/10.1093/bioinformatics/btw354
    """
    with tempfile.TemporaryDirectory(prefix=".multiqc-", dir=report.parent.resolve()) as scratch:
        inputs, outputs = Path(scratch, "content"), Path(scratch, "report")
        inputs.mkdir()
        for name, text in content.items():
            (inputs / name).write_text(text, encoding="utf-8")
        # A copy: MultiQC takes files beside a settings file for settings, too.
        settings = Path(shutil.copy(config, Path(scratch, "multiqc_config.yml")))
        _run_multiqc(["--config", str(settings), "--outdir", str(outputs), str(inputs)], scratch)
        page = outputs / _REPORT
        if not page.is_file():
            raise RuntimeError(f"MultiQC made no report of the sections {', '.join(sorted(content)) or '(none)'}")
        os.replace(page, report)


def _run_multiqc(arguments: list[str], home: str) -> None:
    """Run MultiQC with ``home`` as working folder and as the place of its settings and caches."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MULTIQC_")}
    environment |= {"HOME": home, "XDG_CONFIG_HOME": home, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "multiqc", "--filename", _REPORT, "--no-data-dir", *arguments]
    try:
        result = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"MultiQC did not finish within {TIMEOUT_S} s") from error
    if result.returncode:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-20:])
        raise RuntimeError(f"MultiQC failed with exit code {result.returncode}:\n{tail}")
