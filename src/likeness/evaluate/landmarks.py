"""Errors of landmarks in photos, as shares of the distance between the outer eye corners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.assets.canonical import DENSE_OF_68
from likeness.assets.correspondence import IRISES, OUTER_EYE_CORNERS, OUTLINE

OUTER_EYES_68 = (36, 45)
JAW_68 = slice(0, 17)
ONE_SIGMA = 0.6827
"""Share of a normal distribution within one standard deviation of its mean."""
BAD = 0.10
"""Faces with a larger error count as failed."""
RIDGE = 0.03
"""Pull of the map's weights to the customary index table, in squared outer-eye distances. Ours, by cross-validation."""


@dataclass(frozen=True)
class Errors:
    """Landmark errors of n faces, as shares of the outer-eye distance.

    Attributes:
        faces: (n,) mean error of each face.
    """

    faces: np.ndarray

    def row(self) -> dict[str, float]:
        """Mean and median in percent, and the share of faces above 10 %, in percent."""
        bad = float((self.faces > BAD).mean())
        return {
            "mean": 100 * float(self.faces.mean()),
            "median": 100 * float(np.median(self.faces)),
            "above_10": 100 * bad,
        }


def eye_distance(points: np.ndarray, corners: tuple[int, int] = OUTER_EYE_CORNERS) -> np.ndarray:
    """Distance (n,) of the outer eye corners of landmarks (n, k, 2 or 3), in their unit.

    With three coordinates it does not shrink when the head turns; z must have the unit of x and y.
    """
    return np.linalg.norm(points[:, corners[0]] - points[:, corners[1]], axis=-1)


def distance_to_ring(points: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Distance (n, m) of points (n, m, 2) from the closed polyline (n, r, 2) of the same picture, px."""
    start, step = ring[:, None], (np.roll(ring, -1, 1) - ring)[:, None]
    offset = points[:, :, None] - start
    along = (offset * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-12)
    return np.linalg.norm(offset - np.clip(along, 0, 1)[..., None] * step, axis=-1).min(2)


def dense(predicted: np.ndarray, given: np.ndarray) -> Errors:
    """Error of dense landmarks: inner points by their distance, the outline by its distance to the given outline.

    The irises are left out. The unit is the 3D distance of the given outer eye corners, so that profiles count fairly.

    Args:
        predicted: (n, 478 or 468, 2) px.
        given: (n, 478, 3) px.
    """
    count, outline = IRISES.start, list(OUTLINE)
    errors = np.linalg.norm(predicted[:, :count, :2] - given[:, :count, :2], axis=-1)
    errors[:, outline] = distance_to_ring(predicted[:, outline, :2], given[:, outline, :2])
    return Errors(errors.mean(1) / eye_distance(given))


def within(errors: np.ndarray, sigma: np.ndarray) -> dict[str, float]:
    """How true spreads are: the shares of errors within one and two of them, which are 68.3 and 95.4 % of normal errors,
    and the factor on the spreads that brings the first to 68.3 %.

    Args:
        errors: (n, k, 2) in x and in y, px.
        sigma: (n, k) px.
    """
    ratio = np.abs(errors) / sigma[..., None]
    shares = {f"within_{count}": 100 * float((ratio < count).mean()) for count in (1, 2)}
    return shares | {"factor": float(np.quantile(ratio, ONE_SIGMA))}


def sparse(predicted: np.ndarray, truth: np.ndarray, rows: slice | list[int] = slice(None)) -> Errors:
    """Error of Multi-PIE points (n, 68, 2) px, all of them or some; the unit is the true 2D outer-eye distance."""
    errors = np.linalg.norm(predicted - truth, axis=-1)[:, rows]
    return Errors(errors.mean(1) / eye_distance(truth, OUTER_EYES_68))


def by_index(points: np.ndarray) -> np.ndarray:
    """The 68 points (n, 68, 2) of dense landmarks (n, 478 or 468, 2 or 3) by the customary index table."""
    return points[:, list(DENSE_OF_68), :2]


@dataclass(frozen=True)
class LandmarkMap:
    """Linear map from dense landmarks to the 68 points of a data set, which define places otherwise.

    Every point is the one of the index table plus a weighted sum of all dense landmarks, seen from the middle of the eyes.
    The same weights serve x and y, so that the map turns and scales with the face.

    Attributes:
        weights: (2, 468, 68), one set for each fold; a photo is mapped by weights learned on the other fold.
    """

    weights: np.ndarray

    def apply(self, points: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """The 68 points (n, 68, 2) of dense landmarks (n, 468 or more, 2 or 3); fold (n,) is 0 or 1."""
        origin = points[:, list(OUTER_EYE_CORNERS), :2].mean(1, keepdims=True)
        offsets = points[:, : IRISES.start, :2] - origin
        return by_index(points) + np.einsum("npc,npq->nqc", offsets, self.weights[fold])


def fit_map(points: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> LandmarkMap:
    """Learn the map by two-fold cross-validation, for evaluation only.

    Args:
        points: (n, 478, 2 or 3) given dense landmarks, px.
        truth: (n, 68, 2) px.
        fold: (n,) 0 or 1.
    """
    unit = eye_distance(points[..., :2])[:, None, None]
    origin = points[:, list(OUTER_EYE_CORNERS), :2].mean(1, keepdims=True)
    offsets = (points[:, : IRISES.start, :2] - origin) / unit
    wanted = (truth - by_index(points)) / unit
    weights = []
    for held_out in (0, 1):
        inputs = offsets[fold != held_out].transpose(0, 2, 1).reshape(-1, IRISES.start).astype(np.float64)
        outputs = wanted[fold != held_out].transpose(0, 2, 1).reshape(-1, truth.shape[1])
        system = inputs.T @ inputs + RIDGE * np.eye(IRISES.start)
        weights.append(np.linalg.solve(system, inputs.T @ outputs))
    return LandmarkMap(np.stack(weights))
