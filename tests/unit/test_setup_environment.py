"""Set-up: the choice of Python, the lock files, and the list of make targets."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import PROJECT

REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)")


def normal_name(requirement: str) -> str:
    found = REQUIREMENT.match(requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[1]).lower()


def locked(name: str) -> dict[str, set[str]]:
    """Read package → versions of a lock file."""
    versions: dict[str, set[str]] = {}
    for line in (PROJECT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        found = re.match(r"([a-z0-9.-]+)==([^ ]+)", line)
        if found:
            versions.setdefault(found[1], set()).add(found[2])
    return versions


def create_venv(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(PROJECT / "setup/create_venv.sh"), "venv"]
    return subprocess.run(command, cwd=tmp_path, env=env, check=False, text=True, capture_output=True)


def fake_python(path: Path, version: int, *, ensurepip: bool = True) -> Path:
    body = f'case "$2" in *version_info*) echo {version};; *ensurepip*) exit {0 if ensurepip else 1};; esac'
    path.write_text(
        f'#!/bin/sh\n{body}\n[ "$2" = venv ] && mkdir -p "$4/bin" && echo {path.name} > "$4/made_by"\nexit 0\n'
    )
    path.chmod(0o755)
    return path


def shell_path(tmp_path: Path) -> str:
    """A PATH with the shell's tools but no Python."""
    folder = tmp_path / "tools"
    folder.mkdir(exist_ok=True)
    for tool in ("bash", "cat", "mkdir", "sh"):
        if not (folder / tool).exists():
            (folder / tool).symlink_to(f"/bin/{tool}")
    return str(folder)


def test_no_python_gives_one_message(tmp_path: Path) -> None:
    done = create_venv(tmp_path, PATH=shell_path(tmp_path))
    assert done.returncode == 64
    assert "cellbatch needs Python 3.11 or newer" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_old_python_is_refused_by_its_version(tmp_path: Path) -> None:
    old = fake_python(tmp_path / "python3.9", 309)
    done = create_venv(tmp_path, PATH=shell_path(tmp_path), PYTHON=str(old))
    assert done.returncode == 64
    assert f"Found: {old} = 309" in done.stderr


def test_python_without_ensurepip_is_refused(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "python3", 311, ensurepip=False)
    done = create_venv(tmp_path, PATH=shell_path(tmp_path), PYTHON=str(python))
    assert done.returncode == 64
    assert "apt-get install python3-venv" in done.stderr


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        ({"python3": 310, "python3.12": 312}, "python3.12"),
        ({"python3": 314, "python3.11": 311}, "python3.11"),
        ({"python3": 314}, "python3"),
        ({"python3": 313, "python3.11": 311}, "python3"),
    ],
)
def test_a_tested_python_is_preferred(tmp_path: Path, present: dict[str, int], chosen: str) -> None:
    for name, version in present.items():
        fake_python(Path(shell_path(tmp_path)) / name, version)
    done = create_venv(tmp_path, PATH=shell_path(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "venv/made_by").read_text().strip() == chosen
    assert (tmp_path / "venv/.place").read_text().strip() == os.fspath(tmp_path)


def test_every_dependency_is_locked_with_hashes() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {normal_name(requirement) for requirement in project["project"]["dependencies"]}
    wanted |= {normal_name(requirement) for requirement in project["build-system"]["requires"]}
    assert wanted <= locked("base.txt").keys()
    for lock in (PROJECT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert len(re.findall(r"^\S+==.* \\\n    --hash=sha256:", text, re.MULTILINE)) == len(
            re.findall(r"^[a-zA-Z0-9]", text, re.MULTILINE)
        )
        assert "://" not in text


def test_base_holds_no_tensorflow_and_agrees_with_the_test_lock() -> None:
    base, test = locked("base.txt"), locked("test.txt")
    assert not [name for name in base if "tensorflow" in name or name == "keras"]
    assert {name: test.get(name) for name in base} == base


def test_tasks_have_the_same_versions_without_what_the_report_needs() -> None:
    base, tasks = locked("base.txt"), locked("tasks.txt")
    assert tasks == {name: base[name] for name in tasks}
    assert {"multiqc", "polars", "plotly", "scikit-image"} <= base.keys() - tasks.keys()
    for name in ("gpu.txt", "model.txt"):
        shared = locked(name).keys() & tasks.keys()
        assert {package: locked(name)[package] for package in shared} == {package: tasks[package] for package in shared}


def imported(script: Path) -> set[str]:
    """Packages that a script may import or start, at the top of a file or in a function, its modules followed."""
    pending, seen, found = [script], set(), set()
    while pending:
        path = pending.pop()
        seen.add(path)
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'"-m", "(\w+)"', text))
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found |= {name.partition(".")[0] for name in names} - {"cellbatch"}
            files = [PROJECT / "src" / f"{name.replace('.', '/')}.py" for name in names if name.startswith("cellbatch")]
            pending += [file for file in files if file.is_file() and file not in seen]
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("script", sorted((PROJECT / "bin").glob("*.py")), ids=lambda script: script.stem)
def test_the_images_of_tasks_hold_what_their_scripts_import(script: Path) -> None:
    packages = {"PIL": "pillow", "google": "protobuf", "skimage": "scikit-image", "yaml": "pyyaml"}
    wanted = {packages.get(name, name) for name in imported(script)}
    # on demand, with a message of its own where it is not there
    wanted -= {"bioio", "bioio_base", "onnx", "pynvml", "tensorflow", "tf2onnx"}
    is_report = script.stem == "report_run"
    assert wanted <= locked("base.txt" if is_report else "tasks.txt").keys()
    assert ("multiqc" in wanted) == is_report
    assert "numpy" in wanted or script.stem == "check_run"


def test_build_requirements_are_the_ones_that_are_locked() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = (PROJECT / "requirements/build.in").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == project["build-system"]["requires"]


def test_make_has_at_most_ten_targets_and_each_says_what_it_does() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    targets = [name for name in phony[1].split() if name != "force"]
    assert len(targets) <= 10
    assert [name for name in targets if not re.search(rf"^{name}:.*## \S", makefile, re.MULTILINE)] == []
