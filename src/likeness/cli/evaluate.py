"""`likeness evaluate landmarks | shape | scan`: what ships beside its teacher and beside the bare mean face."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from likeness.cli.lfpw import lfpw
from likeness.cli.train import data_folder
from likeness.data.folder import picture
from likeness.photos.detect import Detection, face_frame, square
from likeness.types import View

Rows = dict[str, dict[str, float]]
Predictors = dict[str, Callable[[int], np.ndarray]]
"""By name of the row, what takes the number of a photo to its dense landmarks (478, 2) px."""
CAMERAS = (0.0, 0.35, -0.35, 0.7, -0.7)
"""Yaw of the head in the pictures taken of a scan, radians."""


@dataclass(frozen=True)
class EvaluateLandmarks:
    """Landmark errors in photos: 68 points on lfpw, dense points on sfhq; boxes given, and found by the face finder."""

    data: Path | None = None
    """Data folder; by default LIKENESS_DATA."""
    split: str = "test"
    """test or validation."""
    model: Path | None = None
    """The regressor's ONNX file; by default the one that ships."""
    points: Path | None = None
    """The landmark network's ONNX file; by default the one that ships."""
    teacher: bool = True
    """Fit the given dense landmarks too, as the rows to compare with."""
    limit: int = 1000
    """At most so many photos of a set."""
    output: Path | None = None
    """JSON file for the table."""


@dataclass(frozen=True)
class EvaluateShape:
    """Neutral shapes on renders with known codes, scale-aligned."""

    renders: tuple[Path, ...]
    """Shards of renders that no training saw."""
    data: Path | None = None
    """Data folder that holds ict/; by default LIKENESS_DATA."""
    model: Path | None = None
    """The regressor's ONNX file; by default the one that ships."""
    noise: float = 1.0
    """Spread of the teacher's landmarks about the true points, in the spreads measured on photos."""
    limit: int = 500
    """At most so many renders."""
    output: Path | None = None
    """JSON file for the table."""


@dataclass(frozen=True)
class EvaluateScan:
    """The Lee Perry-Smith head scan, photographed from five sides and reconstructed."""

    data: Path | None = None
    """Data folder that holds scans/ and ict/; by default LIKENESS_DATA."""
    model: Path | None = None
    """The regressor's ONNX file; by default the one that ships."""
    output: Path | None = None
    """JSON file for the table."""


def encoder(model: Path | None):
    """The regressor as a function (photo, detection) -> estimate."""
    from likeness.runtime.encode import Encoder

    return (Encoder() if model is None else Encoder(model)).encode


def given_face(points: np.ndarray) -> Detection:
    """The box that belongs to dense landmarks."""
    center, side, roll = face_frame(points)
    return Detection(square(center, side), roll, 1.0)


def found_face(image: np.ndarray, points: np.ndarray) -> Detection:
    """What the face finder finds nearest to the face of dense landmarks; the whole picture where it finds nothing."""
    from likeness.runtime.detect import find_faces

    center, side, _ = face_frame(points)
    near = [d for d in find_faces(image) if np.hypot(*(np.array(d.center) - center)) < side / 2]
    if near:
        return min(near, key=lambda d: float(np.hypot(*(np.array(d.center) - center))))
    height, width = image.shape[:2]
    return Detection(square(np.array([width / 2, height / 2]), min(height, width)), 0.0, 0.0)


def show(title: str, rows: Rows, output: Path | None) -> Rows:
    """Print a table of numbers, and write it as JSON where wanted."""
    from rich.console import Console
    from rich.table import Table

    columns = list(next(iter(rows.values())))
    table = Table("method", *columns, title=title)
    for name, values in rows.items():
        table.add_row(name, *(f"{values[column]:.3g}" if column in values else "-" for column in columns))
    Console().print(table)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        earlier = json.loads(output.read_text()) if output.exists() else {}
        output.write_text(json.dumps(earlier | {title: rows}, indent=2) + "\n")
    return rows


class Bench:
    """What all rows share: the face model at the dense landmarks, and the ways to predict them."""

    def __init__(self, data: Path) -> None:
        from likeness.assets import correspondence, ict
        from likeness.fit.landmarks.bases import landmark_bases

        self.ict = ict.read(data / "ict/ict_face_model.npz")
        self.correspondence = correspondence.read()
        self.bases = landmark_bases(self.ict, self.correspondence)
        still = replace(self.bases, identity=0 * self.bases.identity, expression=0 * self.bases.expression)
        self.still = still

    def decode(self, codes: dict[str, np.ndarray], view: View) -> np.ndarray:
        """Dense landmarks (478, 2) px, where the landmark detector puts them, of codes and camera."""
        from likeness.geometry import cameras

        places = self.bases.mean + np.tensordot(codes["identity"], self.bases.identity, 1)
        places = places + np.tensordot(codes["expression"], self.bases.expression, 1)
        return cameras.project(places, view)

    def fitted(self, points: np.ndarray, moving: bool = True, batch: int = 64):
        """Fits of given dense landmarks (n, 478, 3), in batches; without `moving` the mean face, posed only."""
        import torch

        from likeness.fit.landmarks.solver import fit

        bases = self.bases if moving else self.still
        return [fit(bases, torch.as_tensor(points[i : i + batch])) for i in range(0, len(points), batch)]

    def rows_of(self, points: np.ndarray, predict: Predictors, teacher: bool) -> dict[str, np.ndarray]:
        """Dense landmarks (n, 478, 2) by method."""
        found = {name: np.stack([act(i) for i in range(len(points))]) for name, act in predict.items()}
        if teacher:
            found["teacher"] = np.concatenate([f.points.numpy() for f in self.fitted(points)])
        found["mean face, posed"] = np.concatenate([f.points.numpy() for f in self.fitted(points, False)])
        return found


def _predictors(bench: Bench, config: EvaluateLandmarks, paths: list[Path], points: np.ndarray) -> Predictors:
    from likeness.runtime.landmarks import MODEL, Landmarker

    encode, look = encoder(config.model), Landmarker(config.points or MODEL)

    def regressor(image: np.ndarray, face: Detection) -> np.ndarray:
        estimate = encode(image, face)
        return bench.decode(estimate.codes, estimate.view)

    def network(image: np.ndarray, face: Detection) -> np.ndarray:
        return look(image, face).points

    def given(act: Callable) -> Callable[[int], np.ndarray]:
        return lambda i: act(picture(paths[i]), given_face(points[i]))

    def found(act: Callable) -> Callable[[int], np.ndarray]:
        def measured(i: int) -> np.ndarray:
            image = picture(paths[i])
            return act(image, found_face(image, points[i]))

        return measured

    return {"landmark network": given(network), "landmark network, boxes found": found(network),
            "regressor": given(regressor), "regressor, boxes found": found(regressor)}  # fmt: skip


def evaluate_landmarks(config: EvaluateLandmarks) -> None:
    """Print and write the landmark tables."""
    from likeness.data.folder import read_set
    from likeness.evaluate import landmarks as measure

    data = data_folder(config.data)
    bench = Bench(data)
    photos = lfpw(data)
    mine = photos.rows(config.split)[: config.limit]
    points, truth = photos.dense[mine], photos.points[mine]
    predict = _predictors(bench, config, [photos.files[i] for i in mine], points)
    found = {"given dense landmarks": points[..., :2]} | bench.rows_of(points, predict, config.teacher)
    rows: Rows = {}
    for name, dense in found.items():
        mapped, plain = photos.mapping.apply(dense, photos.fold[mine]), measure.by_index(dense)
        rows[name] = measure.sparse(mapped, truth).row() | {
            "jaw": measure.sparse(mapped, truth, measure.JAW_68).row()["mean"],
            "index table": measure.sparse(plain, truth).row()["mean"],
        }
    show(f"lfpw {config.split}, 68 points, % of outer-eye distance", rows, config.output)
    listing = read_set(data / "photos", "sfhq", config.split)
    given = listing.points[: config.limit]
    paths = [data / "photos/sfhq" / name for name in listing.files[: config.limit]]
    predict = _predictors(bench, config, paths, given)
    found = bench.rows_of(given, predict, config.teacher)
    rows = {name: measure.dense(dense, given).row() for name, dense in found.items()}
    show(f"sfhq {config.split}, dense points, % of outer-eye distance", rows, config.output)


def evaluate_shape(config: EvaluateShape) -> None:
    """Print and write the table of neutral shapes on renders."""
    from likeness.assets.ict import NARROW
    from likeness.data.synthetic import Renders
    from likeness.evaluate import scans as measure
    from likeness.geometry.mesh import triangulate, vertex_normals

    bench, renders = Bench(data_folder(config.data)), Renders(list(config.renders))
    count = min(config.limit, len(renders))
    truth = {key: values[:count] for key, values in renders.targets.items()}
    views = [
        View(*(truth[key][i] for key in ("rotation", "translation", "focal", "principal")), renders.images.shape[1:3])
        for i in range(count)
    ]
    dense = np.stack([
        bench.decode({key: truth[key][i] for key in ("identity", "expression")}, views[i]) for i in range(count)
    ])  # fmt: skip
    codes = {"mean face": np.zeros((count, 100)), "teacher": _teacher_codes(bench, dense, views, truth, config.noise)}
    encode = encoder(config.model)
    estimates = [encode(renders.images[i], given_face(dense[i])) for i in range(count)]
    codes["regressor"] = np.stack([estimate.codes["identity"] for estimate in estimates])
    triangles = triangulate(bench.ict.faces[(bench.ict.faces < NARROW).all(1)])
    mean, modes = bench.ict.mean[:NARROW].astype(np.float64), bench.ict.identity[:, :NARROW].astype(np.float64)
    near = np.linalg.norm(mean - mean[mean[:, 2].argmax()], axis=1) < measure.RADIUS

    def shapes(values: np.ndarray) -> np.ndarray:
        return mean + np.tensordot(values, modes, 1)

    true = shapes(truth["identity"])
    normals = np.stack([vertex_normals(shape, triangles) for shape in true])
    rows: Rows = {}
    for name, values in codes.items():
        error = measure.shape_error(shapes(values), true, normals, near).mean()
        rows[name] = {"mm": float(error), "distinctiveness": measure.distinctiveness(shapes(values), true, mean, near)}
    for row in rows.values():
        row["ratio"] = row["mm"] / rows["mean face"]["mm"]
    show("renders, neutral shape", rows, config.output)


def _teacher_codes(bench: Bench, dense: np.ndarray, views: list[View], truth: dict, noise: float) -> np.ndarray:
    """Identity fitted to true landmarks plus noise as large as on photos; z from the true shape for the first pose."""
    random = np.random.default_rng(0)
    spread = bench.correspondence.sigma[None, :, None] * noise
    scale = (truth["focal"] / -truth["translation"][:, 2])[:, None, None]
    turned = bench.bases.mean @ truth["rotation"].swapaxes(1, 2)
    noisy = dense + spread * scale * random.standard_normal(dense.shape)
    points = np.concatenate([noisy, -turned[..., 2:] * scale], -1).astype(np.float32)
    return np.concatenate([f.identity.numpy() for f in bench.fitted(points)])


def evaluate_scan(config: EvaluateScan) -> None:
    """Print and write the table of the head scan."""
    from likeness.assets.ict import MULTI_PIE_68, NARROW
    from likeness.evaluate import scans as measure
    from likeness.evaluate.registration import fit_to_scan
    from likeness.geometry.mesh import triangulate

    data = data_folder(config.data)
    bench, scan = Bench(data), measure.lee_perry_smith(data / "scans/lee_perry_smith")
    triangles = triangulate(bench.ict.faces[(bench.ict.faces < NARROW).all(1)])
    marks = np.array(MULTI_PIE_68)[list(measure.LANDMARKS_OF_68)]
    mean, modes = (array[..., :NARROW, :].astype(np.float64) for array in (bench.ict.mean, bench.ict.identity))
    best, motion = fit_to_scan(mean, modes, triangles, marks, scan)
    views = [scan_view(scan, yaw) for yaw in CAMERAS]
    points = scan_landmarks(bench, best, motion, views)
    encode = encoder(config.model)
    found = [encode(measure.photograph(scan, v), given_face(p)).codes["identity"] for v, p in zip(views, points)]
    codes = {
        "mean face": np.zeros(100),
        "model on the scan itself": best,
        "teacher, yaw +0.00": bench.fitted(points[:1])[0].identity[0].numpy(),
        "teacher, all views": np.mean([f.identity.mean(0).numpy() for f in bench.fitted(points)], 0),
    }
    codes |= {f"regressor, yaw {yaw:+.2f}": c for yaw, c in zip(CAMERAS, found)}
    codes["regressor, all views"] = np.mean(found, 0)
    errors, rows = {}, {}
    for name, identity in codes.items():
        shape = bench.ict.mean + np.tensordot(identity, bench.ict.identity, 1)
        errors[name] = measure.scan_errors(shape, triangles, shape[marks], scan)
        base = errors["mean face"]
        rows[name] = {
            "mm": errors[name].mean, "median mm": errors[name].median, "ratio": errors[name].mean / base.mean,
            "distinctiveness": measure.scan_distinctiveness(errors[name], base),
        }  # fmt: skip
    show("Lee Perry-Smith scan, point to surface", rows, config.output)


def scan_view(scan, yaw: float) -> View:
    """A camera a metre in front of the scan's face, head turned."""
    from likeness.geometry.rotation import from_euler

    rotation = from_euler(np.float64(yaw), np.float64(0), np.float64(0))
    shift = np.array([0, 0, -1000.0]) - rotation @ scan.landmarks.mean(0)
    return View(rotation, shift, np.float64(1500), np.array([192.0, 192.0]), (384, 384))


def scan_landmarks(bench: Bench, identity: np.ndarray, motion, views: list[View]) -> np.ndarray:
    """Dense landmarks (n, 478, 3) px of the scan in each view, from the model that was laid onto it.

    No landmark detector runs here: these are where it would put them if it were perfect.
    """
    from likeness.geometry import cameras

    places = motion.apply(bench.bases.mean + np.tensordot(identity, bench.bases.identity, 1))
    found = []
    for view in views:
        pixels, depth = cameras.project(places, view), -cameras.to_camera(places, view)[:, 2:]
        found.append(np.concatenate([pixels, (depth - depth.mean()) * view.focal / 1000], 1))
    return np.stack(found).astype(np.float32)
