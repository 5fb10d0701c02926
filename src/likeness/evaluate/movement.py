"""How well a face's movement is caught: trembling of the surface, lids and lips that close, and lag.

All of it on dense landmarks of a mesh in mm, so that anybody's mesh can be measured; what needs no truth can be measured on
filmed clips, too. `evaluate.steadiness` holds jitter and lag of any points.
"""

from __future__ import annotations

import numpy as np

from likeness.evaluate.steadiness import lag

LIDS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))
"""Dense landmarks on upper and lower lid, one above the other: the subject's right and left eye."""
LIPS = ((13, 14), (82, 87), (312, 317))
"""The same on the inner border of the lips, in its middle."""


def bend(points: np.ndarray, counts: np.ndarray | None = None) -> float:
    """Mean length of the second difference, in the points' unit per frame squared: of a resting face it is trembling.

    Args:
        points: (F, k, d) of F >= 3 frames.
        counts: (F,) bool, frames that count, with both their neighbours; all by default.

    Returns:
        NaN where no frame counts.
    """
    counts = np.ones(len(points), bool) if counts is None else np.asarray(counts, bool)
    kept = counts[1:-1] & counts[2:] & counts[:-2]
    length = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)[kept]
    return float(length.mean()) if kept.any() else float("nan")


def gaps(points: np.ndarray, pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(F,) mean distance between pairs of points (F, n, d): how far lids or lips are open."""
    upper, lower = np.transpose(pairs)
    return np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(-1)


def calm(points: np.ndarray, share: float = 0.3, half: int = 4) -> np.ndarray:
    """(F,) bool: the stretches of a clip in which the face moves least, by measured points (F, n, d).

    A frame's movement is that of the points, averaged over the `2 half + 1` frames around it so that what trembles counts
    little; the given share of frames with the least of it is calm.
    """
    kernel = np.ones(2 * half + 1) / (2 * half + 1)
    edge = np.concatenate([points[:1].repeat(half, 0), points, points[-1:].repeat(half, 0)])
    flat = edge.reshape(len(edge), -1)
    smooth = np.stack([np.convolve(column, kernel, "valid") for column in flat.T], -1)
    step = np.abs(np.gradient(smooth, axis=0)).mean(-1)
    return step <= np.quantile(step, share)


def kept_height(found: np.ndarray, true: np.ndarray, events: np.ndarray, reach: int = 3, around: int = 9) -> float:
    """Median share of the height of short events that is left, such as of blinks in the opening of the lids.

    An event's height is how far its lowest value within `reach` frames lies below the median of the `around` frames
    on both sides.

    Args:
        found, true: (F,) signals.
        events: Frames in the middle of an event.
    """
    shares = []
    for event in events:
        near = slice(max(0, event - reach), event + reach + 1)
        wide = slice(max(0, event - around), event + around + 1)
        heights = [np.median(signal[wide]) - signal[near].min() for signal in (found, true)]
        if heights[1] > 0:
            shares.append(heights[0] / heights[1])
    return float(np.median(shares)) if shares else float("nan")


def against_truth(
    found: np.ndarray, true: np.ndarray, turned: np.ndarray, rotation: np.ndarray, rest: np.ndarray, blinks: np.ndarray,
    closures: np.ndarray,
) -> dict[str, float]:
    """What a known performance says about a fit of it.

    Args:
        found, true: (F, 478, 3) mm, dense landmarks in the model frame, with expression and without pose.
        turned, rotation: (F, 3, 3), the head's found and true rotation.
        rest: (F,) bool, where nothing moves.
        blinks, closures: Frames in the middle of blinks and of lip closures.
    """
    own, other = (points - points.mean(0) for points in (found, true))  # the person is not the movement
    turn = np.trace(turned.swapaxes(1, 2) @ rotation, axis1=1, axis2=2)
    lids = [np.minimum(*(gaps(points, pairs) for pairs in LIDS)) for points in (found, true)]
    lips = [gaps(points, LIPS) for points in (found, true)]
    return {
        "expression mm": float(np.linalg.norm(own - other, axis=-1).mean()),
        "rotation deg": float(np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1))).mean()),
        "bend at rest mm": bend(found, rest),
        "bend mm": bend(found),
        "true bend mm": bend(true),
        "blinks kept": kept_height(*lids, blinks),
        "lip gap error mm": float(np.abs(lips[0] - lips[1]).mean()),
        "lip gap at closures mm": float(np.abs(lips[0] - lips[1])[closures].mean()) if len(closures) else float("nan"),
        "lag frames": lag(found - found.mean(0), true - true.mean(0)),
    }
