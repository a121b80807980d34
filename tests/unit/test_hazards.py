"""The table of hazards names tests that exist, and every hazard has one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# rows of a table with three cells, but for its head
ROW = re.compile(r"^\| (?!hazard |---)([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
# what must stand in the table, whatever else does
HAZARDS = (
    "misspelt", "pixel sizes that contradict", "z-stacks", "colour images", "NaN", "infinite", "negative", "constant",
    "saturated", "1×1", "without cells", "cut short", "byte order", "CZI", "full disk", "read-only", "killed",
    "vanished", "out of memory", "leave", "pickle", "operators", "sample names", "`$()`", "200 characters", "braces",
    "control characters", "entities", "unpacks", "Zarr chunk", "token", "signed", "mutant", "crashes",
    "left samples out",
)  # fmt: skip


def read_rows() -> list[tuple[str, str, str]]:
    """Hazard, what happens and tests, from the tables in front of the results."""
    text = (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
    return ROW.findall(text[: text.index("## What the long runs found")])


def is_there(name: str) -> bool:
    """Whether there is such a file, or such a test in it: ``file::test``."""
    path, _, test = name.partition("::")
    return (ROOT / path).exists() and (not test or f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"))


def test_every_hazard_names_tests_that_exist() -> None:
    rows = read_rows()
    workflows = re.findall(
        r"^- name: (.+)$",
        "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "pipeline").glob("test_*.yml")),
        re.MULTILINE,
    )
    assert len(rows) > 40
    wrong = []
    for hazard, happens, tests in rows:
        files = re.findall(r"`(tests/[^`]+)`", tests)
        named = re.findall(r"\*([^*]+)\*", tests)
        wrong += [f"{hazard}: no {name}" for name in files if not is_there(name.split()[0])]
        wrong += [f"{hazard}: no workflow {name}" for name in named if name not in workflows]
        if not (files or named) or not happens.strip():
            wrong.append(f"{hazard}: no test")
    assert not wrong


def test_every_hazard_that_the_project_knows_stands_in_the_table() -> None:
    rows = " ".join(hazard for hazard, _, _ in read_rows())
    assert [hazard for hazard in HAZARDS if hazard not in rows] == []
