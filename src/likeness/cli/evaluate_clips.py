"""`likeness evaluate clips`: how steadily and how truly a face is followed, in filmed clips and in rendered ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from likeness.cli.evaluate import Rows, show
from likeness.cli.fit_clip import evidence
from likeness.cli.train import data_folder
from likeness.errors import PhotoError

if TYPE_CHECKING:
    from likeness.data.performance import Performance
    from likeness.fit.landmarks.bases import LandmarkBases

SIDE, FOCAL, RATE = 320, 832.0, 30
"""Pixels of a rendered clip's frames, its focal length, and its frames per second."""


@dataclass(frozen=True)
class EvaluateClips:
    """Trembling at rest, lips and lids, lag: the regressor frame by frame, the fit frame by frame, and the fit in time.

    In filmed clips landmarks are what everything is held against; rendered ones have a known performance.
    """

    clips: Path | None = None
    """Folder of clips; by default clips/ of the data folder."""
    data: Path | None = None
    """Data folder that holds clips/, photos/ and ict/; by default LIKENESS_DATA."""
    targets: Path | None = None
    """Folder of fits made by `likeness label`; with it clips are rendered, too, with skins from photos."""
    rendered: int = 3
    """Clips to render."""
    frames: int = 180
    """Frames of each."""
    sets: tuple[str, ...] = ("sfhq",)
    """Photo sets whose skins are used."""
    split: str = "validation"
    """Split of the photos whose skins are used."""
    output: Path | None = None
    """JSON file for the tables."""


def evaluate_clips(config: EvaluateClips) -> None:
    """Print and write the tables."""
    from likeness.photos import video

    folder = data_folder(config.data)
    place = config.clips or folder / "clips"
    clips = sorted(path for path in place.iterdir() if video.is_clip(path)) if place.is_dir() else []
    if not clips and config.targets is None:
        raise PhotoError(f"{place}: no clip lies in this folder")
    rows = Rows()
    for path in clips:
        for name, values in _measure(path, None).items():
            rows[f"{path.stem} {name}"] = values
    if clips:
        show("filmed clips, against landmarks", rows, config.output)
    if config.targets is None:
        return
    rows = Rows()
    for number, (path, truth) in enumerate(_rendered(folder, config), 1):
        for name, values in _measure(path, truth).items():
            rows[f"rendered {number} {name}"] = values
    show("rendered clips, against the truth", rows, config.output)


def _measure(path: Path, truth: tuple[Performance, np.ndarray] | None) -> dict[str, dict[str, float]]:
    """Rows by way of following: values by measure."""
    from likeness.assets import correspondence
    from likeness.cli.fit_clip import shipped_landmarker
    from likeness.fit.clips.clip import ClipConfig, fit_clip
    from likeness.fit.landmarks.bases import builtin_bases
    from likeness.photos import video
    from likeness.runtime.reconstruct import shipped
    from likeness.runtime.track import track

    system, begin = shipped("base"), process_time()
    tracked = track(video.frames(path), system, shipped_landmarker())
    spent = (process_time() - begin) / len(tracked.times)
    landmarks = correspondence.read()
    seen, bases = evidence(tracked, 0), builtin_bases(system.model, landmarks)
    surface = replace(
        bases, mean=bases.mean - landmarks.offset
    )  # measured is the mesh, not where landmarks are put beside it
    answers: dict[str, Any] = {"regressor": (seen.identity, seen.expression, seen.rotation, seen.translation, seen.focal,
                                             seen.principal, 0.0)}  # fmt: skip
    for name, smooth in (("frame by frame", False), ("in time", True)):
        begin = process_time()
        fitted = fit_clip(bases, seen, tracked.times, tracked.size, ClipConfig(smooth=smooth), kept=landmarks.offset)
        kept = fitted.seen
        count = int(kept.sum())
        answers[name] = (
            np.tile(fitted.identity, (count, 1)), fitted.expression[kept], fitted.rotation[kept], fitted.translation[kept],
            np.full(count, fitted.focal), np.tile(fitted.principal, (count, 1)), (process_time() - begin) / len(tracked.times),
        )  # fmt: skip
    return {
        name: _values(surface, answer, seen, tracked.size, truth, path) | {"ms a frame": 1000 * (spent + answer[-1])}
        for name, answer in answers.items()
    }


def _values(
    bases: LandmarkBases,
    answer: tuple,
    seen: Any,
    size: tuple[int, int],
    truth: tuple[Performance, np.ndarray] | None,
    path: Path,
) -> dict[str, float]:
    from likeness.evaluate import movement
    from likeness.geometry.cameras import project
    from likeness.types import View

    identity, expression, rotation, translation, focal, principal, _ = answer
    found = places(bases, identity, expression)
    if truth is not None:
        played, person = truth
        frames = seen.frame
        true = places(bases, np.tile(person, (len(frames), 1)), played.expression[frames])
        events = [np.searchsorted(frames, values) for values in (played.blinks, played.closures)]
        return movement.against_truth(found, true, rotation, played.rotation[frames], played.rest[frames], *events)
    shown = project(found, View(rotation, translation, focal, principal, size))
    scale = float(np.median(focal / -translation[:, 2]))
    return movement.against_landmarks(shown, seen.points, scale) | _slip(path, seen.frame, shown, scale)


def _slip(path: Path, frames: np.ndarray, shown: np.ndarray, scale: float) -> dict[str, float]:
    """Mean length of the slip in mm a frame, and of its change from one frame to the next: what trembles."""
    import cv2

    from likeness.evaluate import movement
    from likeness.photos import video

    row = dict(zip(frames.tolist(), shown[:, list(movement.SKIN)]))
    before, slips = None, []
    for frame in video.frames(path):
        grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        known = before is not None and {frame.index - 1, frame.index} <= row.keys()
        ends = (row[frame.index - 1], row[frame.index]) if known else None
        slips.append(movement.slip(before, grey, *ends) if known else np.full((len(movement.SKIN), 2), np.nan))
        before = grey
    slips = np.array(slips) / scale
    lengths = (np.linalg.norm(x, axis=-1) for x in (slips, np.diff(slips, axis=0)))
    return dict(zip(("slip mm", "trembling mm"), (float(np.nanmean(length)) for length in lengths)))


def places(bases: LandmarkBases, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """Dense landmarks (F, 478, 3) mm, model frame, of codes (F, 100) and (F, 51)."""
    moved = np.einsum("fk,knc->fnc", identity, bases.identity) + np.einsum("fk,knc->fnc", expression, bases.expression)
    return bases.mean + moved


def _rendered(folder: Path, config: EvaluateClips) -> Iterator[tuple[Path, tuple[Performance, np.ndarray]]]:
    """Clips of known performances, one after the other, as files that are gone afterwards."""
    from likeness.assets import ict
    from likeness.cli.regressor import dense_model, landmark_model
    from likeness.data import backgrounds
    from likeness.data.folder import read_set
    from likeness.data.performance import film, perform
    from likeness.data.synthetic import Shooting
    from likeness.photos.video import Writer

    head = ict.read(folder / "ict" / "ict_face_model.npz")
    listings = [read_set(folder / "photos", name, config.split, config.targets) for name in config.sets]
    shooting = Shooting(head, dense_model(landmark_model(head)), listings, skins=4 * config.rendered)
    for number in range(config.rendered):
        random = np.random.default_rng(number + 1)
        identity = random.standard_normal(100)
        played, look = perform(config.frames, RATE, random), shooting.look(random)
        pictures = film(played, identity, shooting.studio, look, backgrounds.background(SIDE, random), FOCAL)
        with TemporaryDirectory() as temporary:
            path = Path(temporary) / f"rendered{number + 1}.mp4"
            with Writer(path, (SIDE, SIDE), RATE) as clip:
                for image, time in zip(pictures, played.times):
                    clip.add(image, time)
            yield path, (played, identity)
