"""`likeness build`: the face model that ships, from ICT-FaceKit; `likeness evaluate model`: how far it is from it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import tyro

from likeness.errors import AssetError

_ICT_FILE = "ict/ict_face_model.npz"


@dataclass(frozen=True)
class Build:
    """Build the face model from the ICT Face Model Light."""

    ict: Path | None = None
    """A checkout of ICT-FaceKit, or its .npz form; by default ict/ under LIKENESS_DATA."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("src/likeness/assets/builtin.safetensors")
    """The file to write."""
    size: int = 97
    """Vertices along a side of the base grid, odd; the dense level has 2 size - 1."""
    chart: Path | None = None
    """A face model whose chart and layout are taken over, instead of flattening ICT anew (a minute)."""


@dataclass(frozen=True)
class EvaluateModel:
    """Measure the distance between the face model and ICT over the narrow face, in both directions."""

    ict: Path | None = None
    """A checkout of ICT-FaceKit, or its .npz form; by default ict/ under LIKENESS_DATA."""
    model: Path | None = None
    """A face model written by `likeness build`; by default the one that ships."""
    faces: int = 200
    """Random faces: identity N(0, 1), one to five expressions uniform in [0, 1]."""
    seed: int = 0
    """Of the random codes."""
    output: Path | None = None
    """Write the numbers here as JSON too."""


def build(config: Build) -> None:
    """Build, write beside, rename, and say what was written."""
    from likeness.assets import build as builder
    from likeness.assets import builtin, ict
    from likeness.assets.chart import Chart
    from likeness.cli.main import show

    source = ict.read(_ict(config.ict))
    chart = None
    if config.chart is not None:
        known = builtin.load(config.chart)
        chart = Chart(known.ict_chart, known.layout.eye, known.layout.mouth, {})
    model = builder.build(source, known.layout.size if chart else config.size, chart=chart)
    beside = config.output.with_name(config.output.name + ".part")
    try:
        builtin.save(model, beside)
        content = beside.read_bytes()
        os.replace(beside, config.output)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise AssetError(f"cannot write {config.output}: {error.strerror}") from error
    count = model.layout.count
    show(f"{config.output}: {len(content) / 1e6:.2f} MB, {count('base')} base and {count('dense')} dense vertices")
    show(f"sha256 {sha256(content).hexdigest()}")


def evaluate_model(config: EvaluateModel) -> None:
    """Print the distances as a table."""
    from likeness.assets import builtin, ict
    from likeness.cli.main import show
    from likeness.evaluate.model import distances

    found = distances(builtin.load(config.model), ict.read(_ict(config.ict)), config.faces, config.seed).summary()
    show(f"{'mm over ' + str(config.faces) + ' faces':<22}{'mean':>8}{'p99':>8}{'max':>8}")
    for name, row in found.items():
        show(f"{name:<22}{row['mean']:>8.3f}{row['p99']:>8.3f}{row['max']:>8.3f}")
    if config.output:
        config.output.write_text(json.dumps(found, indent=2) + "\n")


def _ict(given: Path | None) -> Path:
    """ICT's path from the command line, else below LIKENESS_DATA."""
    if given is None and "LIKENESS_DATA" not in os.environ:
        raise AssetError("no ICT face model: give --ict with an ICT-FaceKit checkout, or set LIKENESS_DATA")
    return given or Path(os.environ["LIKENESS_DATA"]) / _ICT_FILE
