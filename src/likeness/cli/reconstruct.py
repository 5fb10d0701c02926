"""`likeness reconstruct`: photos to folders of results; one photo that fails does not stop the others."""

from __future__ import annotations

import json
import os
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

import likeness
from likeness.cli import inputs
from likeness.cli.main import complain, show
from likeness.errors import PARTIAL, LikenessError, NoFaceError, OutputError, UsageError

if TYPE_CHECKING:
    from likeness.runtime.reconstruct import System

FORMAT, VERSION = "likeness.summary", 1
"""What summary.json calls itself; the version grows when a field changes its meaning."""


@dataclass(frozen=True)
class Reconstruct:
    """Turn photos into textured, rigged 3D faces: OUTPUT/<photo>/face-1/face.glb and so on, from left to right.

    Ends with 0 when all went well; 2 usage, 3 unusable photo, 4 no face, 5 cannot write, 6 missing model file, 7 some
    of several photos failed, 130 interrupted.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, or folders of pictures."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results; is made where it is missing."""
    format: str = "glb,obj,json,overlay"
    """What to write, separated by commas."""
    level: Literal["base", "dense"] = "dense"
    """Level of the mesh: about 10,000 or 38,000 vertices."""
    max_faces: int | None = None
    """Only the largest faces of each photo, so many."""
    min_face: float = 40.0
    """Smallest face, in pixels after the photo's longer side is reduced to 640; less takes longer."""
    min_score: float | None = None
    """How sure the face finder must be, between 0 and 1; by default the threshold that ships with it."""
    head: Literal["own", "ict"] = "own"
    """With `ict`, the full ICT head of the same codes is written too: head.glb, head.obj."""
    ict: Path | None = None
    """Checkout of ICT-FaceKit, for `--head ict`."""
    person: Path | None = None
    """Personal face model (`likeness personalise`): every face is taken for that person's."""
    system: str | None = None
    """Another system than the default: genova2018 or tewari2018, which ship, or a file of one that was trained elsewhere. Writes
    albedo.png too; tewari2018 also light.png, and its base level as base.glb beside its final one."""
    overwrite: bool = False
    """Replace results that are there already; files that are not ours stay."""


@dataclass
class Outcome:
    """What became of one photo.

    Attributes:
        photo: As it was given.
        folder: Of its results, below the output folder.
        faces: Box, score and folder of each face.
        error: What went wrong, or None.
        seconds: Spent on it.
    """

    photo: Path
    folder: str
    faces: list[dict[str, Any]] = field(default_factory=list)
    error: LikenessError | None = None
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """As summary.json holds it."""
        from likeness.runtime.reconstruct import printable

        entry: dict[str, Any] = {
            "photo": printable(str(self.photo)),
            "folder": printable(self.folder),
            "faces": self.faces,
            "seconds": round(self.seconds, 3),
        }
        if self.error is not None:
            message, code = printable(str(self.error)), self.error.exit_code
            entry["error"] = {"kind": type(self.error).__name__, "exit_code": code, "message": message}
        return entry


def reconstruct(config: Reconstruct, system: System | None = None) -> int:
    """Run over all photos, by default with the system that ships; returns the exit code."""
    from likeness.runtime.write import check_writable

    formats = check_formats(config.format)
    check_limits(config)
    _check_system(config)
    paths = inputs.photos(config.photos)
    head = _ict_head(config)
    check_writable(config.output)
    system = system or _system(config)
    if config.person is not None:
        system = _of_person(system, config.person)

    def one(path: Path, folder: Path) -> list[dict[str, Any]]:
        faces = likeness.reconstruct(path, config.level, config.max_faces, config.min_face, config.min_score, system)
        if not faces:
            hint = " (--min-face 20 looks for smaller ones)" if config.min_face > 20 else ""
            raise NoFaceError(f"{path}: no face was found{hint}")
        return write_faces(faces, folder, lambda face: face.files(formats, head))

    settings = {"level": config.level, "formats": formats} | (
        {} if config.system is None else {"system": config.system}
    )
    return batch(paths, config.output, config.overwrite, one, settings)


def batch(
    paths: Sequence[Path],
    output: Path,
    overwrite: bool,
    one: Callable[[Path, Path], list[dict[str, Any]]],
    settings: dict[str, Any],
) -> int:
    """Do `one(photo, folder)` for every photo, report each, and write summary.json; returns the exit code."""
    outcomes: list[Outcome] = []
    start = perf_counter()
    try:
        for path, name in zip(paths, inputs.folder_names(paths)):
            begin = perf_counter()
            outcome = Outcome(path, name)
            outcomes.append(outcome)
            try:
                _check_free(output / name, overwrite)
                outcome.faces = one(path, output / name)
            except LikenessError as error:
                outcome.error = error
            except Exception as error:  # a fault of ours must not take the other photos with it
                if os.environ.get("LIKENESS_TRACEBACK"):
                    traceback.print_exc()
                reason = f"{path}: unexpected {type(error).__name__} ({error}); set LIKENESS_TRACEBACK=1 to see where"
                outcome.error = LikenessError(reason)
            outcome.seconds = perf_counter() - begin
            _report(outcome, output)
    finally:
        try:
            _write_summary(output, outcomes, len(paths), settings)
        except OutputError:
            if not any(isinstance(outcome.error, OutputError) for outcome in outcomes):
                raise  # else it has been said
    faces, failed = sum(len(o.faces) for o in outcomes), sum(o.error is not None for o in outcomes)
    pace = f", {(perf_counter() - start) / faces:.2f} s a face" if faces else ""
    show(f"{_count(len(outcomes), 'photo')}, {_count(faces, 'face')}, {failed} failed{pace}")
    return exit_code([outcome.error for outcome in outcomes])


def exit_code(errors: Sequence[LikenessError | None]) -> int:
    """0 when all went well; the common code when all failed for the same reason; else `PARTIAL`."""
    codes = {0 if error is None else error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else PARTIAL


def write_faces(faces: Sequence[Any], folder: Path, files: Callable[[Any], dict[str, bytes]]) -> list[dict[str, Any]]:
    """Write `folder/face-1` and so on, all together; faces of an earlier run that are not found again go."""
    from likeness.runtime.reconstruct import RESULT_FILES
    from likeness.runtime.write import folders, remove_results

    entries = []
    with folders(folder, RESULT_FILES) as temporary:
        for number, face in enumerate(faces, 1):
            place = temporary / f"face-{number}"
            place.mkdir()
            content = files(face)
            for name, data in content.items():
                (place / name).write_bytes(data)
            box = [round(float(value), 2) for value in face.box]
            score = round(float(face.score), 4)
            entries.append({"folder": place.name, "files": sorted(content), "box": box, "score": score})
    for old in folder.glob("face-*"):
        if re.fullmatch(r"face-\d+", old.name) and int(old.name[5:]) > len(faces):
            remove_results(old, RESULT_FILES)
    return entries


def check_formats(text: str) -> list[str]:
    """The formats that a command line names; raises UsageError."""
    from likeness.runtime.reconstruct import FORMATS

    formats = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"--format {text!r} is not understood; choose from {','.join(FORMATS)}")
    return formats


def check_limits(config: Any) -> None:
    """Refuse numbers out of their range in options that `reconstruct` and `fit` share."""
    if config.max_faces is not None and config.max_faces < 1:
        raise UsageError(f"--max-faces is {config.max_faces}; one face is the least that can be asked for")
    if not 1 <= config.min_face <= 640:
        raise UsageError(f"--min-face is {config.min_face:g}; give pixels between 1 and 640")
    if config.min_score is not None and not 0 < config.min_score <= 1:
        raise UsageError(f"--min-score is {config.min_score:g}; give a number above 0 and up to 1")


def _ict_head(config: Reconstruct) -> Any:
    if config.head == "own":
        if config.ict is not None:
            raise UsageError("--ict is given, but not --head ict, which uses it")
        return None
    if config.ict is None:
        raise UsageError("--head ict needs --ict, the path of a checkout of ICT-FaceKit")
    from likeness.assets import ict

    return ict.read(config.ict)


def _check_system(config: Reconstruct) -> None:
    """Refuse what does not go with a system of its own."""
    if config.system is None:
        return
    for option, given in (("--person", config.person is not None), ("--head ict", config.head == "ict")):
        if given:
            raise UsageError(
                f"{option} does not go with --system {config.system}, which answers faces of its own; leave one out"
            )


def _system(config: Reconstruct) -> System:
    """The system that was asked for."""
    from likeness.runtime.reconstruct import shipped

    if config.system is None:
        return shipped(config.level)
    from likeness.runtime.systems.load import load

    return load(config.system, config.level)


def _of_person(system: System, path: Path) -> System:
    from likeness.assets.person import read
    from likeness.runtime.person import personal

    return personal(system, read(path, system.model))


def _check_free(folder: Path, overwrite: bool) -> None:
    if overwrite or not folder.is_dir():
        return
    if any(re.fullmatch(r"face-\d+", place.name) for place in folder.iterdir()):
        raise OutputError(f"{folder}: results are there already; add --overwrite to replace them")


def _report(outcome: Outcome, output: Path) -> None:
    if outcome.error is not None:
        complain(str(outcome.error))
        return
    place = output / outcome.folder
    show(f"{outcome.photo}: {_count(len(outcome.faces), 'face')} -> {place} ({outcome.seconds:.2f} s)")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _write_summary(output: Path, outcomes: Sequence[Outcome], planned: int, settings: dict[str, Any]) -> None:
    from likeness.runtime.write import write_file

    document = {
        "format": FORMAT,
        "version": VERSION,
        "likeness": likeness.__version__,
        **settings,
        "photos_given": planned,
        "photos_done": sum(outcome.error is None for outcome in outcomes),
        "faces": sum(len(outcome.faces) for outcome in outcomes),
        "photos": [outcome.document() for outcome in outcomes],
    }
    write_file(output / "summary.json", (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
