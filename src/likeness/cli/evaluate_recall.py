"""`likeness evaluate recall`: does another recognition network know people again in the faces a trained recipe gives them?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from likeness.assets.catalogue import PHOTO_SETS
from likeness.cli.protocols import finish
from likeness.cli.trained import Measurement, Rest, System, parts, system
from likeness.errors import UsageError

if TYPE_CHECKING:
    from likeness.data.folder import Listing
    from likeness.evaluate.identity import Embeddings

TURN = 0.7
"""Radians by which a face is turned in the sheet's last column."""
SHRUNK = 0.85
"""Scale of the faces on the sheet: a turned head reaches further than a frontal one."""


@dataclass(frozen=True)
class EvaluateRecall(Measurement):
    """Draw faces at rest in one camera and one light, and ask a second recognition network whose photos are most like them.

    Genova et al. 2018, sec. 4.3 and 4.4. Photo sets show everybody once; with video_frames there are several pictures of a
    person, so that also "to same", "to different" and recall without the own photo mean something.
    """

    judge: str = "likeness"
    """The network that judges, by the name that `likeness embed` knows. It must not have been part of the training."""
    judge_weights: Path | None = None
    """Its file."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets, or video_frames; all photos of a run are candidates together."""
    sheet: Path | None = None
    """Write a picture, .png or .jpg: photo, the face from the front, turned; sfhq and stylegan only."""


def evaluate_recall(config: EvaluateRecall) -> int:
    """Print and write the numbers."""
    import torch

    from likeness.cli.evaluate_pictures import identity_report
    from likeness.data.observed import answers
    from likeness.encoders.recognition.load import load
    from likeness.evaluate.codes import distribution
    from likeness.evaluate.identity import Embeddings

    torch.set_num_threads(1)
    found, judge = system(config.checkpoint, config.made), load(config.judge, config.judge_weights)
    if found.recogniser is not None and same(found.recogniser, judge):
        raise UsageError("--judge is the network that the recipe was trained with: it cannot judge; name another")
    seen, drawn, codes, names, people, scenes = [], [], [], [], [], []
    for listing, persons, places in config.measured():
        seen.append(looks(listing, judge))
        for rest in found.rest(listing):
            drawn.append(answers(judge, portraits(rest, found, judge)))
            codes.append(rest.codes)
        names += [f"{listing.name}/{file}" for file in listing.files]
        people += persons
        scenes += places
    renderings = Embeddings(np.array(names), np.array(people), np.concatenate(drawn))
    photos = replace(renderings, vectors=np.concatenate(seen))
    scores = identity_report(renderings, photos)
    whole = dict(scores.whole) | {"top 1 by chance": 100 / len(names)}
    whole |= elsewhere(renderings, photos, np.array(scenes))
    for kind in codes[0]:
        numbers = distribution(np.concatenate([code[kind] for code in codes]))
        whole |= {f"{kind} codes, {name}": value for name, value in numbers.items()}
    if config.sheet is not None:
        write_sheet(config, found, judge)
    return finish(replace(scores, protocol="recall", whole=whole), config.output)


def same(first: Any, second: Any) -> bool:
    """Whether two networks have the same weights."""
    import torch

    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def elsewhere(renderings: Embeddings, photos: Embeddings, scenes: np.ndarray) -> dict[str, float]:
    """Recall in percent where nothing of the same video is a candidate; of photos in the place of faces, too, which is the
    most that this judge can do. Nothing where nobody has another scene."""
    from likeness.evaluate.identity import recall

    kinds = {"": renderings, ", photos instead of faces": photos}
    there, found = replace(photos, names=scenes), {}
    for kind, asked in kinds.items():
        for top in (1, 5):
            hits = recall(replace(asked, names=scenes), there, top, own=False)
            if np.isfinite(hits).any():
                found[f"top {top} in other videos{kind}"] = 100 * float(np.nanmean(hits))
    return found


def looks(listing: Listing, judge: Any) -> np.ndarray:
    """What the judge says (n, F) about photos."""
    from likeness.data.observed import answers

    return np.concatenate([answers(judge, np.stack(photos)) for photos in aligned_photos(listing, judge)])


def aligned_photos(listing: Listing, judge: Any) -> Iterator[list[np.ndarray]]:
    """Crops (S, S, 3) uint8 of photos where the judge wants them, some at a time."""
    from likeness.data.observed import aligned
    from likeness.encoders.recognition.templates import five

    for rows in parts(len(listing.files)):
        yield [aligned(listing.picture(i), five(listing.points[i]), judge) for i in rows]


def portraits(rest: Rest, found: System, judge: Any, yaw: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Faces (B, S, S, 3) uint8 sRGB where the judge wants them, all in one camera and one light (sec. 4.3).

    Args:
        scale: Less than 1 for a look from further away, with more around the face.
    """
    import torch

    from likeness import color
    from likeness.data.booth import Booth

    middle = judge.size / 2
    template = middle + scale * (judge.template - middle)
    booth = Booth(found.topology, template, judge.size)
    with torch.no_grad():
        return color.encode(booth.portrait(rest.face, yaw).numpy())


def write_sheet(config: EvaluateRecall, found: System, judge: Any) -> None:
    """Photo, face from the front, face turned, for a few photos that may be shown."""
    from likeness.cli.sheets import write

    rows = []
    for listing, *_ in config.on_sheet(config.rows):
        photos = itertools.chain.from_iterable(aligned_photos(listing, judge))
        for rest in found.rest(listing):
            drawn = (portraits(rest, found, judge, yaw, SHRUNK) for yaw in (0.0, TURN))
            rows += [[photo, *faces] for *faces, photo in zip(*drawn, photos)]
    write(config.sheet, rows[: config.rows], ("photo", "at rest", "turned"), columns=2)
