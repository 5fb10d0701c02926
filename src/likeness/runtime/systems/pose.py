"""Pose and expression of a known face, from the landmarks of a photo.

Genova et al. 2018, A.1: a system that answers an expressionless face leaves these to landmarks. The paper descends by gradient on
68 points; here it is Gauss-Newton on the 478 dense ones of our landmark network, each with its spread, and it begins with what
the regressor says. Numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from likeness.assets import correspondence
from likeness.assets.builtin import Builtin
from likeness.assets.correspondence import OUTLINE
from likeness.fit.landmarks.bases import builtin_bases
from likeness.geometry.cameras import to_camera, to_pixels
from likeness.geometry.rotation import from_axis_angle
from likeness.types import Landmarks, View

STEPS = 10
TRUST, FREEDOM = 0.12, 4.0
"""Share of the landmarks that count as independent, and degrees of freedom of their errors' Student distribution: those of
`fit.landmarks.solver.FitConfig`."""
SPREAD = 0.25
"""Standard deviation of an expression weight about the regressor's answer. Ours."""


class Poser:
    """The face model at the dense landmarks but the outline, which lies where the head's turn puts it.

    Args:
        model: The face model.
    """

    def __init__(self, model: Builtin) -> None:
        bases = builtin_bases(model, correspondence.read())
        self.rows = np.setdiff1d(np.arange(len(bases.mean)), OUTLINE)
        self.mean, self.identity, self.expression = (
            shape[..., self.rows, :] for shape in (bases.mean, bases.identity, bases.expression)
        )

    def __call__(self, codes: Mapping[str, np.ndarray], view: View, seen: Landmarks) -> tuple[np.ndarray, View]:
        """Expression and camera under which the face's landmarks lie where they were seen.

        Args:
            codes: "identity" (100,), kept; "expression" (51,) in [0, 1], where it begins, and what is believed.
            view: Where the camera begins, in pixels of the photo; its focal length is kept.
            seen: The landmarks, in pixels of the photo.

        Returns:
            Expression (51,) float32 in [0, 1], and the camera.
        """
        neutral = self.mean + np.tensordot(np.asarray(codes["identity"], np.float64), self.identity, 1)
        believed = np.clip(np.asarray(codes["expression"], np.float64), 0, 1)
        weights = believed.copy()
        view = replace(
            view, **{name: np.asarray(getattr(view, name), np.float64) for name in ("rotation", "translation", "focal")}
        )
        damping, cost = 1e-3, self._cost(neutral, weights, believed, view, seen)
        for _ in range(STEPS):
            step = self._step(neutral, weights, believed, view, seen, damping)
            trial = np.clip(weights + step[6:], 0, 1)
            rotation = from_axis_angle(step[:3]) @ view.rotation
            moved = replace(view, rotation=rotation, translation=view.translation + step[3:6])
            better = self._cost(neutral, trial, believed, moved, seen)
            if better < cost:
                settled = cost - better < 1e-4 * cost
                weights, view, cost, damping = trial, moved, better, damping / 5
                if settled:
                    break
            else:
                damping *= 10
        return weights.astype(np.float32), view

    def _white(self, neutral: np.ndarray, weights: np.ndarray, view: View, seen: Landmarks) -> tuple[np.ndarray, ...]:
        """Residuals (n, 2) in spreads, the points turned into the camera's axes (n, 3), and in its frame (n, 3)."""
        points = neutral + np.tensordot(weights, self.expression, 1)
        placed = to_camera(points, view)
        off = to_pixels(placed, view) - seen.points[self.rows]
        return off / seen.sigma[self.rows, None], placed - view.translation, placed

    def _cost(
        self, neutral: np.ndarray, weights: np.ndarray, believed: np.ndarray, view: View, seen: Landmarks
    ) -> float:
        white, _, placed = self._white(neutral, weights, view, seen)
        if (placed[:, 2] >= 0).any():
            return np.inf
        likelihood = (FREEDOM + 2) * np.log1p((white**2).sum(1) / FREEDOM)
        return float(0.5 * TRUST * likelihood.sum() + 0.5 * (((weights - believed) / SPREAD) ** 2).sum())

    def _step(
        self,
        neutral: np.ndarray,
        weights: np.ndarray,
        believed: np.ndarray,
        view: View,
        seen: Landmarks,
        damping: float,
    ) -> np.ndarray:
        """(57,): turn (axis times angle, radians), shift (mm), expression; no weight is pushed over a bound that it is at."""
        white, turned, placed = self._white(neutral, weights, view, seen)
        share = np.repeat(TRUST * (FREEDOM + 2) / (FREEDOM + (white**2).sum(1)), 2)
        by_camera = np.zeros((len(placed), 2, 3))
        depth = -placed[:, 2]
        by_camera[:, 0, 0], by_camera[:, 1, 1] = 1, -1
        by_camera[:, :, 2] = placed[:, :2] * [1, -1] / depth[:, None]
        by_camera *= (view.focal / depth / seen.sigma[self.rows])[:, None, None]
        zero = np.zeros(len(placed))
        x, y, z = turned.T
        skew = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(-1, 3, 3)  # d(turn p)/d turn
        moves = np.moveaxis(self.expression, 0, -1)  # (n, 3, 51)
        rows = np.concatenate([by_camera @ skew, by_camera, by_camera @ (view.rotation @ moves)], -1).reshape(
            -1, 6 + len(weights)
        )
        gradient, curvature = rows.T @ (share * white.ravel()), (rows.T * share) @ rows
        own = np.arange(6, len(gradient))
        gradient[own] += (weights - believed) / SPREAD**2
        curvature[own, own] += SPREAD**-2
        curvature[np.diag_indices_from(curvature)] *= 1 + damping
        free = np.ones(len(gradient), bool)
        free[own] = ~(((weights <= 0) & (gradient[own] > 0)) | ((weights >= 1) & (gradient[own] < 0)))
        step = np.zeros(len(gradient))
        step[free] = -np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        return step
