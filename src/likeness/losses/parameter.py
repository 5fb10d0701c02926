"""Distances between codes and poses, measured by what they do to the face."""

from __future__ import annotations

import torch


def quadratic(found: torch.Tensor, true: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    """Squared distance (B,) of codes (B, K) in the metric of a (K, K) quadratic form, e.g. mean squared vertex error, mm^2.

    Its minimum over what a picture leaves open is the posterior mean: what cannot be seen is shrunk towards the mean face.
    """
    difference = found - true
    return ((difference @ gram) * difference).sum(-1)


def rotation_distance(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Frobenius distance (B,) of rotation matrices (B, 3, 3): sqrt(8) sin(angle / 2), smooth at zero."""
    return ((found - true).square().sum((-1, -2)) + 1e-6).sqrt()


def excess(smaller: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
    """Square (B,) of what a weight has above the one that bounds it: mouthClose corrects jawOpen and must not exceed it."""
    return (smaller - larger).clamp(min=0).square()


def code_distance(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distance (...) of codes (..., K), in squared standard deviations (Genova et al. 2018, eq. 3)."""
    return (found - true).square().sum(-1)
