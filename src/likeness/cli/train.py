"""`likeness train finder`: learn the face finder, from photos; and where the data are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from likeness.assets.catalogue import PHOTO_SETS
from likeness.errors import AssetError
from likeness.train.settings import Settings


def data_folder(given: Path | None) -> Path:
    """The data folder from the command line, else from the environment variable LIKENESS_DATA.

    Raises:
        AssetError: When neither names a folder.
    """
    folder = given or Path(os.environ.get("LIKENESS_DATA", ""))
    if folder == Path("") or not folder.is_dir():
        raise AssetError(
            f"no data folder ('{folder}'); give --data or set LIKENESS_DATA (its layout is in docs/training.md)"
        )
    return folder


@dataclass(frozen=True)
class Finder:
    """Train the face finder; an interrupted run is resumed from its folder."""

    output: Path = Path("runs/finder")
    """Folder for the checkpoint and the log."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets to learn from. gan states no licence: leave it out here to do without it."""
    small_steps: int = 5500
    """Steps on scenes of mostly upright heads."""
    steps: int = 1400
    """Steps on larger scenes of tilted heads."""
    long_steps: int = 1100
    """Steps on larger scenes yet, with clutter behind and faces that fill the picture."""
    wary_steps: int = 3000
    """Steps with more heads tilted further, and with many more things that are no face."""
    rate: float = 3e-3
    """Learning rate of the first stage; the others have two thirds of it."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings(
        batch=16, warmup=200, clip=5.0, average=0.998, save_every=250
    )
    start: Path | None = None
    """Begin with the weights of an earlier run's checkpoint, or of an exported finder.onnx."""
    blend: tuple[Path, ...] = ()
    """Do not train: write the mean of the weights of these exported files; one that is named twice counts twice."""
    export: Path | None = None
    """Write the ONNX file here when done; by default finder.onnx in the output folder."""
    threshold: float = 0.4
    """Score written into the file (see `likeness evaluate finder --choose`)."""
    export_only: bool = False
    """Do not train: export the checkpoint in the output folder."""


def finder(config: Finder) -> None:
    """Train the face finder and export it."""
    from likeness.recipes.finder import FinderRecipe
    from likeness.train import checkpoint, loop
    from likeness.train.blend import blend
    from likeness.train.export_finder import export
    from likeness.train.processes import is_first

    if config.blend:
        blend(config.blend, config.export or config.output / "finder.onnx")
        return
    photos, settings = None if config.export_only else data_folder(config.data) / "photos", config.settings
    recipe = FinderRecipe(
        photos,
        settings.seed,
        config.small_steps,
        config.steps,
        settings.batch,
        config.rate,
        config.long_steps,
        config.wary_steps,
        config.sets,
    )
    path = config.output / loop.CHECKPOINT
    if not config.export_only:
        if config.start is not None and not path.exists():
            _start(recipe, config.start, settings.batch)
        recipe.made_from = {"sets": list(config.sets)}
        path = loop.train(recipe, config.output, settings)
        if not is_first():
            return
    checkpoint.load_weights(path, recipe)
    export(recipe.network, config.export or config.output / "finder.onnx", config.threshold, config.sets)


def _start(recipe: Any, path: Path, batch: int) -> None:
    """Take over the averaged weights of a checkpoint, or what an ONNX file holds."""
    import torch

    from likeness.train import checkpoint
    from likeness.train.takeover import take_over

    if path.suffix != ".onnx":
        checkpoint.load_weights(path, recipe)
        return
    data = recipe.dataset(recipe.stages[0])
    images = [torch.from_numpy(data[i]["image"]) for i in range(4 * batch)]
    take_over(path, recipe.network, torch.stack(images))
