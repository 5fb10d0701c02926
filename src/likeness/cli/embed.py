"""`likeness embed`: pictures of faces to the vectors of a recognition network, for `evaluate identity` and `benchmark`."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from likeness.cli.inputs import plain_name
from likeness.cli.main import complain, show
from likeness.cli.reconstruct import exit_code
from likeness.errors import AssetError, NoFaceError, PhotoError, UsageError

if TYPE_CHECKING:
    from likeness.encoders.recognition.interface import Recognition

Locate = Callable[[str, np.ndarray], np.ndarray]
"""Name and pixels (H, W, 3) uint8 of a picture -> its five points (5, 2) px."""


@dataclass(frozen=True)
class Embed:
    """Write the vectors of a folder's pictures: `name`, `person`, `embedding` (unit length), one row a picture; `recogniser`.

    Each picture shows its largest face. The file is what `likeness evaluate identity` and `likeness benchmark --embeddings`
    read.
    """

    folder: tyro.conf.Positional[Path]
    """Folder of pictures, also in sub-folders. A picture's name is its path in there without the ending."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("embeddings.npz")
    """The file to write."""
    recogniser: Literal["likeness", "facenet", "arcface", "vggface"] = "likeness"
    """Kind of network: ours, FaceNet (InceptionResnetV1), ArcFace (IResNet, or any ONNX file of it), VGG-Face."""
    weights: Path | None = None
    """Its file, .safetensors, .pth or .onnx; nothing is downloaded. By default the network that ships."""
    landmarks: Path | None = None
    """Points that are known already: .npz with `name` and `points` (n, 478, 2 or 3) or (n, 5, 2), pixels. Other pictures are
    searched for a face."""
    person: str | None = None
    """Regular expression on a picture's name whose first group is the person, such as '(.+)_'. By default the name of the
    sub-folder, or every picture shows somebody else."""
    min_face: float = 40.0
    """Smallest face, in pixels after the picture's longer side is reduced to 640."""
    batch: int = 32
    """Faces that are looked at together."""


def embed(config: Embed) -> int:
    """Write the file; returns the exit code."""
    from likeness.encoders.recognition.load import load
    from likeness.encoders.recognition.small import SHIPPED
    from likeness.runtime.write import check_writable, write_file

    if config.batch < 1:
        raise UsageError("--batch must be at least 1")
    pictures = listed(config.folder)
    people = [person(name, config.person) for name in pictures]
    recogniser = load(config.recogniser, config.weights)
    locate = locator(config.landmarks, config.min_face)
    check_writable(config.output.parent)
    crops, errors = [], []
    for name, path in pictures.items():
        try:
            crops.append(face(path, name, recogniser, locate))
            errors.append(None)
        except (PhotoError, NoFaceError) as error:
            complain(str(error))
            errors.append(error)
    if crops:
        kept = np.array([error is None for error in errors])
        vectors = embedded(recogniser, crops, config.batch)
        made = maker(recogniser.name, config.weights or SHIPPED)
        write_file(config.output, archive(np.array(list(pictures))[kept], np.array(people)[kept], vectors, made))
        show(f"{recogniser.name}, {recogniser.licence}: {len(crops)} of {len(pictures)} pictures -> {config.output}")
    return exit_code(errors)


def listed(folder: Path) -> dict[str, Path]:
    """The pictures of a folder and its sub-folders by name.

    Raises:
        AssetError: When there is no such folder, it holds no picture, or two have one name.
    """
    from likeness.photos.read import SUFFIXES

    if not folder.is_dir():
        raise AssetError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()):
        name = plain_name(path.relative_to(folder).as_posix())
        if name in found:
            raise AssetError(f"{path} and {found[name]}: two pictures of one name; keep one of them")
        found[name] = path
    if not found:
        raise AssetError(f"{folder}: no picture lies in this folder")
    return found


def person(name: str, pattern: str | None) -> str:
    """Whom a picture shows, by its name.

    Raises:
        UsageError: When the pattern is none, has no group, or does not match.
    """
    if pattern is None:
        return name.rpartition("/")[0] or name
    try:
        match = re.search(pattern, name)
        found = match and match[1]
    except (re.error, IndexError) as error:
        raise UsageError(
            f"--person {pattern}: {error}; give a regular expression with a group, such as '(.+)_'"
        ) from None
    if not found:
        raise UsageError(f"--person {pattern}: finds no person in the name {name}")
    return found


def locator(landmarks: Path | None, min_face: float) -> Locate:
    """Where the five points of a picture are: by a file where it has the picture, else found as in `reconstruct`."""
    known = {} if landmarks is None else known_points(landmarks)

    def locate(name: str, image: np.ndarray) -> np.ndarray:
        return known[name] if name in known else found_points(image, min_face)

    return locate


def known_points(path: Path) -> dict[str, np.ndarray]:
    """Five points (5, 2) by name of the picture (without its ending) from a file of landmarks.

    Raises:
        AssetError: When it has another form.
    """
    from likeness.encoders.recognition.templates import five

    try:
        with np.load(path, allow_pickle=False) as data:
            names, points = data["name"].astype(str), data["points"].astype(np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise AssetError(f"{path}: no landmarks; name and points are wanted: {error}") from None
    if (
        points.ndim != 3
        or len(points) != len(names)
        or points.shape[1] not in (5, 478)
        or points.shape[2] not in (2, 3)
    ):
        raise AssetError(
            f"{path}: points {points.shape} for {len(names)} names; (n, 478, 2 or 3) or (n, 5, 2) are wanted"
        )
    few = five(points) if points.shape[1] == 478 else points[..., :2]
    return {plain_name(name): row for name, row in zip(names, few)}


def found_points(image: np.ndarray, min_face: float) -> np.ndarray:
    """The five points (5, 2) px of the largest face.

    Raises:
        NoFaceError: Where there is none.
    """
    from likeness.encoders.recognition.templates import five
    from likeness.runtime import detect, landmarks

    faces = detect.find_faces(image, min_face)
    if not faces:
        raise NoFaceError("no face was found")
    largest = max(faces, key=lambda one: one.box[2] - one.box[0])
    return five(landmarks.shipped()(image, largest).points.astype(np.float64))


def face(path: Path, name: str, recogniser: Recognition, locate: Locate) -> np.ndarray:
    """A picture's face as the recogniser wants it: (3, S, S) float16 sRGB values in [0, 1].

    Raises:
        PhotoError: When the picture cannot be read, or its points are no face.
        NoFaceError: When it shows no face.
    """
    import torch

    from likeness import color
    from likeness.encoders.recognition.align import align
    from likeness.photos.read import read

    image = read(path)
    try:
        points = locate(name, image)
    except NoFaceError as error:
        raise NoFaceError(f"{path}: {error}") from None
    if not np.isfinite(points).all() or np.ptp(points, 0).min() <= 0:
        raise PhotoError(f"{path}: its five points lie on one line or are not finite")
    template = recogniser.template.numpy().astype(np.float64)
    part, corner = window(image, points, template, recogniser.size)
    linear, places = torch.from_numpy(color.decode(part))[None], torch.from_numpy(points - corner)[None]
    with torch.no_grad():
        return align(linear, places.float(), recogniser.template, recogniser.size)[0].numpy().astype(np.float16)


def window(image: np.ndarray, points: np.ndarray, template: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of a photo that a crop looks at, and its corner (2,) px: the rest need not be brought into linear light."""
    from likeness.encoders.recognition.templates import photo_from_crop

    corners = np.array([[0, 0, 1], [size, 0, 1], [0, size, 1], [size, size, 1]]) @ photo_from_crop(points, template).T
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(0)) - 2, 0, limit - 1).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 2, low + 1, limit).astype(int)
    return np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]), low


def embedded(recogniser: Recognition, crops: list[np.ndarray], batch: int) -> np.ndarray:
    """Vectors (n, D) float32 of unit length of n crops."""
    import torch

    parts = []
    with torch.no_grad():
        for start in range(0, len(crops), batch):
            parts.append(recogniser(torch.from_numpy(np.stack(crops[start : start + batch])).float()).numpy())
    return np.concatenate(parts).astype(np.float32)


def maker(name: str, weights: Path) -> str:
    """A network by its name and the beginning of its file's SHA-256: other weights give vectors that mean something else."""
    with weights.open("rb") as file:
        return f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def made_by_one(paths: Iterable[Path]) -> None:
    """Refuse files of embeddings whose vectors cannot be compared. A file that does not say who made it passes.

    Raises:
        AssetError: When two files name two recognisers.
    """
    named: dict[str, Path] = {}
    for path in paths:
        with np.load(path, allow_pickle=False) as data:
            if "recogniser" in data:
                named.setdefault(str(data["recogniser"]), path)
    if len(named) > 1:
        (first, one), (second, other) = list(named.items())[:2]
        raise AssetError(
            f"{one} was made by {first}, {other} by {second}: vectors of two recognisers cannot be compared"
        )


def archive(names: Iterable[str], people: Iterable[str], vectors: np.ndarray, recogniser: str) -> bytes:
    """The file of embeddings."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, name=np.array(names), person=np.array(people), embedding=vectors, recogniser=recogniser)
    return buffer.getvalue()
