"""How rough, and how large, a displacement of a surface is."""

from __future__ import annotations

from torch import Tensor

from likeness.geometry.sparse import Sparse


def roughness(displacement: Tensor, umbrella: Sparse) -> Tensor:
    """Mean over vertices of the squared difference between a displacement and its neighbours' mean, ().

    Tewari et al. 2018, eq. 12, without its weight.

    Args:
        displacement: (..., V, 3) mm.
        umbrella: (V, V), `geometry.laplacian.umbrella`.
    """
    return umbrella.apply(displacement).square().sum(-1).mean()


def size(displacement: Tensor) -> Tensor:
    """Mean over vertices of the squared length of a displacement (..., V, 3) mm, (). Tewari et al. 2018, eq. 15."""
    return displacement.square().sum(-1).mean()
