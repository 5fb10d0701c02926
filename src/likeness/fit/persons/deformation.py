"""A person's deviations from the face model on the nodes of a graph: smooth, small, and true to each expression's meaning.

Mallikarjun et al. 2021, sec. 3.6: the identity and expression models of a person are the generic ones, fine-tuned on a clip. Here
they are the generic ones plus offsets `U g` (eq. 2) of 521 nodes: one set for the neutral face and one for every expression.
What is believed of the offsets before any frame is seen is a normal distribution: neighbours move together (in place of eq. 10,
their smoothness term); the neutral face's offsets have no part in a motion or growth of the whole head, which cameras explain, and
little in the span of the expressions (their `M_id` is orthogonal to `M_exp`; see `KEPT`); and an expression changes where it moves
skin anyway, by a share of that movement, so that its name keeps its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from likeness.assets.builtin import Builtin
from likeness.geometry import graph
from likeness.geometry.laplacian import uniform
from likeness.geometry.sparse import Sparse

REACH = 2.5
"""Distance, in steps of the graph (about 9 mm), over which offsets fade. Ours."""
NEUTRAL = 1.5
"""mm: standard deviation of the neutral face's offsets. Ours: what 100 modes leave of a head they were not learned from."""
KEPT = 0.3
"""Share of the neutral offsets' deviation in the span of the expressions. Ours: with none (Mallikarjun et al. 2021, sec. 3.3) a
mouth that is wide for good must be a smile in every frame, which cost a tenth of a millimetre on one made-up person; with
all of it, a smile that lasts as long as the clip becomes the face."""
SHARE = 0.35
"""Standard deviation of an expression's offsets as a share of its own movement near a node. Ours."""
TOUCHING = 0.1
"""mm within which a lining begins at the skin."""


@dataclass(frozen=True)
class Deformation:
    """Offsets of base vertices from whitened numbers: standard normal numbers give offsets as likely as they are believed to be.

    Attributes:
        upsampling: U, (V, G).
        smooth: (G, G) a square root of the nodes' correlation.
        spread: (1 + E, G) mm, standard deviation of a node's offsets, the neutral face's first.
        held: (3 G, m) orthonormal directions in which the neutral offsets of the nodes are held back, and by how much, (m,).
        skin: (V, 1) zero where expressions do not move with the skin around: on eyeballs.
    """

    upsampling: Sparse
    smooth: Tensor
    spread: Tensor
    held: tuple[Tensor, Tensor]
    skin: Tensor

    @classmethod
    def of(cls, model: Builtin, count: int = graph.NODES) -> Deformation:
        """For a face model; `count` nodes, fewer for small ones. Takes seconds."""
        topology = model.topology("base")
        end = topology.parts["skin"].stop
        triangles = topology.triangles[(topology.triangles < end).all(1)]
        nodes = graph.build(model.mean[:end], triangles, count, topology.mirror[:end])
        moves = np.linalg.norm(model.expression, axis=-1)[:, nodes.nodes]
        joined = np.zeros((count, count))
        joined[nodes.edges[:, 0], nodes.edges[:, 1]] = joined[nodes.edges[:, 1], nodes.edges[:, 0]] = 1
        correlation, near = _correlation(joined), np.eye(count) + joined
        around = np.sqrt((moves.astype(np.float64) ** 2) @ near / near.sum(0))
        spread = np.concatenate([np.full((1, count), NEUTRAL), SHARE * around])
        values, vectors = np.linalg.eigh(correlation)
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        held = _held(model.mean[nodes.nodes], model.expression[:, nodes.nodes])
        skin = np.ones((len(model.mean), 1))
        for name in ("eye_left", "eye_right"):
            skin[topology.parts[name].start :][: model.layout.ball] = 0
        root, spread, directions, amount, skin = (
            torch.as_tensor(values, dtype=torch.float32) for values in (root, spread, *held, skin)
        )
        return cls(_attached(nodes.upsampling, model), root, spread, (directions, amount), skin)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1 + E, G, 3) of the whitened numbers."""
        return (*self.spread.shape, 3)

    def offsets(self, numbers: Tensor) -> Tensor:
        """Offsets (1 + E, V, 3) mm of the base vertices, the neutral face's first; linear in the numbers (1 + E, G, 3)."""
        nodes = self.spread[..., None] * (self.smooth @ numbers)
        neutral = self._without(nodes[0])
        offsets = self.upsampling.apply(torch.cat([neutral[None], nodes[1:]]))
        return torch.cat([offsets[:1], self.skin * offsets[1:]])

    def gathered(self, pull: Tensor) -> Tensor:
        """The transpose of `offsets`: (1 + E, V, 3) -> (1 + E, G, 3)."""
        nodes = self._down.apply(torch.cat([pull[:1], self.skin * pull[1:]]))
        nodes = torch.cat([self._without(nodes[0])[None], nodes[1:]])
        return self.smooth.T @ (self.spread[..., None] * nodes)

    @cached_property
    def _down(self) -> Sparse:
        return self.upsampling.transposed()

    def _without(self, nodes: Tensor) -> Tensor:
        """(G, 3) less what is held back of it."""
        flat, (directions, amount) = nodes.reshape(-1), self.held
        return (flat - directions @ (amount * (directions.T @ flat))).reshape(-1, 3)


def _correlation(joined: np.ndarray) -> np.ndarray:
    """(G, G), one on the diagonal: the inverse square of `1 + REACH^2 L`, L being the graph's Laplacian over its mean degree.

    Args:
        joined: (G, G), 1 where two nodes are neighbours.
    """
    degree = joined.sum(1)
    inverse = np.linalg.inv(np.eye(len(joined)) + REACH**2 * (np.diag(degree) - joined) / degree.mean())
    covariance = inverse @ inverse
    scale = 1 / np.sqrt(np.diag(covariance))
    return covariance * scale[:, None] * scale


def _held(places: np.ndarray, expression: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (3 G, m), orthonormal: shifts, small turns and growth of places (G, 3), of which all is taken, then what the
    expressions (E, G, 3) span besides, of which `KEPT` stays; and the shares (m,) that are taken."""
    centred = places.astype(np.float64) - places.mean(0)
    shifts = [np.tile(axis, (len(places), 1)) for axis in np.eye(3)]
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    motions = np.linalg.qr(np.stack([*shifts, *turns, centred]).reshape(7, -1).T)[0]
    columns = expression.reshape(len(expression), -1).T.astype(np.float64)
    columns = columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-12)
    columns = columns - motions @ (motions.T @ columns)
    directions, size, _ = np.linalg.svd(columns, full_matrices=False)
    directions = directions[:, size > 1e-4 * size[0]]  # expressions that move no node have no direction
    amount = np.concatenate([np.ones(7), np.full(directions.shape[1], 1 - KEPT)])
    return np.concatenate([motions, directions], 1), amount


def _attached(upsampling: Sparse, model: Builtin) -> Sparse:
    """U of the skin (n, G) for all vertices: linings of eyes and mouth continue the skin at which they begin, and an eyeball moves
    as a whole, with the mean of its opening."""
    topology, layout = model.topology("base"), model.layout
    skin = topology.parts["skin"].stop
    used = np.unique(topology.triangles[(topology.triangles < skin).all(1)])
    weights = np.zeros((len(model.mean), upsampling.shape[1]))
    weights[upsampling.rows, upsampling.columns] = upsampling.values
    for name, part in topology.parts.items():
        if name == "skin":
            continue
        ball = part.start + (layout.ball if name.startswith("eye") else 0)
        lining = np.arange(ball, part.stop)
        squares = ((model.mean[used][None] - model.mean[lining][:, None]) ** 2).sum(-1)
        begins = squares.min(1) < TOUCHING**2
        weights[lining[begins]] = weights[used[squares[begins].argmin(1)]]
        inner = topology.triangles[(topology.triangles >= ball).all(1) & (topology.triangles < part.stop).all(1)] - ball
        weights[lining[~begins]] = _harmonic(inner, begins) @ weights[lining[begins]]
        weights[part.start : ball] = weights[lining[begins]].mean(0)
    weights[weights < 1e-6] = 0
    rows, columns = np.nonzero(weights)
    return Sparse.gathered(rows, columns, weights[rows, columns], weights.shape)


def _harmonic(triangles: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(n - k, k): what the other vertices of a surface take of k known ones, each being the mean of its neighbours."""
    laplacian = np.zeros((len(known), len(known)))
    entries = uniform(triangles, len(known))
    laplacian[entries.rows, entries.columns] = entries.values
    laplacian[np.diag_indices(len(known))] += 1e-9  # vertices in no triangle stay where they are
    return -np.linalg.solve(laplacian[~known][:, ~known], laplacian[~known][:, known])
