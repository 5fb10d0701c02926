"""`likeness evaluate recognition`: does a recogniser know whether two pictures show one person?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from likeness.cli.evaluate import show
from likeness.cli.train import data_folder

BATCH = 64
SMALL = 24
"""Pixels along a side of the crops that the baseline "pixels" compares."""
Embed = Callable[[np.ndarray], np.ndarray]
"""Cut-outs of `data.identities` (n, SIDE, SIDE, 3) uint8 to vectors (n, d)."""


@dataclass(frozen=True)
class EvaluateRecognition:
    """Verification: pairs of pictures of one person and of two, as many of each, in ten folds of people.

    Rows "videos": frames of different videos (video_frames). With --people also rows "renders" (made-up people; then those
    where two people have one shape and different skins, or one skin and different shapes), "photo and render" (a photo, and
    renders of its fit with its own skin) and "photo and codes" (renders of its fit by codes alone). Beside the networks
    stand baselines: pixels, mean colour, and a network that has learned nothing. "dimensions" tells in how many directions a
    method's answers vary.
    """

    weights: tuple[Path, ...] = ()
    """Networks written by `likeness train identity`."""
    recogniser: str = ""
    """Another network, by the name that `likeness embed` knows; its weights with --recogniser-weights."""
    recogniser_weights: Path | None = None
    """Weights of the other network."""
    data: Path | None = None
    """Data folder that holds video_frames/; by default LIKENESS_DATA."""
    split: Literal["validation", "test"] = "validation"
    """People whose names begin with M, or with A, J or S."""
    people: Path | None = None
    """Folder of shards of that split, made by `likeness train people`."""
    pairs: int = 6000
    """Pairs in each row, at most."""
    seed: int = 0
    """Draws the pairs."""
    output: Path | None = None
    """JSON file for the table."""


def evaluate_recognition(config: EvaluateRecognition) -> None:
    """Print and write the table."""
    methods = _methods(config)
    rows: dict[str, dict[str, float]] = {}
    for pictures, asked in _sets(config):
        vectors = {name: embed(pictures) for name, embed in methods.items()}
        rows |= {
            f"{title}: {name}": _row(found, pairs) for title, pairs in asked.items() for name, found in vectors.items()
        }
    show(f"verification, {config.split}", rows, config.output)


def _row(vectors: np.ndarray, pairs) -> dict[str, float]:
    from likeness.evaluate.recognition import dimensions, verify

    result = verify(vectors, pairs)
    return {
        "accuracy %": 100 * result.accuracy,
        "+-": 100 * result.deviation,
        "auc": result.auc,
        "found at 1 % false": 100 * result.found,
        "pairs": result.pairs,
        "dimensions": dimensions(vectors),
    }


def _sets(config: EvaluateRecognition):
    """Cut-outs, and which pairs of them each row asks for, by its title."""
    from likeness.cli.frames import frames
    from likeness.data import identities
    from likeness.data.casting import relatives
    from likeness.evaluate.recognition import draw_pairs

    found = frames(data_folder(config.data), config.split)
    pictures = np.stack([identities.cut(found.picture(i), found.points[i])[0] for i in range(len(found.files))])
    yield pictures, {"videos": draw_pairs(found.people, found.videos, config.seed, config.pairs)}
    if config.people is None:
        return
    album = identities.read(sorted(config.people.glob("*.npz")))
    kinds, everyone = album.kinds, album.people
    real = np.isin(everyone, everyone[kinds == identities.PHOTO])
    rows = {
        "renders": ~real,
        "photo and render": real & (kinds != identities.MODEL),
        "photo and codes": real & (kinds != identities.OWN),
    }
    for title, chosen in rows.items():
        places = np.flatnonzero(chosen)
        pictures = np.stack([album.picture(int(i)) for i in places])
        photo = None if title == "renders" else kinds[places] == identities.PHOTO
        asked = {title: draw_pairs(everyone[places], places, config.seed, config.pairs, photo)}
        if title == "renders":
            kin = dict(zip(("shape", "skin"), relatives(everyone[places] - everyone[places].min())))
            asked |= {f"renders, one {what}": draw_pairs(everyone[places], places, config.seed, config.pairs, kin=one)
                      for what, one in kin.items()}  # fmt: skip
        yield pictures, asked


def _methods(config: EvaluateRecognition) -> dict[str, Embed]:
    from likeness.encoders.recognition import small

    methods: dict[str, Embed] = {"mean colour": _colour, "pixels": _pixels, "a random network": _network(_untaught())}
    for path in config.weights:
        recognition = small.load(path)
        methods[recognition.name if recognition.name not in methods else path.stem] = _network(recognition)
    if config.recogniser:
        from likeness.encoders.recognition.load import load

        methods[config.recogniser] = _network(load(config.recogniser, config.recogniser_weights))
    return methods


def _colour(pictures: np.ndarray) -> np.ndarray:
    """The middle's mean colour, apart from the mean over all pictures."""
    from likeness.data.identities import SIDE

    inner = pictures[:, SIDE // 4 : 3 * SIDE // 4, SIDE // 4 : 3 * SIDE // 4].mean((1, 2))
    return inner - inner.mean(0)


def _pixels(pictures: np.ndarray) -> np.ndarray:
    """Small grey crops of zero mean and one contrast."""
    import cv2

    from likeness.data.identities import middle

    grey = [
        cv2.resize(cv2.cvtColor(middle(p, 4 * SMALL), cv2.COLOR_RGB2GRAY), (SMALL, SMALL), interpolation=cv2.INTER_AREA)
        for p in pictures
    ]
    flat = np.stack(grey).reshape(len(grey), -1).astype(np.float32)
    flat = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, keepdims=True) + 1)
    return flat - flat.mean(0)


def _untaught():
    import torch

    from likeness.encoders.recognition.interface import Recognition
    from likeness.encoders.recognition.small import IdentityNetwork
    from likeness.encoders.recognition.templates import wide

    torch.manual_seed(0)
    return Recognition(IdentityNetwork("mobilenet-places", 96), "a random network", 96, 128, wide(96), "")


def _network(recognition) -> Embed:
    """Vectors of cut-outs by a network, aligned as it wants them; those of picture and mirror image are added."""
    import torch

    from likeness import color
    from likeness.data.identities import template

    points = torch.from_numpy(template()).float()

    def embed(pictures: np.ndarray) -> np.ndarray:
        found = []
        for first in range(0, len(pictures), BATCH):
            image = torch.from_numpy(color.decode(pictures[first : first + BATCH]))
            with torch.no_grad():
                crop = recognition_crops(recognition, image, points)
                found.append((recognition(crop) + recognition(crop.flip(-1))).numpy())
        return np.concatenate(found)

    return embed


def recognition_crops(recognition, image, points):
    """Crops (B, 3, S, S) of cut-outs (B, SIDE, SIDE, 3), all of which show the five points (5, 2) at one place."""
    from likeness.encoders.recognition.align import align

    return align(image, points.expand(len(image), 5, 2), recognition.template, recognition.size)
