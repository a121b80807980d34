"""The profile gcb keeps every resource setting on both syntax parsers: its resolved configuration against a stored one.

python tests/pipeline/gcb_config.py          compare
python tests/pipeline/gcb_config.py --write  store anew
"""

import os
import re
import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden"
KEPT = re.compile(
    r"^(google\.|workDir|params\.(container|device|place|phases|gcp_)|process\.(?!'withName)(?!.*publishDir)"
    r"|process\.'withName:[\w|]+'\.(container|cpus|accelerator|maxForks)\b)"
)


def resolve(parser: str) -> list[str]:
    """Sorted lines of ``nextflow config -flat`` on places and resources, as one syntax parser sees them."""
    environment = {**os.environ, "NXF_SYNTAX_PARSER": parser, "NXF_PLUGINS_DEFAULT": "false", "NXF_ANSI_LOG": "false"}
    command = ["nextflow", "config", "-flat", "-profile", "gcb", "."]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode:
        raise SystemExit(f"{parser}: {result.stdout}{result.stderr}")
    return sorted(line for line in result.stdout.splitlines() if KEPT.match(line))


def main() -> None:
    """Compare both parsers' views with the stored ones."""
    for parser in ("v1", "v2"):
        found, path = resolve(parser), GOLDEN / f"gcb_config.{parser}.txt"
        if "--write" in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(found) + "\n", encoding="utf-8")
        stored = path.read_text(encoding="utf-8").splitlines()
        changed = sorted(set(found) ^ set(stored))
        if changed:
            raise SystemExit(f"{parser}: differs from {path.name}:\n" + "\n".join(changed))
        print(f"ok: {parser}, {len(found)} settings")


if __name__ == "__main__":
    main()
