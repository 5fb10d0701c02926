"""How far colours are off: renderings against photos, textures against textures. RGB in [0, 1] as stored (sRGB)."""

from __future__ import annotations

import numpy as np


def color_distance(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Euclidean distance (h, w) of RGB values (h, w, 3) in [0, 1]; white against black is sqrt(3)."""
    return np.linalg.norm(np.asarray(predicted, float) - np.asarray(truth, float), axis=-1)


def photometric_error(rendering: np.ndarray, photo: np.ndarray, covered: np.ndarray) -> dict[str, float]:
    """Mean colour distance over the pixels that the rendering covers, and the share of the picture that they are.

    Tewari et al. 2018, fig. 11 ("Euclidean photometric error in RGB space, each channel in [0, 1]"). A rendering that
    covers less has fewer pixels to be wrong in: compare methods at like coverage only.

    Args:
        rendering, photo: (h, w, 3) in [0, 1].
        covered: (h, w) bool, at least one true.
    """
    return {
        "rgb distance": float(color_distance(rendering, photo)[covered].mean()),
        "covered %": 100 * float(np.mean(covered)),
    }


def texture_error(
    predicted: np.ndarray, truth: np.ndarray, face: np.ndarray, known: np.ndarray | None = None
) -> dict[str, float]:
    """l2,1 error: colour distance, averaged over the face portion of the picture or chart.

    Tran et al. 2019, table 1 and eq. 3: l2 over the channels, l1 (a mean) over the pixels, so that few wild pixels do
    not rule. A texel of the face that the prediction lacks counts as black: leaving it out would reward leaving out.

    Args:
        predicted, truth: (h, w, 3) in [0, 1], in one chart.
        face: (h, w) bool, at least one true.
        known: (h, w) bool, where the prediction has a colour; everywhere by default.
    """
    known = np.ones(face.shape, bool) if known is None else known
    distance = color_distance(np.where(known[..., None], predicted, 0), truth)
    return {"l2,1": float(distance[face].mean()), "covered %": 100 * float(known[face].mean())}
