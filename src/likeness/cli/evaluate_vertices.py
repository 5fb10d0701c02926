"""`likeness evaluate bu3dfe | distinctiveness | expression`: meshes whose vertices correspond."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from likeness.cli.protocols import Folders, finish, need
from likeness.errors import AssetError
from likeness.evaluate import keypoints, meshes, scans
from likeness.evaluate.landmarks import OUTER_EYES_68
from likeness.evaluate.layouts.pairs import pairs
from likeness.evaluate.neutral import expression_deformation
from likeness.evaluate.registered import interocular_error, registered_error
from likeness.evaluate.scores import Measured, collect


@dataclass(frozen=True)
class EvaluateBu3dfe(Folders):
    """BU-3DFE: per-vertex RMSE in mm after alignment with scale, along a given correspondence."""

    correspondence: Path | None = None
    """Vertex of the prediction for every vertex of the truth, -1 for none: a .npy or .txt file for the whole set. By
    default NAME.correspondence.npy beside each true mesh, else the two share a topology."""
    only: str = "*"
    """Pattern of the truth's file names, as *_F3D.wrl."""
    eyes: tuple[int, int] | None = None
    """Vertices of the truth at the outer corners of the eyes: then the mean distance is also given in % of theirs (NME of
    Tran et al. 2019). By default those of topologies whose key points are known."""
    truth_unit: Literal["mm", "cm", "dm", "m", "um"] = "mm"
    """Unit of the truth."""


@dataclass(frozen=True)
class EvaluateDistinctiveness(Folders):
    """Distinctiveness: the share of a known deviation from the mean face that comes back. Meshes of one topology."""

    mean: Path = Path("mean.obj")
    """The mean face of that topology, in mm."""


@dataclass(frozen=True)
class EvaluateExpression:
    """Mean length of the expression's deformation on neutral photos, where it should be nothing."""

    predictions: Path
    """Folder of predicted shapes with expression, without head pose, in mm."""
    neutral: Path
    """Folder of the same without expression."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Folder for scores.csv and report.json; is made where it is missing."""
    unit: Literal["mm", "cm", "dm", "m", "um"] = "mm"
    """Unit of both."""


def _rows(path: Path) -> np.ndarray:
    """Vertex numbers (V,) of a correspondence file."""
    try:
        rows = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, dtype=np.int64)
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: no correspondence: {error}") from None
    need(rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer), f"{path}: a list of whole numbers is wanted")
    return rows


def evaluate_bu3dfe(config: EvaluateBu3dfe) -> int:
    """Score meshes along a correspondence."""
    found = pairs(config.predictions, config.truth, meshes.SUFFIXES[:3], config.only, meshes.SUFFIXES)
    whole = None if config.correspondence is None else _rows(config.correspondence)
    found = replace(found, names=tuple(n for n in found.names if not n.endswith(".correspondence")))

    def measure(name: str) -> Measured:
        path = found.truth[name]
        beside = path.with_name(f"{path.stem}.correspondence.npy")
        rows = _rows(beside) if whole is None and beside.is_file() else whole
        truth = meshes.read(path, config.truth_unit, surface=False).vertices
        predicted = meshes.read(found.prediction(name), surface=False).vertices
        if rows is None:
            rows = np.arange(len(predicted))
        need(
            len(rows) == len(truth) and rows.max() < len(predicted),
            f"{name}: {len(predicted)} vertices and {len(truth)} true ones do not correspond; see --correspondence",
        )
        values = registered_error(predicted[rows[rows >= 0]], truth[rows >= 0])
        eyes = _eyes(config, truth, name)
        if eyes is not None:
            values["nme %"] = interocular_error(predicted[rows[rows >= 0]], truth[rows >= 0], eyes)
        return Measured(values)

    # BU-3DFE names files F0001_NE00WH_F3D, whether or not a folder of the person is around them.
    people = {name: name.rpartition("/")[2].split("_")[0] for name in found.names}
    scores, _ = collect("bu3dfe", "mm", found.names, measure, people)
    return finish(scores, config.output, found.strays)


def _eyes(config: EvaluateBu3dfe, truth: np.ndarray, name: str) -> np.ndarray | None:
    """Outer eye corners (2, 3) of a true mesh; None where nobody knows them."""
    if config.eyes is not None:
        need(
            0 <= min(config.eyes) <= max(config.eyes) < len(truth),
            f"{name}: --eyes {config.eyes}, of {len(truth)} vertices",
        )
        return truth[list(config.eyes)]
    embedding = keypoints.of_68(len(truth), OUTER_EYES_68)
    return None if embedding is None else embedding.points(truth)


def evaluate_distinctiveness(config: EvaluateDistinctiveness) -> int:
    """Score how much of what is special comes back."""
    found = pairs(config.predictions, config.truth, meshes.SUFFIXES)
    mean = meshes.read(config.mean, "mm", surface=False).vertices
    shapes: list[tuple[np.ndarray, np.ndarray]] = []

    def measure(name: str) -> Measured:
        truth = meshes.read(found.truth[name], surface=False).vertices
        predicted = meshes.read(found.prediction(name), surface=False).vertices
        need(
            len(truth) == len(mean) == len(predicted),
            f"{name}: {len(predicted)} vertices, {len(truth)} true ones and {len(mean)} of the mean do not correspond",
        )
        share = scans.distinctiveness(predicted[None], truth[None], mean)
        need(np.isfinite(share), f"{name}: the true face is the mean face, so that there is nothing to bring back")
        shapes.append((predicted, truth))
        return Measured({"share": share})

    scores, _ = collect("distinctiveness", "1", found.names, measure)
    if shapes:
        pooled = scans.distinctiveness(np.stack([s[0] for s in shapes]), np.stack([s[1] for s in shapes]), mean)
        scores = replace(scores, whole={"share, all together": pooled})
    return finish(scores, config.output, found.strays)


def evaluate_expression(config: EvaluateExpression) -> int:
    """Score how much expression a method sees where there is none."""
    found = pairs(config.predictions, config.neutral, meshes.SUFFIXES)

    def measure(name: str) -> Measured:
        expressed = meshes.read(found.prediction(name), config.unit, surface=False).vertices
        neutral = meshes.read(found.truth[name], config.unit, surface=False).vertices
        counts = f"{len(expressed)} vertices, but {len(neutral)} of the neutral shape"
        need(len(expressed) == len(neutral), f"{name}: {counts}")
        return Measured(expression_deformation(expressed, neutral))

    scores, _ = collect("expression", "mm", found.names, measure)
    return finish(scores, config.output, found.strays)
