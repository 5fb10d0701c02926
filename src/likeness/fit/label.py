"""Targets for a regressor: every photo of a folder fitted to its dense landmarks, kept in one archive per folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from likeness.assets.correspondence import COUNT, IRISES
from likeness.data.folder import splits
from likeness.errors import AssetError
from likeness.fit.bases import LandmarkBases
from likeness.fit.landmarks import FitConfig, LandmarkFit, fit

LARGEST_ERROR = 0.03
"""Fits worse than this share of the outer-eye distance are not ok: the landmarks do not show one face. Ours."""
FIELDS = (
    "name", "identity", "expression", "rotation", "translation", "focal", "principal", "size", "error", "trusts", "ok", "split",
)  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """What happened to a folder's photos.

    Attributes:
        new, known: Photos fitted now, and those found fitted in the archive.
        skipped: Name and reason of each photo without a fit.
    """

    new: int
    known: int
    skipped: list[tuple[str, str]]


def label(
    folder: Path, output: Path, bases: LandmarkBases, config: FitConfig, batch: int = 64,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Labelled:
    """Fit all photos of a folder and write `output`; photos already in it are left as they are.

    Args:
        folder: Photos; beside it lies `<folder>.landmarks478.npz` with `name` (n,) and `points` (n, 478, 3).
        output: Archive with the arrays of `FIELDS`: codes, camera in pixels of the stored photo, `size` (n, 2) height and
            width, `error` (n,) mean distance of landmark and fit over the 3D distance of the outer eye corners, `trusts`
            (n, 478) float16, `ok` (n,) bool and `split` (n,).
        progress: Called with the number of photos done and to do.

    Raises:
        AssetError: When the landmarks are missing or of another layout.
    """
    names, points, absent = _landmarks(folder)
    skipped = [(name, "no face was found by the landmark detector") for name in absent]
    rows, old = _load(output)
    known = set(old)
    todo = [i for i, name in enumerate(names) if name not in known]
    wrong = [i for i in todo if not np.isfinite(points[i]).all() or not (folder / names[i]).is_file()]
    skipped += [(names[i], "the photo is missing or its landmarks are not finite") for i in wrong]
    todo = [i for i in todo if i not in set(wrong)]
    of_split = dict(zip(names, splits(folder, names, folder.name)))
    for start in range(0, len(todo), batch):
        chosen = todo[start : start + batch]
        fits = fit(bases, torch.as_tensor(points[chosen]), config)
        rows.append(_rows(folder, [names[i] for i in chosen], points[chosen], fits, of_split))
        progress(start + len(chosen), len(todo))
        if start + batch >= len(todo) or (start // batch) % 8 == 7:
            _save(output, rows)
    return Labelled(len(todo), len(old), skipped)


def _landmarks(folder: Path) -> tuple[list[str], np.ndarray, list[str]]:
    path = folder.with_name(folder.name + ".landmarks478.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            names, points = [str(n) for n in file["name"]], file["points"].astype(np.float32)
            absent = [str(n) for n in file["not_found"]] if "not_found" in file.files else []
    except (OSError, KeyError, ValueError) as error:
        raise AssetError(f"{path}: no archive of dense landmarks ({error}); it must lie beside the folder of photos") from None
    if points.shape[1:] != (COUNT, 3):
        raise AssetError(f"{path} has points of shape {points.shape}; (n, {COUNT}, 3) is needed")
    return names, points, absent


def _rows(folder: Path, names: Sequence[str], points: np.ndarray, fits: LandmarkFit, of_split: dict) -> dict[str, np.ndarray]:
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    error = np.linalg.norm(fits.points.numpy() - points[..., :2], axis=-1)[:, : IRISES.start].mean(1) / eyes
    sizes = [Image.open(folder / name).size[::-1] for name in names]
    result = {key: getattr(fits, key).numpy().astype(np.float32) for key in FIELDS[1:7]}
    return result | {
        "name": np.array(names), "size": np.array(sizes, np.int32), "error": error.astype(np.float32),
        "trusts": fits.trusts.numpy().astype(np.float16), "ok": error < LARGEST_ERROR,
        "split": np.array([of_split[name] for name in names]),
    }  # fmt: skip


def _load(path: Path) -> tuple[list[dict[str, np.ndarray]], list[str]]:
    if not path.exists():
        return [], []
    try:
        with np.load(path, allow_pickle=False) as file:
            rows = {key: file[key] for key in FIELDS}
    except (OSError, KeyError, ValueError) as error:
        raise AssetError(f"{path}: not an archive of targets ({error}); remove it to start afresh") from None
    return [rows], [str(name) for name in rows["name"]]


def _save(path: Path, rows: list[dict[str, np.ndarray]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part.npz")
    np.savez(beside, **{key: np.concatenate([row[key] for row in rows]) for key in FIELDS})
    beside.replace(path)
