"""Numbers that no picture has by itself: the shapes of a person's pictures, the frames of a clip, who is like whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from likeness.evaluate.benchmark.items import Answer, Item, Shape
from likeness.evaluate.identity import Embeddings, own_similarity, recall
from likeness.evaluate.landmarks import OUTER_EYES_68
from likeness.evaluate.steadiness import steadiness
from likeness.geometry.alignment import similarity


def shape_numbers(shapes: Sequence[Shape | None], people: Sequence[str], most: int = 400) -> list[dict[str, float]]:
    """How alike the neutral shapes of each person's pictures are, and how unlike those of others.

    Shapes are brought to the first one by similarity. "spread" of a picture is its root mean square vertex distance from
    the mean of its person, times sqrt(n / (n - 1)) for the n pictures that made the mean; "apart" is the chance that a
    picture of the same person is nearer to it than one of somebody else (the area under the ROC curve; ties count half).

    Args:
        shapes: One a picture, all of one topology; with a None among them nothing is said.
        people: One name a picture.
        most: Vertices that are compared, evenly chosen.

    Returns:
        Numbers by picture, without those that it has no partner for.
    """
    if not shapes or any(shape is None for shape in shapes) or len({len(shape.vertices) for shape in shapes}) != 1:
        return [{} for _ in shapes]
    used = np.unique(shapes[0].triangles)
    used = used[:: max(1, len(used) // most)]
    points = np.stack([np.asarray(shape.vertices, np.float64)[used] for shape in shapes])
    moved = np.stack([similarity(one, points[0]).apply(one) for one in points])
    flat = (moved - moved.mean(0)).reshape(len(moved), -1)  # centred, so that equal shapes are at distance 0 exactly
    square = (flat**2).sum(1)
    distance = np.sqrt(np.maximum(square[:, None] + square[None] - 2 * flat @ flat.T, 0) / len(used))
    labels, result = np.array(people), []
    for i, person in enumerate(people):
        same = labels == person
        count, numbers = int(same.sum()), {}
        if count > 1:
            offset = moved[i] - moved[same].mean(0)
            numbers["spread"] = float(np.sqrt((offset**2).sum(-1).mean() * count / (count - 1)))
            mine, others = distance[i][same & (np.arange(len(labels)) != i)], distance[i][~same]
            if len(others):
                wins = (mine[:, None] < others).mean() + 0.5 * (mine[:, None] == others).mean()
                numbers["apart"] = float(wins)
        result.append(numbers)
    return result


def clip_numbers(items: Sequence[Item], answers: Sequence[Answer | None], rate: float) -> list[dict[str, float]]:
    """ "jitter" and "lag" of each clip, for every one of its frames that has points; see `evaluate.steadiness`.

    A clip is measured over its longest run of frames with an answer: a gap is no movement. The unit is the true
    distance of the outer eye corners, and where there is no truth the mean distance in the answers.

    Args:
        items: Frames; those of a clip share a person and are in order.
        answers: One a frame, None where there is none.
        rate: Frames per second.
    """
    result: list[dict[str, float]] = [{} for _ in items]
    for person in dict.fromkeys(item.person for item in items):
        frames = [i for i, item in enumerate(items) if item.person == person]
        run = _longest([i for i in frames if answers[i] is not None and answers[i].points is not None], frames)
        if len(run) < 3:
            continue
        found = np.stack([answers[i].points for i in run]).astype(float)
        true = None
        if all(items[i].truth.points is not None for i in run):
            true = np.stack([items[i].truth.points for i in run]).astype(float)
        eyes = found if true is None else true
        unit = np.linalg.norm(eyes[:, OUTER_EYES_68[0]] - eyes[:, OUTER_EYES_68[1]], axis=-1).max()
        numbers = steadiness(found, true, rate)
        wanted = {"jitter": 100 * numbers["jitter"] / unit, "lag": numbers["lag ms"]}
        for i in run:
            result[i] = {key: float(value) for key, value in wanted.items() if np.isfinite(value)}
    return result


def _longest(present: Sequence[int], frames: Sequence[int]) -> list[int]:
    """The longest run of neighbouring frames of which every one is present."""
    here, best, run = set(present), [], []
    for frame in frames:
        run = [*run, frame] if frame in here else []
        best = run if len(run) > len(best) else best
    return best


def code_numbers(items: Sequence[Item], answers: Sequence[Answer | None]) -> list[dict[str, float]]:
    """ "known": whether the nearest other picture by the cosine of identity codes shows the same person, 0 or 100."""
    rows = [i for i, answer in enumerate(answers) if answer is not None and answer.codes is not None]
    rows = [i for i in rows if np.linalg.norm(answers[i].codes) > 0]
    result: list[dict[str, float]] = [{} for _ in items]
    if len(rows) < 2:
        return result
    names, people = (np.array([getattr(items[i], key) for i in rows]) for key in ("name", "person"))
    codes = Embeddings(names, people, np.stack([answers[i].codes for i in rows]))
    for i, value in zip(rows, recall(codes, codes, 1, own=False)):
        if np.isfinite(value):
            result[i]["known"] = 100 * float(value)
    return result


def recognised(
    items: Sequence[Item], photos: Mapping[str, np.ndarray], drawings: Mapping[str, np.ndarray]
) -> list[dict[str, float]]:
    """ "alike" and "found" of each item, by embeddings of any recogniser: item -> vector, of pictures and of drawings."""
    here = [i for i, item in enumerate(items) if item.name in photos]
    drawn = [i for i in here if items[i].name in drawings]
    result: list[dict[str, float]] = [{} for _ in items]
    if not drawn:
        return result

    def gathered(rows: list[int], vectors: Mapping[str, np.ndarray]) -> Embeddings:
        names, people = (np.array([getattr(items[i], key) for i in rows]) for key in ("name", "person"))
        return Embeddings(names, people, np.stack([vectors[name] for name in names]))

    ours, theirs = gathered(drawn, drawings), gathered(here, photos)
    for i, alike, found in zip(drawn, own_similarity(ours, theirs), recall(ours, theirs, 1, own=False)):
        result[i] = {"alike": float(alike)} | ({"found": 100 * float(found)} if np.isfinite(found) else {})
    return result
