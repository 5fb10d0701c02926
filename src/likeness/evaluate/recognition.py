"""How well a recogniser tells whether two pictures show one person: verification on pairs. No network runs here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FOLDS = 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures.

    Attributes:
        first, second: (n,) places of the pictures.
        same: (n,) bool, whether both show one person.
        fold: (n,) int; people of one fold are in no other.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    fold: np.ndarray


@dataclass(frozen=True)
class Verification:
    """What came out.

    Attributes:
        accuracy, deviation: Mean and standard deviation over folds of the share of pairs that are told right, in [0, 1]; the
            threshold of each fold is the best one of the others.
        auc: Area under the ROC curve: how often a pair of one person is more alike than a pair of two.
        found: Share of pairs of one person found where one in a hundred pairs of two is taken for one.
        pairs: n.
    """

    accuracy: float
    deviation: float
    auc: float
    found: float
    pairs: int


def draw_pairs(
    people: np.ndarray,
    groups: np.ndarray,
    seed: int,
    count: int = 6000,
    other: np.ndarray | None = None,
    kin: np.ndarray | None = None,
    folds: int = FOLDS,
) -> Pairs:
    """As many pairs of one person as of two, both within folds of people, as in LFW's protocol (Huang et al. 2007, sec. 4).

    Args:
        people: (n,) who each picture shows.
        groups: (n,) occasion, such as a video; two pictures of a person are a pair only across occasions.
        other: (n,) bool; if given, a pair's first picture is one with True and the second one with False.
        kin: (n,) family of each picture's person; if given, two people are a pair only within a family.
        count: Pairs, at most.

    Raises:
        ValueError: When there are fewer people than two for each fold.
    """
    names, who = np.unique(people, return_inverse=True)
    if len(names) < 2 * folds:
        raise ValueError(f"{len(names)} people; two are needed for each of {folds} folds")
    random = np.random.default_rng(seed)
    families, family = np.unique(people if kin is None else kin, return_inverse=True)
    fold_of = np.empty(len(families), int)
    fold_of[random.permutation(len(families))] = np.arange(len(families)) % folds
    picked: list[np.ndarray] = []
    for number in range(folds):
        mine = np.flatnonzero(fold_of[family] == number)
        a, b = (side.ravel() for side in np.meshgrid(mine, mine, indexing="ij"))
        allowed = a < b if other is None else other[a] & ~other[b]
        a, b = a[allowed], b[allowed]
        same = who[a] == who[b]
        strange = ~same if kin is None else ~same & (family[a] == family[b])
        kinds = [random.permutation(np.flatnonzero(kind)) for kind in (same & (groups[a] != groups[b]), strange)]
        many = min(
            count // (2 * folds), *map(len, kinds)
        )  # as many of each in each fold, or guessing were right too often
        for rows in kinds:
            picked.append(np.stack([a[rows[:many]], b[rows[:many]], same[rows[:many]], np.full(many, number)]))
    first, second, same, fold = np.concatenate(picked, 1)
    return Pairs(first, second, same.astype(bool), fold)


def verify(vectors: np.ndarray, pairs: Pairs) -> Verification:
    """Verification by the cosine of vectors (n, d)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    alike = (unit[pairs.first] * unit[pairs.second]).sum(1)
    return verify_scores(alike, pairs)


def verify_scores(alike: np.ndarray, pairs: Pairs) -> Verification:
    """Verification by any likeness (n,) of the pairs; larger is more alike."""
    right = []
    for number in np.unique(pairs.fold):
        here = pairs.fold == number
        limit = best_threshold(alike[~here], pairs.same[~here])
        right.append(float(((alike[here] > limit) == pairs.same[here]).mean()))
    strangers = np.sort(alike[~pairs.same])
    limit = strangers[min(int(0.99 * len(strangers)), len(strangers) - 1)]
    return Verification(
        float(np.mean(right)),
        float(np.std(right)),
        auc(alike, pairs.same),
        float((alike[pairs.same] > limit).mean()),
        len(alike),
    )


def dimensions(vectors: np.ndarray) -> float:
    """In how many directions unit vectors of (n, d) vary, effectively: the exponential of the entropy of the shares that
    principal components have in their variance (Roy and Vetterli 2007, "The effective rank", for covariances); 1 to d."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    variance = np.linalg.svd(unit - unit.mean(0), compute_uv=False) ** 2
    shares = variance[variance > 0] / variance.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def best_threshold(alike: np.ndarray, same: np.ndarray) -> float:
    """The likeness above which pairs are best called the same, between two of those seen."""
    order = np.argsort(-alike, kind="stable")
    hits = np.concatenate([[0], np.cumsum(np.where(same[order], 1, -1))])
    place = int(hits.argmax())
    values = np.concatenate([[alike[order[0]] + 1], alike[order], [alike[order[-1]] - 1]])
    return float((values[place] + values[place + 1]) / 2)


def auc(alike: np.ndarray, same: np.ndarray) -> float:
    """Area under the ROC curve; ties count half (Mann and Whitney 1947)."""
    _, place, counts = np.unique(alike, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positive, negative = int(same.sum()), int((~same).sum())
    return float((ranks[same].sum() - positive * (positive + 1) / 2) / max(positive * negative, 1))
