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


@dataclass(frozen=True)
class Surface:
    """Geometry at the base level, and diffuse albedo over the chart.

    Attributes:
        mean: (V, 3) mm.
        modes: (V, 3 * M) mm per unit of the M = I + E codes, coordinates outermost.
        identities, expressions: I and E.
        topology: Of the vertices.
        marks: Landmark sets by the number of their points, 478 and 68.
        chart: (S, S, 3) mean albedo, sRGB-encoded.
        paints: (S, S, 3 * K) encoded values per standard deviation, channels outermost.
    """

    mean: Tensor
    modes: Tensor
    identities: int
    expressions: int
    topology: Topology
    marks: dict[int, Marks]
    chart: Tensor
    paints: Tensor

    @classmethod
    def of(cls, model: Builtin, albedo: AlbedoModel, correspondence: Correspondence | None = None) -> Surface:
        """The parts of a face model and an albedo model, on one chart.

        Args:
            correspondence: Habits and spreads of automatic dense landmarks; by default none and 1.5 mm.
        """
        topology = model.topology("base")
        codes = [*model.identity, *model.expression]
        modes = torch.empty(*model.mean.shape, len(codes))
        for k, mode in enumerate(codes):
            modes[..., k] = torch.from_numpy(mode)
        paints = torch.empty(albedo.size, albedo.size, 3, albedo.codes)
        for k, (mode, scale, sign) in enumerate(zip(albedo.modes, albedo.scale, albedo.symmetry.tolist())):
            paints[..., k] = torch.from_numpy(unfold(mode * scale, sign))
        marks = {COUNT: _marks(topology, "dense"), 68: _marks(topology, "68")}
        if correspondence is not None:
            offset, sigma = (torch.tensor(np.asarray(v, np.float32)) for v in (correspondence.offset, correspondence.sigma))
            marks[COUNT] = marks[COUNT]._replace(offset=offset, sigma=sigma)
        return cls(
            torch.tensor(model.mean), modes.flatten(1), len(model.identity), len(model.expression), topology, marks,
            torch.tensor(albedo.whole_mean), paints.flatten(2),
        )  # fmt: skip

    @property
    def albedos(self) -> int:
        """K, length of the albedo's code."""
        return self.paints.shape[-1] // 3

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
        """(V, 3 * M) how unit normals of the mean face change per unit of the codes, laid out as `modes`.

        A normal is no linear function; fits use this for directions of descent only.
        """
        start = vertex_normals(self.mean, self.triangles)
        modes = self.modes.unflatten(1, (3, -1))
        result = torch.empty_like(modes)
        for k in range(modes.shape[-1]):
            result[..., k] = (vertex_normals(self.mean + SMALL * modes[..., k], self.triangles) - start) / SMALL
        return result.flatten(1)

    def vertices(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Vertices (..., V, 3) mm of codes (..., I) and (..., E)."""
        codes = torch.cat([identity, expression], -1)
        return self.mean + (codes @ self.modes.flatten().unflatten(0, (-1, codes.shape[-1])).T).unflatten(-1, (-1, 3))

    def at(self, field: Tensor, vertices: Tensor, weights: Tensor) -> Tensor:
        """Rows (n, 3, M) of `modes` or `turning` at points that are sums of three vertices, (n, 3) each."""
        return embedding_bag(vertices, field, per_sample_weights=weights, mode="sum").unflatten(1, (3, -1))

    def texture(self, code: Tensor) -> Tensor:
        """Diffuse albedo (S, S, 3) linear RGB of one code (K,)."""
        return decoded(self.chart + self.paints.unflatten(-1, (3, -1)) @ code)


def _marks(topology: Topology, name: str) -> Marks:
    """A landmark set without habits."""
    embedding = topology.landmarks[name]
    vertices = torch.as_tensor(np.asarray(embedding.vertices, np.int64))
    weights = torch.as_tensor(np.asarray(embedding.weights, np.float32))
    return Marks(vertices, weights, torch.zeros(len(vertices), 3), torch.full((len(vertices),), SPARSE_SIGMA))
