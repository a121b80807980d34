"""What a room may know, read from the imports of every module."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "cellbatch"
MODULES = sorted(PACKAGE.rglob("*.py"))
SHARED = {"errors", "spec"}
ALLOWED = {
    "errors": set(),
    "spec": set(),
    "geometry": SHARED,
    "_native": set(),
    "preprocessing": SHARED | {"geometry", "_native"},
    "postprocessing": SHARED | {"geometry", "_native"},
    "measurement": SHARED | {"geometry", "_native"},
    "inference": SHARED | {"geometry", "_native"},
    "planning": SHARED | {"geometry"},
    "quality": SHARED | {"geometry"},
    "reporting": SHARED | {"geometry", "quality"},
    "io": SHARED | {"geometry"},
    "progress": set(),
    "cli": SHARED | {"__init__"},
    "commands": SHARED | {"cli", "phases", "inference"},
    "__init__": set(),
    "phases": SHARED
    | {
        "__init__",
        "geometry",
        "preprocessing",
        "postprocessing",
        "measurement",
        "inference",
        "planning",
        "quality",
        "reporting",
        "io",
        "progress",
    },
}
LONGEST = {"src": 300, "bin": 60, "main.nf": 120, "modules": 60}
FORBIDDEN = {"utils", "helpers", "common", "misc", "core", "manager"}


def _module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def _imports(path: Path) -> set[str]:
    """Modules of the package that a module names, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "cellbatch"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if (node.module or "").split(".")[0] == "cellbatch":
                found.add(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=_module_name)
def test_imports_follow_the_rooms(path):
    own = _room(_module_name(path))
    outside = {_room(name) for name in _imports(path)} - {own}
    assert outside <= ALLOWED[own], f"{own} must not know {sorted(outside - ALLOWED[own])}"


@pytest.mark.parametrize("path", MODULES, ids=_module_name)
def test_an_import_names_a_module_and_not_a_part_of_a_package(path):
    """The launch follows `from package.module import name` by text, so a module must stand in that place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cellbatch"):
            folder = PACKAGE.parent / node.module.replace(".", "/")
            parts = {alias.name for alias in node.names if (folder / f"{alias.name}.py").exists()}
            assert not parts or not folder.is_dir(), f"{path}: write `from {node.module}.{parts.pop()} import …`"


@pytest.mark.parametrize("path", MODULES, ids=_module_name)
def test_the_launch_sees_every_import(path):
    """The pattern by which the launch finds imports, against Python's own parser."""
    launch = (ROOT / "subworkflows/local/launch/main.nf").read_text(encoding="utf-8")
    pattern = re.search(r"=~ /\(\?m\)(.+?)/\)", launch).group(1)
    seen = {found.rstrip(".") for found in re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)}
    assert seen == _imports(path)


@pytest.mark.parametrize("path", MODULES, ids=_module_name)
def test_a_module_reads_data_of_its_own_package_only(path):
    """The launch takes the JSON files of the packages that a phase imports from, so data lies beside who reads it."""
    anchors = set(re.findall(r"resources\.files\((.*?)\)", path.read_text(encoding="utf-8")))
    assert anchors <= {"__name__" if path.name == "__init__.py" else "__package__"}


def test_files_can_be_read_in_one_sitting():
    long = []
    for path in [*MODULES, *(ROOT / "bin").glob("*.py"), ROOT / "main.nf", *(ROOT / "modules").rglob("main.nf")]:
        place = path.relative_to(ROOT).parts[0]
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST[place]:
            long.append(f"{path.relative_to(ROOT)}: {lines}")
    assert long == []


def test_no_module_has_a_name_that_says_nothing():
    assert {path.stem for path in MODULES} & FORBIDDEN == set()


def _section(text: str, name: str) -> str:
    """Lines of a section of a process; empty where it has none."""
    found = re.search(rf"\n    {name}:\n(.*?)\n\n", text, re.DOTALL)
    return found.group(1) if found else ""


def _described(entries: dict | list | None) -> dict[str, dict]:
    """What a meta.yml describes, by name: of a list, of nf-core's lists of tuples, or of its outputs by name."""
    if isinstance(entries, dict):
        return entries
    groups = [entry if isinstance(entry, list) else [entry] for entry in entries or []]
    return {name: facts for group in groups for entry in group for name, facts in entry.items()}


@pytest.mark.parametrize("path", sorted((ROOT / "modules").rglob("main.nf")), ids=lambda path: path.parent.name)
def test_a_module_is_described_as_it_is(path):
    text = path.read_text(encoding="utf-8")
    meta = yaml.safe_load((path.parent / "meta.yml").read_text(encoding="utf-8"))
    assert meta["name"].upper() == re.search(r"^process (\w+) \{", text, re.MULTILINE).group(1)
    given = re.findall(r"\b(val|path|stdin)(?:(?: |\()(\w+)|\b)", _section(text, "input"))
    described = _described(meta["input"])
    assert list(described) == [name or "launch" for _, name in given]
    for (kind, _), facts in zip(given, described.values(), strict=True):
        assert (facts["type"] in ("file", "directory")) == (kind == "path")
    channels = re.findall(r"(?:emit|topic): (\w+)", _section(text, "output"))
    assert len(channels) == len(_section(text, "output").splitlines())
    assert sorted(_described(meta.get("output"))) == sorted(channels)


def test_every_process_has_a_script_a_phase_and_a_stub():
    for module in sorted((ROOT / "modules/local").iterdir()):
        text = (module / "main.nf").read_text(encoding="utf-8")
        assert f"process {module.name.upper()} {{" in text
        assert "\n    script:\n" in text
        assert "\n    stub:\n" in text
        assert f"{module.name}.py" in text
        assert (ROOT / "bin" / f"{module.name}.py").exists()
        assert (PACKAGE / "phases" / f"{module.name}.py").exists()
        assert (module / "meta.yml").exists()
