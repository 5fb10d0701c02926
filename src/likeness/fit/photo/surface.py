"""A face model as fits need it: codes to vertices, and for any point of the surface how it and its normal move with the codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from likeness.assets.albedo import AlbedoModel, decoded, unfold
from likeness.assets.builtin import Builtin
from likeness.assets.correspondence import COUNT, Correspondence
from likeness.render.normals import vertex_normals
from likeness.types import Topology

SMALL = 0.1
"""Step of the codes by which normals are differentiated, standard deviations."""
SPARSE_SIGMA = 1.5
"""mm: how far a person's 68 points lie from the model's, whose definitions differ a little. Ours."""


class Marks(NamedTuple):
    """A set of n landmarks on the model.

    Attributes:
        vertices: (n, 3) long and weights (n, 3): where they lie.
        offset: (n, 3) mm: what automatic landmarks keep from their places, the same for everybody.
        sigma: (n,) mm, spread of measured points about these.
    """

    vertices: Tensor
    weights: Tensor
    offset: Tensor
    sigma: Tensor


class Paints(NamedTuple):
    """How encoded albedo changes with its code over the chart: half of it, in 8 bits, as the albedo model keeps it.

    Attributes:
        steps: (S, S / 2, 3 * K) int8, channels outermost; the columns of small u.
        scale: (K,) encoded values a step and standard deviation.
        symmetry: (K,) 1 or -1, by which the other half is the mirror image.
    """

    steps: Tensor
    scale: Tensor
    symmetry: Tensor

    @classmethod
    def of(cls, albedo: AlbedoModel) -> Paints:
        """Those of an albedo model."""
        steps = torch.from_numpy(albedo.modes).permute(1, 2, 3, 0).flatten(2)
        return cls(steps, torch.tensor(albedo.scale), torch.tensor(albedo.symmetry, dtype=torch.float32))

    @classmethod
    def none(cls, size: int) -> Paints:
        """Those of a chart whose albedo is known: one code without effect."""
        return cls(torch.zeros(size, size // 2, 3, dtype=torch.int8), torch.zeros(1), torch.ones(1))

    def at(self, ids: Tensor, shares: Tensor) -> Tensor:
        """(n, 3, K) encoded values per standard deviation at n places, each a sum of texels: their numbers and shares (n, c)."""
        steps, size = self.steps.flatten(0, 1), len(self.steps)
        row, column = ids // size, ids % size
        other = column >= size // 2
        stored = row * (size // 2) + torch.where(other, size - 1 - column, column)
        result, mirrored = torch.zeros(2, len(ids), self.steps.shape[-1])
        for texels, weights, across in zip(stored.unbind(1), shares.unbind(1), other.unbind(1)):
            values = steps.index_select(0, texels).float()
            result.addcmul_(values, (weights * ~across)[:, None])
            mirrored.addcmul_(values, (weights * across)[:, None])
        result = result.unflatten(-1, (3, -1)).addcmul_(mirrored.unflatten(-1, (3, -1)), self.symmetry)
        return result.mul_(self.scale)

    def mixed(self, code: Tensor) -> Tensor:
        """(S, S, 3) encoded values that a code (K,) adds to the mean."""
        amounts = torch.stack([self.scale * code * (self.symmetry == sign) for sign in (1, -1)], -1)
        even, odd = torch.stack([row.unflatten(-1, (3, -1)).float() @ amounts for row in self.steps]).unbind(-1)
        return unfold(even, 1) + unfold(odd, -1)


@dataclass(frozen=True)
class Surface:
    """Geometry at the base level, and diffuse albedo over the chart.

    Attributes:
        mean: (V, 3) mm.
        identity, expression: (I, V, 3) and (E, V, 3) mm per unit of the codes, M = I + E in all; the face model's own memory.
        topology: Of the vertices.
        marks: Landmark sets by the number of their points, 478 and 68.
        chart: (S, S, 3) mean albedo, sRGB-encoded.
        paints: What the albedo's code adds to it.
    """

    mean: Tensor
    identity: Tensor
    expression: Tensor
    topology: Topology
    marks: dict[int, Marks]
    chart: Tensor
    paints: Paints

    @classmethod
    def of(cls, model: Builtin, albedo: AlbedoModel, correspondence: Correspondence | None = None) -> Surface:
        """The parts of a face model and an albedo model, on one chart.

        Args:
            correspondence: Habits and spreads of automatic dense landmarks; by default none and 1.5 mm.
        """
        topology = model.topology("base")
        marks = {COUNT: _marks(topology, "dense"), 68: _marks(topology, "68")}
        if correspondence is not None:
            offset, sigma = (
                torch.tensor(np.asarray(v, np.float32)) for v in (correspondence.offset, correspondence.sigma)
            )
            marks[COUNT] = marks[COUNT]._replace(offset=offset, sigma=sigma)
        return cls(
            torch.tensor(model.mean), torch.from_numpy(model.identity), torch.from_numpy(model.expression), topology, marks,
            torch.tensor(albedo.whole_mean), Paints.of(albedo),
        )  # fmt: skip

    @property
    def identities(self) -> int:
        """I, length of the identity's code."""
        return len(self.identity)

    @property
    def expressions(self) -> int:
        """E, length of the expression's code."""
        return len(self.expression)

    @property
    def albedos(self) -> int:
        """K, length of the albedo's code."""
        return len(self.paints.scale)

    @cached_property
    def triangles(self) -> Tensor:
        """(T, 3) int32."""
        return torch.as_tensor(np.ascontiguousarray(self.topology.triangles, np.int32))

    @cached_property
    def uv(self) -> Tensor:
        """(V, 2) places of the vertices in the chart."""
        return torch.as_tensor(np.ascontiguousarray(self.topology.uv, np.float32))

    @cached_property
    def bare(self) -> Tensor:
        """(T,) bool: triangles of the skin; eyeballs and mouth bag have colours that no code explains."""
        return torch.as_tensor(np.asarray(self.topology.regions["skin"]))[self.triangles.long()].all(1)

    @cached_property
    def turning(self) -> Tensor:
        """(V, 3 * M) how unit normals of the mean face change per unit of the codes, coordinates before codes.

        A normal is no linear function; fits use this for directions of descent only.
        """
        start = vertex_normals(self.mean, self.triangles)
        result = torch.empty(*self.mean.shape, self.identities + self.expressions)
        for k, mode in enumerate([*self.identity, *self.expression]):
            result[..., k] = (vertex_normals(self.mean + SMALL * mode, self.triangles) - start) / SMALL
        return result.flatten(1)

    def vertices(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Vertices (..., V, 3) mm of codes (..., I) and (..., E)."""
        offsets = identity @ self.identity.flatten(1) + expression @ self.expression.flatten(1)
        return self.mean + offsets.unflatten(-1, (-1, 3))

    def moving(self, vertices: Tensor, weights: Tensor) -> Tensor:
        """(n, 3, M) mm per unit of the codes at points that are sums of three vertices, (n, 3) each."""
        used, ids = torch.unique(vertices, return_inverse=True)
        rows = torch.empty(len(used), 3, self.identities + self.expressions)
        rows[..., : self.identities] = self.identity.index_select(1, used).permute(1, 2, 0)
        rows[..., self.identities :] = self.expression.index_select(1, used).permute(1, 2, 0)
        return _sums(rows.flatten(1), ids, weights)

    def turned(self, vertices: Tensor, weights: Tensor) -> Tensor:
        """(n, 3, M) how normals turn at such points; see `turning`."""
        return _sums(self.turning, vertices, weights)

    def encoded(self, code: Tensor) -> Tensor:
        """Diffuse albedo (S, S, 3) of one code (K,), sRGB-encoded and not clipped; that of the last code is kept."""
        if not self._last or not torch.equal(self._last[0], code):
            self._last[:] = code.clone(), self.chart + self.paints.mixed(code)
        return self._last[1]

    @cached_property
    def _last(self) -> list[Tensor]:
        return []

    def texture(self, code: Tensor) -> Tensor:
        """Diffuse albedo (S, S, 3) linear RGB of one code (K,)."""
        return decoded(self.encoded(code))


def _sums(field: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """Rows of a field (v, 3 * M), added up by weights (n, c): (n, 3, M)."""
    return embedding_bag(ids, field, per_sample_weights=weights, mode="sum").unflatten(1, (3, -1))


def _marks(topology: Topology, name: str) -> Marks:
    """A landmark set without habits."""
    embedding = topology.landmarks[name]
    vertices = torch.as_tensor(np.asarray(embedding.vertices, np.int64))
    weights = torch.as_tensor(np.asarray(embedding.weights, np.float32))
    return Marks(vertices, weights, torch.zeros(len(vertices), 3), torch.full((len(vertices),), SPARSE_SIGMA))
