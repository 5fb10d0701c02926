"""A photo in, rigged 3D faces out: find, encode, decode, and files when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from likeness.assets import builtin
from likeness.assets.builtin import Builtin
from likeness.assets.ict import IctModel
from likeness.errors import PhotoError, UsageError
from likeness.export import codes as code_files
from likeness.export import gltf, obj
from likeness.export.asset import ICT_NOTICE, Asset, from_builtin, from_ict
from likeness.export.textures import to_jpeg, to_png
from likeness.geometry.cameras import project
from likeness.photos.detect import Detection
from likeness.photos.read import as_photo, read
from likeness.runtime.write import write_file
from likeness.types import Crop, Topology, View

LEVELS = ("base", "dense")
"""Levels of the face model, coarse first."""
FORMATS = ("glb", "obj", "json", "overlay")
"""What a folder of results can hold."""
TEXTURE_SIZE = 1024
"""Texels along a side of the texture."""
RESULT_FILES = (
    "face.glb", "face.obj", "face.mtl", "face.jpg", "face.json", "overlay.png", "head.glb", "head.obj", "head.mtl",
    "albedo.png", "light.png", "light.hdr", "residual.png", "fit.json",
    "base.glb", "albedo-base.png",
)  # fmt: skip
"""Every name that a file of a result can have; the second row is what a fit adds, the third what trained systems add."""


@dataclass(frozen=True)
class System:
    """The parts that turn a photo into faces; tests and other systems bring their own.

    Attributes:
        find: (photo, smallest face in px of the photo reduced to 640, least score or None) -> faces in the photo.
        encode: (photo, face) -> an estimate with `codes`, `view` in pixels of the photo, and `crop`.
        decode: (codes, view) -> something with posed `vertices` (V, 3) mm, on the topology of `level`.
        model: The face model whose codes these are.
        level: "base" or "dense".
        complete: (reconstruction, estimate) -> the reconstruction with what else the system knows, where it knows more.
    """

    find: Callable[[np.ndarray, float, float | None], Sequence[Detection]]
    encode: Callable[[np.ndarray, Detection], Any]
    decode: Callable[[Mapping[str, np.ndarray], View], Any]
    model: Builtin
    level: str
    complete: Callable[[Reconstruction, Any], Reconstruction] | None = None


@cache
def shipped(level: str = "dense") -> System:
    """The system that ships, loaded once for each level.

    Raises:
        UsageError: When there is no such level.
        AssetError: When a file of the package is missing or damaged.
    """
    if level not in LEVELS:
        raise UsageError(f"there is no level {level!r}; choose one of {', '.join(LEVELS)}")
    from likeness.runtime.decode import Decoder
    from likeness.runtime.detect import find_faces
    from likeness.runtime.encode import Encoder

    return System(find_faces, Encoder().encode, Decoder(level).decode, builtin.load(), level)


@dataclass(frozen=True)
class Reconstruction:
    """One face of a photo, in 3D.

    Attributes:
        photo: Name of the photo's file; empty for an array.
        image: (H, W, 3) uint8 sRGB, the upright photo.
        detection: Where the face was found.
        codes: "identity" (100,) in standard deviations; "expression" (51,) in [0, 1], ordered as `expression`.
        view: Camera in pixels of the photo.
        crop: What the regressor saw.
        vertices: (V, 3) float32 mm, model frame, with the photo's expression.
        model: The face model of the codes.
        level: Of the topology, "base" or "dense".
        timings: Milliseconds by step; grows when a texture is made.
    """

    photo: str
    image: np.ndarray
    detection: Detection
    codes: Mapping[str, np.ndarray]
    view: View
    crop: Crop
    vertices: np.ndarray
    model: Builtin
    level: str
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def topology(self) -> Topology:
        """Connectivity, chart, regions and landmark sets of the vertices."""
        return self.model.topology(self.level)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) pixels of the photo; see `photos.detect.Detection`."""
        return self.detection.box

    @property
    def score(self) -> float:
        """How sure the face finder was, in [0, 1]."""
        return self.detection.score

    @property
    def expression(self) -> dict[str, float]:
        """Weights in [0, 1] by Apple's names."""
        return dict(zip(self.model.expression_names, map(float, self.codes["expression"])))

    @cached_property
    def neutral(self) -> np.ndarray:
        """(V, 3) float32 mm: the person without expression, as the files hold it."""
        return self.asset(textured=False).positions

    @cached_property
    def landmarks(self) -> dict[str, np.ndarray]:
        """(n, 2) pixels of the photo by name of the landmark set ("68", "66", "5", "dense")."""
        sets = self.topology.landmarks
        return {name: project(points.points(self.vertices), self.view) for name, points in sets.items()}

    @cached_property
    def texture(self) -> np.ndarray:
        """(1024, 1024, 3) uint8 sRGB over the chart, unwrapped from the photo; made when it is first asked for."""
        return self.unwrapped()

    def unwrapped(self) -> np.ndarray:
        """The photo over the chart, (1024, 1024, 3) uint8 sRGB, anew at every call."""
        from likeness.runtime.unwrap import unwrap

        start = perf_counter()
        texture = unwrap(self.image, self.vertices, self.view, self.topology, TEXTURE_SIZE)
        self.timings["texture"] = 1000 * (perf_counter() - start)
        return texture

    @cached_property
    def texture_file(self) -> bytes:
        """The texture as a JPEG file."""
        return to_jpeg(self.texture)

    def overlay(self) -> np.ndarray:
        """(H, W, 3) uint8 sRGB: the mesh drawn over the photo."""
        from likeness.runtime.overlay import draw

        return draw(self.image, self.vertices, self.view, self.topology)

    def asset(self, textured: bool = True) -> Asset:
        """What exporters write: neutral mesh, movements, the photo's expression as weights."""
        return from_builtin(
            self.model, self.codes["identity"], self.codes["expression"], self.level,
            self.texture_file if textured else None, Path(self.photo).stem or "face", {"photo": self.photo},
        )  # fmt: skip

    def record(self) -> code_files.FaceFile:
        """What face.json holds."""
        return code_files.FaceFile(
            codes=self.codes,
            view=self.view,
            photo=self.photo,
            photo_from_crop=self.crop.photo_from_crop,
            crop_pixels=self.crop.image.shape[0],
            box=self.detection.box,
            roll=self.detection.roll,
            score=self.detection.score,
            landmarks=self.landmarks,
            model={"name": "likeness-builtin", "level": self.level, "vertices": len(self.vertices)},
            licences=(self.model.licence,) if self.model.licence else (),
            timings=self.timings,
        )

    def files(self, formats: Sequence[str] = FORMATS, head: IctModel | None = None) -> dict[str, bytes]:
        """The files of a folder of results, by name.

        Args:
            formats: Some of `FORMATS`.
            head: With the ICT model, the full head of the same codes is added as head.glb and head.obj.

        Raises:
            UsageError: When a format is not known.
        """
        check_formats(formats)
        result: dict[str, bytes] = {}
        asset = self.asset() if {"glb", "obj"} & set(formats) else None
        if "glb" in formats:
            result["face.glb"] = gltf.to_bytes(asset)
        if "obj" in formats:
            result |= obj.to_files(asset, "face")
        if head is not None:
            result |= self._head_files(head, formats)
        if "overlay" in formats:
            result["overlay.png"] = to_png(self.overlay())
        if "json" in formats:
            result["face.json"] = code_files.to_bytes(self.record())
        return result

    def _head_files(self, head: IctModel, formats: Sequence[str]) -> dict[str, bytes]:
        """The full ICT head of the same codes."""
        codes = self.codes["identity"], self.codes["expression"]
        extras = {"photo": self.photo, "model": ICT_NOTICE}
        asset = from_ict(head, *codes, name=Path(self.photo).stem or "head", extras=extras)
        result = {"head.glb": gltf.to_bytes(asset)} if "glb" in formats else {}
        return result | (obj.to_files(asset, "head") if "obj" in formats else {})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file, or everything into a folder; what lies there under the same names is replaced.

        Args:
            path: Ends in `.glb`, `.obj` (material and texture beside it), `.json`, `.png` or `.jpg` (the texture); a
                path without suffix is a folder.

        Raises:
            UsageError: When the suffix means nothing here.
            OutputError: When a file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if not suffix or path.is_dir():
            files = {path / name: data for name, data in self.files().items()}
        elif suffix == ".glb":
            files = {path: gltf.to_bytes(self.asset())}
        elif suffix == ".obj":
            files = {path.with_name(name): data for name, data in obj.to_files(self.asset(), path.stem).items()}
        elif suffix == ".json":
            files = {path: code_files.to_bytes(self.record())}
        elif suffix in (".jpg", ".jpeg", ".png"):
            files = {path: to_png(self.texture) if suffix == ".png" else self.texture_file}
        else:
            raise UsageError(f"{path}: cannot be written as {suffix}; choose .glb, .obj, .json, .jpg, .png or a folder")
        for place, data in files.items():
            write_file(place, data)


def reconstruct(
    photo: str | os.PathLike[str] | np.ndarray,
    level: str = "dense",
    max_faces: int | None = None,
    min_face: float = 40.0,
    min_score: float | None = None,
    system: System | None = None,
) -> list[Reconstruction]:
    """Every face of a photo in 3D, from left to right.

    Args:
        photo: A file of any picture format, or an array (H, W, 3) uint8 sRGB.
        level: "dense" (about 38,000 vertices) or "base" (about 10,000).
        max_faces: Keep the largest ones.
        min_face: Side of the smallest wanted face, in pixels after the photo's longer side is reduced to 640.
        min_score: How sure the face finder must be, in [0, 1]; by default the threshold that ships with it.
        system: Other parts than those that ship; brings its own level.

    Returns:
        Reconstructions; an empty list when no face is in the photo.

    Raises:
        PhotoError: When the photo is missing, is no picture, or is damaged.
        UsageError: When an argument is out of its range.
    """
    if max_faces is not None and max_faces < 1:
        raise UsageError(f"max_faces is {max_faces}; one face is the least that can be asked for")
    if not 1 <= min_face <= 640:
        raise UsageError(f"min_face is {min_face:g}; give pixels between 1 and 640")
    if min_score is not None and not 0 < min_score <= 1:
        raise UsageError(f"min_score is {min_score:g}; give a number above 0 and up to 1")
    system = system or shipped(level)
    start = perf_counter()
    if isinstance(photo, np.ndarray):
        image, name = as_photo(photo), ""
    elif isinstance(photo, (str, os.PathLike)):
        image, name = read(photo), printable(Path(photo).name)
    else:
        raise PhotoError(f"a photo is the path of a picture or an array, not {type(photo).__name__}")
    read_time = perf_counter()
    found = sorted(system.find(image, min_face, min_score), key=lambda face: -face.side)[:max_faces]
    timings = {"read": 1000 * (read_time - start), "find": 1000 * (perf_counter() - read_time)}
    return [one_face(image, face, system, name, timings) for face in sorted(found, key=lambda face: face.center)]


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that are none of `FORMATS`.

    Raises:
        UsageError: With the first of them.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise UsageError(f"there is no format {unknown[0]!r}; choose from {','.join(FORMATS)}")


def one_face(
    image: np.ndarray, detection: Detection, system: System, photo: str = "", timings: Mapping[str, float] | None = None
) -> Reconstruction:
    """The face in a known place of a photo, in 3D.

    Args:
        image: (H, W, 3) uint8 sRGB.
        detection: Where the face is.
        system: The parts.
        photo: Name of the photo's file.
        timings: Milliseconds of earlier steps, kept with the result.
    """
    start = perf_counter()
    estimate = system.encode(image, detection)
    middle = perf_counter()
    decoded = system.decode(estimate.codes, estimate.view)
    spent = {"encode": 1000 * (middle - start), "decode": 1000 * (perf_counter() - middle)}
    face = Reconstruction(
        photo=photo,
        image=image,
        detection=detection,
        codes=estimate.codes,
        view=estimate.view,
        crop=estimate.crop,
        vertices=np.asarray(decoded.vertices),
        model=system.model,
        level=system.level,
        timings=dict(timings or {}) | spent,
    )
    return face if system.complete is None else system.complete(face, estimate)


def printable(name: str) -> str:
    """A file's name as text that every file can hold: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")
