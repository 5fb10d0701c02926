"""Principal components of maps of which parts are missing or doubted, each symmetric or antisymmetric under the mirror."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SPARE = 10
"""Components beyond those asked for that are carried along, so that the last ones settle."""


@dataclass(frozen=True)
class Components:
    """What varies between people.

    Attributes:
        codes: (n, K), each column of weighted mean square 1.
        symmetry: (K,) +1 or -1.
        deviation: (K,) what a code of 1 moves a map by, root mean square over its values; falling.
        modes: (K, h, w, C) per unit of code.
        noise: Variance of a value about the components.
    """

    codes: np.ndarray
    symmetry: np.ndarray
    deviation: np.ndarray
    modes: np.ndarray
    noise: float


def principal(
    offsets: np.ndarray,
    trust: np.ndarray,
    weights: np.ndarray,
    count: int,
    rounds: int = 25,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Components:
    """Probabilistic principal components (Tipping and Bishop 1999) by expectation and maximisation over what is missing.

    Every map and its mirror image count alike, so that the components are symmetric or antisymmetric exactly: they are those of
    half the sum and of half the difference of the two. In each round a doubted value is replaced by what the components say
    of it, as far as it is doubted; then the components are found anew by a step of orthogonal iteration.

    Args:
        offsets: (n, h, w, C) float32 from the mean map.
        trust: (n, h, w) in [0, 1].
        weights: (n,) how much each map counts.
        count: K, components of both kinds together.
        rounds: Of imputation.
        seed: Of the first guess.
    """
    n, height, width, channels = offsets.shape
    root = np.sqrt(weights / weights.mean()).astype(np.float32)[:, None]
    known = np.repeat(trust[..., None], channels, -1).reshape(n, -1).astype(np.float32)
    seen = offsets.reshape(n, -1).astype(np.float32)
    filled = seen * known
    random = np.random.default_rng(seed)
    each = min(count + SPARE, n - 1, height * width * channels // 2)
    bases = [random.standard_normal((height * (width // 2) * channels, each)).astype(np.float32) for _ in (1, -1)]
    for step in range(rounds):
        predicted = np.zeros_like(filled)
        found, rest = [], 0.0
        for which, sign in enumerate((1, -1)):
            half = folded(filled.reshape(offsets.shape), sign).reshape(n, -1)
            scaled = half * root
            basis, _ = np.linalg.qr(scaled.T @ (scaled @ bases[which]))
            _, values, right = np.linalg.svd(scaled @ basis, full_matrices=False)
            bases[which] = basis @ right.T
            found.append((half @ bases[which], values**2 / n, sign))
            rest += float((scaled**2).sum() / n - (values**2 / n).sum())
        noise = max(rest, 0.0) / (seen.shape[1] / 2 * 2)
        chosen = _largest([v for _, v, _ in found], count)
        for which, (scores, variance, sign) in enumerate(found):
            keep = chosen[which]
            shrink = variance[keep] / (variance[keep] + noise)
            part = (scores[:, keep] * shrink) @ bases[which][:, keep].T
            predicted += unfolded(part.reshape(n, height, width // 2, channels), sign).reshape(n, -1)
        filled = seen * known + predicted * (1 - known)
        progress(step + 1, rounds)
    codes, signs, deviation, modes = [], [], [], []
    for which, (scores, variance, sign) in enumerate(found):
        keep = chosen[which]
        spread = np.sqrt(variance[keep])
        codes.append(scores[:, keep] / spread)
        signs += [sign] * len(keep)
        deviation.append(spread / np.sqrt(height * (width // 2) * channels))
        mode = (bases[which][:, keep] * spread).T.reshape(-1, height, width // 2, channels)
        modes.append(unfolded(mode, sign))
    deviation, signs = np.concatenate(deviation), np.array(signs, np.int8)
    order = np.argsort(-deviation)
    codes, modes = np.concatenate(codes, 1)[:, order], np.concatenate(modes)[order]
    return Components(codes, signs[order], deviation[order], modes, noise)


def _largest(variances: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Which components of each kind are among the `count` of largest variance."""
    least = np.sort(np.concatenate(variances))[::-1][: count + 1]
    bound = least[count] if len(least) > count else -1.0
    return [np.flatnonzero(variance > bound) for variance in variances]


def folded(maps: np.ndarray, sign: int) -> np.ndarray:
    """Symmetric (sign 1) or antisymmetric (-1) part of maps (..., h, w, C), its half (..., h, w / 2, C)."""
    half = maps.shape[-2] // 2
    return (maps[..., :half, :] + sign * maps[..., ::-1, :][..., :half, :]) / 2


def unfolded(halves: np.ndarray, sign: int) -> np.ndarray:
    """The whole maps of halves: the inverse of `folded` for maps of that symmetry."""
    return np.concatenate([halves, sign * halves[..., ::-1, :]], -2)


def loadings(
    row: Callable[[int], tuple[np.ndarray, np.ndarray]],
    height: int,
    codes: np.ndarray,
    symmetry: np.ndarray,
    weights: np.ndarray,
    ridge: float = 0.004,
) -> np.ndarray:
    """Modes of finer maps for codes that coarse ones gave: weighted least squares, texel by texel, with its mirror image.

    Args:
        row: Number of a row of the maps -> offsets (n, w, C) and trust (n, w) there.
        height: Rows.
        codes: (n, K), symmetry (K,) and weights (n,) as in `principal`.
        ridge: Pull to zero, as a share of what a texel that all photos show weighs.

    Returns:
        (K, h, w, C) float32, symmetric or antisymmetric exactly.
    """
    count, signs = codes.shape[1], symmetry.astype(np.float32)
    share = np.sqrt(weights / weights.sum() / 2)[:, None]
    both = np.concatenate([share * codes, share * codes * signs]).astype(np.float32)  # people, then their mirror images
    upper = np.triu_indices(count)
    products = both[:, upper[0]] * both[:, upper[1]]
    lines = []
    for number in range(height):
        offsets, trust = row(number)
        half = trust.shape[1] // 2
        known = np.concatenate([trust[:, :half], trust[:, ::-1][:, :half]]).astype(np.float32)
        seen = np.concatenate([offsets[:, :half], offsets[:, ::-1][:, :half]]) * known[..., None]
        gram = np.zeros((half, count, count), np.float32)
        gram[:, upper[0], upper[1]] = known.T @ products
        gram += np.triu(gram, 1).swapaxes(-1, -2) + ridge * np.eye(count, dtype=np.float32)
        wanted = (both * np.concatenate([share, share])).T @ seen.reshape(len(seen), -1)
        found = np.linalg.solve(gram, wanted.reshape(count, half, -1).swapaxes(0, 1)).swapaxes(0, 1)
        lines.append(np.concatenate([found, signs[:, None, None] * found[:, ::-1]], 1))
    return np.stack(lines, 1).astype(np.float32)
