"""Trained recipes of papers, from their checkpoints, as the commands that measure them want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro

from likeness.arrays import even
from likeness.assets.catalogue import PHOTO_SETS
from likeness.cli.train import data_folder
from likeness.errors import AssetError, UsageError

if TYPE_CHECKING:
    from likeness.data.folder import Listing
    from likeness.types import Face, Topology

RECIPES = ("Genova2018", "Tewari2018")
"""What a checkpoint may call its recipe."""
TOGETHER = 16
"""Photos at a time."""
SHOWN = ("sfhq", "stylegan")
"""Sets whose pictures may be shown."""
FRAMES = "video_frames"
"""The one set with several pictures of a person; all others are photo sets."""


@dataclass(frozen=True)
class Made:
    """How a checkpoint's recipe was made: what was given to its `likeness train`."""

    recogniser: str = "likeness"
    """genova2018: the frozen recognition network."""
    recogniser_weights: Path | None = None
    """genova2018: its file; without one, likeness is the network that ships."""
    face_model: Path | None = None
    """genova2018: the face model, where it is not the one that ships."""
    backbone: str = "mobilenet-places"
    """tewari2018: the encoder."""
    level: Literal["base", "final"] = "final"
    """tewari2018: which of its faces is measured where one is."""


@dataclass(frozen=True)
class Measurement:
    """What the commands have in common that measure a trained recipe on photos.

    Attributes are the options of the command line.
    """

    checkpoint: tyro.conf.Positional[Path]
    """Of `likeness train genova2018` or `tewari2018`."""
    made: Annotated[Made, tyro.conf.arg(name="")] = field(default_factory=Made)
    data: Path | None = None
    """Data folder; by default LIKENESS_DATA."""
    sets: tuple[str, ...] = PHOTO_SETS
    """Photo sets, or video_frames."""
    split: Literal["validation", "test"] = "validation"
    """Choose on validation, open test to report."""
    photos: int = 10000
    """At most so many of a set."""
    sheet: Path | None = None
    """Write a picture, .png or .jpg; sfhq and stylegan only."""
    rows: int = 8
    """Photos on the sheet."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report")
    """Folder for scores.csv and report.json."""

    def measured(self) -> list[Shown]:
        """The photos of the run."""
        return listings(data_folder(self.data), self.sets, self.split, self.photos)

    def on_sheet(self, rows: int) -> list[Shown]:
        """So many photos or a few more, evenly from those of the sets that may be shown; from all such where none may."""
        sets = tuple(name for name in self.sets if name in SHOWN) or SHOWN
        return listings(data_folder(self.data), sets, self.split, -(-rows // len(sets)))


class Rest(NamedTuple):
    """Faces at rest with colours, and their codes.

    Attributes:
        face: (B, V, 3) each.
        codes: "identity" and "albedo", (B, K) each.
    """

    face: Face
    codes: dict[str, np.ndarray]


class Shown(NamedTuple):
    """Photos of a set.

    Attributes:
        listing: The photos.
        people, scenes: Whom each shows, and what else has the same light, day and camera: the frames of a video.
    """

    listing: Listing
    people: list[str]
    scenes: list[str]


class System(NamedTuple):
    """A trained recipe as a function of photos.

    Attributes:
        name: Of the recipe, as on the command line.
        rest: Photos of a listing, in its order, `TOGETHER` at a time, to faces at rest.
        topology: Of the faces.
        recogniser: The frozen network inside, or None.
    """

    name: str
    rest: Callable[[Listing], Iterator[Rest]]
    topology: Topology
    recogniser: Any = None


def name_of(path: Path) -> str:
    """Which recipe a checkpoint is of, as on the command line.

    Raises:
        AssetError: When it is none, or of a recipe that is not measured here.
    """
    from likeness.train import checkpoint

    name = checkpoint.load(path)[1].get("identity", {}).get("recipe")
    if name not in RECIPES:
        raise AssetError(f"{path}: a checkpoint of {name}; {' or '.join(RECIPES)} is wanted")
    return name.lower()


def system(path: Path, made: Made) -> System:
    """The recipe of a checkpoint with its averaged weights.

    Raises:
        AssetError: When the weights do not fit.
    """
    return {"genova2018": _genova, "tewari2018": _tewari}[name_of(path)](path, made)


def _genova(path: Path, made: Made) -> System:
    import torch

    from likeness.cli.genova2018 import face_model
    from likeness.data.observed import aligned
    from likeness.encoders.recognition.load import load
    from likeness.encoders.recognition.templates import five
    from likeness.recipes.genova2018 import Genova2018

    recogniser = load(made.recogniser, made.recogniser_weights)
    model, booth = face_model(made.face_model, recogniser)
    recipe = Genova2018(recogniser, model, booth)
    filled(recipe, path)

    def rest(listing: Listing) -> Iterator[Rest]:
        for rows in parts(len(listing.files)):
            crops = np.stack([aligned(listing.picture(i), five(listing.points[i]), recogniser) for i in rows])
            with torch.no_grad():
                codes = recipe(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)
                yield Rest(model(*codes), {name: value.numpy() for name, value in codes._asdict().items()})

    return System("genova2018", rest, booth.topology, recogniser)


def tewari_recipe(path: Path, made: Made) -> Any:
    """The recipe of Tewari et al. 2018 with a checkpoint's weights, which also say what kind of correctives it has.

    Raises:
        AssetError: When the weights are others.
    """
    from likeness.cli.tewari2018 import make
    from likeness.train import checkpoint

    weights = checkpoint.strip(checkpoint.load(path)[0], "weights.")
    kind = "non-linear" if "model.geometry.space.inner.weight" in weights else "linear"
    basis = weights.get("model.reflectance.space." + {"linear": "basis", "non-linear": "outer.basis"}[kind])
    head = weights.get("network.heads.geometry.weight")
    if head is None or basis is None:
        raise AssetError(f"{path}: no weights of tewari2018")
    recipe = make(kind, made.backbone, len(head), math.isqrt(basis.shape[1] // 3))
    filled(recipe, path)
    return recipe


def _tewari(path: Path, made: Made) -> System:
    import torch

    from likeness.types import Face

    recipe = tewari_recipe(path, made)

    def rest(listing: Listing) -> Iterator[Rest]:
        for batch in crops(listing):
            with torch.no_grad():
                found = recipe.network(batch["image"])
                face = getattr(recipe.levels(found), made.level)
            neutral = Face(face.neutral, face.neutral, face.albedo)
            yield Rest(neutral, {"identity": found.identity.numpy(), "albedo": found.albedo.numpy()})

    return System("tewari2018", rest, recipe.topology)


def filled(recipe: Any, path: Path) -> None:
    """Put a checkpoint's averaged weights into a recipe, and the recipe into evaluation mode.

    Raises:
        AssetError: When they do not fit: the recipe was made in another way.
    """
    from likeness.encoders.weights import misfit
    from likeness.train import checkpoint

    try:
        checkpoint.load_weights(path, recipe)
    except RuntimeError as error:
        raise AssetError(
            f"{path}: its weights do not fit; was the recipe made with other options? ({misfit(error)})"
        ) from None
    recipe.eval()


def crops(listing: Listing, confidence: np.ndarray | None = None) -> Iterator[dict[str, Any]]:
    """Batches of the exactly placed crops of `data.landmarked`, in the order of a listing."""
    from torch.utils.data import default_collate

    from likeness.data.folder import Photos
    from likeness.data.landmarked import LandmarkedCrops

    data = LandmarkedCrops(Photos([listing]), [listing.name], 0, 0, confidence, plain=True)
    for rows in parts(len(data)):
        yield default_collate([data[i] for i in rows])


def parts(count: int) -> Iterator[range]:
    """Places of photos that are looked at together."""
    return (range(start, min(start + TOGETHER, count)) for start in range(0, count, TOGETHER))


def listings(data: Path, sets: Sequence[str], split: str, most: int) -> list[Shown]:
    """Photos with dense landmarks, whom each shows, and in which scene.

    Args:
        sets: Photo sets, in which everybody appears once, and `FRAMES`.
        most: Of a set, evenly chosen.

    Raises:
        UsageError: Without sets.
    """
    from likeness.cli.frames import frames
    from likeness.data.folder import Listing, read_set

    if not sets or most < 1:
        raise UsageError("name --sets, and at least one photo of each (--photos)")
    found = []
    for name in sets:
        if name == FRAMES:
            shown = frames(data, split)
            folder = data / FRAMES
            files = [str(path.relative_to(folder / "frames")) for path in shown.files]
            listing, people = Listing(folder, "frames", files, shown.points), [str(person) for person in shown.people]
            scenes = [f"{person} {video}" for person, video in zip(people, shown.videos)]
        else:
            listing = read_set(data / "photos", name, split)
            people = scenes = [f"{name}/{Path(file).stem}" for file in listing.files]
        chosen = even(len(people), most)
        kept = Listing(listing.root, listing.name, [listing.files[i] for i in chosen], listing.points[chosen])
        found.append(Shown(kept, [people[i] for i in chosen], [scenes[i] for i in chosen]))
    return found
