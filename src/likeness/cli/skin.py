"""`likeness train skin | evaluate skin`: the colours of skin, learned from fitted portraits, and how many they find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from likeness.assets.catalogue import PHOTO_SETS


@dataclass(frozen=True)
class TrainSkin:
    """Learn the colours of skin from photos to which the face model was fitted (`likeness label`). Half a minute."""

    targets: Path
    """Folder of fits, one archive for each set."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets to learn from. gan states no licence: leave it out here to do without it."""
    photos: int = 700
    """At most so many of each set."""
    pixels: int = 8000
    """Of skin, and of the rest, from every group of skin tones."""
    skin: int = 8
    """Normal distributions of skin."""
    other: int = 12
    """Normal distributions of everything else."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("src/likeness/photos/skin.safetensors")
    """The file to write."""


@dataclass(frozen=True)
class EvaluateSkin:
    """Skin and other pixels that are told apart, by the apparent tone of the skin."""

    targets: Path
    """Folder of fits, one archive for each set."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    split: str = "test"
    """test or validation."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets to measure on."""
    limit: int = 100
    """At most so many photos of a set."""
    colours: Path | None = None
    """Classifier; by default the one that ships."""
    output: Path | None = None
    """JSON file for the table."""


def train_skin(config: TrainSkin) -> None:
    """Gather pixels, fit two mixtures, write."""
    from likeness.cli.main import show
    from likeness.data.skin import balanced
    from likeness.photos import skin
    from likeness.runtime.write import write_file

    sets = _photos(config.data, config.targets, config.sets, "train", config.photos)
    photos = [photo for found in sets for photo in found]
    values, others = balanced(photos, config.pixels)
    model = skin.SkinModel(skin.mixture(values, config.skin), skin.mixture(others, config.other))
    write_file(config.output, skin.to_bytes(model, {"photos": len(photos), "sets": list(config.sets)}))
    show(f"{config.output}: {config.output.stat().st_size} bytes from {len(photos)} photos")


def evaluate_skin(config: EvaluateSkin) -> None:
    """Print shares of pixels that count as skin (probability above one half): of skin, and of other things."""
    import numpy as np

    from likeness.cli.evaluate import show
    from likeness.data.skin import GROUPS, group
    from likeness.photos import skin

    model = skin.load(config.colours)
    rows: dict[str, list[list[float]]] = {name: [] for name in GROUPS}
    for photos in _photos(config.data, config.targets, config.sets, config.split, config.limit):
        for photo in photos:
            values = []
            for face in (None, photo.face):
                found = (skin.probability(photo.image, face, model) > 0.5).ravel()
                values += [100 * found[photo.skin].mean(), 100 * found[photo.other].mean()]
            rows[group(photo.angle)].append(values)
    columns = ("skin found %", "other taken %", "with the face's colours: skin %", "other %")
    means = {f"{name} ({len(values)})": np.mean(values, 0) for name, values in rows.items() if values}
    table = {name: dict(zip(columns, map(float, row))) for name, row in means.items()}
    show(f"skin, {config.split}", table, config.output)


def _photos(data: Path | None, targets: Path, sets: tuple[str, ...], split: str, limit: int):
    """An iterator of `data.skin.Pixels` for each set."""
    from likeness.assets import builtin
    from likeness.cli.train import data_folder
    from likeness.data.folder import read_set
    from likeness.data.skin import pixels

    root = data_folder(data) / "photos"
    for name in sets:
        yield pixels(read_set(root, name, split, targets), builtin.load(), limit)
