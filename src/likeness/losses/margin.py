"""Classification of people by angles, with a margin: what makes an embedding useful for people it has never seen."""

from __future__ import annotations

import torch
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


def contrast(first: Tensor, second: Tensor, person: Tensor, scale: float) -> Tensor:
    """Each embedding must find the other picture of its person among a batch's.

    Chen et al. 2020, "A simple framework for contrastive learning of visual representations" (SimCLR), eq. 1, with two
    pictures of a person for two views of a picture, from the first to the second and back (Radford et al. 2021, fig. 3).
    Unlike `additive_margin` it needs no memory of people, so that it teaches from the first step on.

    Args:
        first, second: (B, D) of any length but zero; row i of both shows person i.
        person: (B,) int; other rows of one person do not count as strangers.
        scale: 1 / temperature.

    Returns:
        (B,) not negative.
    """
    logits = scale * cosines(first, second)
    twice = (person[:, None] == person[None]) & ~torch.eye(len(person), dtype=torch.bool, device=person.device)
    logits = logits.masked_fill(twice, -torch.inf)
    own = torch.arange(len(person), device=person.device)
    there, back = (functional.cross_entropy(values, own, reduction="none") for values in (logits, logits.T))
    return (there + back) / 2
