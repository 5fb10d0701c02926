"""`likeness train identity`: a network of our own that tells people apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from likeness.errors import AssetError, UsageError
from likeness.train.settings import Settings

LICENCE = "Apache-2.0; learned from photos of the sets {sets}, and renders of a face model derived from ICT Face Model Light (MIT)"
RESEARCH = "research only; learned from {sets}: frames of YouTube Faces among them"
RESTRICTED = "video_frames"
"""What the name of a shard with people of research sets begins with."""
MADE_UP = "made-up"
"""The same of a shard without photos."""


@dataclass(frozen=True)
class Identity:
    """Learn to tell people apart from shards of `likeness train people`; an interrupted run is resumed from its folder."""

    output: Path = Path("runs/identity")
    """Folder for the checkpoint and the log."""
    people: tuple[Path, ...] = (Path("runs/people/train"),)
    """Shards, or folders of them. With shards of video_frames the network is for research only, and its file says so."""
    backbone: str = "mobilenet-places"
    """A name that `encoders.backbones` knows."""
    size: int = 96
    """Pixels along a side of the crop."""
    features: int = 128
    """Length of the embedding."""
    steps: tuple[int, int] = (1000, 5500)
    """Steps without a margin, and with it."""
    rate: float = 2e-3
    """Learning rate at the top of each stage's schedule."""
    photos: float = 0.65
    """Share of items that show people who have photos."""
    filmed: float = 0.5
    """Share among those of people who have several photos, where there are any."""
    backbone_weights: Path | None = None
    """Begin with published ImageNet weights of the backbone: a state dict with torchvision's names, see docs/encoders.md."""
    start: Path | None = None
    """Begin with the backbone of a checkpoint of `likeness train points` or `regressor`; its top is not taken when sizes differ."""
    name: str = "likeness-small"
    """Of the network, for tables."""
    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings(
        batch=32, warmup=150, clip=5.0, average=0.998, save_every=250
    )
    stop: int | None = None
    """Stop after so many steps, with a checkpoint."""
    export: Path | None = None
    """Write the network here when done (safetensors, half precision)."""
    export_only: bool = False
    """Do not train: export the checkpoint in the output folder."""


def identity(config: Identity) -> None:
    """Train, and export where wanted."""
    import torch

    from likeness.cli.backbone import fill
    from likeness.data import identities
    from likeness.encoders.recognition.small import IdentityNetwork
    from likeness.recipes.identity import Identity as Recipe
    from likeness.train import checkpoint, loop
    from likeness.train.processes import is_first

    settings, paths = config.settings, shards(config.people)
    album = identities.read(paths)
    torch.manual_seed(settings.seed)
    network = IdentityNetwork(config.backbone, config.size, config.features)
    stages = enumerate(zip(("softmax", "margin"), config.steps))
    data = {name: identities.Identities(album, config.size, 2 * settings.seed + place, steps * settings.batch,
                                           config.photos, config.filmed)
            for place, (name, steps) in stages}  # fmt: skip
    recipe = Recipe(network, data["margin"].count, config.steps, config.rate, data,
                    grams() if album.codes.shape[1] else None)  # fmt: skip
    recipe.made_from = {"people": [shard.name for shard in paths], "photos": config.photos, "filmed": config.filmed}
    path = config.output / loop.CHECKPOINT
    if not config.export_only:
        if config.backbone_weights is not None:
            fill(network, config.backbone_weights, config.start, config.output)
        if config.start is not None and not checkpoint.exists(path):
            take_backbone(network, config.start)
        path = loop.train(recipe, config.output, settings, config.stop)
        if not is_first():
            return
    if config.export is not None:
        checkpoint.load_weights(path, recipe)
        write(recipe.network, config.export, config.name, paths)


def grams() -> dict:
    """How much people differ in shape and in colour, by the codes of the models that ship, which shards hold.

    The roots of the squared errors' forms: in colour, four fifths of the squared error are lightness, and nothing else would
    be learned.
    """
    import numpy as np
    import torch

    from likeness.assets import albedo, builtin
    from likeness.models.albedo import colour_gram
    from likeness.models.points import shape_gram

    model = builtin.load()
    forms = {"shape": shape_gram(model.identity, model.mean), "colour": colour_gram(albedo.load())}
    roots = {}
    for name, form in forms.items():
        values, vectors = np.linalg.eigh(form)
        roots[name] = torch.from_numpy((vectors * np.sqrt(values.clip(0))) @ vectors.T)
    return roots


def write(network, path: Path, name: str, paths: list[Path]) -> None:
    """Write a network with the licence that its shards leave it."""
    from likeness.encoders import pretrained
    from likeness.encoders.recognition import small
    from likeness.encoders.recognition.templates import wide

    sources = sorted({shard.stem.rsplit("-", 1)[0] for shard in paths})
    restricted = any(source.startswith(RESTRICTED) for source in sources)
    sets = ", ".join(source for source in sources if source != MADE_UP)
    licence = (RESEARCH if restricted else LICENCE).format(sets=sets)
    if network.backbone.input.used:
        licence = f"{licence}; {pretrained.NOTICE}"
    small.write(path, network.eval(), name, wide(network.size), licence, sources)


def shards(given: tuple[Path, ...]) -> list[Path]:
    """Shards named, and those in folders named.

    Raises:
        AssetError: When a folder has none.
    """
    found = []
    for path in given:
        inside = sorted(path.glob("*.npz")) if path.is_dir() else [path]
        if not inside:
            raise AssetError(f"{path}: no shards are there; draw them with `likeness train people`")
        found += inside
    return found


def take_backbone(network, path: Path) -> None:
    """Take over what fits of a checkpoint's backbone: all but the top, where the crop has another size.

    Raises:
        UsageError: When nothing fits.
    """
    from likeness.train import checkpoint

    found = checkpoint.strip(checkpoint.load(path)[0], "average.network.backbone.")
    if not checkpoint.load_fitting(network.backbone, found):
        raise UsageError(f"{path}: its backbone has nothing that fits {network.kind}; start without it")
