"""`likeness train genova2018`: a face at rest from what a recognition network says, learned from unlabelled photos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from likeness.assets.catalogue import PHOTO_SETS
from likeness.cli.pack import check_photos, files, made_from, sources_of
from likeness.cli.train import data_folder
from likeness.errors import AssetError, UsageError
from likeness.train.settings import Settings

SETTINGS = Settings(
    batch=128, workers=0, warmup=100, clip=10.0, average=0.995, save_every=200, log_every=25, pictures_every=250
)


@dataclass(frozen=True)
class Genova2018:
    """Train Genova et al. 2018: identity features to the codes of a face at rest; an interrupted run is resumed."""

    output: Path = Path("runs/genova2018")
    """Folder for the checkpoint, the log and the pictures."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets to learn from. gan states no licence: leave it out here to do without it."""
    shards: tuple[str, ...] = ()
    """Learn from these instead, photos packed by `likeness train pack`: tar files, or a pattern in quotes. Each process of a
    run opens its own alone."""
    recogniser: str = "likeness"
    """The frozen recognition network: likeness, facenet, arcface or vggface."""
    recogniser_weights: Path | None = None
    """Its file; without one, likeness is the network that ships."""
    face_model: Path | None = None
    """A face model of others (`likeness models`); by default the one that ships."""
    colors: Path | None = None
    """Colours for it, where its own file has none: AlbedoMM, or a texture space of FLAME."""
    observed: Path | None = None
    """Folder for what the network says about photos and drawn faces, which several runs may share; by default
    OUTPUT/observed."""
    faces: int = 40000
    """Drawn faces with known codes."""
    versions: int = 4
    """Of every photo: as it is, mirrored, and the rest misplaced and spoiled."""
    synthetic_steps: int = 600
    """Steps of the first stage, on drawn faces alone."""
    steps: int = 5800
    """Steps of the second stage, on photos and drawn faces."""
    views: int = 3
    """Random poses in which the found face is compared with its photo; 1 compares one frontal picture."""
    drawn: float = 0.125
    """Share of a step's photos whose faces are drawn; the moments see all of them."""
    rate: float = 1e-3
    """Learning rate of the first stage at the top of its schedule; the second has a third of it."""
    stop: int | None = None
    """Stop, with a checkpoint, after so many steps of this call."""
    export: Path | None = None
    """Write the system here when done, an ONNX file for `likeness reconstruct --system`; needs the face model that ships."""
    export_only: bool = False
    """Do not train: export the checkpoint in the output folder."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = SETTINGS


def genova2018(config: Genova2018) -> None:
    """Look at the photos and at drawn faces, train, and export where wanted.

    Raises:
        UsageError: When options do not fit together.
    """
    import torch

    from likeness.train import loop
    from likeness.train.processes import is_first

    if not 0 < config.drawn <= 1 or config.views < 1 or config.versions < 1 or config.faces < 1:
        raise UsageError("--drawn is a share above 0 and up to 1; --views, --versions and --faces are 1 at least")
    if config.settings.accumulate > 1:
        raise UsageError("--accumulate cuts the batch whose moments are wanted; to need less memory, lower --drawn")
    if config.colors is not None and config.face_model is None:
        raise UsageError("--colors belongs to a --face-model; the one that ships has its own")
    if config.export is not None and config.face_model is not None:
        raise UsageError("--export writes codes of the face model that ships; leave out --face-model")
    if config.export_only and config.export is None:
        raise UsageError("--export-only needs --export FILE")
    check_photos(config.shards, config.data, config.sets)
    torch.set_num_threads(config.settings.threads)
    torch.manual_seed(config.settings.seed)
    trained = recipe(config)
    if not config.export_only:
        loop.train(trained, config.output, config.settings, config.stop)
        if not is_first():
            return
    if config.export is not None:
        export(config, trained)


def recipe(config: Genova2018) -> Any:
    """The recipe, with its data where it is to be trained."""
    from likeness.data.observed import Pairs
    from likeness.encoders.recognition.load import load
    from likeness.recipes.genova2018 import Genova2018 as Recipe
    from likeness.recipes.genova2018 import stages

    recogniser = load(config.recogniser, config.recogniser_weights).to(config.settings.device)
    model, booth = (
        part.to(config.settings.device) for part in face_model(config.face_model, recogniser, config.colors)
    )
    made = stages(config.synthetic_steps, config.steps, config.rate)
    if config.export_only:
        return Recipe(recogniser, model, booth, made, None, config.views, config.drawn)
    photos, faces = look(config, recogniser, model, booth)

    def data(stage: Any) -> Pairs:
        alone, place = set(stage.terms) <= {"parameter"}, [other.name for other in made].index(stage.name)
        seed, length = 2 * config.settings.seed + place, stage.steps * config.settings.batch
        return Pairs(faces, None if alone else photos, seed, length)

    found = Recipe(recogniser, model, booth, made, data, config.views, config.drawn)
    found.made_from = made_from(config.shards, config.sets) | {"versions": config.versions, "faces": config.faces}
    return found


def look(config: Genova2018, recogniser: Any, model: Any, booth: Any) -> tuple[Any, Any]:
    """What the network says about photos and about drawn faces, kept or found now; does not depend on the run's seed."""
    from rich.progress import track

    from likeness.data.folder import read_set
    from likeness.data.observed import seen_faces, seen_photos
    from likeness.data.packed import dealt, packed_listings
    from likeness.train.processes import shares

    folder = place = config.observed or config.output / "observed"
    if config.shards:
        parts, own = shares(config.settings.accumulate)  # which is 1
        listings = packed_listings(dealt(files(config.shards), parts, own.start))
        place = folder / f"photos-{own.start}-of-{parts}"
    else:
        listings = [read_set(data_folder(config.data) / "photos", name, "train") for name in config.sets]
    photos = seen_photos(
        place, recogniser, listings, config.versions, follow=lambda steps, count: track(steps, "photos", count)
    )
    faces = seen_faces(
        folder, recogniser, model, booth, config.faces,
        follow=lambda steps, count: track(steps, "drawn faces, 32 at a time", count),
    )  # fmt: skip
    return photos, faces


def export(config: Genova2018, trained: Any) -> None:
    """Write the averaged weights of the checkpoint in the output folder as a system."""
    from likeness.assets import builtin
    from likeness.train import checkpoint, loop
    from likeness.train.export_system import export_genova

    state = checkpoint.load_weights(config.output / loop.CHECKPOINT, trained)
    licence = trained.recogniser.licence
    research = "research" in licence.lower() or "non-commercial" in licence.lower()
    sources = (sources_of(config.shards, config.sets), f"recognition network {trained.recogniser.name}: {licence}")
    facts = {"steps": state["step"]}
    export_genova(trained.recogniser, trained.decoder, builtin.load(), config.export, sources, research, facts)


def face_model(path: Path | None, recogniser: Any, colors: Path | None = None) -> tuple[Any, Any]:
    """The face model, by default the one that ships, and the booth that draws it for a network.

    Raises:
        AssetError: When it has no colours, or does not know the five points.
    """
    from likeness.assets import albedo, albedomm, builtin, readable
    from likeness.assets.topology import topology
    from likeness.data.booth import Booth
    from likeness.models.expressionless import Expressionless

    if path is None:
        shipped = builtin.load()
        surface = shipped.topology("base")
        model = Expressionless.of(shipped, albedo.load(), surface)
    else:
        outside = readable.read(path)
        outside = outside if colors is None else albedomm.dress(colors, outside)
        surface, model = topology(outside), Expressionless.outside(outside)
    if "5" not in surface.landmarks:
        raise AssetError(
            f"{path}: its eyes, nose tip and mouth corners are not known (`landmarks68` in docs/face_models.md)"
        )
    return model, Booth(surface, recogniser.template, recogniser.size)
