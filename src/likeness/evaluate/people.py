"""How far estimates of one person's face, from photos that share none, are apart, beside those of two people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PhotoSets:
    """Sets of photos, from each of which one estimate was made.

    Attributes:
        people: (m,) whom each set shows.
        photos: m tuples of photo numbers.
        videos: m sets of the names of the videos that the photos are from.
    """

    people: np.ndarray
    photos: tuple[tuple[int, ...], ...]
    videos: tuple[frozenset[str], ...]


def gather(people: np.ndarray, videos: np.ndarray, frames: np.ndarray, how: str) -> PhotoSets:
    """Disjoint sets of each person's photos.

    Args:
        people, videos, frames: (n,) of each photo: person, video of that person, frame of that video.
        how: "single": each photo. "across": the i-th frame of every video, so that sets share videos but no frame.
            "halves": the first half of a person's videos, and the other half, so that sets share no video.

    Raises:
        ValueError: When `how` is another word.
    """
    names, groups = [], []
    for person in np.unique(people):
        rows = np.flatnonzero(people == person)
        own = np.unique(videos[rows])
        if how == "single":
            found = [[row] for row in rows]
        elif how == "across":
            found = [rows[frames[rows] == frame] for frame in np.unique(frames[rows])]
        elif how == "halves":
            first = np.isin(videos[rows], own[: len(own) // 2])
            found = [rows[first], rows[~first]]
        else:
            raise ValueError(f"sets {how!r}; choose single, across or halves")
        groups += [tuple(int(row) for row in group) for group in found if len(group)]
        names += [person] * sum(len(group) > 0 for group in found)
    return PhotoSets(np.array(names), tuple(groups), tuple(frozenset(videos[list(group)]) for group in groups))


@dataclass(frozen=True)
class Spread:
    """Distances of pairs of estimates.

    Attributes:
        within: Root mean square over pairs of one person; those that share a photo never count.
        between: Root mean square over pairs of two people.
        recognised: Share of comparisons in which a pair of one person is nearer than a pair of two (area under the curve).
        pairs: Pairs of one person.
        by_person: (p, 2) sum of squares and number of each person's pairs.
    """

    within: float
    between: float
    recognised: float
    pairs: int
    by_person: np.ndarray

    @property
    def ratio(self) -> float:
        """Within over between: what scaling the estimates does not change."""
        return self.within / self.between


def spread(estimates: np.ndarray, sets: PhotoSets, apart: bool, gram: np.ndarray | None = None) -> Spread:
    """Distances between the estimates of sets.

    Args:
        estimates: (m, K), one for each set.
        sets: Whose and which.
        apart: Whether pairs of one person count only where the sets share no video.
        gram: (K, K) quadratic form of a squared distance; by default Euclid's.
    """
    gram = np.eye(estimates.shape[1]) if gram is None else gram
    inner = estimates @ gram @ estimates.T
    squares = np.maximum(np.diag(inner)[:, None] + np.diag(inner)[None] - 2 * inner, 0)
    first, second = np.triu_indices(len(estimates), 1)
    same = sets.people[first] == sets.people[second]
    disjoint = np.array(
        [not set(sets.photos[i]) & set(sets.photos[j]) for i, j in zip(first[same], second[same])], bool
    )
    if apart:
        disjoint &= [not sets.videos[i] & sets.videos[j] for i, j in zip(first[same], second[same])]
    near, far = squares[first, second][same][disjoint], squares[first, second][~same]
    whose = sets.people[first][same][disjoint]
    by_person = np.array([(near[whose == p].sum(), (whose == p).sum()) for p in np.unique(sets.people)], float)
    if not len(near) or not len(far):
        raise ValueError("no two sets of one person are disjoint, or there is one person only")
    return Spread(float(np.sqrt(near.mean())), float(np.sqrt(far.mean())), nearer(near, far), len(near), by_person)


def nearer(near: np.ndarray, far: np.ndarray) -> float:
    """Share of all comparisons in which a near distance is below a far one; ties count half (Mann and Whitney 1947)."""
    far = np.sort(far)
    below, up_to = (np.searchsorted(far, near, side=side) for side in ("left", "right"))
    return float(1 - (below + up_to).mean() / (2 * len(far)))


def fall(before: Spread, after: Spread, rounds: int = 1000, seed: int = 0) -> tuple[float, float, float]:
    """By which share the spread within people falls, and a 95 % interval from resampling people.

    Both spreads must be of the same people, in the same order.
    """
    random = np.random.default_rng(seed)
    count = len(before.by_person)
    chosen = random.integers(0, count, (rounds, count))

    def share(rows: np.ndarray) -> np.ndarray:
        old, new = (one.by_person[rows].sum(-2) for one in (before, after))
        return 1 - np.sqrt((new[..., 0] / new[..., 1]) / (old[..., 0] / old[..., 1]))

    low, high = np.percentile(share(chosen), [2.5, 97.5])
    return float(share(np.arange(count)[None])[0]), float(low), float(high)


def outings(people: np.ndarray, videos: np.ndarray, rounds: int, seed: int = 0) -> list[tuple[list[int], int]]:
    """Groups of photos of one person, one from each video, each with a photo of somebody else: photo numbers, and the number
    of the stranger.

    Args:
        people, videos: (n,) of each photo.
        rounds: So many groups.
        seed: Chooses them.
    """
    random, names, found = np.random.default_rng(seed), np.unique(people), []
    for _ in range(rounds):
        person, other = random.choice(names, 2, replace=False)
        rows = np.flatnonzero(people == person)
        group = [int(random.choice(rows[videos[rows] == video])) for video in np.unique(videos[rows])]
        found.append((group, int(random.choice(np.flatnonzero(people == other)))))
    return found
