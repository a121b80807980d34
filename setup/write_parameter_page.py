"""Write docs/parameters.md from nextflow_schema.json: ``python setup/write_parameter_page.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "parameters.md"
HEAD = """# Parameters

Every parameter of `nextflow run main.nf`, as `nextflow_schema.json` holds them (this page is written from it by
`python setup/write_parameter_page.py`). An unknown parameter or a value outside these limits stops the run before any
task, with the nearest known name.
"""


def write_page(schema: dict[str, Any]) -> str:
    """Make the page's text.

    Parameters
    ----------
    schema : dict
        nf-core style schema: groups under ``$defs``, in the order of ``allOf``.

    Returns
    -------
    str
        Markdown with one table per group.
    """
    parts = [HEAD]
    for reference in schema["allOf"]:
        group = schema["$defs"][reference["$ref"].rsplit("/", 1)[-1]]
        parts.append(f"\n## {group['title']}\n\n{group['description']}\n")
        parts.append("\n| parameter | type | default | meaning |\n|---|---|---|---|\n")
        parts.extend(_row(name, entry, group.get("required", [])) for name, entry in group["properties"].items())
    return "".join(parts)


def _row(name: str, entry: dict[str, Any], required: list[str]) -> str:
    """One line of a table."""
    default = entry.get("default")
    shown = "required" if name in required and default is None else "" if default is None else f"`{_plain(default)}`"
    limits = [f"{word} {entry[key]}" for key, word in LIMITS.items() if key in entry]
    values = [f"`{_plain(value)}`" for value in entry.get("enum", []) if value is not None]
    kind = entry.get("type", "")
    kind = " or ".join(one for one in ([kind] if isinstance(kind, str) else kind) if one != "null")
    detail = ", ".join([*limits, *([f"one of {' '.join(values)}"] if values else [])])
    text = " ".join(str(entry.get(key, "")) for key in ("description", "help_text")).strip().replace("|", "\\\\|")
    return f"| `--{name}` | {kind}{f' ({detail})' if detail else ''} | {shown} | {text} |\n"


def _plain(value: Any) -> str:
    """Show a value as it is written on a command line."""
    return json.dumps(value) if not isinstance(value, str) else value


LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def main() -> int:
    """Write the page."""
    schema = json.loads((ROOT / "nextflow_schema.json").read_text(encoding="utf-8"))
    PAGE.write_text(write_page(schema), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
