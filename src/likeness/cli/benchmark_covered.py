"""Photos of `likeness benchmark` on which we draw dark glasses, a cloth or a bar: what covers a face is then known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from likeness import color
from likeness.arrays import even
from likeness.evaluate.benchmark import scene
from likeness.evaluate.benchmark.heads import COVERS
from likeness.evaluate.benchmark.items import Item, ItemSet

SEED = 7004


def covered_set(photos: ItemSet, most: int) -> ItemSet:
    """Some photos of a set with 68 true points, each as it is and with every kind of cover, measured as there."""
    items = []
    for number, row in enumerate(even(len(photos.items), most)):
        item = photos.items[row]
        for kind in ("none", *COVERS):
            picture = item.picture if kind == "none" else _covered(item, kind, (SEED, number, COVERS.index(kind)))
            name = f"covered-{item.name}-{kind}"
            items.append(replace(item, name=name, picture=picture, slices={"occlusion": kind}))
    about = (
        "Some of these photos, each as it is and with dark glasses, a cloth over the mouth and a bar across one side that we "
        "draw. Hands, hair and hats cover otherwise, and what they cover is labelled nowhere."
    )
    return ItemSet(
        "covered", f"The same, covered by us ({photos.name})", about, tuple(items), photos.measure, photos.metrics
    )


def _covered(item: Item, kind: str, seed: tuple[int, ...]) -> Callable[[], np.ndarray]:
    def picture() -> np.ndarray:
        image = color.decode(item.picture()).astype(np.float32)
        return color.encode(np.clip(scene.cover(image, item.truth.points, kind, np.random.default_rng(seed)), 0, 1))

    return picture
