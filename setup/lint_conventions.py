"""Run nf-core's checks of a pipeline, without the ones for modules, which clone a repository from the network.

``bash setup/lint_conventions.sh`` calls it in an environment of its own. Waived checks stand in ``.nf-core.yml``.
"""

from __future__ import annotations

import sys

from nf_core.pipelines.lint import PipelineLint


def main() -> int:
    """Print what failed; 1 if anything did."""
    lint = PipelineLint(".")
    lint._load()
    lint._load_lint_config()
    lint._lint_pipeline()
    for name, message in lint.failed:
        sys.stdout.write(f"FAILED {name}: {message}\n")
    sys.stdout.write(f"nf-core: {len(lint.passed)} passed, {len(lint.ignored)} waived, {len(lint.failed)} failed\n")
    return 1 if lint.failed or not lint.passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
