"""The errors that a user meets, and the exit code of each."""

import errno

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


# what the system refuses, by what a user can do about it
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
_LIMITS = (errno.EFBIG, errno.EMFILE, errno.ENFILE)
_PASSING = (
    errno.EIO,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.EBUSY,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.ECONNRESET,
    errno.EREMOTEIO,
)


def explain_system_error(error: OSError) -> CellbatchError | None:
    """Say what a refusal of the operating system means for a user.

    Parameters
    ----------
    error : as Python raised it; the file is named where the error names one

    Returns
    -------
    CellbatchError or None
        ``EngineError`` (75) for a full disk, a used-up quota and faults of disk or network; ``InputError`` (65) for a
        file that is not there (any more); ``ConfigError`` (64) for one that may not be read or written and for limits
        of the system; None for what no user can mend

    Examples
    --------
    >>> str(explain_system_error(OSError(28, "No space left on device", "a.zip"))).split(";")[0]
    'a.zip: the disk is full (No space left on device)'
    """
    where = f"{error.filename}: " if error.filename else "a file that the system does not name: "
    said = error.strerror or str(error)
    if error.errno in _FULL:
        remedy = "free some disk, or give the task more, and run again with -resume"
        return EngineError(f"{where}the disk is full ({said}); {remedy}")
    if error.errno in _FORBIDDEN:
        remedy = "correct the rights of the file and of its folder, or choose another place"
        return ConfigError(f"{where}may not be read or written ({said}); {remedy}")
    if error.errno in _ABSENT:
        return InputError(f"{where}is not there, or no longer ({said}); bring it back and run again with -resume")
    if error.errno in _LIMITS:
        return ConfigError(f"{where}is beyond a limit of this system ({said}); raise it (ulimit -a lists them)")
    if error.errno in _PASSING:
        return EngineError(f"{where}the disk or the network failed ({said}); look at them and run again with -resume")
    return None


def let_pass(name: str, error: Exception) -> None:
    """Raise a fault of disk or network again: it must not be told as damage of the file.

    Raises
    ------
    OSError
        if it is one; it names the file
    """
    if isinstance(error, OSError) and isinstance(explain_system_error(error), EngineError):
        error.filename = name
        raise error


class NeedsMoreMemory(EngineError):
    """A task that could go on, but not within the memory that it was promised; it is repeated with more."""
