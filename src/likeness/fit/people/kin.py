"""Whether photos show one person, judged by what each says about the identity and how surely."""

from __future__ import annotations

import torch
from torch import Tensor


def alikeness(mean: Tensor, precision: Tensor, kinship: float = 0.3, sureness: float = 1.0) -> Tensor:
    """How much likelier each photo is under "the same person as in the others" than under "anybody": (n,) nats.

    The two-covariance model of speaker and face recognition (Bruemmer and de Villiers 2010, "The speaker partitioning
    problem"): identities are standard normal, and a photo measures one with normal errors. The others' photos make a
    posterior; both hypotheses are integrated over all identities. Positive speaks for the same person.

    Args:
        mean: (n, I) identity fitted to each photo by itself, n >= 2.
        precision: (n, I, I) inverse covariance of the posterior about it, the standard normal prior contained.
        kinship: As in `fit.landmarks.solver.FitConfig`: errors that the photos share.
        sureness: Factor on what the photos say, below 1 where fits are less sure than they claim.
    """
    one = torch.eye(mean.shape[1], dtype=torch.float64)
    mean, precision = mean.double(), precision.double()
    likelihood = sureness * (precision - one)
    pull = (likelihood @ mean[..., None])[..., 0] + sureness * mean
    count = len(mean) - 1
    share = 1 / (1 + kinship * (count - 1))
    others = share * (likelihood.sum(0) - likelihood) + one
    toward = share * (pull.sum(0) - pull)
    return _evidence(others, toward, likelihood, pull) - _evidence(
        one.expand_as(others), torch.zeros_like(pull), likelihood, pull
    )


def _evidence(precision: Tensor, toward: Tensor, likelihood: Tensor, pull: Tensor) -> Tensor:
    """Logarithm (n,) of the mean of exp(-z'Lz/2 + p'z) over a normal distribution of precision P and mean inv(P) t."""
    both = torch.linalg.cholesky(precision + likelihood)
    own = torch.linalg.cholesky(precision)

    def half(factor: Tensor, right: Tensor) -> Tensor:
        solved = torch.linalg.solve_triangular(factor, right[..., None], upper=False)[..., 0]
        return 0.5 * solved.square().sum(-1) - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    return half(both, toward + pull) - half(own, toward)
