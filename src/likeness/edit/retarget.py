"""A clip's movement on another face: the same expressions by name, lids and lips that close when the clip's do, other heads.

A weight means the same movement in millimetres on everybody, but lids that are 5 mm or 12 mm apart do not close by the same
movement. So that a blink stays a blink, `eyeBlink` is changed until the lids are open by the same share as the clip's person's, and
where lips touch `mouthClose` is changed until they touch. All other weights are the clip's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.edit.openings import EYE_LEFT, EYE_RIGHT, MOUTH, Openings
from likeness.errors import UsageError
from likeness.export.motion import Motion

TOUCHING = 2.0
"""mm beyond rest up to which lips are taken to be closing; from there on an open mouth is as open as the clip's. Ours."""
HALVINGS = 16
"""Steps in which a weight is found, each half as long as the one before."""
_LIDS = ((EYE_LEFT, "eyeBlinkLeft"), (EYE_RIGHT, "eyeBlinkRight"))


def retargeted(
    motion: Motion,
    source: Openings | None = None,
    target: Openings | None = None,
    gains: Mapping[str, float] | None = None,
    head: bool = True,
) -> Motion:
    """The movement as another face makes it.

    Args:
        motion: Of a clip.
        source, target: Openings of the clip's person and of the other face; without them weights are taken over as they are.
        gains: Factors by name, see `gained`.
        head: Whether the head moves as in the clip; else it looks at the camera from its middle distance, and stands still.

    Returns:
        A motion without what belongs to the clip's person and picture: albedo and boxes; with a still head without light.
    """
    weights = gained(motion.expression, gains or {})
    if source is not None and target is not None:
        there = np.isfinite(weights).all(1)
        weights[there] = closing(weights[there], source, target)
    moved = replace(motion, expression=weights, albedo=None, box=np.full_like(motion.box, np.nan))
    return moved if head else _still(moved)


def gained(weights: np.ndarray, gains: Mapping[str, float]) -> np.ndarray:
    """Weights (F, 51) times factors, kept in [0, 1], and mouthClose never above jawOpen, without which it has no meaning.

    Args:
        gains: By name, or by the beginning of names: "brow" is all brows, "mouthSmile" both sides. The longest that fits counts.

    Raises:
        UsageError: When a name fits no expression, or a factor is negative or not finite.
    """
    for name, factor in gains.items():
        if not any(expression.startswith(name) for expression in EXPRESSIONS):
            raise UsageError(
                f"there is no expression {name!r}; names are Apple's, such as jawOpen, or how some of them begin: brow"
            )
        if not 0 <= factor < np.inf:
            raise UsageError(f"the gain of {name} is {factor:g}; give 0 or more")
    fitting = [[name for name in gains if expression.startswith(name)] for expression in EXPRESSIONS]
    factors = np.array([gains[max(names, key=len)] if names else 1.0 for names in fitting])
    result = np.clip(weights * factors, 0, 1)
    close, jaw = EXPRESSIONS.index("mouthClose"), EXPRESSIONS.index("jawOpen")
    result[:, close] = np.minimum(result[:, close], result[:, jaw])
    return result


def closing(weights: np.ndarray, source: Openings, target: Openings) -> np.ndarray:
    """Weights (F, 51) under which the target's lids and lips close as the source's do."""
    result = weights.copy()
    nothing = np.zeros((1, weights.shape[1]))
    for opening, name in _LIDS:
        share = np.maximum(source.at(opening, weights) / source.at(opening, nothing), 0)
        _solve(
            result, EXPRESSIONS.index(name), np.ones(len(result)), target, opening, share * target.at(opening, nothing)
        )
    beyond = source.at(MOUTH, weights) - source.at(MOUTH, nothing)
    solved, close = result.copy(), EXPRESSIONS.index("mouthClose")
    _solve(solved, close, result[:, EXPRESSIONS.index("jawOpen")], target, MOUTH, target.at(MOUTH, nothing) + beyond)
    touching = 1 - np.clip(beyond / TOUCHING, 0, 1)
    result[:, close] += touching * (solved[:, close] - result[:, close])
    return result


def _solve(
    weights: np.ndarray, column: int, most: np.ndarray, face: Openings, opening: int, wanted: np.ndarray
) -> None:
    """Write the weight, from 0 to `most` (F,), under which an opening is as wide as wanted (F,), or as near as it comes.

    The opening falls with the weight, so that halving finds it; a weight that already does is not touched.
    """
    given = weights[:, column].copy()
    right = np.abs(face.at(opening, weights) - wanted) < 1e-6
    low, high = np.zeros(len(weights)), most.copy()
    for _ in range(HALVINGS):
        weights[:, column] = (low + high) / 2
        wide = face.at(opening, weights) > wanted
        low, high = np.where(wide, weights[:, column], low), np.where(wide, high, weights[:, column])
    weights[:, column] = np.where(right, given, (low + high) / 2)


def _still(motion: Motion) -> Motion:
    """The same with a head that looks at the camera from the clip's middle distance, in the middle of the picture."""
    seen = np.isfinite(motion.translation).all(1)
    place = np.array([0.0, 0.0, np.median(motion.translation[seen][:, 2])])
    height, width = motion.size
    return replace(
        motion,
        rotation=np.where(seen[:, None, None], np.eye(3), np.nan), translation=np.where(seen[:, None], place, np.nan),
        principal=np.array([width / 2, height / 2]), light=None,
    )  # fmt: skip
