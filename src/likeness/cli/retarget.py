"""`likeness retarget`: the movement of a clip on another face, as an animated GLB."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from likeness.cli.main import show
from likeness.errors import AssetError, OutputError, UsageError

if TYPE_CHECKING:
    from likeness.assets.builtin import Builtin
    from likeness.edit.openings import Openings
    from likeness.export.glb import Glb
    from likeness.export.motion import Motion

PLACES = ("", "face-1", "person")
"""Where in a folder of results a face lies."""
MOTION, FACE = "motion.json", "face.glb"


@dataclass(frozen=True)
class Retarget:
    """Bring a clip's movement (motion.json of `likeness fit CLIP`) onto another face: an animated GLB, or a CSV for Live Link.

    Expressions keep their names. Lids and lips of faces of ours close when those of the clip close, though they may be wider
    apart. Texture and shape of the other face stay as they are.
    """

    motion: tyro.conf.Positional[Path]
    """A motion.json, or a folder with one."""
    onto: Path
    """The other face: a folder of results, a GLB of any program whose morph targets carry Apple's names, or a personal face model."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The file to write: .glb, or .csv with the columns of Live Link Face."""
    gain: Annotated[dict[str, float], tyro.conf.arg(metavar="[NAME FACTOR [NAME FACTOR ...]]")] = field(
        default_factory=dict
    )
    """Make expressions stronger or weaker: Apple's names, or how several of them begin (brow, mouthSmile)."""
    head: bool = True
    """The head moves as in the clip; else it looks at the camera and stands still."""
    contacts: bool = True
    """Change eyeBlink and mouthClose so that lids and lips close; else all weights are taken over as they are."""
    level: Literal["base", "dense"] = "dense"
    """Level of a personal face model's mesh; other faces have theirs."""
    overwrite: bool = False
    """Replace a file that is there already."""


def retarget(config: Retarget) -> int:
    """Run; returns the exit code.

    Raises:
        LikenessError: One line; nothing has been written then.
    """
    from likeness.assets import builtin
    from likeness.edit.retarget import retargeted
    from likeness.export.glb import animated
    from likeness.export.motion import animations, to_live_link
    from likeness.runtime.write import write_file

    suffix = config.output.suffix.lower()
    if suffix not in (".glb", ".csv"):
        raise UsageError(f"{config.output}: give a name that ends in .glb or .csv")
    if config.output.exists() and not config.overwrite:
        raise OutputError(f"{config.output}: is there already; add --overwrite to replace it")
    motion, model = read_motion(config.motion), builtin.load()
    if not motion.segments():
        raise UsageError(f"{config.motion}: the face was lost in every frame; there is nothing to bring onto another")
    target, rims = read_target(config.onto, model, config.level)
    own = openings_of(motion, model) if config.contacts and rims is not None else None
    moved = retargeted(motion, own, rims, config.gain, config.head)
    if suffix == ".csv":
        data = to_live_link(moved)
    else:
        data = animated(target, animations(moved), moved.view(int(moved.segments()[0][0])), motion.licences)
    write_file(config.output, data)
    show(f"{config.motion}: {_about(config, moved, target, own is not None)} -> {config.output}")
    return 0


def read_motion(path: Path) -> Motion:
    """The motion of a file or a folder.

    Raises:
        AssetError: When there is none, or it is damaged.
    """
    from likeness.export.motion import from_bytes

    places = [path / place / MOTION for place in PLACES] if path.is_dir() else [path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise AssetError(f"{path}: no {MOTION} there; `likeness fit CLIP` writes one")
    try:
        return from_bytes(found.read_bytes())
    except OSError as error:
        raise AssetError(f"{found}: cannot be read ({error.strerror})") from None
    except AssetError as error:
        raise AssetError(f"{found}: {error}") from None


def read_target(path: Path, model: Builtin, level: str) -> tuple[Glb, Openings | None]:
    """The other face as a GLB, and its openings where it is of our own topology.

    Raises:
        AssetError: When there is no face, or its file is damaged.
    """
    from likeness.edit.openings import Openings
    from likeness.export.glb import Glb

    if path.suffix.lower() == ".safetensors":
        from likeness.assets.person import read
        from likeness.export import gltf
        from likeness.export.asset import from_builtin
        from likeness.export.textures import to_jpeg

        person = read(path, model)
        own = person.model(model)
        texture = None if person.texture is None else to_jpeg(person.texture)
        asset = from_builtin(own, person.identity, np.zeros(len(own.expression)), level, texture, person.name)
        return Glb.of(gltf.to_bytes(asset), str(path)), Openings.of(
            person.neutral_face(model), own.expression, model.layout
        )
    places = [path / place / FACE for place in PLACES] if path.is_dir() else [path]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise AssetError(f"{path}: no {FACE} there; give a folder of results, a GLB, or a personal face model")
    glb = Glb.read(found)
    return glb, openings_in(glb, model)


def openings_of(motion: Motion, model: Builtin) -> Openings | None:
    """Of the clip's person; None where its codes are those of another face model."""
    from likeness.edit.openings import Openings

    if motion.model.get("name") != "likeness-builtin" or len(motion.identity) != len(model.identity):
        return None
    return Openings.of(model.mean + np.tensordot(motion.identity, model.identity, 1), model.expression, model.layout)


def openings_in(glb: Glb, model: Builtin) -> Openings | None:
    """Of a GLB's face; None where it is not of our own topology with all expressions."""
    from likeness.edit.openings import Openings
    from likeness.export.gltf import METRES

    for node, rows in glb.faces().items():
        primitive = glb.document["meshes"][glb.document["nodes"][node]["mesh"]]["primitives"][0]
        positions = glb.numbers(primitive["attributes"]["POSITION"])
        for level in ("base", "dense"):
            faces = model.topology(level).faces
            used = np.unique(faces[faces >= 0])
            if len(used) != len(positions) or rows != list(range(len(model.expression))):
                continue
            shapes = np.zeros((1 + len(rows), len(model.topology(level).uv), 3), np.float32)
            shapes[0, used] = positions / METRES
            for shape, target in zip(shapes[1:], primitive["targets"]):
                shape[used] = glb.numbers(target["POSITION"]) / METRES
            return Openings.of(shapes[0], shapes[1:], model.layout, level)
    return None


def _about(config: Retarget, motion: Motion, target: Glb, closing: bool) -> str:
    """What was done, in words."""
    from likeness.assets.arkit import EXPRESSIONS

    known = {row for rows in target.faces().values() for row in rows}
    missing = [
        name for row, name in enumerate(EXPRESSIONS) if row not in known and np.nanmax(motion.expression[:, row]) > 0.05
    ]
    parts = [f"{len(motion.times)} frames"]
    parts += (
        [f"without {', '.join(missing[:4])}{' and others' if len(missing) > 4 else ''}, which the face lacks"]
        if missing
        else []
    )
    parts += ["weights as they are, for the face is of another topology"] if config.contacts and not closing else []
    parts += ["head still, for the file has several parts"] if config.head and not target.can_turn() else []
    return ", ".join(parts)
