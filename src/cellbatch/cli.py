"""The door of every script: one log handler, and the exit code that an error stands for."""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from cellbatch import __version__
from cellbatch.errors import EXIT_BUG, CellbatchError, ConfigError, EngineError, explain_system_error

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Parser(argparse.ArgumentParser):
    """Command line of a script: full option names only, ``--version``, and exit code 64 for wrong use."""

    def __init__(self, description: str | None = None, **settings: Any) -> None:
        super().__init__(**{"description": description, "allow_abbrev": False, **settings})
        self.add_argument("--version", action="version", version=__version__)

    def add_options(self, names: Sequence[str], kind: Callable[[str], object], *, required: bool = False) -> None:
        """Add several options of one type, ``None`` where not given."""
        for name in names:
            self.add_argument(f"--{name}", type=kind, required=required)

    def error(self, message: str) -> None:  # type: ignore[override]
        """Leave with the code for wrong use, which is not argparse's own."""
        self.print_usage(sys.stderr)
        self.exit(ConfigError.exit_code, f"ERROR: {message}\n")


def run(task: Callable[[], object], *, level: str = "INFO") -> int:
    """Run one task and turn its outcome into an exit code.

    Parameters
    ----------
    task : callable without arguments
    level : name of the lowest log level shown on stderr

    Returns
    -------
    int
        0 done, 64 wrong use, 65 bad input, 75 may be retried, 1 our bug (with traceback).
    """
    logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr, force=True)
    try:
        task()
    except CellbatchError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return error.exit_code
    except MemoryError:
        sys.stderr.write("ERROR: out of memory; the task can be tried again with more\n")
        return EngineError.exit_code
    except Exception as error:
        meant = explain_system_error(error) if isinstance(error, OSError) else None
        # the last door: whatever else arrives here is a bug of ours and is shown whole
        sys.stderr.write(f"ERROR: {meant}\n" if meant else traceback.format_exc())
        return meant.exit_code if meant else EXIT_BUG
    return 0
