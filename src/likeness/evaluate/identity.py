"""Identity by embeddings of any recogniser: similarities, earth mover's distance, and recall. No network runs here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of n pictures.

    Attributes:
        names: (n,) pictures; a rendering and the photo that it was made from have one name.
        people: (n,) who they show.
        vectors: (n, d), any length but zero.
    """

    names: np.ndarray
    people: np.ndarray
    vectors: np.ndarray


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine similarities (n, m) of vectors (n, d) and (m, d)."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    return first @ second.T / lengths


def pair_similarities(embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of all pairs of different pictures: of one person, and of two people."""
    rows, columns = np.triu_indices(len(embeddings.vectors), 1)
    values = cosine(embeddings.vectors, embeddings.vectors)[rows, columns]
    same = embeddings.people[rows] == embeddings.people[columns]
    return values[same], values[~same]


def earth_movers_distance(first: np.ndarray, second: np.ndarray) -> float:
    """How far one distribution of numbers must be moved to become the other: the area between their cumulative curves.

    Exact for samples of any sizes, without bins (in one dimension, Vallender 1974). NaN where one is empty.
    """
    first, second = np.sort(np.asarray(first, float)), np.sort(np.asarray(second, float))
    if not len(first) or not len(second):
        return float("nan")
    places = np.sort(np.concatenate([first, second]))
    below = [np.searchsorted(values, places[:-1], side="right") / len(values) for values in (first, second)]
    return float((np.abs(below[0] - below[1]) * np.diff(places)).sum())


def own_similarity(renderings: Embeddings, photos: Embeddings) -> np.ndarray:
    """Similarity (n,) of each rendering with the photo of its name; NaN where there is none."""
    place = {name: i for i, name in enumerate(photos.names)}
    similar = cosine(renderings.vectors, photos.vectors)
    return np.array([similar[i, place[name]] if name in place else np.nan for i, name in enumerate(renderings.names)])


def recall(renderings: Embeddings, photos: Embeddings, top: int, own: bool = True) -> np.ndarray:
    """Whether (n,) one of the `top` photos most like a rendering shows its person.

    Genova et al. 2018, sec. 4.4, table 3. There the photo that the rendering was made from is among the candidates;
    `own=False` leaves it out, which asks for the person instead of the picture. NaN where then no photo of the person
    is left.
    """
    similar = cosine(renderings.vectors, photos.vectors)
    mine = renderings.people[:, None] == photos.people[None]
    if not own:
        itself = renderings.names[:, None] == photos.names[None]
        similar, mine = np.where(itself, -np.inf, similar), mine & ~itself
    order = np.argsort(-similar, axis=1, kind="stable")[:, :top]
    found = np.take_along_axis(mine, order, 1).any(1).astype(float)
    return np.where(mine.any(1), found, np.nan)


def nearer_than_strangers(renderings: Embeddings, photos: Embeddings) -> np.ndarray:
    """Share (n,) of the photos of other people that are less like a rendering than the photo of its name; NaN without one.

    Its mean is the area under the curve of telling own photos from strangers': 0.5 by chance, however many candidates there
    are, and it moves long before the first place does. Ours.
    """
    similar, own = cosine(renderings.vectors, photos.vectors), own_similarity(renderings, photos)
    strange = renderings.people[:, None] != photos.people[None]
    below = (similar < own[:, None]) + 0.5 * (similar == own[:, None])
    with np.errstate(invalid="ignore"):
        share = (below * strange).sum(1) / strange.sum(1)
    return np.where(np.isfinite(own), share, np.nan)


def identity_scores(renderings: Embeddings, photos: Embeddings) -> dict[str, float]:
    """The set's numbers of Genova et al. 2018 (tables 2 and 3) and Mallikarjun et al. 2021 (verification metric).

    Returns:
        "to same", "to different": earth mover's distance of the renderings' similarity with their own photos to that of
            pairs of photos of one person (small is good) and of two people (large is good).
        "between": the same between pairs of renderings of one person and of two (large is good).
        "top 1", "top 5": recall in percent.
    """
    own = own_similarity(renderings, photos)
    own = own[np.isfinite(own)]
    same, different = pair_similarities(photos)
    return {
        "to same": earth_movers_distance(own, same),
        "to different": earth_movers_distance(own, different),
        "between": earth_movers_distance(*pair_similarities(renderings)),
        "top 1": 100 * float(np.nanmean(recall(renderings, photos, 1))),
        "top 5": 100 * float(np.nanmean(recall(renderings, photos, 5))),
    }
