"""Results appear under their final names complete or not at all: they are written beside and renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from likeness.errors import OutputError

_REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EFBIG: "the file is too large for this disk",
}


def write_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it, so that nobody sees half of it. Missing folders are made.

    Raises:
        OutputError: When it cannot be written; what was there before stays.
    """
    path = Path(path)
    beside = path.parent / _temporary_name()
    with _reported(path), _made(path.parent):
        try:
            with beside.open("xb") as file:
                file.write(data)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def check_writable(parent: Path) -> None:
    """Refuse a folder that nothing can be written to, once and before any work is done for it.

    Raises:
        OutputError: When it cannot be made or written to.
    """
    with folders(parent, ()):
        pass


@contextmanager
def folders(parent: Path, known: Iterable[str]) -> Iterator[Path]:
    """Build folders of results that appear in `parent` together when the block ends well; else nothing is left behind.

    Whatever the block puts into the temporary folder is moved up into `parent`. A folder that is there already keeps
    the files that are not ours: only those called as in `known` are replaced or, if not written anew, removed.

    Args:
        parent: Is made where it is missing.
        known: Names of files that belong to a result.

    Yields:
        The temporary folder, on the same disk; make the folders of results inside it.

    Raises:
        OutputError: When something cannot be written.
    """
    parent = Path(parent)
    with _reported(parent), _made(parent):
        temporary = parent / _temporary_name()
        try:
            temporary.mkdir()
            yield temporary
            for source in sorted(temporary.iterdir()):
                _publish(source, parent / source.name, known)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_results(folder: Path, known: Iterable[str]) -> None:
    """Remove the files of a result from a folder, and the folder where nothing else is in it.

    Raises:
        OutputError: When that is not possible.
    """
    with _reported(folder):
        for name in known:
            (folder / name).unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


def _publish(source: Path, target: Path, known: Iterable[str]) -> None:
    """Move a finished folder to its place, or its files into the folder that is there."""
    if not target.exists():
        source.rename(target)
        return
    written = {file.name for file in source.iterdir()}
    for name in written:
        (source / name).replace(target / name)
    for name in set(known) - written:
        (target / name).unlink(missing_ok=True)


def _temporary_name() -> str:
    return f".likeness-{os.getpid()}-{secrets.token_hex(4)}.part"


@contextmanager
def _made(parent: Path) -> Iterator[None]:
    """Make missing folders; those that nothing came into go again."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in missing:
            try:
                folder.rmdir()
            except OSError:
                break


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Turn the system's errors into one line for the user."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno) or error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({reason}); choose another place or make room") from None
