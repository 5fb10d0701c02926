"""`likeness sheet`: many photos and what became of them in one picture, for eyes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

import likeness
from likeness.cli import inputs
from likeness.cli.main import complain, show
from likeness.cli.reconstruct import exit_code
from likeness.errors import LikenessError, NoFaceError, UsageError

if TYPE_CHECKING:
    from likeness.runtime.reconstruct import System


@dataclass(frozen=True)
class Sheet:
    """Draw a contact sheet, five pictures a photo: photo, overlay, shape, turned by 40 degrees with texture, neutral.

    Each photo shows its largest face.
    """

    photos: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, or folders of pictures."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("sheet.jpg")
    """The picture to write, .jpg or .png."""
    tile: int = 200
    """Side of each small picture in pixels."""
    columns: int = 2
    """Photos side by side."""
    level: Literal["base", "dense"] = "dense"
    """Level of the mesh."""
    min_face: float = 40.0
    """Smallest face, in pixels after the photo's longer side is reduced to 640."""


def sheet(config: Sheet, system: System | None = None) -> int:
    """Draw the sheet, by default with the system that ships; returns the exit code."""
    from likeness.export.textures import to_jpeg, to_png
    from likeness.runtime import sheet as drawing
    from likeness.runtime.reconstruct import shipped
    from likeness.runtime.write import write_file

    encode = {".jpg": to_jpeg, ".jpeg": to_jpeg, ".png": to_png}.get(config.output.suffix.lower())
    if encode is None:
        raise UsageError(f"{config.output}: a sheet is a picture; end its name in .jpg or .png")
    if not 32 <= config.tile <= 2048 or config.columns < 1:
        raise UsageError("--tile must be between 32 and 2048, --columns at least 1")
    paths = inputs.photos(config.photos)
    system = system or shipped(config.level)
    rows, errors = [], []
    for path in paths:
        try:
            faces = likeness.reconstruct(path, max_faces=1, min_face=config.min_face, system=system)
            if not faces:
                raise NoFaceError(f"{path}: no face was found")
            rows.append(drawing.row(faces[0], config.tile))
            errors.append(None)
        except LikenessError as error:
            complain(str(error))
            errors.append(error)
    if rows:
        write_file(config.output, encode(drawing.grid(rows, config.columns)))
        show(f"{len(rows)} of {len(paths)} photos -> {config.output}")
    return exit_code(errors)
