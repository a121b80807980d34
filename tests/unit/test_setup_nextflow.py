"""setup/install_nextflow.py: which Nextflow and which Java it takes, and what it refuses."""

import hashlib
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import PROJECT


@pytest.fixture(scope="module")
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_nextflow", PROJECT / "setup/install_nextflow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_command(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def nextflow_that_says(version: str) -> str:
    return f"echo; echo '      N E X T F L O W'; echo '      version {version} build 5944'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n      N E X T F L O W\n      version 25.04.0 build 5944\n", (25, 4)),
        ("nextflow version 26.10.1.6012\n", (26, 10)),
        ("Java is missing", None),
        ("", None),
    ],
)
def test_nextflow_version_is_read(installer: ModuleType, text: str, expected: tuple[int, int] | None) -> None:
    assert installer.parse_nextflow_version(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('java version "1.8.0_401"', 8),
        ("command not found", None),
    ],
)
def test_java_major_is_read(installer: ModuleType, text: str, expected: int | None) -> None:
    assert installer.parse_java_major(text) == expected


def test_java_that_is_too_old_is_passed_over(installer: ModuleType, tmp_path: Path) -> None:
    write_command(tmp_path / "old/bin/java", """echo 'openjdk version "11.0.2"' >&2""")
    new = write_command(tmp_path / "new/java", """echo 'openjdk version "17.0.2"' >&2""")
    env = {"JAVA_HOME": str(tmp_path / "old"), "PATH": str(tmp_path / "new")}
    assert installer.find_java(env) == new


@pytest.mark.parametrize("version", ["11.0.2", "16", "25.0.1"])
def test_only_a_tested_java_is_taken(installer: ModuleType, tmp_path: Path, version: str) -> None:
    write_command(tmp_path / "java", f"""echo 'openjdk version "{version}"' >&2""")
    assert installer.find_java({"PATH": str(tmp_path)}) is None


def test_the_environments_own_launcher_is_not_taken_for_one_on_the_path(installer: ModuleType, tmp_path: Path) -> None:
    write_command(tmp_path / "venv/bin/nextflow", "exit 0")
    other = write_command(tmp_path / "other/nextflow", "exit 0")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/nextflow").write_text("not executable")
    folders = ["venv/bin", "plain", "absent", "other"]
    env = {"PATH": ":".join(str(tmp_path / folder) for folder in folders)}
    assert list(installer.nextflows_on_path(env, tmp_path / "venv")) == [other]


@pytest.mark.parametrize(("version", "taken"), [("25.04.0", True), ("26.10.3", True), ("24.10.5", False)])
def test_a_launcher_is_placed_only_when_it_is_new_enough(
    installer: ModuleType, tmp_path: Path, version: str, taken: bool
) -> None:
    (tmp_path / "bin").mkdir()
    script = f"#!/bin/sh\n{nextflow_that_says(version)}\n"
    assert installer.place_launcher(tmp_path, script, 30) is taken
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == (["nextflow"] if taken else [])


def test_a_launcher_that_fails_leaves_the_earlier_one(installer: ModuleType, tmp_path: Path) -> None:
    earlier = write_command(tmp_path / "bin/nextflow", nextflow_that_says("25.04.0"))
    before = earlier.read_bytes()
    assert not installer.place_launcher(tmp_path, "#!/bin/sh\necho 'version 25.04.0 '; exit 1\n", 30)
    assert earlier.read_bytes() == before


def test_forwarding_keeps_arguments_and_the_users_settings(installer: ModuleType, tmp_path: Path) -> None:
    target = write_command(tmp_path / "a folder/nextflow", 'echo "$NXF_HOME|$1|$2"')
    script = installer.forwarding_script(target, {"NXF_HOME": "/default home"})
    forward = tmp_path / "nextflow"
    forward.write_text(script)

    def start(env: dict[str, str]) -> str:
        command = ["bash", str(forward), "a b", "*"]
        return subprocess.run(command, env=env, check=True, text=True, capture_output=True).stdout

    assert start({"PATH": "/usr/bin:/bin"}) == "/default home|a b|*\n"
    assert start({"PATH": "/usr/bin:/bin", "NXF_HOME": "/mine"}) == "/mine|a b|*\n"


def test_engine_launcher_works_below_a_path_with_spaces_and_through_a_link(
    installer: ModuleType, tmp_path: Path
) -> None:
    java = write_command(
        tmp_path / "java", 'for word in "$@"; do echo "$word"; done; echo "$NXF_HOME"; echo "$NXF_CLI"'
    )
    venv = tmp_path / "a project/.venv"
    template = (installer.SETUP / "nextflow_launcher.sh.in").read_text(encoding="utf-8")
    launcher = write_command(venv / "bin/nextflow", "")
    launcher.write_text(template.replace("@JAVA@", str(java)), encoding="utf-8")
    link = tmp_path / "nextflow"
    link.symlink_to(launcher)
    done = subprocess.run(
        [str(link), "run", "main.nf", "--x", "a b"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        check=True,
        text=True,
        capture_output=True,
    )
    words = done.stdout.splitlines()
    start = words.index("-cp")
    assert words[start + 1 : -2] == [
        f"{venv}/share/nextflow/lib/*",
        "nextflow.cli.Launcher",
        "run",
        "main.nf",
        "--x",
        "a b",
    ]
    assert words[-2:] == [f"{venv}/share/nextflow/home", "nextflow run main.nf --x a\\ b"]
    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in words


def test_a_changed_a_missing_and_an_unexpected_jar_are_named(installer: ModuleType, tmp_path: Path) -> None:
    for name in ("same-1.jar", "changed-1.jar", "extra-1.jar"):
        (tmp_path / name).write_bytes(b"bytes")
    checksum = hashlib.sha256(b"bytes").hexdigest()
    jar_list = tmp_path / "jars.txt"
    jar_list.write_text(f"# why\n{checksum}  g:same:1\n{'0' * 64}  g:changed:1\n{checksum}  g:missing:1\n")
    expected = installer.read_jar_list(jar_list)
    assert installer.differing_jars(tmp_path, expected) == ["changed-1.jar", "extra-1.jar", "missing-1.jar"]


def test_jar_list_holds_the_engine_of_the_pom(installer: ModuleType) -> None:
    jars = installer.read_jar_list(installer.JAR_LIST)
    assert f"nextflow-{installer.TESTED_NEXTFLOW}.jar" in jars
    assert f"<version>{installer.TESTED_NEXTFLOW}</version>" in (installer.SETUP / "pom.xml").read_text()
    assert len(jars) == 57
    assert not [name for name in jars if name.startswith("lib-trace")]


def test_when_every_way_fails_one_message_says_what_to_install(
    installer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer, "find_java", lambda env: None)
    monkeypatch.setattr(installer, "install_java", lambda venv: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(installer.SetupError, match=r"(?s)Nextflow >= 25\.04 on the PATH.*Java 17 to 24 and Maven"):
        installer.install(tmp_path)
