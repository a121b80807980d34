"""The table of samples that have no result."""

from collections.abc import Mapping, Sequence
from html import escape


def table_of_failed(failed: Sequence[Mapping[str, str]]) -> str:
    """Draw an HTML table.

    Parameters
    ----------
    failed : ``sample``, ``phase`` and ``reason`` of every sample without a result
    """
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(one[name])}</td>" for name in ("sample", "phase", "reason")) + "</tr>"
        for one in failed
    )
    told = "1 sample was" if len(failed) == 1 else f"{len(failed):,} samples were"
    text = f"<p><b>{told} NOT segmented.</b> Repair what is named here and run rerun_samplesheet.csv.</p>"
    head = "<tr><th>sample</th><th>phase</th><th>reason</th></tr>"
    return f'{text}<table class="table table-condensed">{head}{cells}</table>'
