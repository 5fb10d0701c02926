"""One side of the face model: what the exported decoder reads, half as much as the whole."""

from __future__ import annotations

import numpy as np

from likeness.assets.builtin import Builtin, flip, half_vertices, split_expressions


def half_shapes(model: Builtin) -> dict[str, np.ndarray]:
    """The arrays that the graph reads: one side's mean (3 H,), symmetric and antisymmetric shapes (n, 3 H), float32 mm."""
    half, mirror = half_vertices(model.layout), model.layout.mirror("base")
    single, pairs = split_expressions()
    left = model.expression[[row for row, _ in pairs]]
    right = flip(left, mirror)[:, half]
    left, even = left[:, half], model.symmetry > 0
    identity = model.identity[:, half]
    shapes = {
        "mean": model.mean[half],
        "symmetric": np.concatenate([identity[even], model.expression[single][:, half], (left + right) / 2]),
        "antisymmetric": np.concatenate([identity[~even], (left - right) / 2]),
    }
    return {name: np.ascontiguousarray(a.reshape(*a.shape[:-2], -1), np.float32) for name, a in shapes.items()}
