"""True regions in folders: REALY's own, and a plainer one.

REALY's: `REALY_scan_region/ID/nose.obj` (mouth, forehead, cheek), `REALY_HIFI3D_keypoints/ID.obj` (85 vertices, of which
the first 68 are Multi-PIE's), and `metrical_scale.txt`, whose row ID - 1 has the millimetres of a unit. Predictions are
`ID.obj`, or `ID_VIEW.obj` where a person has several pictures. Plainer: `NAME/nose.obj` and so on with 68 points in
`NAME.txt`, or a whole mesh `NAME.obj` of our own topology.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.errors import AssetError
from likeness.evaluate.layouts.pairs import files
from likeness.evaluate.meshes import POINT_SUFFIXES, SUFFIXES, find

SCANS, POINTS, SCALE = "REALY_scan_region", "REALY_HIFI3D_keypoints", "metrical_scale.txt"


@dataclass(frozen=True)
class Subject:
    """The truth of an item.

    Attributes:
        whole: A mesh of our own topology, or None where `regions` has files.
        regions: Name of a region -> its mesh.
        points: File of the key points; None for `whole`, which has its own.
        scale: Millimetres in a unit of the files, where the set itself says so; else None.
        prediction: Stem of the prediction's file.
        person: Who it is.
    """

    whole: Path | None
    regions: dict[str, Path]
    points: Path | None
    scale: float | None
    prediction: str
    person: str


def subjects(truth: Path, predictions: Path, names: Sequence[str]) -> dict[str, Subject | AssetError]:
    """Item -> its truth, or why it has none.

    Args:
        truth: Folder of the truth.
        predictions: Folder of the predictions, which says how many pictures REALY's people have.
        names: Regions that are looked for.

    Raises:
        AssetError: There is no truth.
    """
    truth, predictions = Path(truth), Path(predictions)
    if not truth.is_dir():
        raise AssetError(f"{truth}: no such folder")
    found = _public(truth, predictions, names) if (truth / SCANS).is_dir() else _plain(truth, names)
    if not found:
        raise AssetError(f"{truth}: no truth: neither meshes nor folders with {', '.join(names)}")
    return found


def _regions(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    found = {}
    for name in names:
        try:
            found[name] = find(folder, name)
        except AssetError:
            continue
    return found


def _plain(truth: Path, names: Sequence[str]) -> dict[str, Subject | AssetError]:
    found: dict[str, Subject | AssetError] = {}
    for entry in sorted(truth.iterdir()):
        regions = _regions(entry, names) if entry.is_dir() else {}
        if regions:
            try:
                points = find(truth, entry.name, POINT_SUFFIXES)
            except AssetError as error:
                found[entry.name] = error
                continue
            found[entry.name] = Subject(None, regions, points, None, entry.name, entry.name)
        elif entry.suffix.lower() in SUFFIXES[:3]:
            found.setdefault(entry.stem, Subject(entry, {}, None, None, entry.stem, entry.stem))
    return found


def _public(truth: Path, predictions: Path, names: Sequence[str]) -> dict[str, Subject | AssetError]:
    scales = _scales(truth / SCALE)
    stems = list(files(predictions, SUFFIXES[:3]))
    found: dict[str, Subject | AssetError] = {}
    people = sorted(
        (entry for entry in (truth / SCANS).iterdir() if entry.is_dir()), key=lambda e: (len(e.name), e.name)
    )
    for entry in people:
        for stem in [stem for stem in stems if stem.split("_")[0] == entry.name] or [entry.name]:
            try:
                points = find(truth / POINTS, entry.name, (".obj", *POINT_SUFFIXES))
                scale = scales[int(entry.name) - 1] if scales is not None else None
            except AssetError as error:
                found[stem] = error
            except (ValueError, IndexError):
                found[stem] = AssetError(f"{truth / SCALE}: no row for {entry.name}")
            else:
                found[stem] = Subject(None, _regions(entry, names), points, scale, stem, entry.name)
    return found


def _scales(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return np.loadtxt(path, ndmin=1)
    except ValueError as error:
        raise AssetError(f"{path}: no list of numbers: {error}") from None
