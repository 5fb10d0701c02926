"""`likeness evaluate photometric | texture | lips | identity`: pictures, and embeddings of pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from likeness.cli.embed import made_by_one
from likeness.cli.protocols import Folders, finish, need
from likeness.errors import AssetError
from likeness.evaluate import identity, lips
from likeness.evaluate.color_error import photometric_error, texture_error
from likeness.evaluate.layouts.pairs import Pairs, pairs
from likeness.evaluate.scores import Measured, Scores, collect, cumulative

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif")
SIMILARITIES = np.linspace(-1, 1, 81)
"""At which the distributions of similarities are given."""


@dataclass(frozen=True)
class EvaluatePhotometric(Folders):
    """Renderings over their photos: mean RGB distance, channels in [0, 1]. PNG files, alpha where they cover."""


@dataclass(frozen=True)
class EvaluateTexture(Folders):
    """Textures in one chart: l2,1 over the face. PNG: the truth's alpha is the face, the prediction's what it has."""


@dataclass(frozen=True)
class EvaluateLips(Folders):
    """Lips: intersection over union, upper and lower. Label pictures (PNG)."""

    upper: int = lips.UPPER
    """Label of the upper lip in the predictions."""
    lower: int = lips.LOWER
    """Label of the lower lip in the predictions."""
    truth_upper: int = lips.UPPER
    """Label of the upper lip in the truth, as 12 in CelebAMask-HQ's customary numbering."""
    truth_lower: int = lips.LOWER
    """Label of the lower lip in the truth, as 13."""


@dataclass(frozen=True)
class EvaluateIdentity(Folders):
    """Identity from embeddings of any recogniser: renderings.npz and photos.npz with `name`, `person`, `embedding`."""


def picture(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """RGB (h, w, 3) in [0, 1] as stored, and where alpha is at least a half (h, w); everywhere without alpha.

    Raises:
        AssetError: Missing or no picture.
    """
    data = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    need(data is not None, f"{path}: cannot be read as a picture")
    values = data.astype(np.float64) / np.iinfo(data.dtype).max if np.issubdtype(data.dtype, np.integer) else data
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, 2)
    known = values[..., 3] >= 0.5 if values.shape[2] == 4 else np.ones(values.shape[:2], bool)
    return np.ascontiguousarray(values[..., 2::-1]), known


def labels(path: Path) -> np.ndarray:
    """Labels (h, w) of a picture, as stored.

    Raises:
        AssetError: Missing, no picture, or of several channels.
    """
    data = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    need(data is not None, f"{path}: cannot be read as a picture")
    need(data.ndim == 2, f"{path}: {data.shape[-1]} channels, where a label picture has one")
    return data


def _alike(name: str, first: np.ndarray, second: np.ndarray) -> None:
    ours, theirs = first.shape[:2], second.shape[:2]
    need(ours == theirs, f"{name}: a picture of {ours}, but the truth has {theirs}")


def evaluate_photometric(config: EvaluatePhotometric) -> int:
    """Score renderings over photos."""
    found = pairs(config.predictions, config.truth, PICTURES)

    def measure(name: str) -> Measured:
        rendering, covered = picture(found.prediction(name))
        photo, _ = picture(found.truth[name])
        _alike(name, rendering, photo)
        need(bool(covered.any()), f"{name}: the rendering covers nothing")
        remark = "" if not covered.all() else "no alpha: the whole picture counts"
        return Measured(photometric_error(rendering, photo, covered), remark=remark)

    return _finish_pictures("photometric", "RGB in [0, 1]", found, measure, config.output)


def evaluate_texture(config: EvaluateTexture) -> int:
    """Score textures."""
    found = pairs(config.predictions, config.truth, PICTURES)

    def measure(name: str) -> Measured:
        predicted, known = picture(found.prediction(name))
        true, face = picture(found.truth[name])
        _alike(name, predicted, true)
        need(bool(face.any()), f"{name}: the truth has no face")
        return Measured(texture_error(predicted, true, face, known))

    return _finish_pictures("texture", "RGB in [0, 1]", found, measure, config.output)


def evaluate_lips(config: EvaluateLips) -> int:
    """Score lip segmentations."""
    found = pairs(config.predictions, config.truth, (".png",))

    def measure(name: str) -> Measured:
        predicted, true = labels(found.prediction(name)), labels(found.truth[name])
        _alike(name, predicted, true)
        ours = _lips(predicted, config.upper, config.lower)
        theirs = _lips(true, config.truth_upper, config.truth_lower)
        need(bool(theirs.any()), f"{name}: the truth shows no lips")
        return Measured(lips.lip_iou(ours, theirs))

    return _finish_pictures("lips", "IoU", found, measure, config.output)


def _lips(picture: np.ndarray, upper: int, lower: int) -> np.ndarray:
    """Our labels of a label picture."""
    return np.select([picture == upper, picture == lower], [lips.UPPER, lips.LOWER], lips.BACKGROUND)


def _finish_pictures(protocol: str, unit: str, found: Pairs, measure, output: Path) -> int:
    scores, _ = collect(protocol, unit, found.names, measure)
    return finish(scores, output, found.strays)


def read_embeddings(path: Path) -> identity.Embeddings:
    """Embeddings of a .npz file: `name`, `person`, `embedding`.

    Raises:
        AssetError: Missing, or of another form.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            names, people, vectors = data["name"], data["person"], data["embedding"].astype(np.float64)
    except (OSError, ValueError, KeyError) as error:
        raise AssetError(f"{path}: no embeddings; name, person and embedding are wanted: {error}") from None
    alike = vectors.ndim == 2 and len(vectors) == len(names) == len(people)
    need(alike, f"{path}: name, person, embedding differ in length")
    return identity.Embeddings(names.astype(str), people.astype(str), vectors)


def _archive(path: Path) -> Path:
    """The file itself, or the only .npz in a folder."""
    if not path.is_dir():
        return path
    inside = sorted(path.glob("*.npz"))
    need(len(inside) == 1, f"{path}: {len(inside)} .npz files, where one is wanted")
    return inside[0]


def evaluate_identity(config: EvaluateIdentity) -> int:
    """Score whether renderings look like their person."""
    files = _archive(config.predictions), _archive(config.truth)
    renderings, photos = (read_embeddings(path) for path in files)
    made_by_one(files)
    alike = renderings.vectors.shape[1] == photos.vectors.shape[1]
    need(alike, "renderings and photos come from different recognisers")
    need(bool(_sound(photos).all()), f"{config.truth}: an embedding is zero or not finite")
    strays = sorted(set(renderings.names) - set(photos.names))
    return finish(identity_report(renderings, photos), config.output, strays)


def identity_report(renderings: identity.Embeddings, photos: identity.Embeddings) -> Scores:
    """Whether renderings look like their person; a rendering without a sound embedding has failed."""
    sound = _sound(renderings)
    kept = identity.Embeddings(renderings.names[sound], renderings.people[sound], renderings.vectors[sound])
    own = dict(zip(kept.names, identity.own_similarity(kept, photos)))
    first, fifth = (dict(zip(kept.names, identity.recall(kept, photos, top))) for top in (1, 5))
    strangers = dict(zip(kept.names, identity.recall(kept, photos, 5, own=False)))
    nearer = dict(zip(kept.names, identity.nearer_than_strangers(kept, photos)))

    def measure(name: str) -> Measured:
        need(name in own, f"{name}: no rendering, or its embedding is zero or not finite")
        return Measured({
            "similarity": own[name], "top 1 %": 100 * first[name], "top 5 %": 100 * fifth[name],
            "top 5 without its own photo %": 100 * strangers[name], "nearer than strangers %": 100 * nearer[name],
        })  # fmt: skip

    people = dict(zip(photos.names, photos.people))
    scores, _ = collect("identity", "cosine", list(photos.names), measure, people)
    same, different = identity.pair_similarities(photos)
    values = {"rendering and its photo": list(own.values())}
    values |= {"photos of one person": same, "photos of two people": different}
    curves = {name: cumulative(np.asarray(v)[np.isfinite(v)], SIMILARITIES) for name, v in values.items()}
    whole = identity.identity_scores(kept, photos) if sound.any() else {}
    return replace(scores, whole=whole, curves=curves)


def _sound(embeddings: identity.Embeddings) -> np.ndarray:
    lengths = np.linalg.norm(embeddings.vectors, axis=1)
    return np.isfinite(lengths) & (lengths > 0)
