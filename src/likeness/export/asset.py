"""What an animator is handed: one mesh with a chart, a texture and movements that keep their names in every file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.builtin import Builtin
from likeness.assets.ict import IctModel

ICT_NOTICE = (
    "Contains the ICT Face Model Light of ICT-FaceKit, Copyright (c) 2020 USC Institute for Creative Technologies, MIT"
)
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated \
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the \
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to \
permit persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright \
notice and this permission notice shall be included in all copies or substantial portions of the Software. THE \
SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE \
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS \
OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR \
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""
"""ICT-FaceKit's licence asks that its text travels with the movements, which are substantial portions of the model."""


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

    def still(self) -> Asset:
        """The same without movements, which are most of its bytes."""
        return replace(self, targets=self.targets[:0], target_names=(), weights=np.zeros(0, np.float32))

    @property
    def used(self) -> np.ndarray:
        """(V,) bool: vertices that a face uses."""
        used = np.zeros(len(self.positions), bool)
        used[self.faces[self.faces >= 0]] = True
        return used

    def compacted(self) -> Asset:
        """The same surface without the vertices that no face uses; the order of the others stays."""
        used = self.used
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


def from_builtin(
    model: Builtin, identity: np.ndarray, expression: np.ndarray, level: str = "dense", texture: bytes | None = None,
    name: str = "face", extras: Mapping[str, Any] | None = None,
) -> Asset:  # fmt: skip
    """The rigged face of codes on our own topology.

    Args:
        model: The face model.
        identity: (100,) standard deviations.
        expression: (51,) in [0, 1], the photo's.
        level: "base" or "dense".
        texture: Encoded picture over the chart.
        name: Shown to whoever opens the file.
        extras: Kept with the file.
    """
    neutral = model.mean + np.tensordot(np.asarray(identity, np.float32), model.identity[: len(identity)], 1)
    targets = model.expression
    if level == "dense":
        neutral, coarse = model.refine(neutral), targets
        targets = np.empty((len(coarse), *neutral.shape), np.float32)
        for fine, shape in zip(targets, coarse):  # one by one: together they would be there three times
            fine[:] = model.refine(shape)
    return Asset(
        name=name,
        positions=neutral,
        faces=model.topology(level).faces,
        uv=model.topology(level).uv,
        targets=targets,
        target_names=tuple(model.expression_names),
        weights=np.clip(expression, 0, 1),
        texture=texture,
        notices=(model.licence, MIT) if "MIT" in model.licence else (model.licence,),
        extras=extras or {},
    )


def from_ict(
    model: IctModel, identity: np.ndarray, expression: np.ndarray,
    name: str = "head", extras: Mapping[str, Any] | None = None,
) -> Asset:  # fmt: skip
    """The full ICT head (eyes, teeth, gums, neck) of the same codes, with ICT's own chart and no texture.

    The texture stays behind: ICT's chart is another one, and most of that head was never in the photo.
    """
    neutral = model.mean + np.tensordot(np.asarray(identity, np.float32), model.identity[: len(identity)], 1)
    bare = Asset(
        name=name,
        positions=neutral,
        faces=model.faces,
        uv=None,
        targets=model.expression,
        target_names=EXPRESSIONS,
        weights=np.clip(expression, 0, 1),
        notices=(ICT_NOTICE, MIT),
        extras=extras or {},
    )
    return split_seams(bare, np.asarray(model.uv, np.float32) * [1, -1] + [0, 1], model.uv_faces)
