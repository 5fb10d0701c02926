"""`likeness evaluate albedo`: how near the albedo model comes to portraits that it was not learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from likeness.cli.train import data_folder


@dataclass(frozen=True)
class EvaluateAlbedo:
    """Photometric error of the best fit in the model's span (codes and light solved), by skin tone and number of modes.

    Mean Euclidean distance of sRGB-encoded RGB in [0, 1] over the places of the chart that a photo surely shows.
    """

    targets: Path = Path("runs/targets")
    """Folder of fits made by `likeness label`."""
    model: Path | None = None
    """An albedo model; by default the one that ships."""
    data: Path | None = None
    """Data folder that holds photos/; by default LIKENESS_DATA."""
    split: str = "validation"
    """validation to choose by, test to report once."""
    sets: dict[str, int] = field(default_factory=lambda: {"officials": 60, "stylegan": 60, "gan": 60, "sfhq": 60})
    """Photo sets and how many photos of each, at most."""
    modes: tuple[int, ...] = (0, 20, 60)
    """Numbers of modes; 0 is the mean albedo."""
    unwrapped: Path = Path("runs/albedo")
    """Folder for unwrapped photos."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Folder for scores.csv and report.json."""


def evaluate_albedo(config: EvaluateAlbedo) -> int:
    """Measure, print a table by skin tone, write the scores; returns the exit code."""
    import numpy as np
    from rich.progress import track

    from likeness.assets import albedo, builtin
    from likeness.cli.albedo import unwrapped
    from likeness.cli.main import show
    from likeness.cli.protocols import finish
    from likeness.evaluate.benchmark.items import TONES
    from likeness.evaluate.scores import Scores
    from likeness.fit.albedo.delight import Face
    from likeness.fit.albedo.span import Span, tone_name
    from likeness.fit.albedo.zones import Zones

    model, face_model = albedo.load(config.model), builtin.load()
    charts, expression = unwrapped(
        data_folder(config.data) / "photos", config.split, config.sets, config.targets, config.unwrapped, model.size, 0
    )
    zones = Zones.of(face_model.topology("base"), face_model.layout, model.size)
    span = Span.of(model, Face.of(face_model, expression, model.size), zones)
    counts = tuple(sorted({min(count, model.codes) for count in config.modes}))
    answers = [span.errors(charts, row, counts) for row in track(range(len(charts)), "measuring", transient=True)]
    found = [answer for answer in answers if answer is not None]
    names = tuple(name for name, answer in zip(charts.names.tolist(), answers) if answer is not None)
    failures = {name: "shows too little bare skin" for name in charts.names.tolist() if name not in set(names)}
    errors, groups = np.array([errors for errors, _ in found]), np.array([tone_name(angle) for _, angle in found])
    show(f"{'rgb distance':<26}{'photos':>8}" + "".join(f"{f'{count} modes':>12}" for count in counts))
    for name in (*(name for _, name in TONES), "all"):
        rows = errors[(groups == name) | (name == "all")]
        if len(rows):
            show(f"{name:<26}{len(rows):>8}" + "".join(f"{value:>12.4f}" for value in rows.mean(0)))
    values = {f"rgb distance, {count} modes": errors[:, k] for k, count in enumerate(counts)}
    values["typology angle, degrees"] = np.array([angle for _, angle in found])
    return finish(Scores("albedo", "1", names, values, failures), config.output)
