"""CHECK_RUN: a run that left samples out ends with an error, after everything else has been published."""

from pathlib import Path

from cellbatch.errors import InputError


def check_run(failed: Path) -> None:
    """Refuse to end well.

    Parameters
    ----------
    failed : text that names the samples without a result, as REPORT_RUN wrote it

    Raises
    ------
    InputError
        With that text.
    """
    raise InputError(failed.read_text(encoding="utf-8").rstrip())
