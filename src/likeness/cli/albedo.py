"""`likeness train albedo`: learn the albedo model from portraits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from likeness.cli.train import data_folder

LICENCE = "Apache-2.0; learned from photos of the sets {sets}, face model derived from ICT Face Model Light (MIT)"


@dataclass(frozen=True)
class Albedo:
    """Learn diffuse albedo from portraits whose codes and cameras are known; the specular albedo is authored.

    Photos are unwrapped first, into shards below the output folder; a run that was stopped goes on with what is there.
    """

    output: Path = Path("runs/albedo")
    """Folder for unwrapped photos and the model."""
    targets: Path = Path("runs/targets")
    """Folder of fits made by `likeness label`."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    sets: dict[str, int] = field(default_factory=lambda: {"officials": 500, "stylegan": 600, "gan": 800, "sfhq": 400})
    """Photo sets and how many photos of each, at most. gan states no licence: with 0 photos of it the model does without."""
    modes: int = 60
    """Modes of the model."""
    size: int = 256
    """Texels along a side of the chart."""
    passes: int = 2
    """Passes over all photos, see docs/model_card.md."""
    start: Path | None = None
    """Begin with the mean of this model."""
    seed: int = 0
    """Chooses the photos."""
    export: Path | None = None
    """Write the model here; by default albedo.safetensors in the output folder."""


def albedo(config: Albedo) -> None:
    """Learn the model and write it."""
    from rich.console import Console

    from likeness.assets import albedo as model_file
    from likeness.assets import builtin
    from likeness.fit.albedo.learning import Config, learn

    console = Console()
    photos = data_folder(config.data) / "photos"
    charts, expression = unwrapped(
        photos, "train", config.sets, config.targets, config.output, config.size, config.seed
    )
    start = None if config.start is None else model_file.load(config.start)
    model, notes = learn(
        charts,
        builtin.load(),
        expression,
        Config(config.modes, passes=config.passes, seed=config.seed, start=start),
        LICENCE.format(sets=", ".join(name for name, most in config.sets.items() if most > 0)),
        console.print,
    )
    path = config.export or config.output / model_file.FILE
    model_file.save(model, path, notes | {"sets": config.sets})
    console.print(f"{model.codes} modes of {notes['photos']} photos -> {path}")


def unwrapped(photos: Path, split: str, sets: dict[str, int], targets: Path, output: Path, size: int, seed: int):
    """Photos of a split over the chart (`fit.albedo.charts.Charts`), and their mean expression (51,)."""
    import numpy as np
    from rich.progress import Progress

    from likeness.assets import builtin
    from likeness.data.folder import read_set
    from likeness.fit.albedo import charts

    pieces, expressions = [], []
    with Progress(transient=True) as bar:
        for name, most in sets.items():
            if most < 1:
                continue
            listing = read_set(photos, name, split, targets)
            rows = np.random.default_rng(seed).permutation(charts.frontal(listing))[:most]
            task = bar.add_task(f"unwrapping {name}", total=len(rows))
            pieces.append(
                charts.unwrap_listing(
                    listing,
                    rows,
                    builtin.load(),
                    size,
                    output / split,
                    lambda done, total, task=task: bar.update(task, completed=done),
                )
            )
            expressions.append(listing.targets["expression"][rows])
    return charts.joined(pieces), np.concatenate(expressions).mean(0)
