"""Write docs/benchmarks.md from the tables of the benchmarks: ``python benchmarks/write_page.py [--pictures]``.

``benchmarks/page.md`` is its prose; ``<!-- name -->`` there is what `page_tables.TABLES` makes of a table of that name,
with the command, machine, versions and date under it. A section whose tables were not measured is left out. What a
reader of a table must know of its runs stands in ``notes.json`` beside it, by the table's name. ``--pictures`` draws
the pictures, too, which needs requirements/plots.txt.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pandas as pd
from page_tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "benchmarks" / "results"
PROSE = ROOT / "benchmarks" / "page.md"
PAGE = ROOT / "docs" / "benchmarks.md"
PLACE = re.compile(r"^<!-- (\w+) -->\n", re.MULTILINE)
SECTION = re.compile(r"^(?=#)", re.MULTILINE)
VERSIONS = {"python": "Python", "numpy": "NumPy", "onnxruntime": "ONNX Runtime", "nextflow": "Nextflow"}


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Tables by name, those that were measured."""
    paths = {name: folder / f"{name}.csv" for name in TABLES}
    return {name: pd.read_csv(path, dtype={"to": str}) for name, path in paths.items() if path.exists()}


def read_notes(folder: Path) -> dict[str, str]:
    """Read the notes by the name of their table."""
    path = folder / "notes.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_page(prose: str, tables: dict[str, pd.DataFrame], notes: dict[str, str]) -> str:
    """Make the page's text.

    Parameters
    ----------
    prose : Markdown with ``<!-- name -->`` lines
    tables, notes : by name

    Returns
    -------
    str
        Markdown.
    """
    parts = []
    for section in SECTION.split(prose):
        names = PLACE.findall(section)
        if not names or any(name in tables for name in names):
            parts.append(PLACE.sub(lambda match: _fill(match[1], tables, notes), section))
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).rstrip("\n") + "\n"


def describe(table: pd.DataFrame) -> str:
    """Write down how a table was measured: command, machine, date, versions, load."""
    commands = ", ".join(f"`{command}`" for command in table["command"].unique())
    machines = table[["cpu", "cpu_threads", "memory_gb"]].drop_duplicates().itertuples(index=False)
    machine = "; ".join(f"{cpu}, {threads} threads, {memory:.0f} GB" for cpu, threads, memory in machines)
    days = sorted({text[:10] for text in table["date"]})
    day = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    versions = [f"{word} {_join(table[name])}" for name, word in VERSIONS.items() if table[name].notna().any()]
    versions.append(f"cellbatch {_join(table['cellbatch'])} at {_join(table['commit'])}")
    low, high = table["load_start"].min(), table["load_start"].max()
    load = f"{low}" if low == high else f"{low} to {high}"
    return f"{commands}; {machine}; {day}; {', '.join(versions)}; load when started {load}"


def _join(column: pd.Series) -> str:
    """Name all values of a column."""
    return " and ".join(map(str, column.dropna().unique()))


def _fill(name: str, tables: dict[str, pd.DataFrame], notes: dict[str, str]) -> str:
    """Table of this name, with its note and what it was measured by under it."""
    if name not in tables:
        return ""
    note = f"\n{notes[name]}\n" if name in notes else ""
    return f"{TABLES[name](tables[name])}{note}\nMeasured by {describe(tables[name])}.\n"


def main() -> int:
    """Write the page, and draw the pictures if told so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=MEASURED, help="folder with what the benchmarks wrote")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--pictures", action="store_true")
    options = parser.parse_args()
    tables = read_tables(options.tables)
    text = write_page(PROSE.read_text(encoding="utf-8"), tables, read_notes(options.tables))
    options.page.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{options.page}: {len(tables)} tables\n")
    if options.pictures:
        from page_pictures import draw_pictures

        for path in draw_pictures(tables, options.page.parent / "pictures"):
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
