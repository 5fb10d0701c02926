"""`likeness train renders | regressor | repack | decoder`: pictures to learn from, the regressor, the files that ship."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from likeness.assets.catalogue import PHOTO_SETS
from likeness.cli.train import data_folder
from likeness.errors import AssetError, UsageError
from likeness.train.settings import Settings

SETTINGS = Settings(batch=64, seed=1, warmup=200, clip=5.0, average=0.998, save_every=250, log_every=25)
LICENCE = "Apache-2.0; face model derived from ICT Face Model Light (MIT)"


@dataclass(frozen=True)
class Renders:
    """Write a shard of renders with known codes, skins unwrapped from the photos of one split."""

    output: Path
    """The file to write, .npz."""
    targets: Path
    """Folder of fits made by `likeness label`."""
    split: str = "train"
    """Split of the photos whose skins are used: train, validation or test. Codes differ between splits, too."""
    first: int = 0
    """Number of the first render; shards of other numbers hold other renders."""
    count: int = 5000
    """Renders."""
    skins: int = 500
    """Photos to unwrap."""
    sets: tuple[str, ...] = ("sfhq", "stylegan", "officials")
    """Photo sets whose skins are used."""
    data: Path | None = None
    """Data folder that holds photos/ and ict/; by default LIKENESS_DATA."""


@dataclass(frozen=True)
class Training:
    """What the landmark network and the regressor have in common.

    Attributes are the options of the command line.
    """

    output: Path
    """Folder for the checkpoint and the log; an interrupted run is resumed from it."""
    data: Path | None = None
    """Data folder that holds photos/ and ict/; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets to learn from. gan states no licence: leave it out here to do without it."""
    steps: int = 4000
    """Steps of the schedule."""
    stop: int | None = None
    """Stop, with a checkpoint, after so many steps of this call."""
    rate: float = 2e-3
    """Learning rate at the top of the schedule."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = SETTINGS


@dataclass(frozen=True)
class Regressor(Training):
    """Train the regressor of codes and camera, and export it."""

    output: Path = Path("runs/regressor")
    targets: Path = Path("runs/targets")
    """Folder of fits made by `likeness label`."""
    renders: tuple[Path, ...] = field(default=(Path("runs/renders/train.npz"),))
    """Shards made by `likeness train renders`."""
    share: float = 0.4
    """Share of renders among the crops."""
    stretched: float = 0.0
    """Share of the photos whose proportions are changed; only their landmarks are learned then."""
    start: Path | None = None
    """Checkpoint to begin with: of `likeness train points` (its backbone) or of another regressor (everything)."""
    rate: float = 1.5e-3
    settings: Annotated[Settings, tyro.conf.arg(name="")] = replace(SETTINGS, seed=2)
    gain: float = 1.0
    """Factor on the exported identity: above 1 it undoes a part of the regression to the mean face, see docs/training.md."""
    blink: tuple[float, float] = (1.0, 0.0)
    """Factor and summand on the exported blinks before the sigmoid: lids that are nearly shut are shut."""
    export: Path | None = None
    """Write the ONNX file here when done; by default regressor.onnx in the output folder."""
    export_only: bool = False
    """Do not train: export the checkpoint in the output folder."""


@dataclass(frozen=True)
class Decoder:
    """Export the graphs that decode codes to vertices, for the face model that ships."""

    output: Path = Path("src/likeness/runtime")
    """Folder for decoder-base.onnx and decoder-dense.onnx."""


@dataclass(frozen=True)
class Repack:
    """Write a regressor's ONNX file again in today's form: its large layer in 8 bits, everything else in float16."""

    model: Path
    """The file to read."""
    output: Path
    """The file to write; may be the same."""


def renders(config: Renders) -> None:
    """Draw and write a shard."""
    import cv2
    from rich.progress import track

    from likeness.assets import ict
    from likeness.data.folder import read_set
    from likeness.data.synthetic import SEEDS, Shooting, write_shard

    if config.split not in SEEDS:
        raise UsageError(f"there is no split {config.split!r}; choose one of {', '.join(SEEDS)}")
    cv2.setNumThreads(1)
    folder = data_folder(config.data)
    model = ict.read(folder / "ict/ict_face_model.npz")
    listings = [read_set(folder / "photos", name, config.split, config.targets) for name in config.sets]
    shooting = Shooting(model, dense_model(landmark_model(model)), listings, config.skins)
    steps = write_shard(config.output, shooting, config.split, config.first, config.count)
    for _ in track(steps, "renders", config.count):
        pass


def regressor(config: Regressor) -> None:
    """Train, or take what was trained, and export."""
    import torch

    from likeness.assets.arkit import EXPRESSIONS
    from likeness.train import checkpoint, loop
    from likeness.train.export import export_regressor
    from likeness.train.processes import is_first

    folder = data_folder(config.data)
    recipe = _recipe(folder, config)
    if config.export_only:
        path = config.output / loop.CHECKPOINT
    else:
        torch.manual_seed(config.settings.seed)
        if config.start is not None:
            start(recipe, config.start)
        recipe.made_from = made_from(config)
        path = loop.train(recipe, config.output, config.settings, config.stop)
        if not is_first():
            return
    checkpoint.load_weights(path, recipe)
    sources = "ICT Face Model Light (MIT); photo sets " + ", ".join(config.sets)
    facts = {
        "licence": LICENCE,
        "sources": sources,
        "likeness.identity_gain": f"{config.gain:g}",
        "likeness.blink": "{:g} {:g}".format(*config.blink),
    }
    blinks = [EXPRESSIONS.index("eyeBlinkLeft"), EXPRESSIONS.index("eyeBlinkRight")]
    heads = recipe.network.heads
    with torch.no_grad():
        for name in ("weight", "bias"):
            getattr(heads["identity"], name).mul_(config.gain)
            getattr(heads["expression"], name)[blinks] *= config.blink[0]
        heads["expression"].bias[blinks] += config.blink[1]
    export_regressor(recipe.network, recipe.points, config.export or config.output / "regressor.onnx", facts)


def repack(config: Repack) -> None:
    """Rewrite a file."""
    from likeness.train.export import repack_regressor

    repack_regressor(config.model, config.output)


def decoder(config: Decoder) -> None:
    """Export both levels."""
    from likeness.assets import builtin
    from likeness.train.export import export_decoder

    for level in ("base", "dense"):
        export_decoder(builtin.load(), level, config.output / f"decoder-{level}.onnx")


def landmark_model(model: Any) -> Any:
    """The ICT face model at the dense landmarks."""
    from likeness.assets import correspondence
    from likeness.fit.landmarks.bases import landmark_bases

    return landmark_bases(model, correspondence.read())


def dense_model(bases: Any) -> Any:
    """(identity, expression) -> dense landmarks (..., 478, 3) mm, numpy."""
    import numpy as np

    def dense(identity: Any, expression: Any) -> Any:
        return bases.mean + np.tensordot(identity, bases.identity, 1) + np.tensordot(expression, bases.expression, 1)

    return dense


def _recipe(folder: Path, config: Regressor) -> Any:
    """The recipe with its data; none where nothing is trained."""
    import torch

    from likeness.assets import builtin, ict
    from likeness.assets.ict import NARROW
    from likeness.data.crops import Crops, from_photos, from_renders
    from likeness.data.folder import Photos, read_set
    from likeness.data.synthetic import Renders as Shards
    from likeness.models.points import PointModel, shape_gram
    from likeness.recipes.default import TERMS, Default
    from likeness.types import Stage

    model = ict.read(folder / "ict/ict_face_model.npz")
    bases = landmark_model(model)
    data: dict[str, Any] = {}
    if not config.export_only:
        listings = [read_set(folder / "photos", name, "train", config.targets) for name in config.sets]
        sources = [from_photos(Photos(listings), config.sets), from_renders(Shards(config.renders), dense_model(bases))]
        shares, length = [1 - config.share, config.share], config.steps * config.settings.batch
        data["codes"] = Crops(
            sources, shares, config.settings.seed, length, builtin.load().symmetry, stretched=config.stretched
        )
    mean = model.mean[:NARROW]
    shape = torch.from_numpy(shape_gram(model.identity[:, :NARROW], mean))
    motion = torch.from_numpy(shape_gram(model.expression[:, :NARROW], mean, motion=False))
    torch.manual_seed(config.settings.seed)
    stage = Stage("codes", config.steps, TERMS, {"backbone": config.rate, "heads": config.rate})
    points = PointModel(bases.mean, bases.identity, bases.expression)
    return Default(points, torch.from_numpy(bases.normals).float(), shape, motion, (stage,), data)


def made_from(config: Any) -> dict[str, Any]:
    """What crops of photos and renders are drawn from, for `Recipe.facts`; of `Regressor` or `points.Points`."""
    shards = [path.name for path in config.renders]
    return {"sets": list(config.sets), "renders": shards, "share": config.share, "stretched": config.stretched}


def start(recipe: Any, path: Path) -> None:
    """Take over averaged weights: everything of a run of the same recipe, the backbone of another network's."""
    from likeness.train import checkpoint

    tensors = checkpoint.strip(checkpoint.load(path)[0], "average.")
    if tensors.keys() == recipe.state_dict().keys():
        recipe.load_state_dict(tensors)
        return
    backbone = checkpoint.strip(tensors, "network.backbone.")
    if not backbone:
        raise AssetError(
            f"{path}: no averaged backbone in it; a checkpoint of `likeness train points` or `regressor` is needed"
        )
    recipe.network.backbone.load_state_dict(backbone)
