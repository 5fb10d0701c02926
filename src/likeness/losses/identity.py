"""How unlike two faces are to a recognition network: one minus the cosine of its answers."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity


def unlikeness(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """One minus the cosine (...) of embeddings (..., E), in [0, 2]; leading dimensions broadcast.

    Genova et al. 2018, eq. 4, prints the cosine itself and calls it a loss; what is to be small is one minus it.

    Args:
        first, second: Embeddings of any length but zero.
    """
    return 1 - cosine_similarity(first, second, dim=-1)


def unlikeness_of_views(photo: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Mean unlikeness (B,) of a photo's embedding (B, E) and those (B, n, E) of n pictures of the face found in it.

    Genova et al. 2018, sec. 3.3.2: several poses at once, so that no part of the face is hidden in all of them.
    """
    return unlikeness(photo[:, None], views).mean(-1)
