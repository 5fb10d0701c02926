"""`likeness evaluate fit`: fits of photos, of renders with known codes and of a head scan, beside regressor and mean face."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Literal

import numpy as np

from likeness.arrays import even
from likeness.cli.evaluate import CAMERAS, Bench, Rows, given_face, scan_landmarks, scan_view, show
from likeness.cli.train import data_folder
from likeness.errors import UsageError

if TYPE_CHECKING:
    from likeness.cli.fit import Fitter
    from likeness.fit.photo.evidence import Evidence
    from likeness.fit.photo.scene import Scene

GIVEN_SPREAD = 0.01
"""Spread of a set's automatic landmarks where they are given, in 3D distances of the outer eye corners."""
STRICT = "regressor, best albedo"
"""Row of the regressor's geometry with the best albedo and light for it; the row "regressor" has the mean albedo."""
LANDMARKS_ONLY = "landmarks"
"""The stage after which a fit has looked at no pixel but for colours."""


@dataclass(frozen=True)
class EvaluateFit:
    """Fits beside the regressor: does every photo get nearer, and does the shape get truer?"""

    data: Path | None = None
    """Data folder; by default LIKENESS_DATA."""
    split: Literal["validation", "test"] = "validation"
    """Of the photos; choose on validation, open test to report."""
    photos: int = 0
    """So many sfhq photos, evenly chosen."""
    given: bool = False
    """Fit to the set's own dense landmarks instead of those of the landmark network."""
    renders: tuple[Path, ...] = ()
    """Shards of renders that no training saw."""
    limit: int = 60
    """At most so many renders."""
    scan: bool = False
    """Photograph the Lee Perry-Smith scan from five sides."""
    threads: int = 1
    """Threads."""
    output: Path | None = None
    """JSON file for the tables."""


def evaluate_fit(config: EvaluateFit) -> None:
    """Print and write the tables."""
    import torch

    from likeness.cli.fit import Fitter
    from likeness.runtime.reconstruct import shipped

    if not (config.photos or config.renders or config.scan):
        raise UsageError("nothing to fit: name --photos N, --renders FILE or --scan")
    torch.set_num_threads(config.threads)
    fitter = Fitter.shipped(shipped("base"))
    if config.renders:
        show("fits of renders, neutral shape", of_renders(config, fitter), config.output)
    if config.scan:
        show("fits of the Lee Perry-Smith scan", of_scan(config, fitter), config.output)
    if config.photos:
        how = "given landmarks" if config.given else "own landmarks"
        show(f"fits of sfhq {config.split}, {how}", of_photos(config, fitter), config.output)


def of_photos(config: EvaluateFit, fitter: Fitter) -> Rows:
    """Landmark and colour errors before and after; the given dense landmarks are the measure in both cases."""
    from rich.progress import track

    from likeness.data.folder import read_set
    from likeness.fit.photo.observe import observe
    from likeness.fit.photo.synthesis import fit
    from likeness.types import Landmarks

    listing = read_set(data_folder(config.data) / "photos", "sfhq", config.split)
    chosen = even(len(listing.files), config.photos)
    rows: dict[str, list[list[float]]] = {"regressor": [], STRICT: [], "landmarks only": [], "fit": []}
    facts = {"diverged": 0.0, "code": 0.0, "seconds": [], "cpu": []}
    for i in track(chosen, "photos"):
        image, points = listing.picture(i), listing.points[i]
        unit = float(np.linalg.norm(points[263] - points[33]))
        given = (
            Landmarks(points[:, :2], np.full(len(points), GIVEN_SPREAD * unit, np.float32)) if config.given else None
        )
        begin = perf_counter(), process_time()
        evidence = observe(image, given_face(points), fitter.system.encode, fitter.system.model, fitter.measure, given)
        found = fit(fitter.surface, [evidence], precision=fitter.precision)
        facts["seconds"].append(perf_counter() - begin[0])
        facts["cpu"].append(process_time() - begin[1])
        facts["diverged"] += float(found.report.diverged[0])
        facts["code"] = max(
            facts["code"], float(found.scene.identity.abs().max()), float(found.scene.albedo.abs().max())
        )
        errors = {"regressor": found.report.plain, STRICT: found.report.before, "fit": found.report.after}
        colours, landmarks = found.scenes["colours"], found.scenes[LANDMARKS_ONLY]
        scenes = {"regressor": colours, STRICT: colours, "landmarks only": landmarks, "fit": found.scene}
        for name, scene in scenes.items():
            photometric = float(errors[name].photometric[0]) if name in errors else np.nan
            rows[name].append([100 * landmark_error(fitter, scene, evidence, points) / unit, photometric])
    return _photo_rows(rows, facts)


def _photo_rows(rows: dict[str, list[list[float]]], facts: dict) -> Rows:
    values = {name: np.array(row) for name, row in rows.items()}
    start, strict, result = values["regressor"], values[STRICT], {}
    for name, row in values.items():
        nearer, truer = row[:, 0] < start[:, 0], row[:, 1] < start[:, 1]
        result[name] = {"landmarks %": float(row[:, 0].mean()), "landmarks, median %": float(np.median(row[:, 0]))}
        if name in ("landmarks only", "fit"):
            result[name]["nearer %"] = 100 * float(nearer.mean())
        if np.isfinite(row[:, 1]).all():
            result[name]["colours"] = float(row[:, 1].mean())
            if name == "fit":
                result[name] |= {
                    "better colours %": 100 * float(truer.mean()),
                    "both %": 100 * float((nearer & truer).mean()),
                }
                result[name]["than best albedo %"] = 100 * float((row[:, 1] < strict[:, 1]).mean())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result["fit"] |= {
        "photos": len(start), "diverged": facts["diverged"], "largest code": facts["code"],
        "seconds": float(np.median(facts["seconds"])), "cpu seconds": float(np.median(facts["cpu"])), "MB": memory,
    }  # fmt: skip
    return {name: result[name] for name in ("fit", "landmarks only", STRICT, "regressor")}


def landmark_error(fitter: Fitter, scene: Scene, evidence: Evidence, points: np.ndarray) -> float:
    """Mean distance in px of the photo from dense landmarks (478, 2 or 3), outline across itself, irises left out."""
    import torch

    from likeness.assets.correspondence import IRISES, OUTLINE
    from likeness.fit.photo.marks import compare
    from likeness.losses.landmark import sliding_distance

    motion = evidence.crop_from_photo
    there = torch.tensor(points[:, :2] @ motion[:2, :2].T + motion[:2, 2], dtype=torch.float32)
    found = compare(fitter.surface, scene, 0, there, torch.ones(len(there))).pixels
    distance = sliding_distance(found[None], there[None], OUTLINE, 0.0)[0, : IRISES.start]
    return float(distance.mean() / np.hypot(*motion[:2, 0]))


def of_renders(config: EvaluateFit, fitter: Fitter) -> Rows:
    """Neutral shapes, scale-aligned, as shares of the mean face's error."""
    from rich.progress import track

    from likeness.data.synthetic import Renders
    from likeness.evaluate import scans as measure
    from likeness.fit.photo.observe import observe
    from likeness.fit.photo.synthesis import fit
    from likeness.geometry import cameras
    from likeness.geometry.mesh import vertex_normals
    from likeness.types import View

    renders, model = Renders(list(config.renders)), fitter.system.model
    count = min(config.limit, len(renders))
    topology = model.topology("base")
    found: dict[str, list[np.ndarray]] = {
        name: [] for name in ("mean face", "regressor", "averaged", "landmarks only", "fit")
    }
    for i in track(range(count), "renders"):
        truth = {key: values[i] for key, values in renders.targets.items()}
        view = View(
            *(truth[key] for key in ("rotation", "translation", "focal", "principal")), renders.images.shape[1:3]
        )
        points = cameras.project(
            topology.landmarks["dense"].points(model.decode(truth["identity"], truth["expression"])), view
        )
        face = given_face(points)
        evidence = observe(renders.images[i], face, fitter.system.encode, model, fitter.measure)
        fitted = fit(fitter.surface, [evidence], precision=fitter.precision)
        found["mean face"].append(np.zeros(len(model.identity)))
        found["regressor"].append(fitter.system.encode(renders.images[i], face).codes["identity"])
        found["averaged"].append(evidence.identity)
        found["landmarks only"].append(fitted.scenes[LANDMARKS_ONLY].identity[0].numpy())
        found["fit"].append(fitted.scene.identity[0].numpy())
    mean, modes = model.mean.astype(np.float64), model.identity.astype(np.float64)
    skin = np.asarray(topology.regions["skin"])
    tip = mean[skin][mean[skin][:, 2].argmax()]
    near = skin & (np.linalg.norm(mean - tip, axis=1) < measure.RADIUS)
    shapes = {name: mean + np.tensordot(np.stack(codes), modes, 1) for name, codes in found.items()}
    true = mean + np.tensordot(renders.targets["identity"][:count], modes, 1)
    normals = np.stack([vertex_normals(shape, topology.triangles) for shape in true])
    errors = {name: measure.shape_error(shape, true, normals, near) for name, shape in shapes.items()}
    base = errors["mean face"].mean()
    return {
        name: {
            "mm": float(error.mean()), "ratio": float(error.mean() / base),
            "distinctiveness": measure.distinctiveness(shapes[name], true, mean, near),
            "better than the mean %": 100 * float((error < errors["mean face"]).mean()),
        } for name, error in errors.items()
    }  # fmt: skip


def of_scan(config: EvaluateFit, fitter: Fitter) -> Rows:
    """Distances of a head scan's points to the neutral shapes found in five pictures of it."""
    from likeness.assets.ict import MULTI_PIE_68, NARROW
    from likeness.evaluate import scans as measure
    from likeness.evaluate.benchmark.baselines import shape_of
    from likeness.evaluate.registration import fit_to_scan
    from likeness.fit.photo.observe import observe
    from likeness.fit.photo.synthesis import fit
    from likeness.geometry.mesh import triangulate

    data, model = data_folder(config.data), fitter.system.model
    bench, scan = Bench(data), measure.lee_perry_smith(data / "scans/lee_perry_smith")
    triangles = triangulate(bench.ict.faces[(bench.ict.faces < NARROW).all(1)])
    marks = np.array(MULTI_PIE_68)[list(measure.LANDMARKS_OF_68)]
    narrow = (a[..., :NARROW, :].astype(np.float64) for a in (bench.ict.mean, bench.ict.identity))
    best, motion = fit_to_scan(*narrow, triangles, marks, scan)
    views = [scan_view(scan, yaw) for yaw in CAMERAS]
    boxes = [given_face(points) for points in scan_landmarks(bench, best, motion, views)]
    codes: dict[str, list[np.ndarray]] = {"regressor": [], "averaged": [], "landmarks only": [], "fit": []}
    evidences = []
    for view, face in zip(views, boxes):
        image = measure.photograph(scan, view)
        evidence = observe(image, face, fitter.system.encode, model, fitter.measure)
        fitted = fit(fitter.surface, [evidence], precision=fitter.precision)
        evidences.append(evidence)
        codes["regressor"].append(fitter.system.encode(image, face).codes["identity"])
        codes["averaged"].append(evidence.identity)
        codes["landmarks only"].append(fitted.scenes[LANDMARKS_ONLY].identity[0].numpy())
        codes["fit"].append(fitted.scene.identity[0].numpy())
    rows = {"mean face": np.zeros(len(model.identity))}
    rows |= {f"{name}, yaw {yaw:+.2f}": values[i] for name, values in codes.items() for i, yaw in enumerate(CAMERAS)}
    rows |= {f"{name}, mean of views": np.mean(values, 0) for name, values in codes.items()}
    together = fit(fitter.surface, evidences, [0] * len(evidences), fitter.precision)
    rows["fit, views together"] = together.scene.identity[0].numpy()
    return _scan_rows(
        rows, lambda identity: shape_of(model, model.mean + np.tensordot(identity, model.identity, 1)), scan
    )


def _scan_rows(codes: dict[str, np.ndarray], shape: Callable, scan) -> Rows:
    from likeness.evaluate import scans as measure

    result, base = {}, None
    for name, identity in codes.items():
        found = shape(identity)
        errors = measure.scan_errors(found.vertices, found.triangles, found.landmarks, scan)
        base = base or errors
        result[name] = {
            "mm": errors.mean, "median mm": errors.median, "ratio": errors.mean / base.mean,
            "distinctiveness": measure.scan_distinctiveness(errors, base),
        }  # fmt: skip
    return result
