"""The scene: everything that forms F photos of P people, as one value that fits change by copy."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from likeness.types import Light, View


@dataclass(frozen=True)
class Scene:
    """F frames of P people. Tensors of one floating dtype; frames are cameras of square pictures of `size` pixels.

    Attributes:
        identity: (P, I) standard deviations.
        albedo: (P, K) standard deviations.
        expression: (F, E) in [0, 1].
        rotation: (F, 3, 3) camera from model.
        translation: (F, 3) mm.
        focal: (F,) px.
        principal: (F, 2) px.
        light: (F, 9, 3) spherical harmonics as in `types.Light`, camera frame.
        person: (F,) long, whom each frame shows, from 0 to P - 1.
        size: Side of the pictures, px.
    """

    identity: Tensor
    albedo: Tensor
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    focal: Tensor
    principal: Tensor
    light: Tensor
    person: Tensor
    size: int

    def __len__(self) -> int:
        return len(self.person)

    @property
    def view(self) -> View:
        """The cameras, batched over the frames."""
        return View(self.rotation, self.translation, self.focal, self.principal, (self.size, self.size))

    def lights(self) -> Light:
        """The light of all frames."""
        return Light(self.light)

    def frames(self, rows: Tensor | list[int]) -> Scene:
        """Some frames; all people stay."""
        own = ("expression", "rotation", "translation", "focal", "principal", "light", "person")
        return replace(self, **{name: getattr(self, name)[rows] for name in own})

    def resized(self, size: int) -> Scene:
        """The same cameras for pictures of another size."""
        ratio = size / self.size
        return replace(self, focal=self.focal * ratio, principal=self.principal * ratio, size=size)

    def finite(self) -> bool:
        """Whether every number is one."""
        values = (getattr(self, field.name) for field in fields(self))
        return all(bool(torch.isfinite(value).all()) for value in values if isinstance(value, Tensor))
