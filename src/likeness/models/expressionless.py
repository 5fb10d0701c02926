"""Faces at rest with colour: the face model's identity and albedo codes in, a Face out. Generic over face models."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.assets.outside import Colors, OutsideModel
from likeness.color import linear_from_srgb, srgb_from_linear
from likeness.errors import AssetError
from likeness.models.albedo import AlbedoDecoder
from likeness.models.linear import LinearModel
from likeness.types import Face, Topology


class ColorDecoder(nn.Module):
    """Vertex colours of a model of others, as `AlbedoDecoder` but for the specular part; everything in buffers."""

    def __init__(self, colors: Colors) -> None:
        super().__init__()
        self.codes, self.encoding = {"albedo": len(colors.modes)}, colors.encoding
        for name, values in (("mean", colors.mean), ("modes", colors.modes)):
            self.register_buffer(name, torch.from_numpy(np.array(values, np.float32)), persistent=False)

    def diffuse(self, code: Tensor) -> Tensor:
        """A code (..., K) to linear RGB (..., V, 3) in [0, 1]: the torch twin of `assets.outside.Colors.decode`.

        A colour that is clipped has no gradient.
        """
        color = (self.mean + torch.tensordot(code, self.modes, 1)).clip(0, 1)
        return linear_from_srgb(color) if self.encoding == "srgb" else color

    def encoded(self, code: Tensor) -> Tensor:
        """The same sRGB-encoded, as `AlbedoDecoder.encoded`; clipped only where the file's colours are linear."""
        color = self.mean + torch.tensordot(code, self.modes, 1)
        return color if self.encoding == "srgb" else srgb_from_linear(color)


class Expressionless(nn.Module):
    """`codes` in, a face at rest out, with diffuse albedo and no specular one.

    Attributes:
        codes: Sizes of "identity" and "albedo", both in standard deviations.
        licence: One line that must travel with what is made from the model.
        albedo: Its `diffuse(code)` is an albedo code's albedo: `AlbedoDecoder` or `ColorDecoder`.
    """

    def __init__(self, shape: LinearModel, albedo: AlbedoDecoder | ColorDecoder, licence: str = "") -> None:
        super().__init__()
        self.codes = {"identity": shape.codes["identity"], "albedo": albedo.codes["albedo"]}
        self.licence, self.albedo = licence, albedo
        self.register_buffer("mean", shape.mean, persistent=False)
        self.register_buffer("identity", shape.identity, persistent=False)

    @classmethod
    def of(cls, model: Builtin, albedo: AlbedoModel, topology: Topology) -> Expressionless:
        """The face model that ships, or the toy, at its base level.

        Args:
            topology: Of that level.
        """
        licence = "; ".join(filter(None, (model.licence, albedo.licence)))
        return cls(LinearModel.of(model), AlbedoDecoder(albedo, topology), licence)

    @classmethod
    def outside(cls, model: OutsideModel) -> Expressionless:
        """A model of others that has colours; in rest where it has joints.

        Raises:
            AssetError: When it has none.
        """
        if model.albedo is None:
            raise AssetError(f"{model.name} has no colours; give it those of another file, see `likeness models`")
        return cls(LinearModel.outside(model), ColorDecoder(model.albedo), model.licence)

    def forward(self, identity: Tensor, albedo: Tensor) -> Face:
        """Decode codes.

        Args:
            identity: (..., I) standard deviations.
            albedo: (..., K) standard deviations, the same leading dimensions.

        Returns:
            A face with `vertices`, `neutral` (..., V, 3) mm, model frame, which are the same, and `albedo` (..., V, 3).
        """
        neutral = self.mean + torch.tensordot(identity, self.identity, 1)
        return Face(neutral, neutral, self.albedo.diffuse(albedo))
