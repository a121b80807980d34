"""The documentation holds together: links lead somewhere, and commands name what exists."""

import ast
import importlib.util
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellbatch.commands.main import make_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "assets").glob("**/*.md")])
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEXTFLOW_WORDS = {"params-file"}


def _anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands() -> Iterator[tuple[str, str]]:
    """Commands in the pages' shell blocks and in code between backticks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [body for kind, body in FENCE.findall(text) if kind in ("bash", "sh", "console")]
        lines = [line for body in blocks for line in body.replace("\\\n", " ").splitlines()]
        inline = re.findall(r"`((?:python|nextflow run|\.venv/bin/python) [^`\n]+)`", FENCE.sub("", text))
        for line in [*lines, *inline]:
            yield page.name, line.strip()


def _options(script: Path) -> set[str]:
    """Options of a script, read from its source; those that it derives from a record included."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {s for s in strings if s.startswith("--")} | {f"--{s}" for s in strings if s.isidentifier()}


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for match in LINK.findall(page.read_text(encoding="utf-8")):
            target = match[0] or match[1]
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken


@pytest.mark.parametrize("program", ["python", "nextflow"])
def test_commands_name_scripts_and_options_that_exist(program: str) -> None:
    schema = json.loads((ROOT / "nextflow_schema.json").read_text(encoding="utf-8"))
    parameters = {name for group in schema["$defs"].values() for name in group["properties"]} | NEXTFLOW_WORDS
    wrong, seen = [], 0
    for page, line in _commands():
        words = shlex.split(line.replace("…", ""), comments=True)
        names = [word for word in words if program in Path(word).name]
        if not names or words.index(names[0]) > 3:
            continue
        rest = words[words.index(names[0]) + 1 :]
        options = [word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)]
        if program == "nextflow" and rest[:1] == ["run"]:
            seen += 1
            wrong += [f"{page}: {option}" for option in options if option[2:] not in parameters]
        elif program == "python" and rest and rest[0].endswith(".py"):
            seen += 1
            script = ROOT / rest[0]
            known = _options(script) if script.exists() else set()
            wrong += [] if script.exists() else [f"{page}: no {rest[0]}"]
            wrong += [f"{page}: {rest[0]} {option}" for option in options if option not in known]
    assert not wrong
    assert seen > 2


def test_commands_of_the_package_are_understood() -> None:
    inline = [
        (page.name, line)
        for page in PAGES
        for line in re.findall(
            r"`(cellbatch (?:segment|samplesheet|preview) [^`\n]+)`", FENCE.sub("", page.read_text())
        )
    ]
    seen = 0
    for page, line in [*_commands(), *inline]:
        words = shlex.split(line.replace("…", ""), comments=True)
        if words[:1] == ["cellbatch"] and len(words) > 1:
            seen += 1
            options = make_parser().parse_args(words[1:])
            assert options.command == words[1], f"{page}: {line}"
    assert seen > 3


def test_shell_blocks_are_shell() -> None:
    blocks = [(page.name, body) for page in PAGES for kind, body in FENCE.findall(page.read_text()) if kind == "bash"]
    wrong = [
        f"{name}: {done.stderr}"
        for name, body in blocks
        if (done := subprocess.run(["bash", "-n"], input=body, capture_output=True, text=True, check=False)).returncode
    ]
    assert len(blocks) > 10
    assert not wrong


def test_messages_that_are_explained_are_said() -> None:
    said = [path.read_text(encoding="utf-8") for path in (ROOT / "subworkflows").glob("**/*.nf")]
    for path in [*(ROOT / "src").glob("**/*.py"), ROOT / "nextflow_schema.json"]:
        text = path.read_text(encoding="utf-8")
        nodes = ast.walk(ast.parse(text)) if path.suffix == ".py" else []
        said += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \| ", page.split("## By message")[1].split("\n## ")[0], re.MULTILINE)
    messages = [message for row in rows if "(Nextflow)" not in row for message in re.findall(r"`([^`]+)`", row)]
    # the values of an example stand between quotes, or for an ellipsis
    pieces = {message: re.split(r"'[^']*'|…|nuclear_channel", message) for message in messages}
    assert len(messages) > 20
    assert not [
        message
        for message, parts in pieces.items()
        if not all(any(part.strip() in text for text in said) for part in parts if len(part.strip()) > 3)
    ]


def test_targets_and_scripts_that_the_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named, scripts = set(), set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named |= set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
        scripts |= set(
            re.findall(r"`(?:bash )?((?:setup|demo|bin|tests|benchmarks|training)/[\w/.-]+\.(?:sh|py))", text)
        )
    assert len(named) > 2
    assert named <= targets
    assert len(scripts) > 5
    assert not [script for script in scripts if not (ROOT / script).exists()]


def test_parameter_page_is_written_from_the_schema() -> None:
    spec = importlib.util.spec_from_file_location("page", ROOT / "setup" / "write_parameter_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    schema = json.loads((ROOT / "nextflow_schema.json").read_text(encoding="utf-8"))
    expected = module.write_page(schema)
    assert all(f"`--{name}`" in expected for group in schema["$defs"].values() for name in group["properties"])
    assert (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8") == expected


def test_every_page_stands_in_the_sites_contents() -> None:
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f": {page.name}" not in contents]
    assert not missing
