"""The pictures of `likeness benchmark`: heads drawn by us, and the photo sets of the data folder, with their truths."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from likeness import color
from likeness.arrays import even
from likeness.assets.builtin import Builtin
from likeness.cli.evaluate import Bench
from likeness.cli.frames import frames
from likeness.cli.lfpw import lfpw
from likeness.data import backgrounds
from likeness.data.folder import picture, read_set
from likeness.errors import AssetError
from likeness.evaluate import landmarks, nme, pose, scans
from likeness.evaluate.benchmark import heads, views
from likeness.evaluate.benchmark.albedo import without_light
from likeness.evaluate.benchmark.appearance import photo_numbers, skin_chart
from likeness.evaluate.benchmark.items import (
    SIDES,
    TONES,
    YAWS,
    Answer,
    Item,
    ItemSet,
    Shape,
    Truth,
    bin_of,
    lab,
    typology_angle,
)  # fmt: skip
from likeness.evaluate.benchmark.measure import Surfaces, head_measure, sight
from likeness.evaluate.layouts import aflw2000
from likeness.geometry.rotation import to_euler
from likeness.photos.detect import face_frame
from likeness.types import View

SPLITS = {"val": "validation", "test": "test"}
"""As on the command line, and as `data.folder` calls them."""
SKIN_SETS = ("sfhq", "stylegan")
"""Sets whose pictures may be shown; from both come skins."""
SKINS, SKIN_SIZE, SKIN_VERSION = 20, 384, 3
"""Skins of a split, texels along a side, and what is counted up when they come about otherwise."""
CHEEKS = (50, 101, 118, 117, 123, 147, 187, 205, 280, 330, 347, 346, 352, 376, 411, 425, 151, 108, 337)
"""Dense landmarks on cheeks and forehead whose surroundings show skin."""


def background(side: int, random: np.random.Generator) -> np.ndarray:
    """What is behind a head: a picture of scikit-image that only reports see, out of focus, or a wall."""
    import cv2

    if random.random() < 0.6:
        picture = backgrounds.read(backgrounds.REPORTING[random.integers(len(backgrounds.REPORTING))])
        image = backgrounds.part(picture, side, random)
        return cv2.GaussianBlur(image, (0, 0), side * random.uniform(0.004, 0.03))
    base = (backgrounds.gradient, backgrounds.clouds)[random.integers(2)](side, random)
    return backgrounds.bokeh(base, random) if random.random() < 0.3 else base


def head_set(
    model: Builtin, base: Shape, surfaces: Surfaces, skins: Sequence[heads.Skin], split: str, people: int
) -> ItemSet:
    """Random faces of the model, photographed by us."""
    about = (
        f"Random faces of the model that ships, {heads.SHOTS} pictures each, rendered with light, pose, expression, "
        f"background and camera of their own kind and seed, a quarter of them covered. Skins: {skins[0].name}. "
        "Skin tone: typology angle (ITA) of the albedo's cheeks and forehead."
    )
    metrics = (
        "shape", "ratio", "distinct", "cover", "metrical", "points", "mouth", "pose", "texture", "tint", "photo", "apart",
        "known", "alike", "found",
    )  # fmt: skip
    topology = model.topology("base")
    skin = skin_chart(topology, heads.face_triangles(topology), SKIN_SIZE)
    return ItemSet(
        "heads", "Rendered heads", about, tuple(heads.items(model, skins, split, people, background)),
        head_measure(surfaces, base, skin), metrics, shown=True, people=True,
    )  # fmt: skip


def scan_set(data: Path, base: Shape, surfaces: Surfaces, count: int) -> ItemSet:
    """The head scan, photographed by us."""
    scan = scans.lee_perry_smith(data / "scans/lee_perry_smith")
    about = (
        "A real head scan in views of every yaw and pitch, each in a light of its own. One person: the interval tells of "
        "nothing beyond him and is left out. Scan: Infinite, Lee Perry-Smith (CC BY 3.0)."
    )
    items = tuple(views.items(scan, background, count))
    metrics = ("shape", "ratio", "distinct", "cover", "metrical", "photo", "spread", "alike")
    return ItemSet("scan", "Head scan", about, items, head_measure(surfaces, base), metrics, shown=True, people=True)


def painted(model: Builtin, count: int = 8) -> list[heads.Skin]:
    """Skins of no photo."""
    topology = model.topology("base")
    return [heads.painted_skin(topology, np.random.default_rng((7000, k))) for k in range(count)]


def photo_skins(model: Builtin, data: Path, split: str, cache: Path, count: int = SKINS) -> list[heads.Skin]:
    """Albedos unwrapped from frontal photos of a split, as many tones as there are; kept in a file for the next run.

    The face model is fitted to the given landmarks of each photo, not reconstructed: the skins, and with them the
    benchmark's pictures, stay the same when the system that is measured changes.
    """
    listings = [read_set(data / "photos", name, SPLITS[split]) for name in SKIN_SETS]
    files = [data / "photos" / listing.name / file for listing in listings for file in listing.files]
    points = np.concatenate([listing.points for listing in listings])
    facts = (SKIN_VERSION, split, count, SKIN_SIZE, [file.name for file in files], model.licence)
    kept = cache / f"skins-{split}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.npz"
    if not kept.is_file():
        textures = _unwrapped(model, data, files, points, count)
        cache.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}.npz")
        np.savez(beside, textures=textures)
        beside.replace(kept)
    with np.load(kept) as file:
        textures = file["textures"]
    name = f"{len(textures)} unwrapped from AI-generated photos of the {SPLITS[split]} split, their light divided out"
    return [heads.Skin(color.decode(texture).astype(np.float32), name) for texture in textures]


def _unwrapped(model: Builtin, data: Path, files: Sequence[Path], points: np.ndarray, count: int) -> np.ndarray:
    """Albedos (count, S, S, 3) uint8 sRGB of the most different tones among the photos that are frontal and calm."""
    from likeness.runtime.unwrap import unwrap

    bench = Bench(data)
    ahead = np.flatnonzero((np.abs(turn_of(points)) < 12) & (gap_of(points) < 0.12) & (lids_of(points) > 0.18))
    fits = bench.fitted(points[ahead])
    joined = {
        key: np.concatenate([np.asarray(getattr(fit, key)) for fit in fits])
        for key in ("identity", "expression", "rotation", "translation", "focal", "principal")
    }
    yaw, pitch, _ = np.degrees(np.array(to_euler(joined["rotation"])))
    ahead_rows = np.flatnonzero((np.abs(yaw) < 10) & (np.abs(pitch) < 15))
    patches = [skin_patches(picture(files[ahead[row]]), points[ahead[row]]) for row in ahead_rows]
    unevenness = np.array([uneven_light(colours) for colours in patches])
    best = np.argsort(unevenness)[: min(2 * count, int(np.isfinite(unevenness).sum()))]
    ahead_rows, tones = ahead_rows[best], np.array([typology_angle(np.concatenate(patches[i])) for i in best])
    textures = []
    for row in _spread(tones, count):
        k = ahead_rows[row]
        image = picture(files[ahead[k]])
        values = {key: array[k].astype(np.float64) for key, array in joined.items()}
        view = View(values["rotation"], values["translation"], values["focal"], values["principal"], image.shape[:2])
        vertices = model.decode(values["identity"], values["expression"])
        topology = model.topology("base")
        texture = color.decode(unwrap(image, vertices, view, topology, SKIN_SIZE)).astype(np.float64)
        albedo = without_light(texture, vertices, topology, model.layout.size)
        textures.append(color.encode(np.clip(albedo, 0, 1).astype(np.float32)))
    if not textures:
        raise AssetError(f"{data}: no photo of this split looks straight ahead with open eyes and a shut mouth")
    return np.stack(textures)


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """Rows whose values lie nearest to evenly spaced ones between the least and the largest, each taken once."""
    left, chosen = list(range(len(values))), []
    for wanted in np.linspace(values.min(), values.max(), count) if len(values) else []:
        if left:
            best = min(left, key=lambda row: abs(values[row] - wanted))
            left.remove(best)
            chosen.append(best)
    return np.array(chosen, int)


def turn_of(points: np.ndarray) -> np.ndarray:
    """Yaw (...,) in degrees, rough, from the depths of the outer eye corners of dense landmarks (..., 478, 3)."""
    eye = points[..., 263, :] - points[..., 33, :]
    return np.degrees(np.arctan2(eye[..., 2], np.hypot(eye[..., 0], eye[..., 1])))


def gap_of(points: np.ndarray) -> np.ndarray:
    """Opening of the inner lips in widths of the mouth, (...,), of dense landmarks (..., 478, 2 or 3)."""
    width = np.linalg.norm(points[..., 78, :] - points[..., 308, :], axis=-1)
    return np.linalg.norm(points[..., 13, :] - points[..., 14, :], axis=-1) / width


def lids_of(points: np.ndarray) -> np.ndarray:
    """Opening of the wider open eye in widths of the eye, (...,), of dense landmarks (..., 478, 2 or 3)."""
    eyes = ((33, 133, 159, 145), (263, 362, 386, 374))
    open_ = [np.linalg.norm(points[..., up, :] - points[..., low, :], axis=-1) for _, _, up, low in eyes]
    wide = [np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1) for a, b, _, _ in eyes]
    return np.maximum(open_[0] / wide[0], open_[1] / wide[1])


def skin_patches(image: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Colours (n, 3) linear RGB around each of `CHEEKS` that lies in the photo; none where the face is cut off."""
    radius = max(1, round(0.02 * np.ptp(points[:, 0])))
    height, width = image.shape[:2]
    patches = []
    for x, y in points[list(CHEEKS), :2].round().astype(int):
        if radius <= x < width - radius and radius <= y < height - radius:
            patch = image[y - radius : y + radius + 1, x - radius : x + radius + 1]
            patches.append(color.decode(patch).reshape(-1, 3))
    return patches


def uneven_light(patches: Sequence[np.ndarray]) -> float:
    """How much the parts of a face differ in brightness: spread of L* from the tenth to the ninetieth percentile.

    Infinite where part of the face is cut off, or its colour is no skin's in white light: skin of all tones lies between 25
    and 85 degrees of hue in L*a*b*; the bounds on the rest are ours.
    """
    if len(patches) < len(CHEEKS):
        return math.inf
    tones = np.array([np.median(lab(patch), 0) for patch in patches])
    lightness, red, yellow = np.median(tones, 0)
    hue, chroma = math.degrees(math.atan2(yellow, red)), math.hypot(red, yellow)
    likely = 25 < hue < 85 and 8 < chroma < 40 and 18 < lightness < 88
    return float(np.subtract(*np.percentile(tones[:, 0], (90, 10)))) if likely else math.inf


def tone_in(image: np.ndarray, points: np.ndarray) -> float:
    """Typology angle in degrees of cheeks and forehead as the photo shows them, its light included; NaN without any."""
    patches = skin_patches(image, points)
    return typology_angle(np.concatenate(patches)) if patches else math.nan


def photo_slices(image: np.ndarray, points: np.ndarray) -> dict[str, str]:
    """Slices of a photo from its dense landmarks (478, 3); what covers a face is not known there."""
    calm = gap_of(points) < 0.15
    expression = "mouth open" if not calm else ("eyes shut" if lids_of(points) < 0.12 else "mouth shut, eyes open")
    slices = {
        "yaw": bin_of(abs(float(turn_of(points))), YAWS),
        "expression": expression,
        "resolution": bin_of(face_frame(points)[1], SIDES),
    }
    tone = tone_in(image, points)
    return slices if math.isnan(tone) else slices | {"skin tone": bin_of(tone, TONES)}


def _photo_item(name: str, person: str, path: Path, truth: Truth, points: np.ndarray | None) -> Item:
    slices = {} if points is None else photo_slices(picture(path), points)
    return Item(name, person, partial(picture, path), truth, slices)


def lfpw_set(data: Path, split: str, most: int) -> ItemSet:
    """Photos with 68 points."""
    photos = lfpw(data)
    mine = photos.rows(SPLITS[split])
    mine = mine[even(len(mine), most)]
    units = nme.unit_size(photos.points, "outer")

    def measure(item: Item, answer: Answer) -> dict[str, float]:
        found = answer.points
        if answer.dense is not None:
            found = photos.mapping.apply(answer.dense[None], np.array([item.truth.fold]))[0]
        if found is None:
            return {}
        inner = nme.INNER_MOUTH_68
        return {
            "points68": 100 * float(nme.nme(found, item.truth.points, item.truth.unit)),
            "mouth": 100 * float(nme.nme(found[inner], item.truth.points[inner], item.truth.unit)),
        }

    items = tuple(
        _photo_item(
            f"lfpw-{photos.files[i].stem}", photos.files[i].name, photos.files[i],
            Truth(points=photos.points[i], dense=photos.dense[i], unit=float(units[i]), fold=int(photos.fold[i])),
            photos.dense[i],
        )
        for i in mine
    )  # fmt: skip
    about = "Photos of 300-W (LFPW) with 68 points by hand; for every method with dense landmarks the same map leads to them."
    return ItemSet("lfpw", "Landmarks in photos (lfpw)", about, items, measure, ("points68", "mouth"))


def sfhq_set(data: Path, split: str, most: int) -> ItemSet:
    """Varied AI-generated photos with automatic landmarks."""
    listing = read_set(data / "photos", "sfhq", SPLITS[split])

    def measure(item: Item, answer: Answer) -> dict[str, float]:
        found = photo_numbers(answer, item)
        if answer.dense is None:
            return found
        return found | {"dense": 100 * float(landmarks.dense(answer.dense[None], item.truth.dense[None]).faces[0])}

    folder = data / "photos/sfhq"
    items = tuple(
        _photo_item(f"sfhq-{Path(listing.files[i]).stem}", listing.files[i], folder / listing.files[i],
                    Truth(dense=listing.points[i]), listing.points[i])
        for i in even(len(listing.files), most)
    )  # fmt: skip
    about = "Held-out AI-generated photos, very varied. Skin tone is that of the picture, its light included."
    return ItemSet("sfhq", "Varied photos (sfhq)", about, items, measure, ("dense", "photo", "alike"), shown=True)


def aflw_set(data: Path) -> ItemSet:
    """The sixteen photos of AFLW2000-3D that lie in the data folder."""
    items = []
    for path in sorted((data / "aflw2000_16").glob("*.mat")):
        points, angles = aflw2000.read(path)
        rotation = pose.rotation_of(angles, "aflw")
        yaw = abs(float(pose.aflw_angles(rotation)[0]))
        view = View(
            rotation, np.array([0, 0, -1.0]), np.float64(1), np.zeros(2), (450, 450)
        )  # the turn is all that is known
        truth = Truth(points=points[:, :2], unit=float(nme.box_size(points)), view=view)
        slices = {"yaw": bin_of(yaw, YAWS), "resolution": bin_of(float(np.ptp(points[:, :2], axis=0).max()), SIDES)}
        items.append(Item(f"aflw-{path.stem}", path.stem, partial(picture, path.with_suffix(".jpg")), truth, slices))

    def measure(item: Item, answer: Answer) -> dict[str, float]:
        found = {}
        if answer.points is not None:
            found["box"] = float(nme.aflw2000(answer.points, item.truth.points)["nme"])
        if answer.view is not None:
            found["pose"] = float(pose.angle_between(sight(answer.view), sight(item.truth.view)))
        return found

    if not items:
        raise AssetError(f"{data / 'aflw2000_16'}: no photo lies in this folder")
    about = "Photos of AFLW2000-3D with 68 points of a fitted model, hidden ones too: a spot check, not the benchmark of 2,000."
    return ItemSet("aflw2000", "Large poses (16 photos of AFLW2000-3D)", about, tuple(items), measure, ("box", "pose"))


def frames_set(data: Path, split: str, people: int) -> ItemSet:
    """Frames of videos: whether a person's neutral shape stays the same."""
    found = frames(data, SPLITS[split])
    files, points = found.files, found.points
    owners: dict[str, list[int]] = {}
    for i, person in enumerate(found.people):
        owners.setdefault(str(person), []).append(i)
    items = tuple(  # numbers, not names: the report tells of faces, not of who they are
        _photo_item(f"frame-{k:03d}-{shot:02d}", f"person {k}", files[i], Truth(dense=points[i]), points[i])
        for k in even(len(owners), people) for shot, i in enumerate(sorted(owners[sorted(owners)[k]], key=files.__getitem__))
    )  # fmt: skip
    about = "Up to twelve frames of each person, from several videos (YouTube Faces): is it the same neutral face in all of them?"
    title = "Steadiness over frames of a person"
    return ItemSet(
        "frames",
        title,
        about,
        items,
        lambda item, answer: {},
        ("apart", "known", "spread", "alike", "found"),
        people=True,
    )


def photo_sets(data: Path, split: str, most: int, people: int) -> tuple[list[ItemSet], list[str]]:
    """The sets of a data folder that can be read, and a line for each that cannot."""
    makers: list[tuple[str, Callable[[], ItemSet]]] = [
        ("lfpw", lambda: lfpw_set(data, split, most)),
        ("sfhq", lambda: sfhq_set(data, split, most)),
        ("video_frames", lambda: frames_set(data, split, people)),
    ]
    if split == "test":
        makers.insert(2, ("aflw2000_16", lambda: aflw_set(data)))
    found, missing = [], []
    for name, make in makers:
        try:
            found.append(make())
        except (LookupError, OSError, AssetError) as error:
            missing.append(f"{name}: {error}")
    return found, missing
