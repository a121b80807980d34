"""The door of the command ``cellbatch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cellbatch.cli import Parser, run
from cellbatch.commands.segment import add_segment, run_segment


def main(arguments: Sequence[str] | None = None) -> int:
    """Understand the command line, do what it says, and give the exit code.

    Parameters
    ----------
    arguments : without the program's name; None = the process's own
    """
    parser = Parser("DeepCell segmentation of one image; `nextflow run main.nf` does many.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    segment = commands.add_parser("segment", description="Segment one image, or a folder or zip of images.")
    add_segment(segment)
    options = parser.parse_args(arguments)
    return run(lambda: run_segment(options))


if __name__ == "__main__":
    sys.exit(main())
