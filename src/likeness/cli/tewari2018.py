"""`likeness train tewari2018`: learn a multi-level face model and the network that answers it, from photos alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from likeness.assets.catalogue import PHOTO_SETS
from likeness.cli.pack import check_photos, files, made_from, sources_of
from likeness.cli.train import data_folder
from likeness.errors import AssetError, UsageError
from likeness.train.settings import Settings
from likeness.train.stages import changed


@dataclass(frozen=True)
class Tewari2018:
    """Train base level, then both levels; an interrupted run is resumed from its folder."""

    output: Path = Path("runs/tewari2018")
    """Folder for the checkpoint and the log."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets to learn from. gan states no licence: leave it out here to do without it."""
    shards: tuple[str, ...] = ()
    """Learn from these instead, photos packed by `likeness train pack`: tar files, or a pattern in quotes. They are read as
    they are needed, and each process of a run opens its own alone."""
    backbone: str = "mobilenet-places"
    """Of `encoders.backbones`: alexnet as in the paper, resnet18, resnet50, mobilenetv3-small, mobilenetv3-large."""
    backbone_weights: Path | None = None
    """Begin with published ImageNet weights of the backbone: a state dict with torchvision's names, see docs/encoders.md."""
    start: Path | None = None
    """Checkpoint to begin with, as far as names and sizes fit: of this recipe, `likeness train regressor` or `points`."""
    face_model: Path | None = None
    """A face model of others with colours and all of the 68 landmarks (`likeness models`), for the one that ships."""
    correctives: Literal["linear", "non-linear"] = "linear"
    """What corrective codes mean (fig. 5)."""
    codes: int = 500
    """Corrective codes, for geometry and for reflectance."""
    chart: int = 32
    """Texels along a side of the reflectance correctives."""
    base_steps: int = 4500
    """Steps of the base level."""
    steps: int = 8100
    """Steps of both levels."""
    rate: float = 4e-4
    """Learning rate of the encoder and of the heads of shape and camera; `--stages.NAME.rates.GROUP` sets one alone."""
    stop: int | None = None
    """Stop, with a checkpoint, after so many steps of this call."""
    export: Path | None = None
    """Write the system here when done, for `likeness reconstruct --system`; needs the face model that ships."""
    export_only: bool = False
    """Do not train: export the checkpoint in the output folder."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings(
        batch=16, warmup=100, clip=50.0, average=0.998, save_every=250, optimizer="adam", pictures_every=250
    )


def tewari2018(config: Tewari2018) -> None:
    """Train, and export where wanted.

    Raises:
        UsageError: When options do not fit together.
    """
    import torch

    from likeness.cli.backbone import fill
    from likeness.train import loop
    from likeness.train.processes import is_first

    if config.export is not None and config.face_model is not None:
        raise UsageError("--export writes systems of the face model that ships; leave out --face-model")
    if config.export_only and config.export is None:
        raise UsageError("--export-only needs --export FILE.onnx")
    check_photos(config.shards, config.data, config.sets)
    data = None if config.export_only else look(config)
    torch.manual_seed(config.settings.seed)
    recipe = make(
        config.correctives, config.backbone, config.codes, config.chart, stages(config), parts(config.face_model)
    )
    if not config.export_only:
        if config.backbone_weights is not None:
            fill(recipe.network, config.backbone_weights, config.start, config.output)
        recipe.data, recipe.made_from = data, made_from(config.shards, config.sets)
        if config.start is not None:
            start(recipe, config.start)
        # A run that goes on from its folder keeps what it began with, whether or not it is told again where it started.
        recipe.settled = loop.begun_with(config.output).get("settled", config.start is not None)
        loop.train(recipe, config.output, config.settings, config.stop)
        if not is_first():
            return
    if config.export is not None:
        export(config, recipe)


def look(config: Tewari2018) -> Any:
    """Crops of the photos: of those in shards, or of sets, which are cut out and kept in memory."""
    from likeness.data.folder import Photos, read_set
    from likeness.data.landmarked import LandmarkedCrops, believed
    from likeness.data.packed import PackedCrops
    from likeness.train.processes import shares

    settings = config.settings
    steps = (stage.steps for stage in changed(stages(config), settings.stages))
    length = max(steps, default=0) * settings.batch  # no crop comes twice in a stage
    if config.shards:
        return PackedCrops(files(config.shards), settings.seed, length, mean_landmarks(), *shares(settings.accumulate))
    folder = data_folder(config.data) / "photos"
    photos = Photos([read_set(folder, name, "train") for name in config.sets])
    return LandmarkedCrops(photos, config.sets, settings.seed, length, believed(photos.points, mean_landmarks()))


def export(config: Tewari2018, recipe: Any) -> None:
    """Write the averaged weights of the checkpoint in the output folder as a system."""
    from likeness.assets import builtin
    from likeness.train import checkpoint, loop
    from likeness.train.export_system import export_tewari

    state = checkpoint.load_weights(config.output / loop.CHECKPOINT, recipe)
    sources = (sources_of(config.shards, config.sets),)
    facts = {"steps of the last run": state["step"], "correctives": config.correctives}  # one may --start from another
    export_tewari(recipe.network, recipe.model, builtin.load(), config.export, sources, facts=facts)


def mean_landmarks() -> Any:
    """(478, 3) mm, the dense landmarks on the mean of the face model that ships."""
    from likeness.assets import builtin

    model = builtin.load()
    return model.topology().landmarks["dense"].points(model.mean)


def stages(config: Tewari2018) -> tuple[Any, ...]:
    """Base level, then both."""
    from likeness.recipes.tewari2018 import BASE, BASE_RATES, FULL, FULL_RATES
    from likeness.types import Stage

    base, full = ({name: share * config.rate for name, share in rates.items()} for rates in (BASE_RATES, FULL_RATES))
    both = (Stage("base", config.base_steps, BASE, base), Stage("full", config.steps, FULL, full))
    return tuple(stage for stage in both if stage.steps)


def make(
    correctives: str = "linear",
    backbone: str = "mobilenet-places",
    codes: int = 500,
    chart: int = 32,
    stages: tuple[Any, ...] = (),
    face: Any = None,
) -> Any:
    """The recipe, by default on the face model that ships."""
    from likeness.data.augment import CROP_SIZE
    from likeness.encoders.backbones import build
    from likeness.recipes.tewari2018 import Tewari2018

    face = parts() if face is None else face
    return Tewari2018(face, build(backbone, CROP_SIZE), correctives, codes, chart=chart, stages=stages)


def parts(path: Path | None = None) -> Any:
    """What the recipe wants of a face model: the one that ships, or a file of others.

    Raises:
        AssetError: When it has no colours, or does not know all of the 68 landmarks.
    """
    import numpy as np

    from likeness.assets import albedo, builtin, readable
    from likeness.assets.correspondence import OUTLINE
    from likeness.assets.landmarks import INNER_MOUTH_CORNERS
    from likeness.assets.topology import topology
    from likeness.data.landmarked import CHOSEN
    from likeness.models.albedo import AlbedoDecoder
    from likeness.models.expressionless import ColorDecoder
    from likeness.models.linear import LinearModel
    from likeness.recipes.tewari2018 import JAW, FaceParts
    from likeness.types import Embedding

    def taken(marks: Embedding, *choices: Any) -> list[Embedding]:
        return [Embedding(marks.vertices[rows], marks.weights[rows]) for rows in choices]

    if path is None:
        model = builtin.load()
        surface = model.topology()
        places = taken(surface.landmarks["dense"], CHOSEN[JAW:], np.array([*OUTLINE, OUTLINE[0]]))
        return FaceParts(LinearModel.of(model), AlbedoDecoder(albedo.load(), surface), surface, *places)
    outside = readable.read(path)
    surface = topology(outside)
    if outside.albedo is None or "68" not in surface.landmarks:
        raise AssetError(f"{path}: {outside.name} needs colours and all of the 68 landmarks, see docs/face_models.md")
    inner = np.delete(np.arange(68), INNER_MOUTH_CORNERS)[JAW:]
    places = taken(surface.landmarks["68"], inner, np.arange(JAW))
    weights = outside.expression_unit == "weight"
    return FaceParts(LinearModel.outside(outside), ColorDecoder(outside.albedo), surface, *places, weights)


def start(recipe: Any, path: Path) -> None:
    """Take over the averaged weights of another run as far as names and sizes fit.

    Raises:
        AssetError: When none fits.
    """
    from likeness.train import checkpoint

    found = checkpoint.strip(checkpoint.load(path)[0], "average.")
    if not checkpoint.load_fitting(recipe, found):
        raise AssetError(f"{path}: none of its {len(found)} averaged weights has a name and a size of this recipe")
