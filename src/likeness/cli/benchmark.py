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

from likeness.cli.embed import made_by_one
from likeness.cli.inputs import plain_name
from likeness.cli.main import complain, show
from likeness.errors import AssetError, LikenessError, PhotoError, UsageError

if TYPE_CHECKING:
    from likeness.assets.builtin import Builtin
    from likeness.evaluate.benchmark.items import ItemSet, Method
    from likeness.evaluate.benchmark.measure import Recogniser, Surfaces
    from likeness.runtime.reconstruct import System

NEVER = (
    "Occlusion as it comes: no photo set says what is covered. Measured are covers that we draw, on rendered heads and photos.",
    "Skin tone apart from light on photos: the angle is that of the picture. On rendered heads it is that of the albedo.",
    "Expression as a shape: opened mouths count by the points of the inner lips, other movements only through the 51 points.",
    "Albedo and light apart: `reconstruct` gives a texture with the light of its picture in it; the skins of the rendered "
    "heads are estimates themselves.",
    "Lag on recorded clips: nothing true is known of them. On rendered clips it is measured.",
    "MICC, NoW, REALY, FaceScape, FaceWarehouse, BU-3DFE, the whole of AFLW2000-3D: not in the data folder "
    "(`likeness evaluate` has their protocols).",
    "Children and very old people, make-up, tattoos, more than one face in a picture.",
)
"""What no run of the benchmark measures."""
NO_RECOGNISER = (
    "Likeness as a recogniser sees it: no embeddings were given (`--drawings` writes what to embed, `--embeddings` takes it); "
    "known again is a stand-in that sees identity codes alone."
)
TEST_ONLY = "Head scan, recorded clips and AFLW2000-3D: all of them are test data and appear on test pages only; this is validation."
COVERED_PHOTOS = 20
"""Photos that are covered in every way."""
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
    clips: int = 3
    """Rendered clips, and at most twice as many recorded ones (test only)."""
    methods: tuple[str, ...] = ("likeness", "given", "mean", "true")
    """Rows of our own: likeness, given (its box is the true one), fit (analysis by synthesis, seconds a picture), mean
    (the mean face), true (the face model fitted to the truth), genova2018 and tewari2018 (the papers' systems that ship). Ratios
    need mean."""
    slow: int = 16
    """At most so many pictures of a set for methods that take seconds a picture."""
    embeddings: Path | None = None
    """Embeddings of any recogniser: photos.npz and METHOD.npz, each with `name` (pictures as --pictures names them) and
    `embedding`."""
    drawings: Path | None = None
    """Only write each method's drawing of each picture as METHOD/PICTURE.png, for a recogniser to embed."""
    quick: bool = False
    """A smoke run: a handful of pictures, numbers without meaning."""
    threads: int = 2
    """Threads that measure."""
    cache: Path = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "likeness"
    """Where skins are kept between runs."""


def benchmark(config: Benchmark, system: System | None = None) -> int:
    """Run and write; by default with the system that ships."""
    from likeness.cli import benchmark_methods as rows
    from likeness.evaluate.benchmark import measure, report
    from likeness.evaluate.benchmark.peers import peer
    from likeness.runtime.reconstruct import shipped

    counts = (config.people, config.photos, config.views, config.videos, config.clips, config.slow, config.threads)
    if min(counts) < 1:
        raise UsageError("--people, --photos, --views, --videos, --clips, --slow and --threads must be at least 1")
    start = time.monotonic()
    peers = [peer(*_named(text)) for text in config.peer]
    own = system or shipped("base")
    surfaces = measure.Surfaces()
    methods = [*rows.methods(config.methods, own, config.slow), *peers]
    recogniser = None if config.embeddings is None else read_recogniser(config.embeddings)
    sets, missing = gather(config, own.model, surfaces)
    show(f"{sum(len(chosen.items) for chosen in sets)} pictures after {time.monotonic() - start:.0f} s")
    if config.pictures is not None:
        return write_pictures(sets, config.pictures)
    if config.drawings is not None:
        return write_drawings(sets, methods, config.drawings)
    result = measure.run(
        sets, methods, config.threads, lambda line: show(f"{time.monotonic() - start:5.0f} s  {line}"), recogniser
    )
    result.missing = [*missing, *NEVER]
    if recogniser is None:
        result.missing.insert(0, NO_RECOGNISER)
    if not peers:
        result.missing.insert(0, "Other systems: none was given; `--peer NAME=DIR` puts one into every table.")
    report.write(result, heading(config, start), config.output, _pictures(own, surfaces, rows.found_method(own)))
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
    from likeness.cli.benchmark_clips import clips_set, moving_set
    from likeness.cli.benchmark_covered import covered_set
    from likeness.evaluate.benchmark.baselines import shape_of

    people = QUICK_PEOPLE if config.quick else config.people
    photos = QUICK_PHOTOS if config.quick else config.photos
    clips = 1 if config.quick else config.clips
    data = config.data or Path(os.environ.get("LIKENESS_DATA", ""))
    base = shape_of(model, model.mean)
    if config.data is not None and not data.is_dir():
        raise AssetError(f"{data}: no such folder")
    if data == Path("") or not data.is_dir():
        skins = wanted.painted(model)
        heads = wanted.head_set(model, base, surfaces, skins, config.split, people)
        line = "Every photo set and the head scan: LIKENESS_DATA names no folder. The skins of the heads are painted."
        return [heads, moving_set(model, skins, config.split, clips)], [line]
    skins, missing = wanted.painted(model), []
    if not config.quick:
        try:
            skins = wanted.photo_skins(model, data, config.split, config.cache.expanduser())
        except AssetError as error:
            missing.append(f"Skins of photos: {error}; they are painted.")
    sets = [wanted.head_set(model, base, surfaces, skins, config.split, people)]
    sets.append(moving_set(model, skins, config.split, clips))
    if config.split == "test":
        for name, make in (
            (
                "Head scan",
                lambda: wanted.scan_set(data, base, surfaces, QUICK_PHOTOS if config.quick else config.views),
            ),
            ("Recorded clips", lambda: clips_set(data / "clips", 2 * clips)),
        ):
            try:
                sets.append(make())
            except (AssetError, PhotoError) as error:
                missing.append(f"{name}: {error}")
    else:
        missing.append(TEST_ONLY)
    more, gone = wanted.photo_sets(data, config.split, photos, 2 if config.quick else config.videos)
    for chosen in [chosen for chosen in more if chosen.name == "lfpw"]:
        more.insert(more.index(chosen) + 1, covered_set(chosen, 2 if config.quick else COVERED_PHOTOS))
    return sets + more, missing + gone


def _pictures(system: System, surfaces: Surfaces, method: Method):
    from likeness.cli.benchmark_methods import reconstructed
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


def write_drawings(sets: list[ItemSet], methods: list[Method], folder: Path) -> int:
    """What each method makes of each picture, drawn over it, as PNG; a recogniser's embeddings of them go to --embeddings."""
    from likeness.export.textures import to_png
    from likeness.runtime.write import write_file

    for method in methods:
        for chosen in (chosen for chosen in sets if method.sets is None or chosen.name in method.sets):
            for item in chosen.items:
                try:
                    drawing = method.answer(item).drawing
                except LikenessError as error:
                    complain(f"{method.name}: {item.name}: {error}")
                    continue
                if drawing is not None:
                    image = np.rint(255 * drawing().image).astype(np.uint8)
                    write_file(folder / method.name / f"{item.name}.png", to_png(image))
    show(f"drawings in {folder}")
    return 0


def read_recogniser(folder: Path) -> Recogniser:
    """Embeddings of pictures (photos.npz) and of methods' drawings (METHOD.npz).

    Raises:
        AssetError: No photos.npz, or a file of another form, or of another recogniser.
    """
    from likeness.evaluate.benchmark.measure import Recogniser

    if not (folder / "photos.npz").is_file():
        raise AssetError(f"{folder}: no photos.npz with the embeddings of the benchmark's pictures")
    found = {path.stem: _vectors(path) for path in sorted(folder.glob("*.npz"))}
    made_by_one(sorted(folder.glob("*.npz")))
    photos = found.pop("photos")
    width = {len(vector) for vectors in (photos, *found.values()) for vector in vectors.values()}
    if len(width) > 1:
        raise AssetError(f"{folder}: embeddings of {sorted(width)} numbers; they come from different recognisers")
    return Recogniser(photos, found)


def _vectors(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            names, vectors = data["name"].astype(str), np.asarray(data["embedding"], np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise AssetError(f"{path}: no embeddings; name and embedding are wanted: {error}") from None
    lengths = np.linalg.norm(vectors, axis=1) if vectors.ndim == 2 else np.zeros(0)
    if len(names) != len(lengths) or not (np.isfinite(lengths) & (lengths > 0)).all():
        raise AssetError(f"{path}: an embedding is missing, zero or not finite")
    return {plain_name(Path(name).name): vector for name, vector in zip(names, vectors)}


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
        "Recorded clips, the head scan and AFLW2000-3D are on pages of the test split only: all of them are test data.",
        "A true surface is compared where cameras in front, to the left and to the right see it; points beyond the border of an "
        "answer's mesh are left out. Ratios compare a method with the mean face on the pictures for which both have an answer.",
        "Pictures without an answer are in no mean: read the last column beside every number.",
        "Photos on this page are AI-generated (SFHQ, MIT licence); heads are rendered; the head scan is Infinite by Lee "
        "Perry-Smith, CC BY 3.0. Other sets appear as numbers only.",
    )
    return Heading("Likeness scoreboard", facts, notes)
