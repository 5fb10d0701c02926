"""What the product computes from codes and a camera: vertices, normals and pixels, as one torch module that is exported.

Mirror symmetry halves what must be read: every shape is a sum of symmetric and antisymmetric half shapes, and the other half
of the face is the mirror image of their difference. The half shapes are inputs of the exported graph, read from
`builtin.safetensors` when a session is made, so that they are stored once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from likeness.assets.builtin import Builtin, half_vertices, split_expressions
from likeness.geometry.cameras import to_camera, to_pixels
from likeness.geometry.grid import refine, triangle_sums
from likeness.geometry.rotation import cross
from likeness.types import View

FEW = 8
"""Triangles that meet at a vertex, poles excepted."""


class Decoder(nn.Module):
    """Codes and a camera to vertices (V, 3) mm, unit normals (V, 3), both in the model frame, pixels (V, 2), depth (V,) mm.

    Args:
        model: The face model; only its layout and symmetry are kept.
        level: "base" or "dense".
    """

    def __init__(self, model: Builtin, level: str) -> None:
        super().__init__()
        layout = model.layout
        self.level, self.size, self.side = level, layout.size, layout.grid(level)
        half, mirror = half_vertices(layout), layout.mirror("base")
        place = np.full(len(mirror), -1)
        place[half] = np.arange(len(half))
        whole = np.where(place >= 0, place, len(half) + place[mirror])
        single, pairs = split_expressions()
        lists = {
            "whole": whole, "even": np.flatnonzero(model.symmetry > 0), "odd": np.flatnonzero(model.symmetry <= 0),
            "single": single, "left": [a for a, _ in pairs], "right": [b for _, b in pairs],
        }  # fmt: skip
        for name, values in lists.items():
            self.register_buffer(name, torch.as_tensor(np.asarray(values, np.int64)), persistent=False)
        self.register_buffer("used", torch.as_tensor(_used(model, level)), persistent=False)
        for name, values in zip(("triangles", "few", "many", "order"), _around(model, level)):
            self.register_buffer(name, torch.as_tensor(values), persistent=False)
        self.register_buffer("flip", torch.tensor([-1.0, 1.0, 1.0]).repeat(len(half), 1), persistent=False)

    def forward(self, identity, expression, rotation, translation, focal, principal, mean, symmetric, antisymmetric):
        vertices = self.shape(identity, expression, mean, symmetric, antisymmetric)
        view = View(rotation, translation, focal, principal, (0, 0))
        camera = to_camera(vertices, view)
        return vertices, self.normals(vertices), to_pixels(camera, view), -camera[:, 2]

    def shape(self, identity, expression, mean, symmetric, antisymmetric) -> torch.Tensor:
        """Vertices (V, 3) of codes (100,) and (51,), at the decoder's level."""
        left, right = expression[self.left], expression[self.right]
        even = torch.cat([identity[self.even], expression[self.single], left + right])
        odd = torch.cat([identity[self.odd], left - right])
        same = (mean + (even[None] @ symmetric)[0]).reshape(-1, 3)
        other = (odd[None] @ antisymmetric).reshape(-1, 3)
        vertices = torch.cat([same + other, (same - other) * self.flip])[self.whole]
        if self.level == "base":
            return vertices
        skin = self.size**2
        fine = refine(vertices[:skin].reshape(self.size, self.size, 3))
        return torch.cat([fine.reshape(-1, 3), vertices[skin:]])

    def normals(self, vertices: torch.Tensor) -> torch.Tensor:
        """Unit normals (V, 3), the same as `geometry.mesh.vertex_normals`, without scattering."""
        skin = self.side**2
        sums = triangle_sums(vertices[:skin].reshape(self.side, self.side, 3), self.used).reshape(-1, 3)
        a, b, c = (vertices[self.triangles[:, i]] for i in range(3))
        areas = torch.cat([cross(b - a, c - a), torch.zeros(1, 3)])
        beside = torch.cat([_sum(areas[self.few]), _sum(areas[self.many])])[self.order]
        total = torch.cat([sums, beside])
        square = (total * total) @ torch.ones(3, 3)  # the sum in each of three columns: nothing is broadcast
        return total / torch.sqrt(torch.clip(square, 1e-24, None))


def _sum(vectors: torch.Tensor) -> torch.Tensor:
    """Sums (n, 3) over the middle of (n, k, 3), as a product of matrices: several times faster in the exported graph."""
    return vectors.flatten(1) @ torch.eye(3).repeat(vectors.shape[1], 1)


def _used(model: Builtin, level: str) -> np.ndarray:
    """(n - 1, n - 1, 3) float32: 1 where the skin's grid has a quad, in each coordinate: broadcasting is slow in the graph."""
    layout = model.layout
    n, factor = layout.grid(level), (layout.grid(level) - 1) // (layout.size - 1)
    used = np.ones((n - 1, n - 1, 3), np.float32)
    for hole in layout.holes.values():
        hole = hole.scaled(factor)
        used[hole.top : hole.bottom, hole.left : hole.right] = 0
    return used


def _around(model: Builtin, level: str) -> tuple[np.ndarray, ...]:
    """What normals beside the skin are summed from: triangles (T, 3); which of them meet at the vertices where at most
    `FEW` do (n, FEW), and at the others, the poles (m, K), T where none; and (V',) each vertex's place among the two."""
    skin, count = model.layout.grid(level) ** 2, model.layout.count(level)
    triangles = model.topology(level).triangles
    triangles = triangles[(triangles >= skin).all(1)].astype(np.int64)
    lists: list[list[int]] = [[] for _ in range(count - skin)]
    for t, corners in enumerate(triangles):
        for corner in corners:
            lists[corner - skin].append(t)
    degree = np.array([len(members) for members in lists])
    groups = [np.flatnonzero(degree <= FEW), np.flatnonzero(degree > FEW)]
    tables = []
    for group, width in zip(groups, (FEW, int(degree.max()))):
        table = np.full((len(group), width), len(triangles), np.int64)
        for row, vertex in zip(table, group):
            row[: degree[vertex]] = lists[vertex]
        tables.append(table)
    return triangles, *tables, np.argsort(np.concatenate(groups))
