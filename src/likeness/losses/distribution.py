"""What a batch of codes may look like as a whole. A single face may be unusual; all of them together may not be."""

from __future__ import annotations

import torch

from likeness.losses.batch import whole


def standard_normal_moments(code: torch.Tensor) -> torch.Tensor:
    """Pull a batch of codes towards zero mean and unit variance, coefficient by coefficient.

    Genova et al. 2018, eq. 6 (one code's two lines). In several processes (torchrun) the batch is that of all of them.
    The variance is the unbiased one. Moments of few faces are noisy, and smaller codes have less of that noise: the least mean
    loss of B faces is at a variance of about 1 - 2.5 / B.

    Args:
        code: (B, K) in standard deviations of the face model.

    Returns:
        Sum over coefficients of squared mean plus squared (variance - 1), a scalar.

    Raises:
        ValueError: With fewer than two faces, whose variance is undefined.
    """
    code = whole(code)
    if len(code) < 2:
        raise ValueError(f"the moments of {len(code)} face; a batch needs two at least")
    return code.mean(0).square().sum() + (code.var(0) - 1).square().sum()


def batch_distribution(*codes: torch.Tensor) -> torch.Tensor:
    """The same for several codes at once, such as shape and texture (Genova et al. 2018, eq. 5): the sum."""
    return sum(standard_normal_moments(code) for code in codes)


def correlation(answers: torch.Tensor) -> torch.Tensor:
    """How much the numbers of an answer repeat one another over a batch: else a network may tell people apart by few of them.

    Bardes et al. 2022, "VICReg: variance-invariance-covariance regularization for self-supervised learning", eq. 4: the sum
    of squared covariances of two different numbers, divided by how many numbers there are. In several processes (torchrun) the
    batch is that of all of them.

    Args:
        answers: (B, F), of about unit variance.

    Returns:
        A scalar; (F - 1) / B at its least expectation, which is of independent numbers, and F - 1 where all are the same.
    """
    answers = whole(answers)
    if len(answers) < 2:
        raise ValueError(f"the covariance of {len(answers)} answer; a batch needs two at least")
    centred = answers - answers.mean(0)
    covariance = centred.T @ centred / (len(answers) - 1)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / answers.shape[1]
