"""One section of the report in the words of MultiQC's custom content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cellbatch.reporting.html import render_facts


def make_section(
    section: str, name: str, description: str, plot_type: str, data: Any, **settings: Any
) -> dict[str, Any]:
    """Put a section together; ``settings`` go into it as they are.

    References
    ----------
    https://docs.seqera.io/multiqc/custom_content
    """
    anchor = f"cellbatch_{section}"
    settings.setdefault("pconfig", {}).update(id=f"{anchor}_plot", title=name)
    return {
        "id": anchor,
        "section_name": name,
        "description": description,
        "plot_type": plot_type,
        "data": data,
        **settings,
    }


def list_facts(section: str, name: str, description: str, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """List names and values, if there are any."""
    return make_section(section, name, description, "html", render_facts(facts)) if facts else None


def write_json(record: Mapping[str, Any]) -> str:
    """JSON text; NumPy's numbers become plain ones."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, default=lambda number: number.item())
