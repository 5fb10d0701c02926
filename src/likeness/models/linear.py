"""A linear face model: codes in, a Face out."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from likeness.assets.builtin import Builtin
from likeness.assets.outside import OutsideModel
from likeness.types import Face


class LinearModel(nn.Module):
    """`vertices = mean + identity . codes + expression . codes`, all in buffers, at any leading batch dimensions.

    Attributes:
        codes: Size of each code: "identity" in standard deviations, "expression" in [0, 1].
        mean: (V, 3) mm, model frame.
        identity: (I, V, 3) mm per standard deviation.
        expression: (E, V, 3) mm at weight 1.
    """

    def __init__(self, mean: np.ndarray, identity: np.ndarray, expression: np.ndarray) -> None:
        super().__init__()
        self.codes = {"identity": len(identity), "expression": len(expression)}
        for name, values in (("mean", mean), ("identity", identity), ("expression", expression)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    @classmethod
    def of(cls, model: Builtin, level: str = "base") -> LinearModel:
        """The face model that ships, or the toy, with vertices at "base" or "dense"."""
        shapes = (model.mean, model.identity, model.expression)
        return cls(*(model.refine(shape) if level == "dense" else shape for shape in shapes))

    @classmethod
    def outside(cls, model: OutsideModel) -> LinearModel:
        """A model of others, in rest where it has joints; expression codes are in its `expression_unit`."""
        return cls(model.mean, model.identity, model.expression)

    def forward(self, identity: torch.Tensor, expression: torch.Tensor) -> Face:
        """Decode codes.

        Args:
            identity: (..., I) standard deviations.
            expression: (..., E) in [0, 1]; leading dimensions broadcast against those of identity.

        Returns:
            A face with `vertices` and `neutral` (..., V, 3) mm, model frame.
        """
        neutral = self.mean + torch.tensordot(identity, self.identity, 1)
        return Face(vertices=neutral + torch.tensordot(expression, self.expression, 1), neutral=neutral)
