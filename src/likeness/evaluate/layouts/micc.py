"""MICC Florence: `subject_01/Model/frontal1/obj/*.obj`, and three kinds of clips of each subject.

Our own reading of the distributed folders; a flat `subject_01.obj` does as well. The set has no landmarks: the seven,
51 or 68 key points of each scan, found by whoever holds the set, lie beside the scan with its name, or as
`subject_01.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from likeness.errors import AssetError
from likeness.evaluate.layouts.pairs import files
from likeness.evaluate.meshes import POINT_SUFFIXES, SUFFIXES, find


@dataclass(frozen=True)
class Clip:
    """A clip to score.

    Attributes:
        subject: Person.
        frames: The predicted mesh, or one of each frame, in order.
        scan, landmarks: Files of the truth.
    """

    subject: str
    frames: tuple[Path, ...]
    scan: Path
    landmarks: Path


def scans(truth: Path) -> dict[str, Path]:
    """Subject -> its neutral frontal scan: `subject_01.obj`, or the first of `subject_01/Model/frontal*/obj/`.

    Raises:
        AssetError: There are none.
    """
    found: dict[str, Path] = {}
    below = files(truth, SUFFIXES)
    frontal = {name: path for name, path in below.items() if "frontal" in name.lower()}
    for name, path in (frontal | {n: p for n, p in below.items() if n not in frontal}).items():
        if path.suffix != ".npy":  # landmarks
            found.setdefault(name.split("/")[0], path)
    if not found:
        raise AssetError(f"{truth}: no scans; MICC has subject_01/Model/frontal1/obj/*.obj")
    return dict(sorted(found.items()))


def clips(predictions: Path, truth: Path) -> dict[str, Clip | AssetError]:
    """Item "subject/clip" -> what to score, or why there is nothing.

    A prediction is `subject_01/cooperative.obj`, one mesh for a clip, or `subject_01/cooperative/*.obj`, one a frame; a
    bare `subject_01.obj` is scored as item "subject_01".
    """
    predictions, items = Path(predictions), {}
    if not predictions.is_dir():
        raise AssetError(f"{predictions}: no such folder")
    for subject, scan in scans(truth).items():
        folder = predictions / subject
        names = sorted({path.stem if path.is_file() else path.name for path in _meshes_or_folders(folder)})
        if not names:
            items[subject] = _item(predictions, subject, subject, scan, Path(truth))
        for name in names:
            items[f"{subject}/{name}"] = _item(folder, name, subject, scan, Path(truth))
    return items


def _meshes_or_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() or path.suffix.lower() in SUFFIXES[:3]]


def _item(folder: Path, name: str, subject: str, scan: Path, truth: Path) -> Clip | AssetError:
    try:
        if (folder / name).is_dir():
            frames = tuple(files(folder / name, SUFFIXES[:3]).values())
            if not frames:
                return AssetError(f"{folder / name}: no meshes of frames")
        else:
            frames = (find(folder, name, SUFFIXES[:3]),)
        suffixes = tuple(s for s in POINT_SUFFIXES if s != scan.suffix)
        try:
            landmarks = find(scan.parent, scan.stem, suffixes)
        except AssetError:
            landmarks = find(truth, subject, suffixes)
    except AssetError as error:
        return error
    return Clip(subject, frames, scan, landmarks)
