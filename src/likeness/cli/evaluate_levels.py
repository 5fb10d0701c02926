"""`likeness evaluate levels`: by how much the final level of Tewari et al. 2018 is nearer to the photo than its base."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from likeness.cli.protocols import finish
from likeness.cli.trained import Measurement, crops, tewari_recipe
from likeness.evaluate.scores import Measured, collect

WAYS = ("vertices", "pixels", "skin")
"""At visible vertices, as the paper forms its image; over all pixels that the skin of both levels covers; over those of them
that look like skin, so that hair, hands and glasses before the face do not count."""


@dataclass(frozen=True)
class EvaluateLevels(Measurement):
    """Photometric error of both levels, RGB in [0, 1], each pixel or vertex counted for both or for none.

    Tewari et al. 2018, fig. 11. Photos are placed by their given landmarks.
    """

    checkpoint: tyro.conf.Positional[Path]
    """Of `likeness train tewari2018`."""
    sheet: Path | None = None
    """Write a picture, .png or .jpg: photo, both levels over it, their albedo and their shape; sfhq and stylegan only."""


def evaluate_levels(config: EvaluateLevels) -> int:
    """Print and write the numbers."""
    import torch

    from likeness.evaluate.levels import gain

    torch.set_num_threads(1)
    recipe, rows = tewari_recipe(config.checkpoint, config.made), {}
    for listing, *_ in config.measured():
        names = iter(f"{listing.name}/{file}" for file in listing.files)
        for batch in crops(listing):
            rows |= {next(names): row for row in errors(recipe, batch)}
    scores, _ = collect("levels", "RGB in [0, 1]", list(rows), lambda name: Measured(rows[name]))
    whole = {}
    for way in WAYS:
        found = gain(*(scores.values[f"{level}, {way}"] for level in ("base", "final")))
        found = {f"fall %, {name}" if name in ("from", "to") else name: value for name, value in found.items()}
        whole |= {f"{name}, {way}": value for name, value in found.items()}
    if config.sheet is not None:
        write_sheet(config, recipe)
    return finish(replace(scores, whole=whole), config.output)


def errors(recipe: Any, batch: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Errors of the photos of a batch: "base, vertices", "final, pixels" and so on."""
    import torch

    from likeness import color
    from likeness.encoders import camera
    from likeness.evaluate.levels import level_errors
    from likeness.photos import skin
    from likeness.render.render import render
    from likeness.types import Light

    with torch.no_grad():
        at_vertices = recipe.errors(batch)
        found = recipe.network(batch["image"])
        view, levels = camera.to_view(found.camera, batch["image"].shape[1]), recipe.levels(found)
        seen = {
            name: render(face, recipe.topology, view, Light(found.light)) for name, face in levels._asdict().items()
        }
    corners = torch.as_tensor(recipe.topology.triangles)
    outer = torch.isin(corners, recipe.skin).all(1)
    photos = batch["image"].numpy()
    for i, photo in enumerate(photos):
        drawings = {name: color.encode(one.image[i].numpy()) / 255 for name, one in seen.items()}
        both = np.logical_and.reduce([_covered(one.triangle[i], outer) for one in seen.values()])
        masks = {"pixels": both, "skin": both & (skin.probability(photo, both) > 0.5)}
        row = {f"{level}, vertices": float(values[i]) for level, values in at_vertices.items()}
        for way, mask in masks.items():
            row |= {f"{level}, {way}": value for level, value in level_errors(photo / 255, drawings, mask).items()}
        yield row


def _covered(triangle: Any, outer: Any) -> np.ndarray:
    """Where a drawing's visible triangle (H, W) is one of the outer skin."""
    return ((triangle >= 0) & outer[triangle.clamp(min=0).long()]).numpy()


def write_sheet(config: EvaluateLevels, recipe: Any) -> None:
    """The recipe's own pictures of a few photos that may be shown."""
    import torch

    from likeness import color
    from likeness.cli.sheets import write

    captions = ("photo", "base", "final", "albedo: base", "final", "shape: base", "final")
    rows = []
    for listing, *_ in config.on_sheet(config.rows):
        for batch in crops(listing):
            with torch.no_grad():
                drawn = color.encode(recipe.pictures(batch).numpy())
            rows += [np.split(picture, len(captions), 1) for picture in drawn]
    write(config.sheet, rows[: config.rows], captions)
