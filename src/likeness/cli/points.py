"""`likeness train points`: the landmark network, which is the regressor's first lesson too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from likeness.cli.regressor import LICENCE, Training, dense_model, landmark_model, made_from, start
from likeness.cli.train import data_folder


@dataclass(frozen=True)
class Points(Training):
    """Learn where the dense landmarks are in a crop, and how sure that is; with --export, write the ONNX file."""

    output: Path = Path("runs/points")
    renders: tuple[Path, ...] = ()
    """Shards made by `likeness train renders`, which know where hidden points are; none for a first lesson."""
    share: float = 0.4
    """Share of renders among the crops, where there are any."""
    stretched: float = 0.0
    """Share of the photos whose proportions are changed."""
    start: Path | None = None
    """Checkpoint to begin with: of `likeness train regressor` (its backbone) or of another run of this (everything)."""
    factor: float = 1.0
    """Factor on the exported spread, so that 68 % of the errors lie within it: see `likeness evaluate spread`."""
    export: Path | None = None
    """Write the ONNX file here when done."""
    export_only: bool = False
    """Do not train: export the checkpoint in the output folder."""


def points(config: Points) -> None:
    """Train, or take what was trained, and export where wanted."""
    import torch

    from likeness.recipes.points import Points as Recipe
    from likeness.train import checkpoint, loop
    from likeness.train.export import export_landmarks
    from likeness.train.processes import is_first

    settings = config.settings
    torch.manual_seed(settings.seed)
    recipe = Recipe(None if config.export_only else _crops(config), config.steps, config.rate)
    if config.export_only:
        path = config.output / loop.CHECKPOINT
    else:
        if config.start is not None:
            start(recipe, config.start)
        recipe.made_from = made_from(config)
        path = loop.train(recipe, config.output, settings, config.stop)
        if not is_first():
            return
    if config.export is not None:
        checkpoint.load_weights(path, recipe)
        sources = (
            "photo sets " + ", ".join(config.sets) + "; renders of ICT Face Model Light (MIT)" * bool(config.renders)
        )
        export_landmarks(recipe.network, config.export, config.factor, {"licence": LICENCE, "sources": sources})


def _crops(config: Points):
    """Crops of photos, and of renders where there are any, with nothing known but landmarks."""
    from likeness.assets import ict
    from likeness.data.crops import Crops, from_photos, from_renders
    from likeness.data.folder import Photos, read_set
    from likeness.data.synthetic import Renders

    folder = data_folder(config.data)
    listings = [read_set(folder / "photos", name, "train") for name in config.sets]
    sources, shares = [from_photos(Photos(listings), config.sets)], [1.0]
    if config.renders:
        bases = landmark_model(ict.read(folder / "ict/ict_face_model.npz"))
        sources.append(replace(from_renders(Renders(config.renders), dense_model(bases)), targets=None))
        shares = [1 - config.share, config.share]
    length = config.steps * config.settings.batch
    return Crops(sources, shares, config.settings.seed, length, stretched=config.stretched)
