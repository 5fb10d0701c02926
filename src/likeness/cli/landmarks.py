"""`likeness train landmarks`: where the dense landmarks lie on the model; `likeness label`: targets fitted to photos."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from likeness.cli.train import data_folder
from likeness.errors import NoFaceError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from likeness.fit.landmarks.bases import LandmarkBases
    from likeness.fit.landmarks.label import Source
    from likeness.types import Landmarks as DenseLandmarks

SOURCES = "ICT Face Model Light (MIT), MediaPipe canonical face (Apache-2.0), automatic landmarks of photos: "
LISTED = 20
"""Photos without a fit that are printed; all of them are in a file."""


@dataclass(frozen=True)
class Landmarks:
    """Learn where the dense landmarks lie on the face model, jointly over many photos."""

    output: Path = Path("src/likeness/assets/correspondence.safetensors")
    """The file to write."""
    data: Path | None = None
    """Data folder that holds photos/, ict/ and mediapipe/; by default LIKENESS_DATA."""
    sets: dict[str, float] = field(
        default_factory=lambda: {"sfhq": 0.45, "stylegan": 0.15, "gan": 0.2, "officials": 0.2}
    )
    """Photo sets to learn from and their shares. gan states no licence: with a share of 0 the landmarks do without it."""
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
    """Fit the face model to every photo of the folders. Resumes where it was interrupted, and goes on with new photos."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of photos. Landmarks are those of <folder>.landmarks478.npz; where there is none, they are measured."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the targets, one folder of shards for each folder of photos."""
    data: Path | None = None
    """Data folder that holds ict/; by default LIKENESS_DATA. Without either, the face model that ships is fitted."""
    correspondence: Path | None = None
    """Where the landmarks lie on the model; by default what ships."""
    points: Path | None = None
    """The landmark network's ONNX file; by default the one that ships."""
    shard: int = 128
    """Photos of a shard, which is written at once: what a kill can cost."""
    threads: int = 1
    """Photos read and looked at at once."""


def landmarks(config: Landmarks) -> None:
    """Learn the correspondence and print each round's statistics."""
    import numpy as np
    import torch
    from rich.console import Console

    from likeness.assets import canonical, correspondence, ict
    from likeness.data.folder import read_set
    from likeness.fit.landmarks.correspondence import CorrespondenceLearner, first_guess
    from likeness.fit.landmarks.solver import FitConfig

    torch.set_num_threads(config.threads)
    folder, console = data_folder(config.data), Console()
    random = np.random.default_rng(config.seed)
    points = []
    for name, share in config.sets.items():
        found = read_set(folder / "photos", name, "train").points
        points.append(found[random.permutation(len(found))[: round(share * config.photos)]])
    model, shape = (
        ict.read(folder / "ict/ict_face_model.npz"),
        canonical.read(folder / "mediapipe/canonical_face_model.obj"),
    )
    fit_config = FitConfig(expression_cost=config.expression_cost)
    learner = CorrespondenceLearner(model, first_guess(model, shape), fit_config)
    for number in range(config.rounds):
        people = learner.round(np.concatenate(points))
        console.print(
            f"round {number}: mean identity {people.bias:.3f} RMS, spread {people.spread:.2f} (widest {people.widest:.2f}), "
            f"landmarks {100 * people.error:.2f} % of the outer-eye distance"
        )
        sets = ", ".join(name for name, share in config.sets.items() if share)
        notes = {
            "licence": "Apache-2.0; derived from ICT Face Model Light (MIT)",
            "sources": SOURCES + sets,
            "identity_mean_rms": f"{people.bias:.4f}",
            "photos": str(sum(map(len, points))),
        }
        correspondence.write(config.output, learner.annotated(notes))


def label(config: Label) -> None:
    """Fit the folders' photos."""
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from likeness.fit.landmarks.label import LIST
    from likeness.fit.landmarks.label import label as label_folder
    from likeness.fit.landmarks.solver import FitConfig

    torch.set_num_threads(
        1
    )  # the fits are small: two threads of one wait for each other, most of all on a busy machine
    folders = [folder.resolve() for folder in config.folders]
    if not folders:
        raise UsageError("no folder was given; name at least one folder of photos")
    if len({folder.name for folder in folders}) < len(folders):
        raise UsageError(
            "two of the folders have one name, and so would their targets; label them into different outputs"
        )
    bases, console = _bases(config), Console()
    for folder in folders:
        output = config.output / folder.name
        with Progress(console=console) as bar:
            task = bar.add_task(folder.name, total=None)
            done = label_folder(
                source(folder, config.points), output, bases, FitConfig(), config.shard, config.threads,
                progress=lambda done, total, task=task: bar.update(task, completed=done, total=total),
            )  # fmt: skip
        console.print(f"{folder.name}: {done.new} done now, {done.known} before; {len(done.skipped)} have no fit")
        for name, reason in done.skipped[:LISTED]:
            console.print(f"  {name}: {reason}", markup=False, highlight=False)
        if len(done.skipped) > LISTED:
            console.print(
                f"  and {len(done.skipped) - LISTED} more, see {output / LIST}", markup=False, highlight=False
            )


def _bases(config: Label) -> LandmarkBases:
    """The face model at the dense landmarks: ICT's where its files are, else what ships."""
    from likeness.assets import builtin, correspondence, ict
    from likeness.fit.landmarks.bases import builtin_bases, landmark_bases

    where = correspondence.read(config.correspondence)
    if config.data is None and "LIKENESS_DATA" not in os.environ:
        return builtin_bases(builtin.load(), where)
    return landmark_bases(ict.read(data_folder(config.data) / "ict/ict_face_model.npz"), where)


def source(folder: Path, points: Path | None = None) -> Source:
    """The landmarks that lie beside a folder; without any, those that are measured."""
    from likeness.fit.landmarks.label import Given, landmark_file

    return Given(folder) if landmark_file(folder).exists() else measured(folder, points)


def measured(folder: Path, points: Path | None = None) -> Source:
    """What our own finder and landmark network see of the surest face of each photo."""
    import hashlib

    from likeness.fit.landmarks.label import Measured
    from likeness.runtime.detect import find_faces
    from likeness.runtime.landmarks import MODEL, Landmarker

    path = points or MODEL
    measure = Landmarker(path)

    def look(image: np.ndarray) -> DenseLandmarks:
        faces = find_faces(image)
        if not faces:
            raise NoFaceError("no face was found")
        return measure(image, faces[0])

    return Measured(folder, look, "measured by " + hashlib.sha256(path.read_bytes()).hexdigest()[:16])
