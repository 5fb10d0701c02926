"""What an animator is handed: one mesh with a chart, a texture and movements that keep their names in every file format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Asset:
    """A rigged, textured mesh, ready to be written.

    Attributes:
        name: Shown to whoever opens the file, such as the photo's stem.
        positions: (V, 3) mm, model frame: the person without expression.
        faces: (F, 4) int quads, counter-clockwise from outside; -1 in the last place marks a triangle.
        uv: (V, 2) chart coordinates, v down, or None for a mesh without a chart.
        targets: (K, V, 3) mm offsets at weight 1, linear and additive.
        target_names: K names, Apple's spelling.
        weights: (K,) in [0, 1], the expression of the photo.
        texture: An encoded JPEG or PNG picture over the chart, or None.
        notices: Whose work the file contains and under which licence, one line each.
        extras: Anything else that JSON can hold, kept with the file.
    """

    name: str
    positions: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None
    targets: np.ndarray
    target_names: Sequence[str]
    weights: np.ndarray
    texture: bytes | None = None
    notices: Sequence[str] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)

    def posed(self) -> np.ndarray:
        """(V, 3) mm with the expression of the photo."""
        return self.positions + np.tensordot(np.asarray(self.weights, np.float32), self.targets, 1)

    def compacted(self) -> Asset:
        """The same surface without the vertices that no face uses; the order of the others stays."""
        used = np.zeros(len(self.positions), bool)
        used[self.faces[self.faces >= 0]] = True
        if used.all():
            return self
        new_from_old = np.cumsum(used) - 1
        return replace(
            self,
            positions=self.positions[used],
            faces=np.where(self.faces < 0, -1, new_from_old[self.faces]).astype(np.int32),
            uv=None if self.uv is None else self.uv[used],
            targets=self.targets[:, used],
        )


def split_seams(asset: Asset, uv: np.ndarray, uv_faces: np.ndarray) -> Asset:
    """Give every pair of vertex and chart coordinate a vertex of its own, as files with one index need it.

    Args:
        asset: Mesh whose chart, if any, is replaced.
        uv: (n, 2) chart coordinates, v down.
        uv_faces: (F, 4) int rows of `uv` at the corners of `asset.faces`, -1 where those are -1.
    """
    corners = asset.faces >= 0
    pairs = np.stack([asset.faces[corners], uv_faces[corners]], -1)
    unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
    faces = np.full_like(asset.faces, -1)
    faces[corners] = inverse.ravel()
    vertex, place = unique.T
    return replace(
        asset, positions=asset.positions[vertex], faces=faces, uv=uv[place], targets=asset.targets[:, vertex]
    )
