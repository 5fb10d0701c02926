"""How well a face's movement is caught: trembling of the surface, lids and lips that close, and lag.

All of it on dense landmarks of a mesh in mm, so that anybody's mesh can be measured; what needs no truth can be measured on
filmed clips, too. `evaluate.steadiness` holds jitter and lag of any points.
"""

from __future__ import annotations

import cv2
import numpy as np

from likeness.evaluate.steadiness import lag

LIDS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))
"""Dense landmarks on upper and lower lid, one above the other: the subject's right and left eye."""
SKIN = (1, 4, 5, 6, 8, 9, 50, 101, 116, 151, 168, 195, 197, 280, 330, 345, 10, 69, 299, 205, 425, 48, 278)
"""Dense landmarks on nose, forehead and cheeks, which keep their look while lids and lips move."""
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
    found: np.ndarray,
    true: np.ndarray,
    turned: np.ndarray,
    rotation: np.ndarray,
    rest: np.ndarray,
    blinks: np.ndarray,
    closures: np.ndarray,
) -> dict[str, float]:
    """What a known performance says about a fit of it; "turning" is the rotation less its constant error.

    Args:
        found, true: (F, 478, 3) mm, dense landmarks in the model frame, with expression and without pose.
        turned, rotation: (F, 3, 3), the head's found and true rotation.
        rest: (F,) bool, where nothing moves.
        blinks, closures: Frames in the middle of blinks and of lip closures.
    """
    own, other = (points - points.mean(0) for points in (found, true))  # the person is not the movement
    apart = (
        rotation.swapaxes(1, 2) @ turned
    )  # in the model's frame, where what a person's shape hides of it is constant
    u, _, v = np.linalg.svd(apart.mean(0))
    lids = [np.minimum(*(gaps(points, pairs) for pairs in LIDS)) for points in (found, true)]
    lips = [gaps(points, LIPS) for points in (found, true)]
    return {
        "expression mm": float(np.linalg.norm(own - other, axis=-1).mean()),
        "rotation deg": _degrees(apart),
        "turning deg": _degrees(apart @ (u @ v).T),
        "bend at rest mm": bend(found, rest),
        "bend mm": bend(found),
        "true bend mm": bend(true),
        "blinks kept": kept_height(*lids, blinks),
        "lip gap error mm": float(np.abs(lips[0] - lips[1]).mean()),
        "lip gap at closures mm": float(np.abs(lips[0] - lips[1])[closures].mean()) if len(closures) else float("nan"),
        "lag frames": lag(found - found.mean(0), true - true.mean(0)),
    }


def _degrees(rotation: np.ndarray) -> float:
    """Mean angle of rotations (F, 3, 3)."""
    return float(np.degrees(np.arccos(np.clip((np.trace(rotation, axis1=1, axis2=2) - 1) / 2, -1, 1))).mean())


def blinks(points: np.ndarray, share: float = 0.3, around: int = 9) -> np.ndarray:
    """Frames in the middle of blinks, by the lids of measured points (F, n, d).

    The opening has a minimum there, and is lower by at least `share` than the median of the `around` frames on both sides.
    """
    opening = np.maximum(*(gaps(points, pairs) for pairs in LIDS))
    found = []
    for frame in range(1, len(opening) - 1):
        wide = opening[max(0, frame - around) : frame + around + 1]
        near = opening[max(0, frame - 3) : frame + 4]
        if opening[frame] == near.min() and opening[frame] < (1 - share) * np.median(wide):
            found.append(frame)
    return np.array(found, int)


def against_landmarks(shown: np.ndarray, measured: np.ndarray, scale: float) -> dict[str, float]:
    """What landmarks measured in a filmed clip say about a fit of it. They tremble and err themselves.

    Args:
        shown: (F, 478, 2) px, the fit's dense landmarks in the frames.
        measured: (F, 478, 2) px.
        scale: px per mm on the face.
    """
    resting = calm(measured)
    lips, lids = ([gaps(points, pairs) / scale for points in (shown, measured)] for pairs in (LIPS, LIDS[0] + LIDS[1]))
    still = [gap - np.median(gap) for gap in lips]
    return {
        "bend at rest mm": bend(shown / scale, resting),
        "bend mm": bend(shown / scale),
        "lip gap error mm": float(np.abs(lips[0] - lips[1]).mean()),
        "lip movement kept": float((still[0] * still[1]).sum() / max((still[1] ** 2).sum(), 1e-9)),
        "blinks kept": kept_height(*lids, blinks(measured)),
        "lag frames": lag(np.stack([lips[0], lids[0]], -1)[:, None], np.stack([lips[1], lids[1]], -1)[:, None]),
    }


def slip(before: np.ndarray, now: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How a fit's step from one frame to the next differs from that of the skin under it, (k, 2) px, NaN where none is seen.

    The picture itself says where the skin went (optical flow; Lucas and Kanade 1981, in a pyramid), to a tenth of a pixel or
    so where it has texture, whatever the camera and the head do. Flow that does not lead back counts as not seen. A fit that
    trembles slips to and fro; one that lags or smooths too much slips along.

    Args:
        before, now: (H, W) uint8 grey frames.
        start, end: (k, 2) px, where the fit shows points of the skin in them.
    """
    options = {"winSize": (21, 21), "maxLevel": 3}
    there = start.astype(np.float32)[:, None] - 0.5  # OpenCV's pixel centres are integers
    forth, found, _ = cv2.calcOpticalFlowPyrLK(before, now, there, None, **options)
    back, _, _ = cv2.calcOpticalFlowPyrLK(now, before, forth, None, **options)
    good = (found[:, 0] > 0) & (np.linalg.norm((back - there)[:, 0], axis=-1) < 0.3)
    return np.where(good[:, None], (end - start) - (forth - there)[:, 0], np.nan)
