"""How steady a tracker is on a clip: what trembles while the face rests, and how far its answer lags behind."""

from __future__ import annotations

import numpy as np

REST = 0.25
"""The face rests where no true point moves more than this a frame, px or mm. Ours."""


def jitter(points: np.ndarray, rest: np.ndarray | None = None) -> float:
    """Root mean square of what trembles, in the unit of the points, for each coordinate.

    Each frame is held against the mean of its neighbours; white noise of spread s scores s, and even motion nothing.
    A filter that answers late scores well here: read it beside the lag.

    Args:
        points: (F, k, d) of F >= 3 frames.
        rest: (F,) bool, frames that count; all by default. A frame counts only with both its neighbours.

    Returns:
        NaN where no frame counts.
    """
    points = np.asarray(points, float)
    bend = points[1:-1] - (points[2:] + points[:-2]) / 2
    rest = np.ones(len(points), bool) if rest is None else np.asarray(rest, bool)
    counts = rest[1:-1] & rest[2:] & rest[:-2]
    if not counts.any():
        return float("nan")
    return float(np.sqrt(np.mean(bend[counts] ** 2) / 1.5))  # noise less the mean of its neighbours: 1.5 s^2


def resting(truth: np.ndarray, most: float = REST) -> np.ndarray:
    """(F,) bool: frames of a true trajectory (F, k, d) to and from which no point moves more than `most`."""
    steps = np.linalg.norm(np.diff(np.asarray(truth, float), axis=0), axis=-1).max(-1) <= most
    return np.concatenate([[True], steps]) & np.concatenate([steps, [True]])


def lag(predicted: np.ndarray, truth: np.ndarray, most: int = 15) -> float:
    """Frames by which the prediction comes late; negative where it comes early.

    The shift at which the velocities correlate best, refined between frames by a parabola; the size of the prediction's
    motion does not matter.

    Args:
        predicted, truth: (F, k, d), more than `most` + 3 frames, the truth not at rest throughout.
        most: Largest shift tried, frames.

    Returns:
        NaN where the truth does not move or the clip is too short.
    """
    ours, true = (np.diff(np.asarray(p, float), axis=0).reshape(len(p) - 1, -1) for p in (predicted, truth))
    if len(true) < most + 3 or not np.abs(true).max() > 0:
        return float("nan")
    shifts = np.arange(-most, most + 1)
    costs = []
    for shift in shifts:
        late, early = (ours[shift:], true[: len(true) - shift]) if shift >= 0 else (ours[:shift], true[-shift:])
        costs.append(1 - (late * early).sum() / max(np.sqrt((late**2).sum() * (early**2).sum()), 1e-300))
    best = int(np.argmin(costs))
    if best in (0, len(costs) - 1):
        return float(shifts[best])
    before, here, after = costs[best - 1 : best + 2]
    return float(shifts[best] + 0.5 * (before - after) / max(before - 2 * here + after, 1e-300))


def steadiness(predicted: np.ndarray, truth: np.ndarray | None = None, fps: float | None = None) -> dict[str, float]:
    """Jitter at rest, lag in frames and milliseconds, and the mean error of a clip.

    Args:
        predicted: (F, k, d) points of a face in a clip, px or mm.
        truth: (F, k, d) the same, or None: then all frames count as rest, and there is no lag and no error.
        fps: Frames per second, for the lag in ms.
    """
    if truth is None:
        return {"jitter": jitter(predicted), "lag frames": np.nan, "lag ms": np.nan, "error": np.nan}
    late = lag(predicted, truth)
    return {
        "jitter": jitter(predicted, resting(truth)),
        "lag frames": late,
        "lag ms": 1000 * late / fps if fps else np.nan,
        "error": float(np.linalg.norm(np.asarray(predicted, float) - truth, axis=-1).mean()),
    }
