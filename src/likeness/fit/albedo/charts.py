"""Portraits unwrapped to the chart: colours, how far each can be trusted, and how the surface lay. Albedo is learned from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from likeness import color
from likeness.assets import correspondence
from likeness.assets.builtin import Builtin
from likeness.data.folder import Listing
from likeness.errors import AssetError
from likeness.geometry.cameras import project, to_camera, to_pixels
from likeness.geometry.mesh import vertex_normals
from likeness.runtime.sight import Photo, locate, look, within
from likeness.runtime.unwrap import trusted
from likeness.types import View

SPREAD, HOLD = 0.025, 0.15
"""Of the landmarks' pull on the chart around them: its width as a share of the chart, and the weight of no pull."""
SHARD = 200
"""Photos written to one file."""
IRISES = {"eye_right": slice(468, 473), "eye_left": slice(473, 478)}


@dataclass(frozen=True)
class Charts:
    """Photos over the chart.

    Attributes:
        colours: (n, S, S, 3) uint8 sRGB, as photographed.
        trust: (n, S, S) uint8, 255 where the photo surely shows that place of the face.
        normals: (n, V, 3) int8, unit normals of the posed face times 127, model frame.
        names: (n,) "set/file".
    """

    colours: np.ndarray
    trust: np.ndarray
    normals: np.ndarray
    names: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: np.ndarray) -> Charts:
        """Some of the photos."""
        return Charts(*(getattr(self, field.name)[rows] for field in fields(self)))


class Unwrapper:
    """Unwraps photos whose codes and cameras are known.

    Args:
        model: The face model.
        size: Texels along a side of the chart.
    """

    def __init__(self, model: Builtin, size: int) -> None:
        self.model, self.size = model, size
        self.topology = model.topology("base")
        learned = correspondence.read()
        self.offset, self.sigma = learned.offset, learned.sigma
        places = self.topology.landmarks["dense"].points(self.topology.uv)
        side = size // 4
        grid = (np.arange(side) + 0.5) / side
        texels = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 1, 2)
        self.inner = np.setdiff1d(np.arange(468), correspondence.OUTLINE)
        distance = ((texels - places[self.inner]) ** 2).sum(-1)
        self.pull = np.exp(-distance / (2 * SPREAD**2)).astype(np.float32)

    def __call__(
        self, image: np.ndarray, identity: np.ndarray, expression: np.ndarray, view: View, landmarks: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (S, S, 3) uint8 sRGB, trust (S, S) uint8 and normals (V, 3) int8 of one photo, as in `Charts`.

        Args:
            image: (H, W, 3) uint8 sRGB.
            identity, expression: Codes.
            view: The photo's camera.
            landmarks: (478, 2) dense landmarks in pixels: texels are sampled where those around them were seen, which the
                fit meets only to a pixel or two; None to go by the fit alone.
        """
        vertices = self.model.decode(identity, expression).astype(np.float64)
        normals = vertex_normals(vertices, self.topology.triangles)
        camera, turned = to_camera(vertices, view), normals @ np.asarray(view.rotation).T
        sight = look(camera, turned, view, self.topology)
        texels = locate(camera, turned, view, self.topology, self.size)
        trust = trusted(texels, sight, image.shape[:2])
        for number, part in enumerate(self.topology.parts, start=1):
            if part != "skin":
                seen = within(sight, number, texels.places, 4) * (texels.cosine > 0.2)
                trust = np.where(texels.part == number, seen if part != "mouth_bag" else 0, trust)
        places = (
            texels.places if landmarks is None else texels.places + self._pulled(vertices, view, landmarks, texels.part)
        )
        photo = Photo.around(image, to_pixels(camera[np.unique(self.topology.triangles)], view), texels)
        colours = color.encode(photo.sample(places))
        return colours, np.rint(255 * trust).astype(np.uint8), np.rint(127 * normals).astype(np.int8)

    def _pulled(self, vertices: np.ndarray, view: View, landmarks: np.ndarray, part: np.ndarray) -> np.ndarray:
        """(S, S, 2) pixels from where the fit puts a texel to where the landmarks around it were seen."""
        points = self.topology.landmarks["dense"].points(vertices) + self.offset
        away = landmarks[:, :2] - project(points, view)
        eyes = np.linalg.norm(landmarks[33, :2] - landmarks[263, :2])
        error = np.linalg.norm(away, axis=-1) / (0.04 * eyes)
        weight = 1 / (1 + error**2) / self.sigma
        weight /= np.median(weight)
        chosen = weight[self.inner].astype(np.float32)
        moved = (self.pull * chosen) @ away[self.inner].astype(np.float32)
        moved /= (self.pull @ chosen)[:, None] + HOLD
        side = self.size // 4
        result = cv2.resize(moved.reshape(side, side, 2), (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        for number, name in enumerate(self.topology.parts, start=1):
            if name in IRISES:
                result[part == number] = np.median(away[IRISES[name]], axis=0)
        return result


def unwrap_listing(
    listing: Listing,
    rows: Sequence[int],
    model: Builtin,
    size: int,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Charts:
    """Photos of a set over the chart, kept in `folder` in shards, so that a run which was stopped goes on where it was.

    Args:
        listing: A set's photos with their targets (`data.folder.read_set`).
        rows: Which of them.
        folder: For the shards; photos that are in one are not unwrapped again.
        progress: Called with the number of photos done and to do.

    Raises:
        AssetError: When a photo or a shard cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = [_read(path) for path in sorted(folder.glob(f"{listing.name}-*[0-9].npz"))]
    pieces = [shard for shard in shards if shard.trust.shape[1] == size]
    done = {str(name) for piece in pieces for name in piece.names}
    wanted = [f"{listing.name}/{listing.files[i]}" for i in rows]
    missing = [i for i, name in zip(rows, wanted) if name not in done]
    unwrapper = Unwrapper(model, size)
    for start in range(0, len(missing), SHARD):
        chosen = missing[start : start + SHARD]
        parts = [unwrap(unwrapper, listing, i) for i in chosen]
        names = np.array([f"{listing.name}/{listing.files[i]}" for i in chosen])
        pieces.append(Charts(*(np.stack(values) for values in zip(*parts)), names))
        _write(folder / f"{listing.name}-{len(shards) + start // SHARD:03d}.npz", pieces[-1])
        progress(start + len(chosen), len(missing))
    found = joined(pieces)
    place = {str(name): k for k, name in enumerate(found.names)}
    return found.take(np.array([place[name] for name in wanted], int))


def unwrap(unwrapper: Unwrapper, listing: Listing, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One photo of a set over the chart, as in `Charts`."""
    targets, image = listing.targets, listing.picture(row)
    view = View(*(targets[key][row] for key in ("rotation", "translation", "focal", "principal")), image.shape[:2])
    return unwrapper(image, targets["identity"][row], targets["expression"][row], view, listing.points[row, :, :2])


def joined(pieces: Sequence[Charts]) -> Charts:
    """Several sets of photos one after the other."""
    return Charts(*(np.concatenate([getattr(piece, field.name) for piece in pieces]) for field in fields(Charts)))


def frontal(listing: Listing, largest: float = 40.0) -> np.ndarray:
    """Rows of a listing whose fit is to be believed and whose head is turned by less than `largest` degrees of yaw."""
    rotation = listing.targets["rotation"]
    yaw = np.degrees(np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2]))
    return np.flatnonzero(listing.targets["known"] & (np.abs(yaw) < largest))


def _read(path: Path) -> Charts:
    try:
        with np.load(path, allow_pickle=False) as file:
            return Charts(*(file[field.name] for field in fields(Charts)))
    except (OSError, KeyError, ValueError) as error:
        raise AssetError(f"{path}: not a shard of unwrapped photos ({error}); remove it to start afresh") from None


def _write(path: Path, charts: Charts) -> None:
    beside = path.with_name(path.stem + "-part.npz")
    np.savez(beside, **{field.name: getattr(charts, field.name) for field in fields(Charts)})
    beside.replace(path)
