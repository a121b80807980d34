"""The door of the command ``cellbatch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cellbatch.cli import Parser, run
from cellbatch.commands.samplesheet import add_samplesheet, run_samplesheet
from cellbatch.commands.segment import add_segment, run_preview, run_segment

# what it does, its options, and who does it
COMMANDS = {
    "samplesheet": (
        "Write a samplesheet for a folder of images, and say what it leaves open.",
        add_samplesheet,
        run_samplesheet,
    ),
    "segment": ("Segment one image, or a folder or zip of images.", add_segment, run_segment),
    "preview": (
        "Show crops of one image under a grid of parameters, each cell with its params file.",
        add_segment,
        run_preview,
    ),
}


def make_parser() -> Parser:
    """Make the parser of all commands."""
    parser = Parser("DeepCell segmentation of one image; `nextflow run main.nf` does many.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for name, (text, add_options, _) in COMMANDS.items():
        add_options(commands.add_parser(name, description=text, help=text))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Understand the command line, do what it says, and give the exit code.

    Parameters
    ----------
    arguments : without the program's name; None = the process's own
    """
    options = make_parser().parse_args(arguments)
    task = COMMANDS[options.command][2]
    return run(lambda: task(options))


if __name__ == "__main__":
    sys.exit(main())
