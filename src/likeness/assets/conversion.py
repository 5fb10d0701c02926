"""Codes of one face model as codes of another that shares correspondences with it.

A code is first a shape: the source's vertices at the places that both models know. The target's most probable codes for
that shape follow by least squares in standard deviations (`geometry.codes`). What is left over, in millimetres, comes with
the answer: it is small where the target can make the face, and large where it cannot, and no choice of codes can change that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.assets.builtin import Builtin
from likeness.assets.outside import OutsideModel
from likeness.geometry.codes import fit_codes, solve_codes
from likeness.types import Embedding

Model = OutsideModel | Builtin


@dataclass(frozen=True)
class Pairs:
    """Places that two models share.

    Attributes:
        source: n points of the source's surface.
        target: The same n points of the target's surface.
    """

    source: Embedding
    target: Embedding


@dataclass(frozen=True)
class Converted:
    """Codes of another model, and how well they say the same.

    Attributes:
        identity: (..., I) standard deviations of the target.
        expression: (..., E) of the target.
        error: (..., n) mm between the pairs, after the rigid motion between the models' frames.
    """

    identity: np.ndarray
    expression: np.ndarray
    error: np.ndarray

    @property
    def rms(self) -> np.ndarray:
        """(...,) mm, root mean square of the error over the pairs."""
        return np.sqrt((self.error**2).mean(-1))


def convert(
    identity: np.ndarray, expression: np.ndarray, source: Model, target: Model, pairs: Pairs, sigma: float = 0.1
) -> Converted:
    """Codes of `target` that make the face that codes of `source` make.

    The neutral face decides identity; expression then follows from the moved face with identity held, so that a
    smile does not become a wider face.

    Args:
        identity: (..., I) standard deviations of the source.
        expression: (..., E) of the source.
        pairs: Where the models meet; at least three places, and more than the codes have numbers for a sharp answer.
        sigma: mm, how far the places may be off; the smaller, the less the prior counts.
    """
    identity, expression = np.asarray(identity, np.float64), np.asarray(expression, np.float64)
    neutral = _points(source, identity, 0 * expression, pairs.source)
    moved = _points(source, identity, expression, pairs.source)
    mean, modes, moves = (pairs.target.points(np.asarray(shape, np.float64)) for shape in
                          (target.mean, target.identity, target.expression))  # fmt: skip
    found = fit_codes(neutral, mean, modes, sigma)
    offsets = (moved - neutral) @ found.rotation.swapaxes(-1, -2)
    weights = getattr(target, "expression_unit", "weight") == "weight"
    count = len(moves)
    bounds = (np.zeros(count), np.ones(count)) if weights else None
    # Blendshape weights have no spread of their own: a faint pull to zero decides between those that do the same.
    strength = np.full(count, 0.1) if weights else None
    codes = solve_codes(offsets, 0 * mean, moves, sigma, strength, bounds)
    shape = found.points + np.tensordot(codes, moves, 1)
    there = moved @ found.rotation.swapaxes(-1, -2) + found.translation[..., None, :]
    return Converted(found.codes, codes, np.linalg.norm(there - shape, axis=-1))


def same_vertices(source: Model, target: Model, ids: np.ndarray | None = None) -> Pairs:
    """Pairs of models with one topology; or where vertex k of the target, a crop, is vertex `ids[k]` of the source.

    Raises:
        ValueError: When the numbers of vertices do not fit.
    """
    count = len(target.mean)
    ids = np.arange(count) if ids is None else np.asarray(ids)
    if len(ids) != count or len(ids) == 0 or ids.max() >= len(source.mean) or len(source.mean) < count:
        raise ValueError(f"{len(source.mean)} and {count} vertices with {len(ids)} pairs: these are not one topology")
    return Pairs(_corners(ids), _corners(np.arange(count)))


def landmark_pairs(source: Model, target: Model) -> Pairs:
    """Pairs of the Multi-PIE points that both models know.

    Raises:
        ValueError: When there are fewer than six.
    """
    (first, known), (second, too) = _landmarks(source), _landmarks(target)
    both = known & too
    if both.sum() < 6:
        raise ValueError(f"the models share {both.sum()} of the 68 points; six are needed")
    return Pairs(
        Embedding(first.vertices[both], first.weights[both]), Embedding(second.vertices[both], second.weights[both])
    )


def ict_pairs(model: Builtin) -> Pairs:
    """Pairs from ICT's narrow face, the model's first vertices, to a model that `likeness build` made of it.

    Raises:
        ValueError: When the model does not know where ICT's vertices lie.
    """
    if not len(model.ict_chart):
        raise ValueError("this face model has no places of ICT's vertices; build it with `likeness build`")
    inside = np.all((model.ict_chart > 0) & (model.ict_chart < 1), -1) & ~_in_holes(model)
    places = model.layout.embed(model.ict_chart[inside], "base")
    return Pairs(_corners(np.flatnonzero(inside)), places)


def _in_holes(model: Builtin) -> np.ndarray:
    """(n,) whether ICT's vertices lie in the chart's free rectangles, where the skin is only a membrane."""
    last = model.layout.size - 1
    u, v = model.ict_chart.T
    inside = np.zeros(len(u), bool)
    for hole in model.layout.holes.values():
        inside |= (u > hole.left / last) & (u < hole.right / last) & (v > hole.top / last) & (v < hole.bottom / last)
    return inside


def _landmarks(model: Model) -> tuple[Embedding, np.ndarray]:
    """The 68 points of a model and (68,) which of them it knows."""
    if isinstance(model, Builtin):
        return model.topology("base").landmarks["68"], np.ones(68, bool)
    if model.landmarks68 is None:
        return _corners(np.zeros(68, int)), np.zeros(68, bool)
    return _corners(np.maximum(model.landmarks68, 0)), model.landmarks68 >= 0


def _corners(ids: np.ndarray) -> Embedding:
    """Vertices as points of a surface."""
    return Embedding(np.repeat(np.asarray(ids)[:, None], 3, 1), np.tile(np.array([1.0, 0, 0]), (len(ids), 1)))


def _points(model: Model, identity: np.ndarray, expression: np.ndarray, places: Embedding) -> np.ndarray:
    """(..., n, 3) mm points of a model's surface, decoding only these."""
    mean, modes, moves = (places.points(np.asarray(shape, np.float64)) for shape in
                          (model.mean, model.identity, model.expression))  # fmt: skip
    return mean + np.tensordot(identity, modes, 1) + np.tensordot(expression, moves, 1)
