"""How far a rendering's colours are from a photo's, so that the few pixels a model cannot explain do not rule.

Tewari et al. 2018, eq. 9, Tran et al. 2019, eq. 4, Deng et al. 2022, eq. 8: the l2,1 norm, l2 over the channels and l1 over the
pixels. At zero it has no gradient; `robust` is smooth there, and the one owner of the weights of its least-squares form.
"""

from __future__ import annotations

import torch

SMALLEST = 1e-12
"""Added to squared distances under the root, so that the gradient at zero is zero and not undefined."""


def l21(found: torch.Tensor, photo: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean (...) over the pixels of the Euclidean distance of colours.

    Args:
        found, photo: (..., n, 3) colours, any unit.
        weight: (..., n) how much each pixel counts: visibility times skin; nothing counts where all are zero.
    """
    distance = ((found - photo).square().sum(-1) + SMALLEST).sqrt()
    return (distance * weight).sum(-1) / weight.sum(-1).clamp(min=1e-9)


def robust(square: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The smooth l2,1 cost `sqrt(1 + d) - 1` of squared distances d, and the weight of d in iterated least squares.

    Charbonnier et al. 1994: quadratic for distances below one, the distance itself beyond. Half the weight is the cost's
    derivative by d.

    Args:
        square: (...) squared distances in squared standard deviations.
    """
    root = (1 + square).sqrt()
    return root - 1, 1 / root
