"""`likeness train trust`: how far the regressor's answers are off, measured on renders; fits weigh the answers by it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from likeness.errors import UsageError


@dataclass(frozen=True)
class Trust:
    """Measure the covariance of the regressor's errors on renders with known codes."""

    renders: tuple[Path, ...]
    """Shards of renders (`likeness train renders`)."""
    output: Path = Path("src/likeness/fit/photo/regressor.safetensors")
    """The file to write."""
    count: int = 3000
    """Renders used."""
    jitter: float = 0.03
    """Spread of the given box about the true one: place in box sides; size and roll by as much."""
    seed: int = 0
    """Of the jitter."""


def trust(config: Trust) -> None:
    """Look at every render, compare, and write the file."""
    import numpy as np
    import torch
    from rich.progress import track

    from likeness.assets import builtin
    from likeness.data.synthetic import Renders
    from likeness.fit.photo import trust as measure
    from likeness.geometry.cameras import project
    from likeness.photos.detect import Detection, face_frame, square
    from likeness.runtime.encode import Encoder
    from likeness.types import View

    if config.count < 200:
        raise UsageError(f"--count is {config.count}; 158 numbers' covariance needs 200 renders at least")
    torch.set_num_threads(1)
    renders, model, encode = Renders(list(config.renders)), builtin.load(), Encoder().encode
    dense, random = model.topology("base").landmarks["dense"], np.random.default_rng(config.seed)
    rows = []
    for i in track(range(min(config.count, len(renders))), "renders"):
        truth = {key: values[i] for key, values in renders.targets.items()}
        cameras = (truth[key] for key in ("rotation", "translation", "focal", "principal"))
        points = project(dense.points(model.decode(truth["identity"], truth["expression"])), View(*cameras, (1, 1)))
        centre, side, roll = face_frame(points)
        shift, larger, turn = config.jitter * random.standard_normal(2), *(config.jitter * random.standard_normal(2))
        face = Detection(square(centre + side * shift, side * np.exp(larger)), roll + turn, 1.0)
        rows.append(measure.off(renders.images[i], face, truth, encode, model))
    notes = {"of": "identity, expression, turn, place mm, log scale, log distance", "renders": str(len(rows))}
    measure.write(config.output, measure.covariance(rows), notes)
