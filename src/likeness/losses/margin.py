"""Classification of people by angles, with a margin: what makes an embedding useful for people it has never seen."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def additive_margin(cosine: Tensor, person: Tensor, margin: float, scale: float) -> Tensor:
    """Softmax over people in which the own person's cosine must win by a margin.

    Wang et al. 2018, "Additive margin softmax for face verification", eq. 6:
    `-log(exp(s (cos_y - m)) / (exp(s (cos_y - m)) + sum_{j != y} exp(s cos_j)))`. With margin 0 it is the normalised softmax
    of Wang et al. 2017, "NormFace".

    Args:
        cosine: (B, C) of an embedding with each person's direction, in [-1, 1].
        person: (B,) int, who it is.
        margin: m, not negative.
        scale: s.

    Returns:
        (B,) not negative.
    """
    return functional.cross_entropy(scale * demanded(cosine, person, margin), person, reduction="none")


def demanded(cosine: Tensor, person: Tensor, margin: float) -> Tensor:
    """Cosines (B, C) of which those of the own person (B,) are less by the margin."""
    return cosine - margin * functional.one_hot(person, cosine.shape[1]).to(cosine)


def cosines(embedding: Tensor, directions: Tensor) -> Tensor:
    """Cosines (B, C) of embeddings (B, D) with directions (C, D), none of which need be of unit length."""
    return functional.normalize(embedding) @ functional.normalize(directions).T

