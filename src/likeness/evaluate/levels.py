"""Two levels of a face against its photo, on the same pixels: what the finer one gains. Pure numbers.

Tewari et al. 2018, fig. 11: 0.092 at the base level, 0.072 at the final one, mean over photos; a fall of 22 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from likeness.evaluate.color_error import color_distance
from likeness.evaluate.scores import bootstrap_interval


def level_errors(photo: np.ndarray, levels: Mapping[str, np.ndarray], pixels: np.ndarray) -> dict[str, float]:
    """Mean colour distance of each level's drawing over one set of pixels, so that none gains by covering less.

    Args:
        photo: (H, W, 3) in [0, 1] as stored (sRGB).
        levels: Name -> (H, W, 3), the same.
        pixels: (H, W) bool, those that count; where none does, every error is NaN.
    """
    if not pixels.any():
        return dict.fromkeys(levels, float("nan"))
    return {name: float(color_distance(drawing[pixels], photo[pixels]).mean()) for name, drawing in levels.items()}


def gain(base: np.ndarray, final: np.ndarray, rounds: int = 2000) -> dict[str, float]:
    """By how much the final level is nearer, over n photos.

    Args:
        base, final: (n,) errors of the same photos; photos without either are left out.

    Returns:
        "fall %": of the mean error; "from" and "to": its 95 % interval, photos drawn with replacement, both errors
        of a photo together; "better %": share of the photos whose error falls.
    """
    base, final = np.asarray(base, float), np.asarray(final, float)
    known = np.isfinite(base) & np.isfinite(final)
    base, final = base[known], final[known]

    def fall(chosen: np.ndarray) -> float:
        rows = chosen.astype(int)
        return 100 * float(1 - final[rows].mean() / base[rows].mean())

    places = np.arange(len(base))
    if not len(places):
        return dict.fromkeys(("fall %", "from", "to", "better %"), float("nan"))
    low, high = bootstrap_interval(places, fall, rounds)
    return {"fall %": fall(places), "from": low, "to": high, "better %": 100 * float((final < base).mean())}
