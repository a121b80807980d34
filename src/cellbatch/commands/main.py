"""The door of the command ``cellbatch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cellbatch.cli import Parser, run
from cellbatch.commands.segment import add_segment, run_preview, run_segment


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
    preview = commands.add_parser(
        "preview", description="Show crops of one image under a grid of parameters, each cell with its params file."
    )
    add_segment(preview)
    options = parser.parse_args(arguments)
    task = {"segment": run_segment, "preview": run_preview}[options.command]
    return run(lambda: task(options))


if __name__ == "__main__":
    sys.exit(main())
