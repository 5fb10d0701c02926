"""`likeness evaluate people`: does fitting several photos of a person together bring their identities together?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from likeness.cli.evaluate import Rows, given_face, show
from likeness.cli.frames import frames
from likeness.cli.train import data_folder
from likeness.types import Landmarks

OUTINGS = 400
"""Groups with a stranger."""
BATCH = 60
"""Photos fitted at once."""


@dataclass(frozen=True)
class EvaluatePeople:
    """Spread of identities over sets of a person's photos that share none (video_frames), one photo against several.

    Rows "across": sets share videos, but no frame. Rows "halves": sets share no video. "within" and "between" are root mean
    squares of distances of codes (standard deviations), "mm" those of neutral shapes; "fall" is by how much "within" is
    below that of single photos, with its 95 % interval.
    """

    data: Path | None = None
    """Data folder that holds video_frames/; by default LIKENESS_DATA."""
    split: Literal["validation", "test"] = "validation"
    """People whose names begin with M, or with A, J or S."""
    landmarks: Literal["own", "given"] = "own"
    """The landmark network that ships, or the automatic landmarks of the set."""
    people: int = 1000
    """At most so many people."""
    output: Path | None = None
    """JSON file for the table."""


def evaluate_people(config: EvaluatePeople) -> None:
    """Print and write the table."""
    from likeness.assets import builtin, correspondence
    from likeness.evaluate import people as measure
    from likeness.fit.landmarks.bases import builtin_bases

    model = builtin.load()
    portraits, who, video, frame = _portraits(config)
    bases = builtin_bases(model, correspondence.read())
    regressed = np.stack([portrait.evidence.identity for portrait in portraits]).astype(np.float64)
    sets = {how: measure.gather(who, video, frame, how) for how in ("single", "across", "halves")}
    fitted = {how: _identities(portraits, sets[how].photos, bases) for how in sets}
    single = fitted["single"][np.argsort([group[0] for group in sets["single"].photos])]

    def mean(codes: np.ndarray, groups: Sequence[tuple[int, ...]]) -> np.ndarray:
        return np.stack([codes[list(group)].mean(0) for group in groups])

    methods: dict[str, Callable[[str], np.ndarray]] = {
        "regressor, averaged": lambda how: mean(regressed, sets[how].photos),
        "single fits, averaged": lambda how: mean(single, sets[how].photos),
        "fitted together": lambda how: fitted[how],
    }
    gram, rows = _gram(model), {}
    for name, estimate in methods.items():
        for how, apart in (("across", False), ("halves", True)):
            rows |= _rows(name, how, apart, sets, estimate, gram)
    title = f"{config.split}: {len(np.unique(who))} people, {len(who)} frames, {config.landmarks} landmarks"
    show(title, rows, config.output)
    strangers = {"alikeness of identities": _strangers(portraits, who, video, bases)}
    show(f"{title}: a stranger's photo among one photo from each video of a person", strangers, config.output)


def _strangers(portraits: Sequence, who: np.ndarray, video: np.ndarray, bases) -> dict[str, float]:
    """How well a stranger's photo is told: area under the curve; among the person's own photos how many are taken for a
    stranger's, and of strangers' how many are found, by the threshold of the product; how often the stranger is the oddest."""
    import torch

    from likeness.evaluate import people as measure
    from likeness.fit.people.kin import alikeness
    from likeness.fit.people.together import FOR_IDENTITY, STRANGER, alone
    from likeness.fit.photo import trust

    parts = [alone(portraits[i : i + BATCH], bases, trust.precision()) for i in range(0, len(portraits), BATCH)]
    mean, sure = (torch.cat(part) for part in zip(*parts))
    own, alien, oddest = [], [], []
    for group, stranger in measure.outings(who, video, OUTINGS):
        own += alikeness(mean[group], sure[group], FOR_IDENTITY.kinship).tolist()
        scores = alikeness(mean[[*group, stranger]], sure[[*group, stranger]], FOR_IDENTITY.kinship)
        alien.append(float(scores[-1]))
        oddest.append(int(scores.argmin()) == len(group))
    own, alien = np.array(own), np.array(alien)
    return {
        "auc": measure.nearer(alien, own), "own taken for strangers %": 100 * float((own < STRANGER).mean()),
        "strangers found %": 100 * float((alien < STRANGER).mean()), "oddest is the stranger %": 100 * float(np.mean(oddest)),
        "found at 3 % false %": 100 * float((alien < np.quantile(own, 0.03)).mean()), "3 % threshold": float(np.quantile(own, 0.03)),
    }  # fmt: skip


def _rows(
    name: str, how: str, apart: bool, sets: dict, estimate: Callable[[str], np.ndarray], gram: np.ndarray
) -> Rows:
    """The rows of single photos and of sets, for one method."""
    from likeness.evaluate import people as measure

    one = measure.spread(estimate("single"), sets["single"], apart)
    several = measure.spread(estimate(how), sets[how], apart)
    share, low, high = (100 * value for value in measure.fall(one, several))
    rows: Rows = {}
    for label, spread, key in ((f"{_size(sets[how])} photos", several, how), ("one photo", one, "single")):
        shape = measure.spread(estimate(key), sets[key], apart, gram)
        rows[f"{how}: {name}, {label}"] = {
            "within": spread.within, "between": spread.between, "ratio": spread.ratio, "auc": spread.recognised,
            "mm within": shape.within, "mm between": shape.between, "mm auc": shape.recognised,
        } | ({"fall %": share, "low": low, "high": high} if key != "single" else {})  # fmt: skip
    return rows


def _size(sets) -> str:
    counts = [len(group) for group in sets.photos]
    return f"{min(counts)}-{max(counts)}" if min(counts) < max(counts) else str(min(counts))


def _portraits(config: EvaluatePeople):
    """The frames of a split as portraits, and for each its person, video and frame."""
    from likeness.assets import builtin
    from likeness.fit.people.together import Portrait
    from likeness.fit.photo.observe import observe
    from likeness.runtime.encode import Encoder

    found = frames(data_folder(config.data), config.split)
    chosen = sorted(set(found.people))[: config.people]
    rows = np.flatnonzero(np.isin(found.people, chosen))
    encode, model, measure = Encoder().encode, builtin.load(), None
    if config.landmarks == "own":
        from likeness.runtime import landmarks

        measure = landmarks.shipped()
    portraits = []
    for i in rows:
        image, face = found.picture(i), given_face(found.points[i])
        marks = Landmarks(found.points[i, :, :2], np.zeros(478)) if measure is None else None
        portraits.append(
            Portrait(found.files[i].name, image, face, observe(image, face, encode, model, measure, marks))
        )
    numbers = np.array([found.files[i].stem.rsplit("_", 1)[1][1:] for i in rows])
    return portraits, found.people[rows], found.videos[rows], numbers


def _identities(portraits: Sequence, groups: Sequence[tuple[int, ...]], bases) -> np.ndarray:
    """One identity for each group of photos, fitted together, many groups at once."""
    from likeness.fit.people.together import identities
    from likeness.fit.photo import trust

    found, batch, count = [], [], 0
    for group in groups:
        batch.append([portraits[i] for i in group])
        count += len(group)
        if count >= BATCH:
            found.append(identities(batch, bases, trust.precision()))
            batch, count = [], 0
    if batch:
        found.append(identities(batch, bases, trust.precision()))
    return np.concatenate(found).astype(np.float64)


def _gram(model) -> np.ndarray:
    """(100, 100): squared root mean square distance, mm, of the skin of two neutral shapes, place, turn and size apart."""
    from likeness.runtime.confidence import shape_modes

    skin = model.topology("base").regions["skin"]
    modes = shape_modes(model.mean[skin], model.identity[:, skin]).reshape(len(model.identity), -1).astype(np.float64)
    return modes @ modes.T / skin.sum()
