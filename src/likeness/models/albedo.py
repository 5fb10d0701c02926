"""The albedo model as a torch module: a code to diffuse and specular albedo at the vertices, or to a texture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from likeness.assets.albedo import AlbedoModel, decoded, unfold
from likeness.geometry.uv import bilinear
from likeness.types import Topology


class AlbedoDecoder(nn.Module):
    """Diffuse and specular albedo of one code, as Deng et al. 2022, eq. 1 and 2, want them; everything in buffers.

    The transfer curve stands where that paper has its gamma. The specular part is authored, see `assets.albedo`.

    Args:
        model: The albedo model.
        topology: Whose vertices get colours, by their places in the chart; any level.
    """

    def __init__(self, model: AlbedoModel, topology: Topology) -> None:
        super().__init__()
        self.codes = {"albedo": model.codes}
        signs = model.symmetry.tolist()
        gloss, shine = model.half_shine
        buffers = {
            "half_mean": model.mean, "half_modes": model.half_modes, "even": model.symmetry > 0,
            "mean": _at_vertices(model.whole_mean[None], topology)[0],
            "modes": _at_vertices((unfold(mode, sign) for mode, sign in zip(model.half_modes, signs)), topology),
            "gloss": _at_vertices([unfold(gloss[..., None], 1)], topology)[0],
            "shine": _at_vertices((unfold(mode[..., None], sign) for mode, sign in zip(shine, signs)), topology),
        }  # fmt: skip
        for name, values in buffers.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)), persistent=False)

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Albedo at the vertices.

        Args:
            code: (..., K) standard deviations.

        Returns:
            Diffuse and specular albedo, (..., V, 3) each, linear RGB in [0, 1], as `types.Face` has them. Differentiable;
            a colour that is clipped has no gradient.
        """
        shine = (self.gloss + torch.tensordot(code, self.shine, 1)).clip(0, 1)
        return self.diffuse(code), shine.expand(*shine.shape[:-1], 3)

    def diffuse(self, code: Tensor) -> Tensor:
        """Diffuse albedo alone (..., V, 3), linear RGB in [0, 1], of a code (..., K); clipped as in `forward`."""
        return decoded(self.encoded(code))

    def encoded(self, code: Tensor) -> Tensor:
        """Diffuse albedo (..., V, 3) as it is linear in the code (..., K): sRGB-encoded, and not yet clipped to [0, 1]."""
        return self.mean + torch.tensordot(code, self.modes, 1)

    def texture(self, code: Tensor) -> Tensor:
        """Diffuse albedo (..., S, S, 3) linear RGB in [0, 1] over the chart, of a code (..., K). Differentiable."""
        even = torch.tensordot(code * self.even, self.half_modes, 1)
        odd = torch.tensordot(code * ~self.even, self.half_modes, 1)
        return decoded(unfold(self.half_mean + even, 1) + unfold(odd, -1))


def colour_gram(model: AlbedoModel) -> np.ndarray:
    """Quadratic form (K, K) of a colour's mean squared error over the chart, by codes: sRGB-encoded, before it is clipped.

    `(a - b) @ gram @ (a - b)` is the mean over texels and channels of the squared difference between a and b.
    """
    half = model.half_modes.reshape(model.codes, -1).astype(np.float32)
    alike = model.symmetry[:, None] == model.symmetry[None]  # the others' products cancel between the two halves
    return half @ half.T * alike / half.shape[1]


def _at_vertices(maps, topology: Topology) -> np.ndarray:
    """Maps (S, S, C), one after the other, at the vertices: (n, V, C) float32."""
    result, read = [], None
    for values in maps:
        read = read or bilinear(topology.uv, values.shape[:2])
        result.append(read.apply(values.reshape(-1, values.shape[-1])).astype(np.float32))
    return np.stack(result)
