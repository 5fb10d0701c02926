"""`likeness fit`: photos to faces by analysis and synthesis; the files of `reconstruct`, and albedo, light and residual."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from likeness.cli import inputs
from likeness.cli.reconstruct import batch, check_formats, check_limits, write_faces
from likeness.errors import NoFaceError, PhotoError, UsageError
from likeness.photos.video import is_clip

if TYPE_CHECKING:
    from likeness.fit.persons.person import KnownPerson
    from likeness.fit.photo.result import FittedFace
    from likeness.fit.photo.surface import Surface
    from likeness.runtime.reconstruct import System
    from likeness.types import Landmarks, View

GIVEN_SPREAD = 0.015
"""Spread of landmarks that a user gives, in sides of the box about them: a careful hand. Ours."""

OF_PHOTOS = ("together", "landmarks", "format", "max_faces", "min_score", "person")
OF_CLIPS = ("face", "start", "end")
"""Options that only photos, and only clips, have a use for; they are refused with the other rather than ignored."""


@dataclass(frozen=True)
class Fit:
    """Fit faces to photos through the renderer: OUTPUT/<photo>/face-1/face.glb and so on, as `reconstruct` writes them, and
    albedo.png, light.png, light.hdr, residual.png and fit.json.

    A photo on which the fit diverges keeps the regressor's result; fit.json says so. Ends with the codes of `reconstruct`.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures or folders of pictures; or one clip."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results; is made where it is missing."""
    together: bool = False
    """All photos show one person: one face, one texture, known the better the more photos there are."""
    landmarks: Path | None = None
    """478 dense or 68 points in pixels of the (one) photo: .npy, .txt or .pts, x and y in each row, perhaps a spread too."""
    format: str = "glb,obj,json,overlay"
    """What to write besides, separated by commas."""
    level: Literal["base", "dense"] = "dense"
    """Level of the mesh."""
    max_faces: int | None = None
    """Only the largest faces of each photo, so many."""
    min_face: float = 40.0
    """Smallest face, in pixels after the photo's longer side is reduced to 640."""
    min_score: float | None = None
    """How sure the face finder must be, between 0 and 1; by default the threshold that ships with it."""
    person: Path | None = None
    """Personal face model (`likeness personalise`): every face is taken for that person's; not for clips or --together."""
    face: int = 1
    """Of a clip: 1 is the face that is there largest and longest."""
    start: float = 0.0
    """Seconds left out at a clip's beginning."""
    end: float | None = None
    """Where to stop, in seconds from a clip's first frame."""
    threads: int = 1
    """Threads; a photo takes few seconds with one, and where other programs are busy more of them only wait."""
    overwrite: bool = False
    """Replace results that are there already; files that are not ours stay."""


def fit(config: Fit, system: System | None = None, fitter: Fitter | None = None) -> int:
    """Run, by default with the system that ships; returns the exit code."""
    import torch

    if not 1 <= config.threads <= 64:
        raise UsageError(f"--threads is {config.threads}; give 1 to 64")
    clips = [path for path in config.photos if is_clip(path)]
    torch.set_num_threads(config.threads)
    if clips:
        return _clip(config, clips[0])
    if said := _said(config, OF_CLIPS):
        raise UsageError(f"{said} is for clips, and none is given; leave it out")
    if config.person is not None and config.together:
        raise UsageError("--person is for photos, fitted one by one; leave out --together")
    check_limits(config)
    if config.together:
        return _together(config)
    formats = check_formats(config.format)
    paths = inputs.photos(config.photos)
    if config.landmarks is not None and len(paths) > 1:
        raise UsageError(f"--landmarks belongs to one photo, but {len(paths)} are given")
    given = None if config.landmarks is None else read_landmarks(config.landmarks)
    from likeness.cli.memory import thrifty
    from likeness.runtime.write import check_writable

    check_writable(config.output)
    system = system or shipped_parts(config.level)
    fitter = fitter or Fitter.shipped(system)
    if config.person is not None:
        fitter = _of_person(fitter, config.person)

    def one(path: Path, folder: Path) -> list[dict[str, Any]]:
        with _progress() as tell:
            faces = fitter.faces(path, config, given, tell)
        with thrifty():
            return write_faces(faces, folder, lambda face: face.files(formats))

    return batch(paths, config.output, config.overwrite, one, {"level": config.level, "formats": formats, "fit": True})


def shipped_parts(level: str) -> System:
    """What ships, without the decoder's graph: the face model itself is there for the fit, and a second one would take 20 MB."""
    from likeness.assets import builtin
    from likeness.runtime.detect import find_faces
    from likeness.runtime.encode import Encoder
    from likeness.runtime.reconstruct import System

    model = builtin.load()

    def decode(codes: Mapping[str, np.ndarray], view: View) -> Any:
        vertices = model.decode(codes["identity"], codes["expression"])
        return SimpleNamespace(vertices=model.refine(vertices) if level == "dense" else vertices)

    return System(find_faces, Encoder().encode, decode, model, level)


@dataclass(frozen=True)
class Fitter:
    """The parts of a fit; tests bring their own.

    Attributes:
        system: Finder, regressor, decoder and face model.
        surface: The face model and its albedo, as fits need them.
        measure: The landmark network, (photo, face) -> landmarks; without it the regressor's own landmarks serve.
        precision: Of the regressor's answers, or None where it is not known.
        known: The person whose every face is, with an identity that no fit changes.
    """

    system: System
    surface: Surface
    measure: Callable[[Any, Any], Landmarks] | None = None
    precision: Any = None
    known: KnownPerson | None = None

    @classmethod
    def shipped(cls, system: System) -> Fitter:
        """With the networks, the albedo model and the measured spreads that ship."""
        from likeness.assets import albedo, correspondence
        from likeness.fit.photo import trust
        from likeness.fit.photo.surface import Surface
        from likeness.runtime import landmarks

        surface = Surface.of(system.model, albedo.load(), correspondence.read())
        return cls(system, surface, landmarks.shipped(), trust.precision())

    def faces(
        self, path: Path, config: Fit, given: Landmarks | None, tell: Callable[[str, int, int], None]
    ) -> list[FittedFace]:
        """The faces of one photo, fitted, from left to right."""
        import likeness
        from likeness.photos.detect import Detection, face_frame, square
        from likeness.photos.read import read
        from likeness.runtime.reconstruct import one_face, printable

        starts = likeness.reconstruct(
            path, config.level, config.max_faces, config.min_face, config.min_score, self.system
        )
        if given is not None:
            centre = np.asarray(given.points).mean(0)
            side = float(np.ptp(given.points, 0).max())
            starts = [face for face in starts if np.hypot(*(np.array(face.detection.center) - centre)) < side / 2]
            starts = starts[:1]
            if not starts:
                roll = face_frame(given.points)[2] if len(given.points) != 68 else 0.0
                face = Detection(square(centre, side), roll, 0.0)
                starts = [one_face(read(path), face, self.system, printable(path.name))]
        if not starts:
            raise NoFaceError(f"{path}: no face was found")
        return [self.fitted(start, given, tell) for start in starts]

    def fitted(
        self, start: Any, given: Landmarks | None = None, tell: Callable = lambda name, done, total: None
    ) -> FittedFace:
        """One reconstructed face, fitted."""
        from likeness.fit.photo.observe import observe
        from likeness.fit.photo.result import finished
        from likeness.fit.photo.synthesis import fit as synthesise

        begin = perf_counter()
        evidence = observe(start.image, start.detection, self.system.encode, self.system.model, self.measure, given)
        if self.known is None:
            found = synthesise(self.surface, [evidence], precision=self.precision, progress=tell)
        else:
            found = self.known.fit(self.surface, evidence, tell)
        return finished(start, self.system, evidence, found, self.surface, perf_counter() - begin)


def _of_person(fitter: Fitter, path: Path) -> Fitter:
    """The same parts for one person."""
    from likeness.assets import albedo, correspondence
    from likeness.assets.person import read
    from likeness.fit.persons.person import KnownPerson
    from likeness.runtime.person import personal

    model = fitter.system.model
    person = read(path, model)
    known = KnownPerson.of(person)
    surface = known.surface(model, albedo.load(), correspondence.read())
    return replace(fitter, system=personal(fitter.system, person), surface=surface, precision=None, known=known)


def read_landmarks(path: Path) -> Landmarks:
    """Points in pixels of a photo from a file of numbers.

    Raises:
        PhotoError: When the file is missing, or holds something else.
    """
    from likeness.types import Landmarks

    try:
        if path.suffix.lower() == ".npy":
            rows = np.load(path, allow_pickle=False)
        else:
            text = path.read_text()
            if path.suffix.lower() == ".pts":
                text = text[text.index("{") + 1 : text.rindex("}")]
            rows = np.array(
                [[float(word) for word in line.replace(",", " ").split()] for line in text.splitlines() if line.strip()]
            )
        rows = np.asarray(rows, np.float64)
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, UnicodeDecodeError):
        raise PhotoError(f"{path}: no table of numbers; give a row with x and y for each landmark") from None
    if rows.ndim != 2 or rows.shape[0] not in (68, 478) or rows.shape[1] not in (2, 3):
        raise PhotoError(
            f"{path}: an array of shape {rows.shape}; give 68 or 478 rows of x and y, perhaps with a spread"
        )
    points = rows[:, :2]
    if not np.isfinite(points).all() or np.ptp(points, 0).max() <= 0:
        raise PhotoError(f"{path}: landmarks are not finite, or all in one place")
    spread = rows[:, 2] if rows.shape[1] == 3 else np.full(len(rows), GIVEN_SPREAD * np.ptp(points, 0).max())
    if not (spread > 0).all():
        raise PhotoError(f"{path}: a spread is not positive; leave the third column out where none is known")
    return Landmarks(points.astype(np.float32), spread.astype(np.float32))


def _said(config: Fit, names: Sequence[str]) -> str:
    """The first of these options that is not what it is by default, as it is written; empty where all are."""
    usual = {field.name: field.default for field in fields(config)}
    return next((f"--{name.replace('_', '-')}" for name in names if getattr(config, name) != usual[name]), "")


def _clip(config: Fit, clip: Path) -> int:
    from likeness.cli.fit_clip import FitClip, fit_clip

    if len(config.photos) > 1:
        raise UsageError(f"{clip}: a clip is fitted by itself, without other files")
    if said := _said(config, OF_PHOTOS):
        raise UsageError(
            f"{clip}: {said} is for photos, and this is a clip; leave it out (--face says which face is wanted)"
        )
    return fit_clip(FitClip(
        clip=clip, output=config.output, face=config.face, start=config.start, end=config.end, level=config.level,
        min_face=config.min_face, overwrite=config.overwrite,
    ))  # fmt: skip


def _together(config: Fit) -> int:
    from likeness.cli.fit_together import Together, together

    if config.landmarks is not None:
        raise UsageError("--landmarks belongs to one photo; leave out --together")
    return together(Together(
        photos=config.photos, output=config.output, format=config.format, level=config.level, max_faces=config.max_faces,
        min_face=config.min_face, min_score=config.min_score, overwrite=config.overwrite,
    ))  # fmt: skip


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the standard error while a photo is fitted; gone when it is done, and none where nobody looks."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking", total=None)
        yield lambda name, done, total: bar.update(task, description=name, completed=done, total=total)
