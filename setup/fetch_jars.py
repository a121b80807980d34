"""Fetch the locked jars with jgo, a Maven client written in Python; run where ``mvn`` is missing."""

import shutil
import sys
from pathlib import Path

from jgo.maven import MavenContext


def main(jar_list: str, target: str) -> None:
    """Copy every ``group:artifact:version`` of a jar list into a folder."""
    repository = MavenContext()
    for line in Path(jar_list).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        group, artifact, version = line.split()[1].split(":")
        jar = repository.project(group, artifact).at_version(version).artifact().resolve()
        shutil.copy2(jar, Path(target) / f"{artifact}-{version}.jar")


if __name__ == "__main__":
    main(*sys.argv[1:])
