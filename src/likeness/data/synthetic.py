"""Renders with known codes, written once to a shard: pictures as JPEG, codes and cameras beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.ict import IctModel
from likeness.data import backgrounds
from likeness.data.folder import Listing, crop_from_photo
from likeness.data.studio import HEAD, Look, Studio
from likeness.data.targets import TARGETS
from likeness.errors import AssetError
from likeness.geometry import cameras
from likeness.geometry.harmonics import from_radiance
from likeness.geometry.rotation import from_euler, to_euler
from likeness.photos.detect import face_frame
from likeness.types import View

SIZE, MARGIN = 160, 1.75
"""Pixels of a render, and its side in sides of the face's box."""
SEEDS = {"train": 11, "validation": 12, "test": 13}
_ROW = {name: i for i, name in enumerate(EXPRESSIONS)}


def _set(codes: np.ndarray, value: float, *names: str) -> None:
    for name in names:
        codes[_ROW[name]] = value


def draw_expression(random: np.random.Generator, fitted: np.ndarray | None = None) -> np.ndarray:
    """Plausible weights (51,): those of a fitted photo, or a few at random; often with lids, jaw or gaze of their own.

    Args:
        fitted: (n, 51) weights fitted to photos.
    """
    codes = np.zeros(len(EXPRESSIONS))
    if fitted is not None and random.random() < 0.5:
        codes = fitted[random.integers(len(fitted))] * random.uniform(0.6, 1.2)
    else:
        for place in random.choice(len(codes), random.integers(0, 6), replace=False):
            name = EXPRESSIONS[place]
            _set(codes, random.uniform(0, 0.9), name)
            twin = name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
            if twin != name and random.random() < 0.75:
                _set(codes, codes[place] * random.uniform(0.8, 1.0), twin)
    if random.random() < 0.25:
        _set(codes, random.uniform(0.1, 1.0), "jawOpen")
        _set(codes, random.uniform(0, 0.5), "mouthLowerDownLeft", "mouthLowerDownRight")
        _set(codes, random.uniform(0, 0.5), "mouthUpperUpLeft", "mouthUpperUpRight")
    lids = random.random()
    if lids < 0.12:
        _set(codes, random.uniform(0.75, 1.0), "eyeBlinkLeft", "eyeBlinkRight")
    elif lids < 0.16:
        _set(codes, random.uniform(0.7, 1.0), ("eyeBlinkLeft", "eyeBlinkRight")[random.integers(2)])
    if random.random() < 0.4:
        _look(codes, random)
    codes[_ROW["mouthClose"]] = min(codes[_ROW["mouthClose"]], codes[_ROW["jawOpen"]])
    return np.clip(codes, 0, 1)


def _look(codes: np.ndarray, random: np.random.Generator) -> None:
    """Both eyes to the same place."""
    for name in ("In", "Out", "Up", "Down"):
        _set(codes, 0.0, f"eyeLook{name}Left", f"eyeLook{name}Right")
    across, upwards = random.uniform(-0.9, 0.9), random.uniform(-0.8, 0.8)
    _set(
        codes,
        abs(across),
        *(("eyeLookOutLeft", "eyeLookInRight") if across > 0 else ("eyeLookInLeft", "eyeLookOutRight")),
    )
    _set(codes, abs(upwards), *(f"eyeLook{'Up' if upwards > 0 else 'Down'}{side}" for side in ("Left", "Right")))


def draw_view(points: np.ndarray, random: np.random.Generator) -> View:
    """A camera that shows dense landmarks (478, 3) mm in the middle of a render, head turned up to 70 degrees."""
    wide = random.random() < 0.5
    yaw = math.radians(random.uniform(-70, 70) if wide else np.clip(random.normal(0, 20), -60, 60))
    pitch = math.radians(np.clip(random.normal(0, 12), -35, 35))
    roll = math.radians(random.normal(0, 6))
    rotation = from_euler(*(np.float64(angle) for angle in (yaw, pitch, roll)))
    distance = np.clip(900 * np.exp(0.35 * random.standard_normal()), 300, 3000)
    centre = points.mean(0)
    translation = np.array([0, 0, -distance]) - rotation @ centre
    view = View(rotation, translation, np.float64(distance), np.zeros(2), (SIZE, SIZE))
    center, side, tilt = face_frame(cameras.project(points, view))
    tilt += 0.05 * random.standard_normal()
    side *= math.exp(0.03 * random.standard_normal())
    return cameras.transform_view(view, crop_from_photo(center, MARGIN * side, tilt, SIZE), (SIZE, SIZE))


def draw_light(random: np.random.Generator) -> np.ndarray:
    """Spherical harmonics (9, 3): soft light from a random side, brightness about one where it is brightest."""
    radiance = np.zeros((9, 3))
    radiance[0] = 1.0
    direction = random.standard_normal(3) * [1, 0.7, 0.5] + [0, 0.3, 0.6]
    direction /= np.linalg.norm(direction)
    strength = random.uniform(0, 0.9)
    radiance[1:4] = strength * direction[[1, 2, 0], None] * np.sqrt(3)
    radiance[4:] = 0.1 * random.standard_normal((5, 1))
    radiance *= np.exp(0.1 * random.standard_normal(3))
    return from_radiance(radiance) * 3.545 * random.uniform(0.55, 1.15) / (1 + 0.8 * strength)


class Shooting:
    """Draws renders of one split: codes, cameras, looks with skins unwrapped from that split's fitted photos."""

    def __init__(self, ict: IctModel, dense_model, listings: Sequence[Listing], skins: int = 500) -> None:
        """
        Args:
            dense_model: (identity, expression) -> dense landmarks (478, 3) mm.
            listings: Photos with targets.
            skins: How many photos are unwrapped.
        """
        self.studio, self.dense_model = Studio(ict), dense_model
        self.photos, chosen, fitted = [], [], []
        for listing in listings:
            targets = listing.targets
            yaw, pitch, _ = to_euler(targets["rotation"])
            good = targets["known"] & (np.abs(yaw) < math.radians(18)) & (np.abs(pitch) < math.radians(25))
            chosen += [(listing, i) for i in np.flatnonzero(good)]
            fitted.append(targets["expression"][targets["known"]])
        self.fitted = np.concatenate(fitted)
        random = np.random.default_rng(5)
        order = random.permutation(len(chosen))[:skins]
        self.skins = np.stack([self._skin(*chosen[i]) for i in order])

    def _skin(self, listing: Listing, i: int) -> np.ndarray:
        image = listing.picture(i)
        self.photos.append(image)
        values = {key: listing.targets[key][i].astype(np.float64) for key in TARGETS}
        view = View(values["rotation"], values["translation"], values["focal"], values["principal"], image.shape[:2])
        vertices = self.studio.vertices(values["identity"], values["expression"]).astype(np.float64)
        return self.studio.skin_colors(image, vertices, view).astype(np.float16)

    def background(self, random: np.random.Generator) -> np.ndarray:
        """Procedural, or the edge of a photo."""
        if random.random() < 0.5:
            return backgrounds.background(SIZE, random)
        photo = self.photos[random.integers(len(self.photos))]
        width = photo.shape[1] // 5
        strip = photo[:, :width] if random.random() < 0.5 else photo[:, -width:]
        return cv2.resize(np.ascontiguousarray(strip), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)

    def look(self, random: np.random.Generator) -> Look:
        """A skin from a photo with another exposure and tint, and the rest at random."""
        skin = self.skins[random.integers(len(self.skins))].astype(np.float32)
        target = random.uniform(0.05, 0.55)  # brightness of the skin, so that dark and light ones are equally frequent
        skin = skin * (target / max(float(np.median(skin[: HEAD // 2])), 0.02)) ** random.uniform(0.2, 0.9)
        skin = np.clip(skin * np.exp(0.06 * random.standard_normal(3)), 0.003, 1.0).astype(np.float32)
        iris = np.array([[0.08, 0.035, 0.015], [0.03, 0.015, 0.01], [0.1, 0.15, 0.2], [0.09, 0.1, 0.04]])[
            random.integers(4)
        ]
        tone = random.uniform(0.005, 0.12) if random.random() < 0.7 else random.uniform(0.1, 0.6)
        hair = tone * np.array([1.0, random.uniform(0.6, 0.95), random.uniform(0.35, 0.95)])
        bald = random.random() < 0.15
        return Look(
            skin, iris * random.uniform(0.5, 1.8), hair, 1000.0 if bald else random.uniform(80, 118),
            random.choice([2.0, 6.0, 14.0, 25.0]) * random.uniform(0.5, 1.2), draw_light(random),
        )  # fmt: skip

    def shoot(self, random: np.random.Generator) -> dict[str, np.ndarray]:
        """One render: image uint8 (160, 160, 3), identity, expression, and the camera's values."""
        identity = random.standard_normal(100)
        expression = draw_expression(random, self.fitted)
        view = draw_view(self.dense_model(identity, expression), random)
        image = self.studio.render(identity, expression, view, self.look(random), self.background(random), random)
        return {
            "image": image, "identity": identity, "expression": expression, "rotation": view.rotation,
            "translation": view.translation, "focal": np.asarray(view.focal), "principal": view.principal,
        }  # fmt: skip


def write_shard(path: Path, shooting: Shooting, split: str, first: int, count: int) -> Iterator[int]:
    """Render pictures `first` to `first + count` of a split into one file, yielding the number of each when it is done.

    Picture i depends on the split, i and the shooting's skins alone.
    """
    rows: list[dict[str, np.ndarray]] = []
    pictures = []
    for i in range(first, first + count):
        item = shooting.shoot(np.random.default_rng((SEEDS[split], i)))
        image = cv2.cvtColor(item.pop("image"), cv2.COLOR_RGB2BGR)
        pictures.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 94])[1].ravel())
        rows.append(item)
        yield i
    arrays = {key: np.stack([row[key] for row in rows]).astype(np.float32) for key in rows[0]}
    ends = np.cumsum([len(picture) for picture in pictures])
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part.npz")
    np.savez(beside, pictures=np.concatenate(pictures), ends=ends, **arrays)
    beside.replace(path)


class Renders:
    """Shards in memory: images (n, 160, 160, 3) uint8 and the arrays of `TARGETS`, cameras in render pixels."""

    def __init__(self, paths: Sequence[Path]) -> None:
        shards = [_read(path) for path in paths]
        self.targets = {key: np.concatenate([shard[key] for shard in shards]) for key in TARGETS}
        self.images = np.zeros((len(self.targets["focal"]), SIZE, SIZE, 3), np.uint8)
        place = 0
        for shard in shards:
            for start, end in zip(np.append(0, shard["ends"][:-1]), shard["ends"]):
                picture = cv2.imdecode(shard["pictures"][start:end], cv2.IMREAD_COLOR)
                self.images[place] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                place += 1

    def __len__(self) -> int:
        return len(self.images)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in (*TARGETS, "pictures", "ends")}
    except (OSError, KeyError, ValueError) as error:
        raise AssetError(f"{path}: not a shard of renders ({error}); write one with `likeness train renders`") from None
