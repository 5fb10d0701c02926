"""Distances between landmarks in a picture. Any unit; gradients reach the found points."""

from __future__ import annotations

from collections.abc import Sequence

import torch

LIDS: tuple[tuple[int, int], ...] = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
"""Dense landmarks on the upper and on the lower lid, one above the other."""
LIPS: tuple[tuple[int, int], ...] = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
"""The same on the inner border of the lips."""
ALONG = 0.25
"""Share of a distance along the face's outline that counts, in fits as in training."""
SMOOTH = 1e-3
"""Distances much smaller than this count squared, which keeps the gradient finite at zero."""


def outline_tangents(points: torch.Tensor, outline: Sequence[int]) -> torch.Tensor:
    """Unit directions (B, m, 2) along a closed ring of m point numbers at each of its points, of points (B, n, 2 or 3)."""
    ring = torch.as_tensor(outline, device=points.device)
    tangent = points[:, ring.roll(-1), :2] - points[:, ring.roll(1), :2]
    return tangent / tangent.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def sliding_distance(
    found: torch.Tensor, true: torch.Tensor, outline: Sequence[int], along: float = ALONG
) -> torch.Tensor:
    """Distances (B, n) between found and true points (B, n, 2); outline points may slide.

    The outline of a face is where the surface turns away, not a place on the skin: what automatic landmarks say along it
    means little. Ours: along the outline only a quarter of the distance counts. (Where a model brings rows of candidates
    instead, as for the jaw line of 68 points, `losses.contour` chooses among them.)

    Args:
        outline: A closed ring of point numbers.
        along: Share of the distance along the outline that counts.
    """
    difference, tangent = found - true, outline_tangents(true, outline)
    ring = torch.as_tensor(outline, device=true.device)
    on_ring = difference[:, ring]
    on_ring = on_ring - (1 - along) * (on_ring * tangent).sum(-1, keepdim=True) * tangent
    difference = difference.index_copy(1, ring, on_ring)
    return (difference.square().sum(-1) + SMOOTH**2).sqrt()


def opening_error(found: torch.Tensor, true: torch.Tensor, pairs: Sequence[tuple[int, int]]) -> torch.Tensor:
    """How far the way from one point to its partner is off, (B, pairs), in the points' unit.

    Ours: the eye sees whether a lid or a mouth is open long before it sees that a face is two pixels further left.
    """
    first, second = torch.as_tensor(pairs, device=found.device).T
    error = (found[:, first] - found[:, second]) - (true[:, first] - true[:, second])
    return (error.square().sum(-1) + SMOOTH**2).sqrt()


def isotropic_likelihood(distance: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Negative logarithm of exp(-d / s) / s^2, unreduced: of a distance d in the plane under a spread s, in one unit.

    The constant log(2 pi) is left out. It is least at s = d / 2; x and y have a standard deviation of sqrt(3) s each.
    """
    return distance / spread + 2 * spread.log()


def confident_squares(found: torch.Tensor, true: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
    """Mean () of squared distances of landmarks (..., n, 2), each by its confidence (..., n) in [0, 1].

    Tewari et al. 2018, eq. 10.
    """
    return (confidence * (found - true).square().sum(-1)).mean()
