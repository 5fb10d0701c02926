"""The rows of `likeness benchmark`: the system that ships, in its variants, as methods that any set can ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from likeness.errors import AssetError, NoFaceError, UsageError

if TYPE_CHECKING:
    from likeness.evaluate.benchmark.items import Answer, Drawing, Item, Method
    from likeness.fit.photo.result import FittedFace
    from likeness.runtime.reconstruct import Reconstruction, System
    from likeness.runtime.systems.face import SystemFace

COVERED = 0.99
"""Share of a pixel that a face must cover for the pixel to be compared."""


def methods(names: tuple[str, ...], system: System, slow: int) -> list[Method]:
    """Rows by their names on the command line.

    Args:
        names: Keys of `MAKERS`.
        system: The one that is measured.
        slow: At most so many pictures of a set for methods that take seconds.
    """
    unknown = [name for name in names if name not in MAKERS]
    if unknown:
        raise UsageError(f"--methods {unknown[0]}: unknown; choose {', '.join(MAKERS)}")
    return [MAKERS[name](system, slow) for name in names]


def found_method(system: System, slow: int = 0) -> Method:
    """The system as users have it: its own finder looks for the face."""
    from likeness.evaluate.benchmark.items import Method

    about = "`likeness.reconstruct` as it ships: finds the face and reconstructs it from pixels alone."
    return Method("likeness", lambda item: answer_of(reconstructed(system, item)), about, ours=True)


def given_method(system: System, slow: int = 0) -> Method:
    """The same with the box of the true landmarks: what the finder costs."""
    from likeness.cli.evaluate import given_face
    from likeness.evaluate.benchmark.items import Method
    from likeness.runtime.reconstruct import one_face

    def answer(item: Item) -> Answer:
        if item.truth.dense is None:
            raise AssetError("no box is given")
        found = answer_of(one_face(item.picture(), given_face(item.truth.dense), system))
        return replace(found, texture=None, drawing=None)  # they take half a second, and tell nothing of the finder

    sets = ("heads", "moving", "lfpw", "covered", "sfhq", "frames")
    return Method("likeness, box given", answer, "The same with the box of the true landmarks.", sets)


def mean_method(system: System, slow: int = 0) -> Method:
    """The mean face in the pose of the true landmarks."""
    from likeness.evaluate.benchmark.baselines import mean_face

    return mean_face(system.model)


def true_method(system: System, slow: int = 0) -> Method:
    """The oracle."""
    from likeness.evaluate.benchmark.baselines import true_face

    return true_face(system.model)


def fit_method(system: System, slow: int) -> Method:
    """Analysis by synthesis, begun at the reconstruction of the found face."""
    from likeness.cli.fit import Fitter
    from likeness.evaluate.benchmark.items import Method

    fitter = Fitter.shipped(system)
    about = f"`likeness fit`: the found face fitted through the renderer, seconds a picture; at most {slow} pictures of a set."
    sets = ("heads", "scan", "lfpw", "covered", "sfhq", "frames")
    return Method("fit", lambda item: answer_of_fit(fitter.fitted(reconstructed(system, item))), about, sets, most=slow)


def trained_method(name: str) -> Callable[[System, int], Method]:
    """Makes the row of a paper's system as it was trained (`likeness reconstruct --system`); faces are found by ours."""

    def make(system: System, slow: int = 0) -> Method:
        from likeness.evaluate.benchmark.items import Method
        from likeness.runtime.systems.load import load

        trained = load(name, system.level)
        about = (
            f"`likeness reconstruct --system {name}`: the compact system of the paper, on faces that our finder found."
        )
        return Method(name, lambda item: answer_of_system(reconstructed(trained, item)), about)

    return make


MAKERS: dict[str, Callable[[System, int], Method]] = {
    "likeness": found_method, "given": given_method, "fit": fit_method, "mean": mean_method,
    "true": true_method, "genova2018": trained_method("genova2018"), "tewari2018": trained_method("tewari2018"),
}  # fmt: skip
"""Name on the command line -> (system, most pictures of a slow method) -> the row."""


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


def answer_of(face: Reconstruction) -> Answer:
    """A reconstruction as any method's answer."""
    from likeness.evaluate.benchmark.baselines import shape_of
    from likeness.evaluate.benchmark.items import Answer

    neutral = face.model.decode(face.codes["identity"], np.zeros(len(face.model.expression)))
    return Answer(
        shape_of(face.model, neutral), face.landmarks["68"], face.landmarks["dense"], face.view, lambda: face.texture,
        lambda: drawing_of(face), np.asarray(face.codes["identity"], np.float64),
    )  # fmt: skip


def drawing_of(face: Reconstruction) -> Drawing:
    """A reconstruction with its texture over its photo."""
    from likeness import color
    from likeness.evaluate.benchmark.items import Drawing
    from likeness.runtime.draw import rendered

    view, texture = face.view, color.decode(face.texture)
    surface, coverage = rendered(face.vertices, face.topology.triangles, view, face.topology.uv, texture)
    shown = color.encode(surface + (1 - coverage) * color.decode(face.image))
    return Drawing(shown / 255.0, coverage[..., 0] > COVERED)


def answer_of_system(face: SystemFace) -> Answer:
    """A trained system's face as any method's answer: its texture is albedo, and it is drawn in the light that it found, if any."""
    from likeness import color
    from likeness.evaluate.benchmark.items import Drawing

    def drawing() -> Drawing:
        surface, coverage = face.drawn()
        shown = color.encode(np.clip(surface + (1 - coverage) * color.decode(face.image), 0, 1))
        return Drawing(shown / 255.0, coverage[..., 0] > COVERED)

    return replace(answer_of(face), drawing=None if face.light is None else drawing)


def answer_of_fit(found: FittedFace) -> Answer:
    """A fit as any method's answer: its texture is albedo, and it is drawn in the light that it found."""
    from likeness import color
    from likeness.fit.photo.result import albedo_texture, drawn

    def texture() -> np.ndarray:
        return albedo_texture(found)

    def drawing() -> Drawing:
        evidence = found.evidence
        image, covered = drawn(found.surface, found.fitted.scene, evidence.image)
        return in_photo(color.encode(np.clip(image, 0, 1)), covered, evidence.photo_from_crop, found.face.image)

    return replace(answer_of(found.face), texture=texture, drawing=drawing)


def in_photo(square: np.ndarray, covered: np.ndarray, photo_from_crop: np.ndarray, photo: np.ndarray) -> Drawing:
    """What was drawn in a square about the face, brought to the pixels of its photo.

    Args:
        square: (S, S, 3) uint8 sRGB.
        covered: (S, S) in [0, 1].
        photo_from_crop: (3, 3) similarity of pixels.
        photo: (H, W, 3) uint8 sRGB, behind it.
    """
    import cv2

    from likeness.evaluate.benchmark.items import Drawing

    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # OpenCV's pixels have their centres at whole numbers
    way = (np.linalg.inv(half) @ photo_from_crop @ half)[:2]
    size = photo.shape[1::-1]
    image = cv2.warpAffine(square, way, size, flags=cv2.INTER_LINEAR)
    share = cv2.warpAffine(covered.astype(np.float32), way, size, flags=cv2.INTER_LINEAR)
    inside = share > COVERED
    return Drawing(np.where(inside[..., None], image, photo) / 255.0, inside)
