"""Attributes of vertices, and texels of maps, at the pixels that see them."""

from __future__ import annotations

import math

import numpy as np
import torch

from likeness.render import rasterize_numba
from likeness.render.operation import operation
from likeness.render.pool import each_row
from likeness.render.rasterize import Fragments, array


def interpolate(attributes: torch.Tensor, triangles: torch.Tensor | np.ndarray, fragments: Fragments) -> torch.Tensor:
    """Attributes at every pixel, (..., H, W, C), zero where empty.

    Differentiable in the attributes, by the weights (Mallikarjun et al. 2021), and in the weights.

    Args:
        attributes: (..., V, C) of the fragments' batch, or (V, C) for all of it.
        triangles: (T, 3) int32 or int64, those that were drawn.
        fragments: What `rasterize` answered.

    Raises:
        ValueError: When shapes or dtypes do not fit.
        IndexError: When a triangle names a vertex, or a pixel a triangle, that is not there.
    """
    triangles = torch.as_tensor(triangles, device=attributes.device)
    batch = fragments.triangle.shape[:-2]
    if attributes.ndim < 2 or attributes.shape[:-2] not in (batch, ()):
        pictures = tuple(fragments.triangle.shape)
        raise ValueError(f"attributes {tuple(attributes.shape)} for pictures {pictures}; give (..., V, C)")
    if attributes.dtype != fragments.barycentric.dtype:
        raise ValueError(f"attributes are {attributes.dtype}, weights {fragments.barycentric.dtype}")
    rows, size = math.prod(batch), fragments.triangle.shape[-2:]
    values = attributes.expand(*batch, *attributes.shape[-2:]).reshape(rows, *attributes.shape[-2:])
    triangle = fragments.triangle.reshape(rows, math.prod(size))
    weights = fragments.barycentric.reshape(rows, math.prod(size), 3)
    if attributes.device.type == "cpu" and attributes.dtype in (torch.float32, torch.float64):
        mixed = _forward(values, triangles, triangle, weights)
    else:
        mixed = mix(values, triangles, triangle, weights)
    return mixed.reshape(*batch, *size, attributes.shape[-1])


def mix(
    attributes: torch.Tensor, triangles: torch.Tensor, triangle: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The readable twin: attributes (B, V, C), ids (B, n) and weights (B, n, 3) -> (B, n, C), zero where ids are -1."""
    corners = triangles.long()[triangle.clamp(min=0).long()]
    weights = weights * (triangle >= 0)[..., None]
    rows = torch.arange(len(attributes), device=attributes.device)[:, None]
    return sum(weights[..., i, None] * attributes[rows, corners[..., i]] for i in range(3))


def sample_texture(texture: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """Texels at chart places, bilinear, clamped at the border. Differentiable in both.

    Args:
        texture: (..., h, w, C).
        uv: (..., n..., 2) in [0, 1], v down, batched as the texture; (0, 0) is the outer corner of the first texel.

    Returns:
        (..., n..., C).
    """
    batch, places = texture.shape[:-3], uv.shape[texture.ndim - 3 : -1]
    if uv.shape[: len(batch)] != batch:
        raise ValueError(f"texture {tuple(texture.shape)}, uv {tuple(uv.shape)}; give the same batch")
    image = texture.reshape(math.prod(batch), *texture.shape[-3:]).movedim(-1, 1)
    grid = 2 * uv.reshape(math.prod(batch), math.prod(places), 1, 2) - 1
    texels = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    return texels[..., 0].movedim(1, -1).reshape(*batch, *places, texture.shape[-1])


@operation("likeness::interpolate")
def _forward(
    attributes: torch.Tensor, triangles: torch.Tensor, triangle: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """(B, V, C), (T, 3), (B, n), (B, n, 3) -> (B, n, C)."""
    result = attributes.new_empty(*triangle.shape, attributes.shape[-1])
    corners = rasterize_numba.corners(array(triangles), attributes.shape[1])
    inputs = [array(tensor) for tensor in (attributes, triangle, weights, result)]

    def work(row: int) -> None:
        values, *others = (rows[row] for rows in inputs)
        if not rasterize_numba.mix(values, corners, *others):
            raise IndexError(rasterize_numba.NOT_THERE)

    each_row(work, len(result), torch.get_num_threads())
    return result


@operation("likeness::interpolate_backward")
def _backward(
    gradient: torch.Tensor,
    attributes: torch.Tensor,
    triangles: torch.Tensor,
    triangle: torch.Tensor,
    weights: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients with respect to attributes (B, V, C) and weights (B, n, 3)."""
    outputs = torch.empty(attributes.shape, dtype=attributes.dtype), torch.empty(weights.shape, dtype=weights.dtype)
    corners = array(triangles).astype(np.int32, copy=False)
    inputs = [array(tensor) for tensor in (attributes, triangle, weights, gradient, *outputs)]

    def work(row: int) -> None:
        values, *others = (rows[row] for rows in inputs)
        rasterize_numba.unmix(values, corners, *others)

    each_row(work, len(attributes), torch.get_num_threads())
    return outputs


@torch.library.register_fake("likeness::interpolate")
def _(attributes, triangles, triangle, weights):
    return attributes.new_empty(*triangle.shape, attributes.shape[-1])


@torch.library.register_fake("likeness::interpolate_backward")
def _(gradient, attributes, triangles, triangle, weights):
    return attributes.new_empty(attributes.shape), weights.new_empty(weights.shape)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, gradient):
    by_attribute, by_weight = _backward(gradient, *ctx.saved_tensors)
    return by_attribute, None, None, by_weight


torch.library.register_autograd("likeness::interpolate", _differentiate, setup_context=_save)
