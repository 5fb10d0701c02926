"""`likeness benchmark`: heads with exact truth, photos, other systems' files and the system that ships, in one run."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from likeness.cli.main import show
from likeness.errors import NoFaceError, UsageError

if TYPE_CHECKING:
    from likeness.assets.builtin import Builtin
    from likeness.evaluate.benchmark.items import Item, ItemSet, Method
    from likeness.evaluate.benchmark.measure import Surfaces
    from likeness.runtime.reconstruct import Reconstruction, System

NEVER = (
    "Occlusion on photos: no set says what is covered. It is measured on rendered heads only.",
    "Skin tone apart from light on photos: the angle is that of the picture. On rendered heads it is that of the albedo.",
    "Size in millimetres: every shape is aligned with scale.",
    "Expression as a shape: opened mouths count by the points of the inner lips, other movements only through the 51 points.",
    "Texture, albedo and light: `reconstruct` gives no albedo yet; the skins of the rendered heads are estimates themselves.",
    "Likeness as a recogniser sees it: no embeddings are part of the run (`likeness evaluate identity` takes them as files).",
    "Jitter and lag in clips: there is no tracker yet (`likeness evaluate steadiness` takes trajectories as files).",
    "MICC, NoW, REALY, FaceScape, FaceWarehouse, BU-3DFE, the whole of AFLW2000-3D: not in the data folder "
    "(`likeness evaluate` has their protocols).",
    "Children and very old people, make-up, tattoos, more than one face in a picture.",
)
"""What no run of the benchmark measures."""
QUICK_PEOPLE, QUICK_PHOTOS = 3, 6
"""Sizes of a run that only shows that everything works."""


@dataclass(frozen=True)
class Benchmark:
    """Measure the system that ships, and others, on heads with exact truth and on photos; write a page and a table."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("benchmark")
    """Folder for index.html, scores.csv and table.md."""
    split: Literal["val", "test"] = "val"
    """val to choose by; test only to report."""
    peer: tuple[str, ...] = ()
    """Other systems: NAME=DIR, a folder of their output files (see `likeness.evaluate.benchmark.peers`)."""
    pictures: Path | None = None
    """Only write the pictures into this folder, for other systems to run on."""
    data: Path | None = None
    """Data folder; by default LIKENESS_DATA. Without one only rendered heads with painted skins are measured."""
    people: int = 40
    """Random people, two pictures each."""
    photos: int = 200
    """At most so many photos of a set."""
    views: int = 60
    """Views of the head scan (test only)."""
    videos: int = 24
    """People of video frames."""
    quick: bool = False
    """A smoke run: a handful of pictures, numbers without meaning."""
    threads: int = 2
    """Threads that measure."""
    cache: Path = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "likeness"
    """Where skins are kept between runs."""


def benchmark(config: Benchmark, system: System | None = None) -> int:
    """Run and write; by default with the system that ships."""
    from likeness.evaluate.benchmark import baselines, measure, report
    from likeness.evaluate.benchmark.peers import peer
    from likeness.runtime.reconstruct import shipped

    if min(config.people, config.photos, config.views, config.videos, config.threads) < 1:
        raise UsageError("--people, --photos, --views, --videos and --threads must be at least 1")
    start = time.monotonic()
    peers = [peer(*_named(text)) for text in config.peer]
    own = system or shipped("base")
    surfaces = measure.Surfaces()
    base = baselines.mean_face(own.model)
    sets, missing = gather(config, own.model, surfaces)
    show(f"{sum(len(chosen.items) for chosen in sets)} pictures after {time.monotonic() - start:.0f} s")
    if config.pictures is not None:
        return write_pictures(sets, config.pictures)
    ours = [found_method(own), given_method(own)]
    methods = [*ours, *peers, base, baselines.true_face(own.model)]
    result = measure.run(sets, methods, config.threads, lambda line: show(f"{time.monotonic() - start:5.0f} s  {line}"))
    result.missing = [*missing, *NEVER]
    if not peers:
        result.missing.insert(0, "Other systems: none was given; `--peer NAME=DIR` puts one into every table.")
    report.write(result, heading(config, start), config.output, _pictures(own, surfaces, ours[0]))
    show(report.markdown(result))
    show(f"{config.output / report.PAGE} after {time.monotonic() - start:.0f} s")
    return 0


def _named(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise UsageError(f"--peer {text}: give NAME=DIR")
    return name, Path(folder)


def gather(config: Benchmark, model: Builtin, surfaces: Surfaces) -> tuple[list[ItemSet], list[str]]:
    """The sets of a run, and lines on those that are missing."""
    from likeness.cli import benchmark_sets as wanted
    from likeness.errors import AssetError
    from likeness.evaluate.benchmark.baselines import shape_of

    people = QUICK_PEOPLE if config.quick else config.people
    photos = QUICK_PHOTOS if config.quick else config.photos
    data = config.data or Path(os.environ.get("LIKENESS_DATA", ""))
    base = shape_of(model, model.mean)
    if config.data is not None and not data.is_dir():
        raise AssetError(f"{data}: no such folder")
    if data == Path("") or not data.is_dir():
        heads = wanted.head_set(model, base, surfaces, wanted.painted(model), config.split, people)
        line = "Every photo set and the head scan: LIKENESS_DATA names no folder. The skins of the heads are painted."
        return [heads], [line]
    skins, missing = wanted.painted(model), []
    if not config.quick:
        try:
            skins = wanted.photo_skins(model, data, config.split, config.cache.expanduser())
        except AssetError as error:
            missing.append(f"Skins of photos: {error}; they are painted.")
    sets = [wanted.head_set(model, base, surfaces, skins, config.split, people)]
    if config.split == "test":
        try:
            sets.append(wanted.scan_set(data, base, surfaces, QUICK_PHOTOS if config.quick else config.views))
        except AssetError as error:
            missing.append(f"Head scan: {error}")
    else:
        missing.append("Head scan and AFLW2000-3D: they belong to the test split, and this is a run on validation.")
    more, gone = wanted.photo_sets(data, config.split, photos, 2 if config.quick else config.videos)
    return sets + more, missing + gone


def found_method(system: System) -> Method:
    """The system as users have it: its own finder looks for the face."""
    from likeness.evaluate.benchmark.items import Method

    about = "`likeness.reconstruct` as it ships: finds the face and reconstructs it from pixels alone."
    return Method("likeness", lambda item: answer_of(reconstructed(system, item)), about, ours=True)


def given_method(system: System) -> Method:
    """The same with the box of the true landmarks: what the finder costs."""
    from likeness.cli.evaluate import given_face
    from likeness.errors import AssetError
    from likeness.evaluate.benchmark.items import Method
    from likeness.runtime.reconstruct import one_face

    def answer(item: Item):
        if item.truth.dense is None:
            raise AssetError("no box is given")
        return answer_of(one_face(item.picture(), given_face(item.truth.dense), system))

    sets = ("heads", "lfpw", "sfhq", "frames")
    return Method("likeness, box given", answer, "The same with the box of the true landmarks.", sets)


def reconstructed(system: System, item: Item) -> Reconstruction:
    """The face of an item that the finder puts nearest to the true one; the largest where the truth has no place.

    Raises:
        NoFaceError: The finder sees no face there.
    """
    from likeness.photos.detect import face_frame
    from likeness.runtime.reconstruct import one_face

    image = item.picture()
    found = list(system.find(image, 40.0, None))
    if not found:
        raise NoFaceError("no face was found")
    points = item.truth.dense if item.truth.dense is not None else item.truth.points
    if points is None:
        return one_face(image, max(found, key=lambda face: face.side), system)
    if item.truth.dense is not None:
        center, side, _ = face_frame(points)
    else:
        center, side = points.mean(0), float(np.ptp(points, axis=0).max())
    best = min(found, key=lambda face: float(np.hypot(*(np.array(face.center) - center))))
    if np.hypot(*(np.array(best.center) - center)) > side / 2:
        raise NoFaceError(f"another place was taken for the face ({len(found)} found)")
    return one_face(image, best, system)


def answer_of(face: Reconstruction):
    """A reconstruction as any method's answer."""
    from likeness.evaluate.benchmark.baselines import shape_of
    from likeness.evaluate.benchmark.items import Answer

    neutral = face.model.decode(face.codes["identity"], np.zeros(len(face.model.expression)))
    return Answer(shape_of(face.model, neutral), face.landmarks["68"], face.landmarks["dense"], face.view)


def _pictures(system: System, surfaces: Surfaces, method: Method):
    from likeness.cli.benchmark_pictures import drawer

    return drawer(lambda item: reconstructed(system, item), surfaces, lambda item: method.answer(item).neutral)


def write_pictures(sets: list[ItemSet], folder: Path) -> int:
    """Every picture as PNG under the name that a peer's files must have."""
    from likeness.export.textures import to_png
    from likeness.runtime.write import write_file

    for item in (item for chosen in sets for item in chosen.items):
        write_file(folder / f"{item.name}.png", to_png(item.picture()))
    show(f"pictures in {folder}")
    return 0


def heading(config: Benchmark, start: float):
    """What the page says about itself."""
    from likeness import __version__
    from likeness.evaluate.benchmark.report import Heading
    from likeness.runtime.encode import MODEL

    facts = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "split": {"val": "validation", "test": "test"}[config.split] + (" (smoke run)" if config.quick else ""),
        "likeness": __version__,
        "regressor": hashlib.sha256(MODEL.read_bytes()).hexdigest()[:12] if MODEL.is_file() else "missing",
        "time": f"{(time.monotonic() - start) / 60:.1f} min",
    }
    notes = (
        "A true surface is compared where cameras in front, to the left and to the right see it; points beyond the border of an "
        "answer's mesh are left out. Ratios compare a method with the mean face on the pictures for which both have an answer.",
        "Pictures without an answer are in no mean: read the last column beside every number.",
        "Photos on this page are AI-generated (SFHQ, MIT licence); heads are rendered; the head scan is Infinite by Lee "
        "Perry-Smith, CC BY 3.0. Other sets appear as numbers only.",
    )
    return Heading("Likeness scoreboard", facts, notes)
