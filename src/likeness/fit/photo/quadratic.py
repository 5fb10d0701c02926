"""The unknowns of a fit as one vector for each frame, and second-order models of costs in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

POSE, LIGHT = 7, 27
GROUPS = ("identity", "albedo", "expression", "pose", "light")
"""What a stage may set free. The first two belong to a person, the others to a frame."""


@dataclass(frozen=True)
class Layout:
    """Where each group lies in a frame's vector: identity, albedo, expression, pose, light.

    Attributes:
        identities, albedos, expressions: Lengths of the codes.
    """

    identities: int
    albedos: int
    expressions: int

    @property
    def shared(self) -> int:
        """Unknowns of a person."""
        return self.identities + self.albedos

    @property
    def count(self) -> int:
        """Unknowns that act on one frame."""
        return self.shared + self.expressions + POSE + LIGHT

    @property
    def identity(self) -> slice:
        return slice(0, self.identities)

    @property
    def albedo(self) -> slice:
        return slice(self.identities, self.shared)

    @property
    def expression(self) -> slice:
        return slice(self.shared, self.shared + self.expressions)

    @property
    def pose(self) -> slice:
        return slice(self.shared + self.expressions, self.shared + self.expressions + POSE)

    @property
    def light(self) -> slice:
        return slice(self.count - LIGHT, self.count)

    def chosen(self, groups) -> Tensor:
        """(count,) bool: the unknowns of some groups."""
        result = torch.zeros(self.count, dtype=torch.bool)
        for group in groups:
            result[getattr(self, group)] = True
        return result


class Quadratic(NamedTuple):
    """A cost about the present scene: value (...), gradient (..., U) and a positive semi-definite Hessian (..., U, U)."""

    cost: Tensor
    gradient: Tensor
    hessian: Tensor

    def __add__(self, other: Quadratic) -> Quadratic:
        return Quadratic(*(mine + theirs for mine, theirs in zip(self, other)))

    @classmethod
    def zero(cls, frames: int, unknowns: int) -> Quadratic:
        """Nothing, for F frames."""
        return cls(torch.zeros(frames), torch.zeros(frames, unknowns), torch.zeros(frames, unknowns, unknowns))
