"""Dense landmarks measured in a photo, each with its spread, by the exported landmark network."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np

from likeness.assets.dense_mirror import permutation
from likeness.photos import crop
from likeness.photos.detect import Detection, face_frame, square
from likeness.runtime.session import open_session
from likeness.types import Landmarks

MODEL = Path(__file__).parent / "points.onnx"
PLACES = ((0.0, 0.0, 0.0, 0.0), (0.03, 0.02, 0.05, 0.05), (-0.03, 0.02, -0.05, 0.02), (0.02, -0.03, -0.02, -0.05),
          (-0.02, -0.03, 0.04, -0.02))  # fmt: skip
"""Crops that are looked at, each as it is and mirrored: shift right and down (box sides), log side, roll (radians). Ours."""
_MIRROR = permutation()


class Landmarker:
    """The landmark network in an ONNX Runtime session of one thread.

    A first look at the given face, as it is and mirrored, says where it really is; the answer is the mean of looks at
    several crops around that place. It is computed in the pixels of the photo.

    Args:
        path: The graph; by default the one that ships.
        places: Rows as in `PLACES`; fewer are quicker.

    Raises:
        AssetError: When the file is missing or damaged.
    """

    def __init__(self, path: Path = MODEL, places: tuple[tuple[float, float, float, float], ...] = PLACES) -> None:
        self.session = open_session(path, "points")
        self.places = places

    def __call__(self, image: np.ndarray, face: Detection | tuple[float, float, float, float]) -> Landmarks:
        """The landmarks of one face.

        Args:
            image: (H, W, 3) uint8 sRGB.
            face: Where it is, from the finder or from landmarks; or a box (x0, y0, x1, y1) of an upright face.

        Returns:
            float32 points and spreads. The spread joins what the network expects and how far its looks are apart.

        Raises:
            PhotoError: When the box has no area or is not finite.
        """
        if not isinstance(face, Detection):
            face = Detection(tuple(float(value) for value in face), 0.0, 1.0)
        center, side, roll = face_frame(self._look(image, [face]).points)
        around = [
            Detection(square(center + side * np.array([x, y]), side * math.exp(scale)), roll + turn, face.score)
            for x, y, scale, turn in self.places
        ]
        return self._look(image, around)

    def _look(self, image: np.ndarray, faces: list[Detection]) -> Landmarks:
        """The mean over crops, each seen as it is and mirrored, in one run of the network."""
        cutouts = [crop.crop(image, face.box, face.roll) for face in faces]
        pictures = np.stack([cutout.image for cutout in cutouts])
        points, sigma = self.session.run(None, {"image": np.concatenate([pictures, pictures[:, :, ::-1]])})
        plain, mirrored = np.split(points.astype(np.float64), 2)
        mirrored = mirrored[:, _MIRROR] * [-1, 1] + [crop.SIZE, 0]
        motions = np.stack([cutout.photo_from_crop for cutout in cutouts] * 2)
        seen = np.concatenate([plain, mirrored]) @ motions[:, :2, :2].swapaxes(1, 2) + motions[:, None, :2, 2]
        spread = (
            np.concatenate([sigma[: len(faces)], sigma[len(faces) :][:, _MIRROR]])
            * np.hypot(*motions[:, :2, 0].T)[:, None]
        )
        apart = seen.var(0).mean(-1)
        return Landmarks(seen.mean(0).astype(np.float32), np.sqrt((spread**2).mean(0) + apart).astype(np.float32))


@functools.lru_cache(maxsize=1)
def shipped() -> Landmarker:
    """The landmark network that ships, loaded once."""
    return Landmarker()
