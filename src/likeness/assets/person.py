"""A personal face model: what one person's face and its movements keep from the face model that ships. Numpy only.

Written by `likeness personalise`, read by `--person` of other commands. Version 1 is a safetensors file with `identity` (I,) in
standard deviations, `neutral` (V, 3) float32 and `expression` (E, V, 3) float16 in mm, the offsets of the base vertices; perhaps
`albedo` (K,), the code of the albedo model, and `texture` (S, S, 3) uint8, diffuse albedo over the chart, sRGB; and one entry of
text, "person", with name, version, licence, number of frames and the digest of the face model that the offsets belong to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from likeness.assets.builtin import Builtin, layout_to_json
from likeness.errors import AssetError

FORMAT, VERSION = "likeness.person", 1


@dataclass(frozen=True)
class Person:
    """One person's offsets from a face model of V base vertices.

    Attributes:
        name: As whoever made it says.
        identity: (I,) float32 standard deviations: the nearest face in the model's span.
        neutral: (V, 3) float32 mm that the neutral face keeps from that face.
        expression: (E, V, 3) float32 mm that each expression at weight 1 keeps from the model's.
        frames: Pictures it was learned from.
        licence: One line that must travel with what is made from it: the face model's, and whose pictures it shows.
        albedo: (K,) float32 code of the albedo model, where it was found.
        texture: (S, S, 3) uint8 sRGB, diffuse albedo over the chart, where it was found.
    """

    name: str
    identity: np.ndarray
    neutral: np.ndarray
    expression: np.ndarray
    frames: int = 0
    licence: str = ""
    albedo: np.ndarray | None = None
    texture: np.ndarray | None = None

    def model(self, generic: Builtin) -> Builtin:
        """The face model of this person: at code `identity` the mean face is the person's, and expressions move as theirs do.

        Names, topology and identity modes are those of the generic model.
        """
        return replace(
            generic,
            mean=(generic.mean + self.neutral).astype(np.float32),
            expression=(generic.expression + self.expression).astype(np.float32),
            licence=self.licence or generic.licence,
        )

    def neutral_face(self, generic: Builtin) -> np.ndarray:
        """(V, 3) float32 mm base vertices without expression."""
        return (generic.mean + np.tensordot(self.identity, generic.identity, 1) + self.neutral).astype(np.float32)


def digest(model: Builtin) -> str:
    """What tells face models apart whose vertices do not mean the same: of the layout and the mean, in hexadecimal."""
    return sha256(layout_to_json(model.layout).encode() + np.ascontiguousarray(model.mean, "<f4").tobytes()).hexdigest()


def to_bytes(person: Person, generic: Builtin) -> bytes:
    """The file of a person.

    Args:
        generic: The face model that the offsets are from.
    """
    from safetensors.numpy import save

    tensors = {
        "identity": person.identity.astype(np.float32),
        "neutral": person.neutral.astype(np.float32),
        "expression": person.expression.astype(np.float16),
    }
    tensors |= {} if person.albedo is None else {"albedo": person.albedo.astype(np.float32)}
    tensors |= {} if person.texture is None else {"texture": person.texture}
    head = {
        "format": FORMAT,
        "version": VERSION,
        "name": person.name,
        "licence": person.licence,
        "frames": person.frames,
    }
    head |= {"model": digest(generic), "expressions": list(generic.expression_names)}
    return save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata={"person": json.dumps(head)})


def read(path: Path, generic: Builtin) -> Person:
    """A person from a file.

    Args:
        generic: The face model at hand; the file must belong to it.

    Raises:
        AssetError: When the file is missing, damaged, no personal face model, newer than this program, or of another face model.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = Path(path)
    try:
        content = path.read_bytes()
        data = load(content)
        head = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["person"])
        if head["format"] != FORMAT:
            raise KeyError("format")
        version, made_for = int(head["version"]), head["model"]
        person = Person(
            name=str(head["name"]),
            identity=data["identity"],
            neutral=data["neutral"],
            expression=data["expression"].astype(np.float32),
            frames=int(head["frames"]),
            licence=str(head["licence"]),
            albedo=data.get("albedo"),
            texture=data.get("texture"),
        )
    except OSError as error:
        raise AssetError(f"{path}: the personal face model cannot be read ({error.strerror})") from None
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise AssetError(
            f"{path} is no personal face model of `likeness personalise`, or it is damaged ({error})"
        ) from None
    if version > VERSION:
        raise AssetError(f"{path} has version {version}; this program reads up to {VERSION}: update it")
    if made_for != digest(generic) or head["expressions"] != list(generic.expression_names):
        raise AssetError(f"{path} was made for another version of the face model; run `likeness personalise` again")
    _check(person, generic, path)
    return person


def _check(person: Person, generic: Builtin, path: Path) -> None:
    """Refuse arrays of the wrong shape and numbers that are not finite."""
    shapes = {
        "identity": generic.identity.shape[:1],
        "neutral": generic.mean.shape,
        "expression": generic.expression.shape,
    }
    for name, shape in shapes.items():
        values = getattr(person, name)
        if values.shape != shape or not np.isfinite(values).all():
            raise AssetError(f"{path} is damaged: {name} of shape {values.shape} with {shape} needed, or not finite")
    texture = person.texture
    if texture is not None and (
        texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3 or 0 in texture.shape
    ):
        raise AssetError(f"{path} is damaged: a texture of shape {texture.shape} and type {texture.dtype}")
    if person.albedo is not None and (person.albedo.ndim != 1 or not np.isfinite(person.albedo).all()):
        raise AssetError(f"{path} is damaged: an albedo code of shape {person.albedo.shape}, or not finite")
