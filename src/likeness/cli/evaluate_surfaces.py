"""`likeness evaluate micc | facescape | facewarehouse | now | realy`: surfaces that do not correspond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from likeness.cli.protocols import Folders, finish, need
from likeness.errors import AssetError
from likeness.evaluate import facewarehouse, keypoints, meshes, micc, now, realy
from likeness.evaluate.layouts import micc as micc_layout
from likeness.evaluate.layouts import now as now_layout
from likeness.evaluate.layouts import realy as realy_layout
from likeness.evaluate.layouts.pairs import pairs
from likeness.evaluate.meshes import Mesh
from likeness.evaluate.scans import LANDMARKS_OF_68
from likeness.evaluate.scores import Measured, collect

Unit = Literal["mm", "cm", "dm", "m", "um"]


@dataclass(frozen=True)
class Surfaces(Folders):
    """Options of all commands on surfaces."""

    keypoints: str | None = None
    """Where the 68 (or 51, or 7) key points lie on the predictions: builtin, ict, flame, bfm, or a file of vertex numbers. By
    default a file beside each mesh, else by the number of vertices."""
    truth_keypoints: str | None = None
    """The same for the truth."""
    truth_unit: Unit = "mm"
    """Unit of the truth."""


@dataclass(frozen=True)
class EvaluateMicc(Surfaces):
    """MICC Florence: symmetric point-to-plane mm within 95 mm of the nose tip, after ICP with scale."""

    clip: Literal["genova2018", "deng2022"] = "genova2018"
    """How a clip becomes one mesh: genova2018 wants one mesh, which the method made of its averaged codes; deng2022
    averages the meshes of the clip's frames."""
    nose_tip: int | None = None
    """Row of the nose tip among the key points; by default that of 68 or 51 points, and the fifth of seven."""


@dataclass(frozen=True)
class EvaluateFacescape(Surfaces):
    """FaceScape: symmetric point-to-plane mm to the registered mesh, uncropped, after ICP with scale."""

    only: str = "*"
    """Pattern of the truth's file names, as 1_neutral.obj."""


@dataclass(frozen=True)
class EvaluateFacewarehouse(Surfaces):
    """FaceWarehouse: mm to the closest point of the true mesh, after ICP with scale; mean and largest."""

    only: str = "*"
    """Pattern of the truth's file names, as pose_*.obj."""


@dataclass(frozen=True)
class EvaluateNow(Surfaces):
    """NoW: scan-to-mesh mm after alignment by seven landmarks and the face; median, mean, std, cumulative curve."""

    metrical: bool = False
    """Align without scale: the size of the face must be right. Needs --unit."""
    unit: Unit | None = None
    """Unit of the predictions, for --metrical."""
    challenge: Literal["all", "multiview_neutral", "multiview_expressions", "multiview_occlusions", "selfie"] = "all"
    """Only these images."""


@dataclass(frozen=True)
class EvaluateRealy(Surfaces):
    """REALY-style: mm of nose, mouth, forehead and cheek, each aligned by itself.

    The truth is REALY's folder (REALY_scan_region, REALY_HIFI3D_keypoints, metrical_scale.txt), a mesh NAME.obj of the
    builtin topology, or NAME/nose.obj, NAME/mouth.obj, NAME/forehead.obj, NAME/cheek.obj with 68 key points in NAME.txt.
    """


def _nose_tip(points: np.ndarray, row: int | None, name: str) -> np.ndarray:
    if row is None:
        row = {68: keypoints.NOSE_TIP_68, 51: keypoints.NOSE_TIP_68 - 17, 7: 4}.get(len(points), len(points))
    need(0 <= row < len(points), f"{name}: {len(points)} key points; say with --nose-tip which is the tip of the nose")
    return points[row]


def _marks(given: str | None):
    """What an option says of key points: a name, a file read, or nothing."""
    return given if given is None or given in keypoints.TOPOLOGIES else keypoints.read(Path(given))


def _points_in_mm(path: Path, mesh: Mesh, marks, unit: str) -> np.ndarray:
    """Key points of a true mesh in mm. `mesh` has been brought to mm; files beside it have its file's unit."""
    factor = meshes.UNITS[unit]
    return keypoints.locate(path, mesh.vertices / factor, marks) * factor


def _read_clip(frames: Sequence[Path], marks) -> tuple[Mesh, np.ndarray]:
    """The mesh of a prediction and its key points; of several frames their mean, key points moved along."""
    first = meshes.read(frames[0])
    points = keypoints.locate(frames[0], first.vertices, marks)
    if len(frames) > 1:
        first = replace(first, vertices=micc.mean_of_clip([meshes.read(path).vertices for path in frames]))
        if isinstance(marks, str) or marks is None:
            marks = keypoints.known(len(first.vertices), marks)
        if marks is not None:
            points = marks.points(first.vertices)  # points from a file stay those of the first frame: it sets the place
    return first, points


def evaluate_micc(config: EvaluateMicc) -> int:
    """Score clips against scans."""
    marks, true_marks = _marks(config.keypoints), _marks(config.truth_keypoints)
    need(true_marks is None, "MICC's scans share no topology: give each its key points, not --truth-keypoints")
    items = micc_layout.clips(config.predictions, config.truth)

    def measure(name: str) -> Measured:
        clip = items[name]
        if isinstance(clip, AssetError):
            raise clip
        need(
            config.clip == "deng2022" or len(clip.frames) == 1,
            f"{name}: {len(clip.frames)} frames, but genova2018 wants one mesh of averaged codes; see --clip",
        )
        scan = meshes.read(clip.scan, config.truth_unit)
        truth = meshes.read_points(clip.landmarks) * meshes.UNITS[config.truth_unit]
        prediction, points = _read_clip(clip.frames, marks)
        tip = _nose_tip(truth, config.nose_tip, str(clip.landmarks))
        # Of seven points of a scan the fifth is here the nose tip, see docs/evaluation.md.
        points, truth = keypoints.shared(points, truth, name, LANDMARKS_OF_68)
        values = micc.point_to_plane(prediction, scan, points, truth, tip)
        return Measured(values, remark=prediction.remark or scan.remark)

    people = {name: name.split("/")[0] for name in items}
    scores, _ = collect(f"micc, {config.clip}", "mm", list(items), measure, people)
    return finish(scores, config.output)


def _registered(config: EvaluateFacescape | EvaluateFacewarehouse, protocol: str, measure) -> int:
    """Score meshes, or the mean of several views' meshes, against true ones of the same place in their folders.

    Args:
        config: Options.
        protocol: Its name.
        measure: (prediction, truth, predicted points, true points) -> numbers.
    """
    marks, true_marks = _marks(config.keypoints), _marks(config.truth_keypoints)
    found = pairs(config.predictions, config.truth, meshes.SUFFIXES, config.only)

    def one(name: str) -> Measured:
        truth = meshes.read(found.truth[name], config.truth_unit)
        points = _points_in_mm(found.truth[name], truth, true_marks, config.truth_unit)
        prediction, predicted = _read_clip(found.frames(name), marks)
        predicted, points = keypoints.shared(predicted, points, name)
        return Measured(measure(prediction, truth, predicted, points), remark=prediction.remark or truth.remark)

    scores, _ = collect(protocol, "mm", found.names, one, {name: found.person(name) for name in found.names})
    return finish(scores, config.output, found.strays)


def evaluate_facescape(config: EvaluateFacescape) -> int:
    """Score meshes against FaceScape's registered ones."""
    return _registered(config, "facescape", lambda *args: micc.point_to_plane(*args, None))


def evaluate_facewarehouse(config: EvaluateFacewarehouse) -> int:
    """Score meshes against FaceWarehouse's."""
    return _registered(config, "facewarehouse", facewarehouse.closest_distance)


def evaluate_now(config: EvaluateNow) -> int:
    """Score meshes against NoW's scans, image by image."""
    need(not config.metrical or config.unit is not None, "--metrical needs --unit, the unit of the predictions")
    marks, images = _marks(config.keypoints), now_layout.images(config.truth)
    names = [name for name, image in images.items() if config.challenge in ("all", image.challenge)]
    unit = config.unit if config.metrical else None

    def measure(name: str) -> Measured:
        image = images[name]
        need(image.scan is not None, f"{name}: no scan in scans/{image.subject}")
        need(image.landmarks is not None, f"{name}: no landmarks in scans_lmks_onlypp/{image.subject}")
        path = meshes.find(config.predictions, name, meshes.SUFFIXES[:3])
        mesh, scan = meshes.read(path, unit), meshes.read(image.scan, config.truth_unit)
        points = keypoints.seven(_points_in_mm(path, mesh, marks, unit or "mm"), str(path))
        true = meshes.read_points(image.landmarks, 7) * meshes.UNITS[config.truth_unit]
        errors = now.scan_to_mesh(mesh, scan, points, true, scale=not config.metrical)
        return Measured(now.row(errors), errors, mesh.remark or scan.remark)

    title = f"now{', metrical' * config.metrical}"
    scores, errors = collect(title, "mm", names, measure, {name: images[name].subject for name in names})
    whole, curves = now.over_all(errors)
    return finish(replace(scores, whole=whole, curves=curves), config.output)


def evaluate_realy(config: EvaluateRealy) -> int:
    """Score meshes region by region."""
    marks, true_marks = _marks(config.keypoints), _marks(config.truth_keypoints)
    items = realy_layout.subjects(config.truth, config.predictions, tuple(realy.REGIONS))

    def measure(name: str) -> Measured:
        item = items[name]
        if isinstance(item, AssetError):
            raise item
        path = meshes.find(config.predictions, item.prediction)
        prediction = meshes.read(path)
        predicted = keypoints.locate(path, prediction.vertices, marks)
        if item.whole is None:
            # A region alone is no face, so that its size says nothing of its unit.
            factor = meshes.UNITS[config.truth_unit] if item.scale is None else item.scale
            regions = {key: meshes.read(file) for key, file in item.regions.items()}
            regions = {key: replace(region, vertices=region.vertices * factor) for key, region in regions.items()}
            points = _first_68(item.points) * factor
        else:
            whole = meshes.read(item.whole, config.truth_unit)
            regions = realy.regions_of(whole.vertices, _own_topology(item.whole, len(whole.vertices)))
            points = _points_in_mm(item.whole, whole, true_marks, config.truth_unit)
        return Measured(realy.region_errors(prediction, regions, predicted, points), remark=prediction.remark)

    people = {name: name if isinstance(item, AssetError) else item.person for name, item in items.items()}
    scores, _ = collect("realy-style", "mm", list(items), measure, people)
    return finish(scores, config.output)


def _first_68(path: Path) -> np.ndarray:
    """Key points of a scan: REALY's 85 are vertices of an OBJ file, the Multi-PIE points first."""
    points = meshes.read(path, surface=False).vertices if path.suffix == ".obj" else meshes.read_points(path)
    return points[:68] if len(points) > 68 else points


def _own_topology(path: Path, count: int):
    from likeness.assets import builtin

    for level in ("base", "dense"):
        topology = builtin.load().topology(level)
        if count == len(topology.uv):
            return topology
    raise AssetError(f"{path}: {count} vertices are not our topology; give regions as {path.stem}/nose.obj and so on")
