"""Linear discriminants in closed form: what tells people apart among numbers that were not learned."""

from __future__ import annotations

import numpy as np


def discriminants(vectors: np.ndarray, people: np.ndarray, count: int, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which people differ most, compared with pictures of one person (Fisher 1936; Belhumeur et al. 1997).

    Each counts by the share of what is seen along it that is the person's own, as in Ioffe 2006, "Probabilistic linear
    discriminant analysis", eq. 6.

    Args:
        vectors: (n, d) of pictures.
        people: (n,) who they show; people with one picture count for nothing.
        count: Directions, at most d.
        ridge: Variance that every direction is supposed to have within a person besides what is seen, over the mean one.

    Returns:
        (d, count) directions, the best last, and (d,) the mean over people. Within people the variance is about 1 times
        that share.

    Raises:
        ValueError: When nobody has two pictures.
    """
    _, places, shots = np.unique(people, return_inverse=True, return_counts=True)
    several = shots > 1
    if several.sum() < 2:
        raise ValueError("discriminants need two people with two pictures each")
    kept = several[places]
    vectors, places = np.asarray(vectors, np.float64)[kept], np.cumsum(several)[places[kept]] - 1
    means = np.zeros((int(several.sum()), vectors.shape[1]))
    np.add.at(means, places, vectors)
    means /= shots[several][:, None]
    away = vectors - means[places]
    within = away.T @ away / (len(away) - len(means))
    middle = means.mean(0)
    values, axes = np.linalg.eigh(within + ridge * np.trace(within) / len(within) * np.eye(len(within)))
    white = axes / np.sqrt(values)
    apart = (means - middle) @ white
    between, order = np.linalg.eigh(apart.T @ apart / len(means))
    between = np.maximum(between[-count:], 0)
    return white @ (order[:, -count:] * np.sqrt(between / (between + 1))), middle
