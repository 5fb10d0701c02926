"""Errors that a user may see: one line each, with what was seen and what to do, and an exit code of its own.

The command line ends with 0 when everything went well, with the code below of what went wrong, with `PARTIAL` when of
several photos some failed or failed for different reasons, and with `INTERRUPTED` after Ctrl-C.
"""

PARTIAL = 7
"""Exit code: of several photos some failed, or all failed for different reasons; summary.json says which and why."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class LikenessError(Exception):
    """Base of all errors that are reported without a traceback. Exit code 1."""

    exit_code = 1


class UsageError(LikenessError):
    """A command or a call was given something that it does not take."""

    exit_code = 2


class PhotoError(LikenessError):
    """A photo is missing, is no picture, is damaged, or has a size that cannot be used."""

    exit_code = 3


class NoFaceError(LikenessError):
    """No face was found in a photo."""

    exit_code = 4


class OutputError(LikenessError):
    """A result could not be written."""

    exit_code = 5


class AssetError(LikenessError):
    """A model, weight or data file is missing, damaged, or of another layout."""

    exit_code = 6


def one_line(cause: object) -> str:
    """What an exception says, or a text, on one line; the exception's kind where it says nothing."""
    return " ".join(str(cause).split()) or type(cause).__name__
