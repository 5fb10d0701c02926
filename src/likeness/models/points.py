"""The face model seen only at a set of surface points, small enough to be evaluated for every training sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from likeness.types import Embedding


class PointModel(nn.Module):
    """A linear model of n points: codes (..., 100) and (..., 51) -> (..., n, 3) mm, model frame.

    Args:
        mean: (n, 3) mm.
        identity: (I, n, 3) mm per standard deviation.
        expression: (E, n, 3) mm at weight 1.
    """

    def __init__(self, mean: np.ndarray, identity: np.ndarray, expression: np.ndarray) -> None:
        super().__init__()
        count = len(mean)
        for name, values in (("mean", mean), ("identity", identity), ("expression", expression)):
            flat = np.ascontiguousarray(values, np.float32).reshape(*values.shape[:-2], 3 * count)
            self.register_buffer(name, torch.from_numpy(flat.copy()), persistent=False)

    @classmethod
    def at(cls, model: Any, embedding: Embedding, offset: np.ndarray | None = None) -> PointModel:
        """A face model with `mean`, `identity` and `expression` (..., V, 3), at points of its surface.

        Args:
            offset: (n, 3) mm, model frame: what the points keep from the surface, the same for every face.
        """
        mean = embedding.points(model.mean)
        mean = mean if offset is None else mean + offset
        return cls(mean, embedding.points(model.identity), embedding.points(model.expression))

    def forward(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        flat = self.mean + identity @ self.identity + expression @ self.expression
        return flat.unflatten(-1, (-1, 3))


def shape_gram(identity: np.ndarray, mean: np.ndarray, motion: bool = True) -> np.ndarray:
    """Quadratic form (I, I) of a neutral shape's mean squared vertex error, mm^2, by codes.

    `(a - b) @ gram @ (a - b)` is the mean over vertices of the squared distance between shapes a and b; with `motion`, of
    what is left after the best small rigid motion and scaling, so that the size of a head, which no single photo shows,
    does not count.

    Args:
        identity: (I, n, 3) mm per standard deviation, at evenly spread vertices.
        mean: (n, 3) mm.
    """
    count = len(mean)
    modes = identity.reshape(len(identity), -1).astype(np.float64)
    if motion:
        centred = mean.astype(np.float64) - mean.mean(0)
        moves = [np.tile(axis, (count, 1)) for axis in np.eye(3)]
        moves += [np.cross(axis, centred) for axis in np.eye(3)] + [centred]
        basis = np.linalg.qr(np.stack([move.ravel() for move in moves], 1))[0]
        modes = modes - (modes @ basis) @ basis.T
    return (modes @ modes.T / count).astype(np.float32)
