"""The errors that a user meets, and the exit code of each."""

EXIT_BUG = 1


class CellbatchError(Exception):
    """Root of all errors whose message is meant for a user."""

    exit_code = EXIT_BUG


class ConfigError(CellbatchError):
    """Wrong use: a parameter, the plan, memory, or a device that is not there."""

    exit_code = 64


class InputError(CellbatchError, ValueError):
    """Bad input: an image, the samplesheet, a channel or a model file."""

    exit_code = 65


class EngineError(CellbatchError):
    """A fault that may pass when the task is tried again: GPU memory, network."""

    exit_code = 75
