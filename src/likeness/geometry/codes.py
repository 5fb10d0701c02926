"""Codes of a linear model from points of its surface: least squares with a prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from likeness.geometry.rotation import cross, from_axis_angle


class Fitted(NamedTuple):
    """A linear model brought to points.

    Attributes:
        codes: (..., K).
        points: (..., n, 3) mm, the model's points in its own frame.
        error: (..., n) mm between the model's points and the given ones, as the motion below brings them together.
        rotation: (..., 3, 3) and
        translation: (..., 3) mm: the model's frame from that of the given points.
    """

    codes: np.ndarray
    points: np.ndarray
    error: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


def solve_codes(
    points: np.ndarray,
    mean: np.ndarray,
    modes: np.ndarray,
    sigma: float = 0.1,
    strength: np.ndarray | None = None,
    bounds: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """The most probable codes: minimise |points - (mean + codes . modes)|^2 / sigma^2 + |strength * codes|^2.

    Tikhonov regularisation in standard deviations (Blanz & Vetter 2003, "Face recognition based on fitting a 3D morphable
    model", eq. 7, for points with a known error). Not differentiable.

    Args:
        points: (..., n, 3) mm, in the model's frame.
        mean: (n, 3) mm.
        modes: (K, n, 3) mm per unit of each code.
        sigma: mm, how far points may be off.
        strength: (K,) inverse spread of each code; ones by default, that is, codes are in standard deviations.
        bounds: (K,) lowest and (K,) highest codes; none by default.

    Returns:
        (..., K) float64.
    """
    basis, prior = _basis(modes, strength)
    offsets = (np.asarray(points, np.float64) - mean).reshape(-1, len(basis))
    codes = _solve(basis.T @ basis / sigma**2 + prior, offsets @ basis / sigma**2, bounds)
    return codes.reshape(*points.shape[:-2], len(modes))


def fit_codes(
    points: np.ndarray,
    mean: np.ndarray,
    modes: np.ndarray,
    sigma: float = 0.1,
    strength: np.ndarray | None = None,
    rounds: int = 20,
) -> Fitted:
    """`solve_codes` for points in a frame of their own: codes and a rigid motion are found together.

    Two models of the same people need not agree on where a head's origin is, nor on which way it looks. Gauss-Newton
    steps: each solves codes together with a small turn and shift. Arguments as in `solve_codes`, and:

    Args:
        rounds: Most steps; a handful is enough unless frames are turned far against each other.
    """
    given = np.asarray(points, np.float64).reshape(-1, *points.shape[-2:])
    mean = np.asarray(mean, np.float64)
    basis, prior = _basis(modes, strength)
    count, square = basis.shape[1], basis.T @ basis / sigma**2 + prior
    rotation, translation = np.tile(np.eye(3), (len(given), 1, 1)), np.zeros((len(given), 3))
    codes, moved = np.zeros((len(given), count)), given
    translation = mean.mean(0) - given.mean(1)
    for _ in range(rounds):
        moved = given @ rotation.swapaxes(-1, -2) + translation[:, None]
        middle = moved.mean(1)
        frame = _small_motions(moved - middle[:, None])
        offsets = (moved - mean).reshape(len(given), -1)
        system = np.empty((len(given), count + 6, count + 6))
        system[:, :count, :count] = square
        system[:, :count, count:] = -np.einsum("ik,bij->bkj", basis, frame) / sigma**2
        system[:, count:, :count] = system[:, :count, count:].swapaxes(-1, -2)
        system[:, count:, count:] = frame.swapaxes(-1, -2) @ frame / sigma**2
        right = np.concatenate([offsets @ basis, -(frame.swapaxes(-1, -2) @ offsets[..., None])[..., 0]], 1) / sigma**2
        step = np.linalg.solve(system, right[..., None])[..., 0]
        codes, before = step[:, :count], codes
        turn = from_axis_angle(step[:, count : count + 3])
        rotation, was = turn @ rotation, translation
        translation = (turn @ (was - middle)[..., None])[..., 0] + middle + step[:, count + 3 :]
        if np.abs(codes - before).max(initial=0) < 1e-10 and np.abs(step[:, count:]).max(initial=0) < 1e-10:
            break
    moved = given @ rotation.swapaxes(-1, -2) + translation[:, None]
    shape = mean + (codes @ basis.T).reshape(-1, *mean.shape)
    pieces = (codes, shape, np.linalg.norm(moved - shape, axis=-1), rotation, translation)
    return Fitted(*(piece.reshape(*points.shape[:-2], *piece.shape[1:]) for piece in pieces))


def _basis(modes: np.ndarray, strength: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Modes as columns (3n, K), and the prior's quadratic form (K, K)."""
    count = len(modes)
    columns = np.asarray(modes, np.float64).reshape(count, int(np.prod(modes.shape[1:]))).T
    return columns, np.diag(np.ones(count) if strength is None else np.asarray(strength, np.float64) ** 2)


def _small_motions(points: np.ndarray) -> np.ndarray:
    """(b, 3n, 6): how points (b, n, 3) move with a small turn about their origin, and with a shift."""
    turns = [cross(np.broadcast_to(axis, points.shape), points) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, points.shape) for axis in np.eye(3)]
    return np.stack([motion.reshape(len(points), -1) for motion in (*turns, *shifts)], -1)


def _solve(normal: np.ndarray, right: np.ndarray, bounds: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Minimisers (m, K) of the quadratics codes . normal . codes / 2 - right . codes, perhaps between bounds.

    Between bounds by cyclic coordinate descent, which comes to the one minimum of a convex quadratic.
    """
    codes = np.linalg.solve(normal, right.T).T
    if bounds is None:
        return codes
    lowest, highest = bounds
    codes = np.clip(codes, lowest, highest)
    for _ in range(1000):
        largest = 0.0
        for k in range(codes.shape[1]):
            better = codes[:, k] + (right[:, k] - codes @ normal[k]) / normal[k, k]
            better = np.clip(better, lowest[k], highest[k])
            largest = max(largest, np.abs(better - codes[:, k]).max(initial=0))
            codes[:, k] = better
        if largest < 1e-8:
            break
    return codes
