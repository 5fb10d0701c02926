"""A face model of two levels: a fixed linear model, and correctives that are learned from photos.

Tewari et al. 2018, sec. 4: `v_final = v_base(identity, expression) + F_g(delta_g)` and
`r_final = r_base(albedo) + F_r(delta_r)`, eq. 1 and 2. What is learned is small: geometry moves the nodes of a
deformation graph (as Mallikarjun et al. 2021 do it), and reflectance is a picture over the chart.
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
"""About what unit codes are worth before training: mm, and encoded RGB. Ours."""
FINE = 10.0
"""Number of the harmonic at which the basis at the start is weaker by the root of two. Ours."""


class Level(NamedTuple):
    """A level as losses see it, before colours are decoded.

    Attributes:
        vertices: (B, V, 3) mm, model frame.
        tones: (B, V, 3) sRGB-encoded albedo, not clipped: linear in the codes at the base level.
    """

    vertices: Tensor
    tones: Tensor


class Levels(NamedTuple):
    """One face, or a batch, at both levels; `albedo` is linear RGB as everywhere."""

    base: Face
    final: Face


class LinearSpace(nn.Module):
    """`F(code) = basis . code`, (B, C) -> (B, n, 3): the paper's best choice (sec. 7, fig. 5).

    Ours: the basis begins with the smoothest functions there are, the harmonics of the points' neighbourhoods, on each
    of the three axes; such a basis, fixed, is what the paper compares with (Garrido et al. 2016). Of a random one, every
    step towards a smooth correction would be drowned in speckle.

    Args:
        codes: C.
        pairs: (E, 2) neighbours among the n points.
        points: n.

    Attributes:
        basis: (C, 3 n) of about unit variance at the start, so that one learning rate fits both quantities.
        scale: What unit-variance codes and basis are worth in the quantity's unit.
    """

    def __init__(self, codes: int, pairs: np.ndarray, points: int, scale: float) -> None:
        super().__init__()
        count = min(-(-codes // 3), points)
        strength = (1 + np.arange(count) / FINE) ** -0.5
        waves = harmonics(pairs, points)[:count] * (strength / np.sqrt((strength**2).mean()))[:, None]
        basis = np.einsum("kn,xy->kxny", waves, np.eye(3)).reshape(3 * count, 3 * points)[:codes]
        more = np.zeros((max(codes - len(basis), 0), 3 * points))
        self.basis = nn.Parameter(torch.tensor(np.concatenate([basis, more]), dtype=torch.float32))
        self.scale = scale / math.sqrt(codes)

    def forward(self, code: Tensor) -> Tensor:
        return (self.scale * code @ self.basis).unflatten(-1, (-1, 3))


class NonLinearSpace(nn.Module):
    """A network with one hidden layer in the place of the basis (sec. 4.2, fig. 5); its shape is ours.

    Without biases, so that no code means no correction.
    """

    def __init__(self, codes: int, pairs: np.ndarray, points: int, scale: float, hidden: int = CODES) -> None:
        super().__init__()
        self.inner = nn.Linear(codes, hidden, bias=False)
        nn.init.normal_(self.inner.weight, std=1 / math.sqrt(codes))
        self.outer = LinearSpace(hidden, pairs, points, scale)

    def forward(self, code: Tensor) -> Tensor:
        return self.outer(nn.functional.elu(self.inner(code)))


SPACES = {"linear": LinearSpace, "non-linear": NonLinearSpace}
"""Fig. 5."""


class GeometryCorrectives(nn.Module):
    """F_g: codes (B, C) -> displacements (B, V, 3) mm, model frame.

    Args:
        upsampling: (V, G) from the graph's nodes to the vertices.
        pairs: (E, 2) neighbours among the nodes.
        kind: Key of `SPACES`.
    """

    def __init__(self, upsampling: Sparse, pairs: np.ndarray, kind: str = "linear", codes: int = CODES) -> None:
        super().__init__()
        self.codes, self.upsampling = codes, upsampling
        self.space = SPACES[kind](codes, pairs, upsampling.shape[1], MILLIMETRES)

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
        texels = np.arange(size * size).reshape(size, size)
        sides = ((texels[:, :-1], texels[:, 1:]), (texels[:-1], texels[1:]))
        pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b in sides])
        self.space = SPACES[kind](codes, pairs, size * size, TONES)

    def texture(self, code: Tensor) -> Tensor:
        """(B, S, S, 3) over the chart, zero where no skin is."""
        return self.space(code).unflatten(-2, (self.size, self.size)) * self.seen

    def forward(self, code: Tensor) -> Tensor:
        return self.read.apply(self.space(code))


def corrected(base: Level, displacement: Tensor, tint: Tensor) -> Level:
    """The final level, eq. 1 and 2: what the correctives say, added to the base level.

    Ours: the paper adds reflectance as it is; here encoded values are added. In those the albedo model is linear, and a
    beard is about the same step on light and on dark skin. And the base level's are clipped to [0, 1] before, so that
    correctives begin at a colour that is possible; where they are, the base level's code gets no gradient from this one.

    Args:
        displacement: (B, V, 3) mm, of `GeometryCorrectives`.
        tint: (B, V, 3), of `ReflectanceCorrectives`.
    """
    return Level(base.vertices + displacement, base.tones.clamp(0, 1) + tint)


class MultilevelModel(nn.Module):
    """Both levels of a face.

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
        face, displacement = self.shape(identity, expression), self.geometry(geometry)
        base = Level(face.vertices, self.albedo.encoded(albedo))
        final = corrected(base, displacement, self.reflectance(reflectance))
        return Levels(
            Face(base.vertices, face.neutral, decoded(base.tones)),
            Face(final.vertices, face.neutral + displacement, decoded(final.tones)),
        )


def skin_of(topology: Topology) -> np.ndarray:
    """(V,) bool: the vertices of the face's outer skin; all where a topology names no skin."""
    everything = np.ones(len(topology.uv), bool)
    skin, mouth = topology.regions.get("skin", everything), topology.regions.get("inner_mouth", ~everything)
    return np.asarray(skin, bool) & ~np.asarray(mouth, bool)


def harmonics(pairs: np.ndarray, count: int) -> np.ndarray:
    """(n, n) the eigenvectors of the uniform Laplacian of n points, smoothest first, each of mean square one.

    Vallet and Levy 2008, "Spectral geometry processing with manifold harmonics", with equal weights; on a grid of texels
    they are cosines. Signs are made certain: what is largest is positive.

    Args:
        pairs: (E, 2) neighbours.
        count: n.
    """
    matrix = np.zeros((count, count))
    a, b = pairs.T
    matrix[a, b] = matrix[b, a] = -1
    np.fill_diagonal(matrix, -matrix.sum(1))
    waves = np.linalg.eigh(matrix)[1].T
    largest = np.take_along_axis(waves, np.abs(waves).argmax(1)[:, None], 1)
    return waves * np.sign(largest) * math.sqrt(count)


def spread(mean: np.ndarray, topology: Topology, nodes: int = graph.NODES) -> tuple[Sparse, np.ndarray]:
    """Nodes over the largest piece of a head: (V, G) from nodes to all vertices, and (E, 2) neighbours among the nodes.

    Pieces of their own, as eyeballs are, move as wholes: each by the mean of what is around it.

    Args:
        mean: (V, 3) mm, the mean face.
        nodes: G.
    """
    piece = _pieces(topology.triangles, len(mean))
    largest = np.bincount(piece[topology.triangles[:, 0]]).argmax()
    triangles = topology.triangles[piece[topology.triangles[:, 0]] == largest]
    exact = np.array_equal(topology.mirror[topology.mirror], np.arange(len(mean)))  # not so on models of others
    found = graph.build(mean, triangles, nodes, topology.mirror if exact else None)
    matrix = found.upsampling
    kept = piece[matrix.rows] == largest
    rows, columns, values = [matrix.rows[kept]], [matrix.columns[kept]], [matrix.values[kept]]
    for number in np.setdiff1d(piece, largest):
        members, mine = np.flatnonzero(piece == number), piece[matrix.rows] == number
        share = np.bincount(matrix.columns[mine], matrix.values[mine], nodes) / len(members)
        near = np.flatnonzero(share)
        rows.append(np.repeat(members, len(near)))
        columns.append(np.tile(near, len(members)))
        values.append(np.tile(share[near], len(members)))
    return Sparse.gathered(*(np.concatenate(part) for part in (rows, columns, values)), matrix.shape), found.edges


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
