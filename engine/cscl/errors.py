"""Errors of the engine: each message is a sentence that says what, where and what to do.

Every leaf also inherits the builtin a caller would expect. None inherits RuntimeError: torch raises that for
its own reasons (out of memory is one), and catching ours must never swallow those.
"""

__all__ = [
    "CSCLError",
    "GridError",
    "InputError",
    "MemoryLimitError",
    "MissingError",
    "OutputError",
    "UnknownNameError",
]


class CSCLError(Exception):
    """Base of every error that the engine raises for a user's mistake or a missing resource."""


class InputError(CSCLError, ValueError):
    """What was given cannot be used: a bad value, an unreadable or unsuitable file, an impossible combination."""


class GridError(InputError):
    """Two rasters, or a raster and parcels, do not share a place on earth."""


class MissingError(CSCLError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class MemoryLimitError(CSCLError, MemoryError):
    """The memory of the device does not hold what was asked for.

    Parameters
    ----------
    message : str
        What does not fit, and the setting that does.
    batch : int
        Largest batch that was found to fit in training; 0 if none is known.
    setting : str
        Setting of the recipe that the batch is.
    """

    def __init__(self, message: str, batch: int = 0, setting: str = "") -> None:
        super().__init__(message)
        self.batch, self.setting = batch, setting


class OutputError(CSCLError, OSError):
    """A result cannot be written: the place exists already, is not writable, or the disk is full."""


class UnknownNameError(CSCLError, LookupError):
    """A name (of a model, a loss, a band, a column, a setting) that is not known; the message offers the nearest."""
