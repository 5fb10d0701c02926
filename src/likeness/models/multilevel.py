"""A face model of two levels: a fixed linear model, and correctives that are learned from photos.

Tewari et al. 2018, sec. 4. `v_final = v_base(identity, expression) + F_g(delta_g)` and `r_final = r_base(albedo) + F_r(delta_r)`,
eq. 1 and 2. What is learned is small: geometry moves the nodes of a deformation graph (as Mallikarjun et al. 2021 do it), and
reflectance is a picture over the chart.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from likeness.assets.albedo import decoded
from likeness.geometry import graph
from likeness.geometry.mesh import edges
from likeness.geometry.sparse import Sparse
from likeness.geometry.uv import bilinear
from likeness.types import Face, Topology

CODES = 500
"""C of the paper, for geometry and for reflectance (sec. 7)."""
MILLIMETRES, TONES = 1.0, 0.05
"""Standard deviation of a number that a random basis gives to a random code before training: mm, and encoded RGB. Ours."""


class Levels(NamedTuple):
    """One face, or a batch, at both levels; `albedo` is linear RGB as everywhere."""

    base: Face
    final: Face


class LinearSpace(nn.Module):
    """`F(code) = basis . code`, (B, C) -> (B, n, 3): the paper's best choice (sec. 7, fig. 5).

    Attributes:
        basis: (C, 3 n) of unit variance at the start, so that one learning rate fits both quantities.
        scale: What unit-variance codes and basis are worth in the quantity's unit.
    """

    def __init__(self, codes: int, points: int, scale: float) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(codes, 3 * points))
        self.scale = scale / math.sqrt(codes)

    def forward(self, code: Tensor) -> Tensor:
        return (self.scale * code @ self.basis).unflatten(-1, (-1, 3))


class NonLinearSpace(nn.Module):
    """A network with one hidden layer in the place of the basis (sec. 4.2, fig. 5); its shape is ours.

    Without biases, so that no code means no correction.
    """

    def __init__(self, codes: int, points: int, scale: float, hidden: int = CODES) -> None:
        super().__init__()
        self.inner = nn.Linear(codes, hidden, bias=False)
        nn.init.normal_(self.inner.weight, std=1 / math.sqrt(codes))
        self.outer = LinearSpace(hidden, points, scale)

    def forward(self, code: Tensor) -> Tensor:
        return self.outer(nn.functional.elu(self.inner(code)))


SPACES = {"linear": LinearSpace, "non-linear": NonLinearSpace}
"""Fig. 5."""


class GeometryCorrectives(nn.Module):
    """F_g: codes (B, C) -> displacements (B, V, 3) mm, model frame.

    Args:
        upsampling: (V, G) from the graph's nodes to the vertices.
        kind: Key of `SPACES`.
    """

    def __init__(self, upsampling: Sparse, kind: str = "linear", codes: int = CODES) -> None:
        super().__init__()
        self.codes, self.upsampling = codes, upsampling
        self.space = SPACES[kind](codes, upsampling.shape[1], MILLIMETRES)

    def nodes(self, code: Tensor) -> Tensor:
        """Displacements (B, G, 3) mm of the graph's nodes."""
        return self.space(code)

    def forward(self, code: Tensor) -> Tensor:
        return self.upsampling.apply(self.nodes(code))


class ReflectanceCorrectives(nn.Module):
    """F_r: codes (B, C) -> what is added to sRGB-encoded albedo, at the vertices (B, V, 3) or over the chart.

    Args:
        topology: Its chart; only its skin is corrected, eyeballs and mouth are not.
        size: Texels along a side of the chart.
        kind: Key of `SPACES`.

    Attributes:
        seen: (S, S, 1) 1 at the texels that skin reads.
    """

    def __init__(self, topology: Topology, size: int = 32, kind: str = "linear", codes: int = CODES) -> None:
        super().__init__()
        self.codes, self.size = codes, size
        skin = np.asarray(skin_of(topology), np.float64)
        self.read = bilinear(topology.uv, (size, size)).scaled(skin)
        seen = np.bincount(self.read.columns, self.read.values, size * size) > 0
        self.register_buffer("seen", torch.tensor(seen.reshape(size, size, 1), dtype=torch.float32), persistent=False)
        self.space = SPACES[kind](codes, size * size, TONES)

    def texture(self, code: Tensor) -> Tensor:
        """(B, S, S, 3) over the chart, zero where no skin is."""
        return self.space(code).unflatten(-2, (self.size, self.size)) * self.seen

    def forward(self, code: Tensor) -> Tensor:
        return self.read.apply(self.space(code))


class MultilevelModel(nn.Module):
    """Both levels of a face.

    Ours: the paper adds reflectance as it is; here encoded values are added. In those the albedo model is linear, and a beard
    is about the same step on light and on dark skin.

    Args:
        shape: (identity, expression) -> Face, fixed; `models.linear.LinearModel`.
        albedo: Its `encoded(code)` is diffuse albedo (B, V, 3), sRGB-encoded, fixed; `models.albedo.AlbedoDecoder`.
        geometry, reflectance: The correctives.
    """

    def __init__(
        self, shape: nn.Module, albedo: nn.Module, geometry: GeometryCorrectives, reflectance: ReflectanceCorrectives
    ) -> None:
        super().__init__()
        self.shape, self.albedo, self.geometry, self.reflectance = shape, albedo, geometry, reflectance

    def forward(
        self, identity: Tensor, expression: Tensor, albedo: Tensor, geometry: Tensor, reflectance: Tensor
    ) -> Levels:
        """All codes, (B, ...) each, to both levels, eq. 1 to 4."""
        face, tones = self.shape(identity, expression), self.albedo.encoded(albedo)
        displacement = self.geometry(geometry)
        base = Face(face.vertices, face.neutral, decoded(tones))
        tones = tones.clamp(0, 1) + self.reflectance(reflectance)
        return Levels(base, Face(face.vertices + displacement, face.neutral + displacement, decoded(tones)))


def skin_of(topology: Topology) -> np.ndarray:
    """(V,) bool: the vertices of the face's outer skin; all where a topology names no skin."""
    skin = topology.regions.get("skin")
    everything = np.ones(len(topology.uv), bool)
    return everything if skin is None else np.asarray(skin, bool) & ~np.asarray(topology.regions.get("inner_mouth", ~everything))


def upsampling(mean: np.ndarray, topology: Topology, nodes: int = graph.NODES) -> Sparse:
    """(V, G) from nodes spread over the largest piece of a head to all vertices.

    Pieces of their own, as eyeballs are, move as wholes: each by the mean of what is around it.

    Args:
        mean: (V, 3) mm, the mean face.
        nodes: G.
    """
    piece = _pieces(topology.triangles, len(mean))
    largest = np.bincount(piece[topology.triangles[:, 0]]).argmax()
    triangles = topology.triangles[piece[topology.triangles[:, 0]] == largest]
    matrix = graph.build(mean, triangles, nodes, topology.mirror).upsampling
    kept = piece[matrix.rows] == largest
    rows, columns, values = [matrix.rows[kept]], [matrix.columns[kept]], [matrix.values[kept]]
    for number in np.setdiff1d(piece, largest):
        members, mine = np.flatnonzero(piece == number), piece[matrix.rows] == number
        share = np.bincount(matrix.columns[mine], matrix.values[mine], nodes) / len(members)
        near = np.flatnonzero(share)
        rows.append(np.repeat(members, len(near)))
        columns.append(np.tile(near, len(members)))
        values.append(np.tile(share[near], len(members)))
    return Sparse.gathered(*(np.concatenate(part) for part in (rows, columns, values)), matrix.shape)


def _pieces(triangles: np.ndarray, count: int) -> np.ndarray:
    """(V,) the smallest vertex of the connected piece to which each vertex belongs."""
    piece, pairs = np.arange(count), edges(triangles)
    while True:
        least = np.minimum(piece[pairs[:, 0]], piece[pairs[:, 1]])
        following = piece.copy()
        for side in (0, 1):
            np.minimum.at(following, pairs[:, side], least)
        following = following[following]
        if np.array_equal(following, piece):
            return piece
        piece = following
