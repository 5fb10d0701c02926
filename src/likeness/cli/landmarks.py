"""`likeness train landmarks`: where the dense landmarks lie on the model; `likeness label`: targets fitted to photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from likeness.cli.train import data_folder
from likeness.errors import AssetError

SOURCES = "ICT Face Model Light (MIT), MediaPipe canonical face (Apache-2.0), automatic landmarks of photos: "


@dataclass(frozen=True)
class Landmarks:
    """Learn where the dense landmarks lie on the face model, jointly over many photos."""

    output: Path = Path("src/likeness/assets/correspondence.safetensors")
    """The file to write."""
    data: Path | None = None
    """Data folder that holds photos/, ict/ and mediapipe/; by default LIKENESS_DATA."""
    sets: dict[str, float] = field(default_factory=lambda: {"sfhq": 0.45, "stylegan": 0.15, "gan": 0.2, "officials": 0.2})
    """Photo sets to learn from and their shares. gan states no licence: leave it out here to do without it."""
    photos: int = 1500
    """Training photos used."""
    rounds: int = 5
    """Rounds of fitting and moving."""
    expression_cost: float = 3.0
    """Slope of the penalty on expression weights while learning; dearer than when fitting, so that habits become offsets."""
    seed: int = 0
    """Chooses the photos."""
    threads: int = 1
    """Threads."""


@dataclass(frozen=True)
class Label:
    """Fit the face model to every photo of the folders, one archive of targets for each. Resumes."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of photos; beside each lies <folder>.landmarks478.npz."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the archives, one <set>.npz each."""
    data: Path | None = None
    """Data folder that holds ict/; by default LIKENESS_DATA."""
    correspondence: Path | None = None
    """Where the landmarks lie on the model; by default what ships."""
    threads: int = 1
    """Threads."""


def landmarks(config: Landmarks) -> None:
    """Learn the correspondence and print each round's statistics."""
    import numpy as np
    import torch
    from rich.console import Console

    from likeness.assets import canonical, correspondence, ict
    from likeness.data.folder import read_set
    from likeness.fit.correspondence import CorrespondenceLearner, first_guess
    from likeness.fit.landmarks import FitConfig

    torch.set_num_threads(config.threads)
    folder, console = data_folder(config.data), Console()
    random = np.random.default_rng(config.seed)
    points = []
    for name, share in config.sets.items():
        found = read_set(folder / "photos", name, "train").points
        points.append(found[random.permutation(len(found))[: round(share * config.photos)]])
    model, shape = ict.read(folder / "ict/ict_face_model.npz"), canonical.read(folder / "mediapipe/canonical_face_model.obj")
    fit_config = FitConfig(expression_cost=config.expression_cost)
    learner = CorrespondenceLearner(model, first_guess(model, shape), fit_config)
    for number in range(config.rounds):
        people = learner.round(np.concatenate(points))
        console.print(
            f"round {number}: mean identity {people.bias:.3f} RMS, spread {people.spread:.2f} (widest {people.widest:.2f}), "
            f"landmarks {100 * people.error:.2f} % of the outer-eye distance"
        )
        notes = {"licence": "Apache-2.0; derived from ICT Face Model Light (MIT)", "sources": SOURCES + ", ".join(config.sets),
                 "identity_mean_rms": f"{people.bias:.4f}", "photos": str(sum(map(len, points)))}  # fmt: skip
        correspondence.write(config.output, learner.annotated(notes))


def label(config: Label) -> None:
    """Fit the folders' photos."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from likeness.assets import correspondence, ict
    from likeness.fit.bases import landmark_bases
    from likeness.fit.label import label as label_folder
    from likeness.fit.landmarks import FitConfig

    torch.set_num_threads(config.threads)
    if not config.folders:
        raise AssetError("no folder was given; name at least one folder of photos")
    model = ict.read(data_folder(config.data) / "ict/ict_face_model.npz")
    bases, console = landmark_bases(model, correspondence.read(config.correspondence)), Console()
    for folder in config.folders:
        with Progress(console=console) as bar:
            task = bar.add_task(folder.name, total=None)
            done = label_folder(
                folder, config.output / f"{folder.name}.npz", bases, FitConfig(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )  # fmt: skip
        console.print(f"{folder.name}: {done.new} fitted, {done.known} were there, {len(done.skipped)} skipped")
        for name, reason in done.skipped:
            console.print(f"  skipped {name}: {reason}")
