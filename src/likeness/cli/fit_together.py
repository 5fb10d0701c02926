"""`likeness fit --together`: several photos of one person to one face; photos that cannot be used are listed and passed by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from likeness.cli import inputs
from likeness.cli.main import complain, show
from likeness.errors import PARTIAL, LikenessError, NoFaceError, OutputError, PhotoError, UsageError

if TYPE_CHECKING:
    from likeness.cli.fit import Fitter
    from likeness.fit.people.album import Album
    from likeness.fit.people.together import Portrait
    from likeness.runtime.reconstruct import System

PERSON = "person"
"""Folder of the person's files, beside one folder for each photo."""


@dataclass(frozen=True)
class Together:
    """One person in several photos: OUTPUT/person/face.glb and so on, and OUTPUT/<photo>/overlay.png for each photo."""

    photos: tuple[Path, ...]
    """Pictures, or folders of pictures; at least two."""
    output: Path
    """Folder for the results; is made where it is missing."""
    format: str = "glb,obj,json,overlay"
    """What to write, separated by commas; confidence.json is always written."""
    level: str = "dense"
    """Level of the mesh."""
    max_faces: int | None = None
    """Only the largest faces of each photo, so many, may be the person's."""
    min_face: float = 40.0
    """Smallest face, in pixels after the photo's longer side is reduced to 640."""
    min_score: float | None = None
    """How sure the face finder must be, between 0 and 1."""
    texture: int = 1024
    """Texels along a side of the texture."""
    overwrite: bool = False
    """Replace results that are there already; files that are not ours stay."""


def together(config: Together, system: System | None = None, fitter: Fitter | None = None) -> int:
    """Run, by default with the system that ships; returns the exit code."""
    import torch

    from likeness.assets import correspondence
    from likeness.cli.fit import Fitter
    from likeness.cli.reconstruct import check_formats
    from likeness.fit.landmarks.bases import builtin_bases
    from likeness.fit.people.album import album
    from likeness.fit.people.together import choose, refined
    from likeness.fit.people.together import together as fit_person
    from likeness.runtime.reconstruct import printable, shipped
    from likeness.runtime.write import check_writable

    start = perf_counter()
    formats = check_formats(config.format)
    if not 64 <= config.texture <= 4096:
        raise UsageError(f"--texture is {config.texture}; give texels between 64 and 4096")
    paths = inputs.photos(config.photos)
    if len(paths) < 2:
        raise UsageError(
            f"{paths[0]}: --together needs at least two photos of the person; leave it out for a single one"
        )
    if (config.output / PERSON).is_dir() and not config.overwrite:
        raise OutputError(f"{config.output / PERSON}: results are there already; add --overwrite to replace them")
    check_writable(config.output)
    system = system or shipped(config.level)
    fitter = fitter or Fitter.shipped(system)
    found, skipped = _look(paths, config, fitter)
    if len(found) < 2:
        kinds = {error.exit_code: type(error) for _, error in skipped}
        kind = next(iter(kinds.values())) if len(kinds) == 1 else PhotoError
        raise kind(f"{len(found)} of {len(paths)} photos can be used; two are the least that can be fitted together")
    bases = builtin_bases(system.model, correspondence.read())
    person = fit_person(choose([portraits for _, portraits in found]), bases, fitter.precision)
    paint = None
    if fitter.surface is not None:
        person, paint = (
            refined(person, fitter.surface),
            (lambda code: fitter.surface.texture(torch.as_tensor(code)).numpy()),
        )
    result = album(person, system.model, system.level, system.decode, config.texture, paint)
    for line in result.warnings:
        complain(line)
    names = dict(zip((printable(str(path)) for path in paths), _folder_names(paths)))
    _write(
        result,
        config.output,
        formats,
        names,
        [(printable(str(path)), printable(str(error))) for path, error in skipped],
    )
    used = len(person.portraits)
    place = config.output / PERSON
    show(f"{used} of {len(paths)} photos: one person -> {place} ({perf_counter() - start:.1f} s)")
    for line in result.advice:
        show(line)
    return PARTIAL if skipped else 0


def _look(
    paths: Sequence[Path], config: Together, fitter: Fitter
) -> tuple[list[tuple[Path, list[Portrait]]], list[tuple[Path, LikenessError]]]:
    """The faces of each photo, and the photos without, which are said at once."""
    from likeness.fit.people.album import candidates
    from likeness.photos.read import read
    from likeness.runtime.reconstruct import printable

    found, skipped = [], []
    for path in paths:
        try:
            image = read(path)
            faces = fitter.system.find(image, config.min_face, config.min_score)
            faces = sorted(faces, key=lambda face: -face.side)[: config.max_faces]
            if not faces:
                raise NoFaceError(f"{path}: no face was found")
            own = candidates(
                printable(str(path)), image, faces, fitter.system.encode, fitter.system.model, fitter.measure
            )
            found.append((path, own))
        except LikenessError as error:
            complain(f"{error} (passed by)")
            skipped.append((path, error))
    return found, skipped


def _folder_names(paths: Sequence[Path]) -> list[str]:
    """Folders of the photos, none of which is the person's."""
    return [f"{name}-photo" if name.casefold() == PERSON else name for name in inputs.folder_names(paths)]


def _write(
    result: Album, output: Path, formats: Sequence[str], names: dict[str, str], skipped: Sequence[tuple[str, str]]
) -> None:
    """All folders of results, together or not at all."""
    from likeness.fit.people.album import PERSON_FILES, PHOTO_FILES
    from likeness.runtime.write import folders

    with folders(output, (*PERSON_FILES, *PHOTO_FILES)) as temporary:
        content = {PERSON: result.files(formats) | {"confidence.json": result.confidence(skipped, names)}}
        for i, portrait in enumerate(result.person.portraits):
            content[names[portrait.name]] = result.photo_files(i, formats)
        for folder, files in content.items():
            (temporary / folder).mkdir()
            for name, data in files.items():
                (temporary / folder / name).write_bytes(data)
