"""How far a face's lids and lips are open under given weights: the height between the rims that are seen.

The chart's holes lie deep inside, where the skin is folded in. What is seen of a rim is the lowest of the upper fold and the
highest of the lower one, column by column of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.assets.layout import Layout

EYE_LEFT, EYE_RIGHT, MOUTH = range(3)
"""The openings, in this order everywhere."""
FOLD = 6
"""Lines of the base grid beyond a hole in which the rim lies."""
MIDDLE = 0.5
"""Share of an opening's width, about its middle, over which it is measured: corners are always shut."""


@dataclass(frozen=True)
class Openings:
    """Heights (model frame, y) of the folds about one face's three openings, linear in the weights.

    Attributes:
        rest: For each opening upper and lower heights, mm, (2, C, D): C columns, D lines of the fold.
        change: The same for each expression at weight 1, (E, 2, C, D).
    """

    rest: tuple[np.ndarray, ...]
    change: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, neutral: np.ndarray, expression: np.ndarray, layout: Layout, level: str = "base") -> Openings:
        """Of neutral vertices (V, 3) mm and movements (E, V, 3) mm of our own topology at a level."""
        places = folds(layout, level)
        return cls(tuple(neutral[p, 1] for p in places), tuple(expression[:, p, 1] for p in places))

    def at(self, opening: int, weights: np.ndarray) -> np.ndarray:
        """(F,) mm that an opening is open under weights (F, E), mean over its columns; negative where rims overlap."""
        heights = self.rest[opening] + np.tensordot(weights, self.change[opening], 1)
        return (heights[:, 0].min(-1) - heights[:, 1].max(-1)).mean(-1)


def folds(layout: Layout, level: str = "base") -> list[np.ndarray]:
    """Vertices (2, C, D) of the upper and the lower fold of each opening."""
    size = layout.grid(level)
    factor = (size - 1) // (layout.size - 1)
    eye, mouth = layout.eye.scaled(factor), layout.mouth.scaled(factor)
    found = []
    for hole, mirrored in ((eye, False), (eye, True), (mouth, False)):
        columns = np.arange(hole.left, hole.right + 1)
        columns = columns[np.abs(columns - (hole.left + hole.right) / 2) <= MIDDLE * (hole.right - hole.left) / 2]
        columns = size - 1 - columns if mirrored else columns
        lines = np.arange(FOLD * factor + 1)
        upper, lower = (hole.top - lines) * size, (hole.bottom + lines) * size
        found.append(np.stack([columns[:, None] + upper, columns[:, None] + lower]))
    return found
