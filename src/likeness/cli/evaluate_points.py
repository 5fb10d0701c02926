"""`likeness evaluate aflw2000 | nme2d | pose | steadiness`: landmarks, rotations and clips."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from likeness.cli.protocols import Folders, finish, need
from likeness.errors import AssetError
from likeness.evaluate import nme, pose
from likeness.evaluate.layouts import aflw2000
from likeness.evaluate.layouts.pairs import files, pairs
from likeness.evaluate.meshes import POINT_SUFFIXES, read_points
from likeness.evaluate.scores import Measured, collect
from likeness.evaluate.steadiness import steadiness

Points = dict[str, Callable[[], np.ndarray]]


@dataclass(frozen=True)
class EvaluateAflw2000(Folders):
    """AFLW2000-3D: NME of 68 points in percent of the box, by yaw, and of the inner mouth. The truth are .mat files."""


@dataclass(frozen=True)
class EvaluateNme2d(Folders):
    """NME of 68 points in a picture, in percent of the distance of the eyes."""

    unit: Literal["outer", "pupils", "box"] = "outer"
    """By what errors are divided: outer eye corners (300-W), pupils, or the box around the points."""


@dataclass(frozen=True)
class EvaluatePose(Folders):
    """Head pose. Predictions are a CSV file: name,yaw,pitch,roll in degrees; the truth is one, or AFLW2000's files."""

    convention: Literal["aflw", "ours"] = "aflw"
    """Signs and order of the predicted angles: AFLW2000's, or those of CONVENTIONS.md."""
    truth_convention: Literal["aflw", "ours"] = "aflw"
    """The same for a CSV file of the truth."""


@dataclass(frozen=True)
class EvaluateSteadiness:
    """Clips: jitter at rest, lag, and error of trajectories NAME.npy (frames, points, 2 or 3)."""

    predictions: Path
    """Folder of predicted trajectories."""
    truth: Path | None = None
    """Folder of true ones; without it all frames count as rest."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Folder for scores.csv and report.json; is made where it is missing."""
    fps: float | None = None
    """Frames per second, for a lag in milliseconds."""
    unit: str = "px"
    """Unit of the trajectories, for the table."""


def landmark_set(path: Path) -> Points:
    """Item -> its 68 points: a folder of .npy, .txt, .pts or .pp files, or one .npz file with `name` and `points`.

    Raises:
        AssetError: Missing or of another form.
    """
    if not path.is_file():
        return {name: lambda file=file: read_points(file, 68) for name, file in files(path, POINT_SUFFIXES).items()}
    try:
        with np.load(path, allow_pickle=False) as data:
            names, points = data["name"], data["points"].astype(float)
    except (OSError, ValueError, KeyError) as error:
        wanted = "`name` (n,) and `points` (n, 68, 2 or 3) are wanted"
        raise AssetError(f"{path}: no landmarks; {wanted}: {error}") from None
    fits = points.ndim == 3 and points.shape[:2] == (len(names), 68)
    need(fits, f"{path}: points {points.shape} of {len(names)} names")

    def one(i: int) -> np.ndarray:
        need(bool(np.isfinite(points[i]).all()), f"{path}: a point of {names[i]} is NaN or infinite")
        return points[i]

    return {Path(str(name)).with_suffix("").as_posix(): lambda i=i: one(i) for i, name in enumerate(names)}


def _prediction(found: Points, name: str) -> np.ndarray:
    need(name in found, f"{name}: no prediction")
    return found[name]()


def evaluate_aflw2000(config: EvaluateAflw2000) -> int:
    """Score 68 points against AFLW2000-3D's."""
    found, labels = landmark_set(config.predictions), files(config.truth, (".mat",))
    need(bool(labels), f"{config.truth}: no truth: no .mat files")
    yaw: dict[str, float] = {}

    def measure(name: str) -> Measured:
        label = aflw2000.read(labels[name])
        values = nme.aflw2000(_prediction(found, name), label.points)
        yaw[name] = label.angles[0]
        return Measured({metric: float(value) for metric, value in values.items()})

    scores, _ = collect("aflw2000", "% of the box", list(labels), measure)
    angles = np.array([yaw[name] for name in scores.names])
    whole = {f"{m}, {key}": v for m, values in scores.values.items() for key, v in nme.by_yaw(values, angles).items()}
    return finish(replace(scores, whole=whole), config.output, [name for name in found if name not in labels])


def evaluate_nme2d(config: EvaluateNme2d) -> int:
    """Score 68 points against those of pictures."""
    found, truth = landmark_set(config.predictions), landmark_set(config.truth)
    need(bool(truth), f"{config.truth}: no truth: no files with {', '.join(POINT_SUFFIXES)}")

    def measure(name: str) -> Measured:
        true = truth[name]()
        size = float(nme.unit_size(true, config.unit))
        need(size > 0, f"{name}: the true points have no size")
        return Measured({"nme": 100 * float(nme.nme(_prediction(found, name), true, np.float64(size)))})

    scores, _ = collect("nme2d", f"% of {config.unit}", list(truth), measure)
    return finish(scores, config.output, [name for name in found if name not in truth])


def read_angles(path: Path) -> dict[str, np.ndarray]:
    """Name -> (yaw, pitch, roll) in degrees of a CSV file with these columns; NaN where a field is no number.

    Raises:
        AssetError: Missing, or without a column.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise AssetError(f"{path}: cannot be read: {error}") from None
    need(bool(rows) and {"name", "yaw", "pitch", "roll"} <= set(rows[0]), f"{path}: no rows name,yaw,pitch,roll")

    def angle(text: str | None) -> float:
        try:
            return float(text or "nan")
        except ValueError:
            return float("nan")

    keys = ("yaw", "pitch", "roll")
    return {Path(row["name"]).with_suffix("").as_posix(): np.array([angle(row[key]) for key in keys]) for row in rows}


def evaluate_pose(config: EvaluatePose) -> int:
    """Score head rotations."""
    found = read_angles(config.predictions)
    if config.truth.is_dir():
        labels, convention = files(config.truth, (".mat",)), "aflw"
        need(bool(labels), f"{config.truth}: no truth: no .mat files")
        truth = {name: lambda path=path: aflw2000.read(path).angles for name, path in labels.items()}
    else:
        truth = {name: lambda angles=angles: angles for name, angles in read_angles(config.truth).items()}
        convention = config.truth_convention

    def measure(name: str) -> Measured:
        true = truth[name]()
        need(bool(np.isfinite(true).all()), f"{name}: a true angle is no number")
        need(np.abs(true).max() <= pose.TOO_FAR, f"{name}: left out, a true angle is beyond {pose.TOO_FAR:g} degrees")
        need(name in found, f"{name}: no prediction")
        need(bool(np.isfinite(found[name]).all()), f"{name}: a predicted angle is no number")
        values = pose.pose_error(pose.rotation_of(found[name], config.convention), pose.rotation_of(true, convention))
        return Measured({metric: float(value) for metric, value in values.items()})

    scores, _ = collect("pose", "degrees", list(truth), measure)
    return finish(scores, config.output, [name for name in found if name not in truth])


def _trajectory(path: Path) -> np.ndarray:
    try:
        points = np.load(path, allow_pickle=False).astype(float)
    except (OSError, ValueError) as error:
        raise AssetError(f"{path}: no trajectory: {error}") from None
    fits = points.ndim == 3 and len(points) >= 3
    need(fits, f"{path}: an array {points.shape}, where (frames, points, 2 or 3) is wanted")
    need(bool(np.isfinite(points).all()), f"{path}: a point is NaN or infinite")
    return points


def evaluate_steadiness(config: EvaluateSteadiness) -> int:
    """Score trajectories of clips."""
    found = pairs(config.predictions, config.truth or config.predictions, (".npy",))

    def measure(name: str) -> Measured:
        predicted = _trajectory(found.prediction(name))
        if config.truth is None:
            return Measured(steadiness(predicted, None, config.fps))
        true = _trajectory(found.truth[name])
        seen = f"{predicted.shape} frames, points, axes, but the truth has {true.shape}"
        need(true.shape == predicted.shape, f"{name}: {seen}")
        return Measured(steadiness(predicted, true, config.fps))

    scores, _ = collect("steadiness", config.unit, found.names, measure)
    return finish(scores, config.output, found.strays)
