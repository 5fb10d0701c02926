"""Clips of `likeness benchmark`: heads that we move, whose true points are known, and recorded ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from likeness.assets.builtin import Builtin
from likeness.cli.benchmark_sets import background
from likeness.errors import AssetError
from likeness.evaluate.benchmark import heads, motion
from likeness.evaluate.benchmark.items import Answer, Item, ItemSet, Truth
from likeness.evaluate.nme import INNER_MOUTH_68, nme

FRAMES = 60
"""Frames that are read of a recorded clip, from its first on."""


def moving_set(model: Builtin, skins: Sequence[heads.Skin], split: str, count: int) -> ItemSet:
    """Rendered heads that rest and then move."""
    items = tuple(motion.items(model, skins, split, count, background))
    unit = {item.name: float(np.linalg.norm(item.truth.points[36] - item.truth.points[45])) for item in items}

    def measure(item: Item, answer: Answer) -> Mapping[str, float]:
        if answer.points is None:
            return {}
        true, found = item.truth.points, answer.points
        inner = nme(found[INNER_MOUTH_68], true[INNER_MOUTH_68], unit[item.name])
        return {"points": 100 * float(nme(found[17:], true[17:], unit[item.name])), "mouth": 100 * float(inner)}

    about = (
        f"Rendered heads, {motion.RESTING} frames at rest and {motion.MOVING} turning, nodding and opening the mouth, "
        f"{motion.RATE:.0f} a second; light stands still, the camera's noise does not. The unit is the distance of the outer "
        "eye corners in the picture."
    )
    return ItemSet(
        "moving",
        "Moving heads (rendered clips)",
        about,
        items,
        measure,
        ("points", "mouth", "jitter", "lag"),
        rate=motion.RATE,
    )


def clips_set(folder: Path, most: int) -> ItemSet:
    """Recorded clips of talking heads, without a truth: only what trembles can be seen.

    Raises:
        AssetError: There are none, or one cannot be read.
    """
    from likeness.photos import video

    paths = sorted(path for path in Path(folder).glob("*") if video.is_clip(path))[:most]
    if not paths:
        raise AssetError(f"{folder}: no clips lie in this folder")
    items, rate = [], 25.0
    for k, path in enumerate(paths):
        rate = video.describe(path).rate
        for number, frame in enumerate(islice(video.frames(path), FRAMES)):
            items.append(Item(f"clip-{k}-{number:03d}", f"clip {k}", _kept(frame.image), Truth()))
    about = (
        f"The first {FRAMES} frames of clips of talking heads. No truth is known, so that all frames count and lag cannot be "
        "seen; what moves evenly does not count as trembling."
    )
    return ItemSet("clips", "Recorded clips", about, tuple(items), lambda item, answer: {}, ("jitter",), rate=rate)


def _kept(image: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: image
