"""`likeness evaluate finder`: what the face finder finds, misses and invents, on photos that it never saw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from likeness.cli.frames import frames
from likeness.cli.train import data_folder
from likeness.data import backgrounds
from likeness.data.portraits import SETS, Draw, Portrait, portraits, read
from likeness.data.scenes import Mix, Scene, compose, negative, place
from likeness.evaluate import finder as measure
from likeness.photos.detect import face_frame
from likeness.runtime.detect import MODEL, Finder

SIDE = 640
"""Longer side of the pictures of all reports, in pixels."""
LEAST = 0.1
"""Score from which answers are kept for curves."""


@dataclass(frozen=True)
class EvaluateFinder:
    """Measure a face finder; with --choose, choose its threshold on validation photos and write it into the file."""

    data: Path | None = None
    """Data folder; by default LIKENESS_DATA."""
    model: Path = MODEL
    """The finder's ONNX file."""
    split: str = "test"
    """Which photos to report on: test or validation."""
    scenes: int = 400
    """Composed scenes."""
    negatives: int = 200
    """Pictures without a face. To choose a threshold take a thousand: of 200, one per cent is two."""
    choose: bool = False
    """Choose the threshold on validation photos instead of reporting."""
    output: Path | None = None
    """Write the numbers here as JSON too."""


class _Report:
    """Runs a finder over the pictures of one split."""

    def __init__(self, config: EvaluateFinder) -> None:
        self.root = data_folder(config.data)
        self.finder, self.config = Finder(config.model), config
        split = "validation" if config.choose else config.split
        self.lists = portraits(self.root / "photos", split)
        self.draw = Draw(self.lists, list(SETS.values()))
        self.pictures = backgrounds.REPORTING if split == "test" else backgrounds.TRAINING
        self.mix = Mix(SIDE, 40.0, tilted=0.5, tight=0.1, clutter=0.2, pictures=self.pictures)

    def rows(self, image: np.ndarray) -> np.ndarray:
        """All answers for a picture: (n, 5)."""
        found = self.finder.find(image, threshold=LEAST)
        return np.array([(*f.center, f.side, f.roll, f.score) for f in found], float).reshape(-1, 5)

    def match(self, title: str, scenes: Iterator[Scene], count: int) -> measure.Matches:
        """Matches over a stream of scenes."""
        found, truth, doubtful = [], [], []
        for scene in track(scenes, title, total=count, console=Console(stderr=True), transient=True):
            found.append(self.rows(scene.image))
            truth.append(scene.boxes)
            doubtful.append(scene.doubtful)
        return measure.match(found, truth, doubtful)

    def composed(self) -> measure.Matches:
        """Scenes like those of training, at twice the size: faces from 40 pixels."""
        count = self.config.scenes
        scenes = (compose(self.draw, np.random.default_rng((77, i)), self.mix) for i in range(count))
        return self.match("scenes", scenes, count)

    def alarms(self) -> np.ndarray:
        """Best score in each faceless picture that gave any answer."""
        images = (negative(self.draw, np.random.default_rng((78, i)), self.mix) for i in range(self.config.negatives))
        answers = [self.rows(image) for image in images]
        return np.array([rows[:, 4].max() for rows in answers if len(rows)])

    def single(self, photos: list[Portrait], turn: float = 0.0) -> measure.Matches:
        """Photos as they are, or turned about the face by an angle in radians."""
        return self.match("single photos", (_single(p, turn) for p in photos), len(photos))

    def pasted(self, photos: list[Portrait]) -> measure.Matches:
        """Each photo whole, its face 40 to 80 pixels, at a random place over a faceless background of 640 pixels."""
        return self.match("small faces", (_pasted(p, i, self.pictures) for i, p in enumerate(photos)), len(photos))

    def clips(self) -> measure.Matches:
        """Frames of the clips that have hand-drawn boxes."""
        frames = [(clip, number) for clip, boxes in measure.CLIP_BOXES.items() for number in boxes]
        return self.match("clips", (_frame(self.root / "clips", *frame) for frame in frames), len(frames))

    def video_frames(self) -> measure.Matches:
        """All video frames, against boxes from their automatic dense landmarks (evaluation only)."""
        found = frames(self.root, None)
        scenes = (_labelled(path, points) for path, points in zip(found.files, found.points))
        return self.match("video frames", scenes, len(found.files))


def _scene(image: np.ndarray, *faces: tuple[float, float, float, float]) -> Scene:
    return Scene(image, np.array(faces, float).reshape(-1, 4), np.zeros((0, 4)))


def _single(portrait: Portrait, turn: float) -> Scene:
    photo = read(portrait.path)
    if not turn:
        return _scene(photo, (*portrait.center, portrait.side, portrait.roll))
    size = max(photo.shape[:2])
    face = (size / 2, size / 2, portrait.side, portrait.roll + turn)
    return _scene(place(portrait, photo, face, False, size).layer, face)


def _pasted(portrait: Portrait, number: int, pictures: tuple[str, ...]) -> Scene:
    random = np.random.default_rng((79, number))
    image = backgrounds.background(SIDE, random, pictures)
    side = random.uniform(40, 80)
    face = (*(float(v) for v in random.uniform(60, SIDE - 60, 2)), side, portrait.roll)
    placed = place(portrait, read(portrait.path), face, False, SIDE)
    (x, y), (h, w) = placed.corner, placed.inside.shape
    image[y : y + h, x : x + w][placed.inside > 0.5] = placed.layer[placed.inside > 0.5]
    return _scene(image, face)


def _frame(folder: Path, clip: str, number: int) -> Scene:
    capture = cv2.VideoCapture(str(folder / f"{clip}.mp4"))
    capture.set(cv2.CAP_PROP_POS_FRAMES, number)
    _, image = capture.read()
    return _scene(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (*measure.CLIP_BOXES[clip][number], 0.0))


def _labelled(path: Path, points: np.ndarray) -> Scene:
    center, side, roll = face_frame(points)
    return _scene(read.__wrapped__(path), (*center, side, roll))  # not kept in memory: each is seen once


def _numbers(matches: measure.Matches, threshold: float) -> dict[str, float]:
    return {
        "faces": matches.faces,
        "average_precision": measure.average_precision(matches),
        "recall": measure.recall(matches, threshold),
        "precision": measure.precision(matches, threshold),
    }


def report(config: EvaluateFinder) -> dict[str, object]:
    """All numbers of one split, by name."""
    run = _Report(config)
    threshold = run.finder.threshold
    sfhq, everything = run.lists[0], [p for photos in run.lists for p in photos]
    parts: dict[str, Callable[[], measure.Matches]] = {
        "composed scenes": run.composed,
        "photos as they are": lambda: run.single(everything),
        "sfhq as it is": lambda: run.single(sfhq),
        "sfhq, profile": lambda: run.single([p for p in sfhq if p.weight > 3]),
        "sfhq, turned +30 degrees": lambda: run.single(sfhq, math.radians(30)),
        "sfhq, turned -45 degrees": lambda: run.single(sfhq, math.radians(-45)),
        "sfhq at 40 to 80 px": lambda: run.pasted(sfhq),
    }
    if config.split == "test":
        parts |= {"frames of clips": run.clips, "video frames": run.video_frames}
    numbers: dict[str, object] = {"threshold": threshold}
    for name, part in parts.items():
        matches = part()
        numbers[name] = _numbers(matches, threshold)
        if name in ("composed scenes", "photos as they are", "sfhq as it is"):
            sure = matches.pairs[: int(matches.true[matches.scores >= threshold].sum())]
            numbers[name] |= {"box_error": asdict(measure.box_error(sure))}
    alarms = run.alarms()
    numbers["faceless pictures"] = {"pictures": config.negatives, "with an alarm": int((alarms >= threshold).sum())}
    return numbers


def choose(config: EvaluateFinder) -> float:
    """The threshold by validation scenes and faceless validation pictures; written into the model's file."""
    import onnx

    run = _Report(config)
    threshold = measure.choose_threshold(run.composed(), run.alarms(), config.negatives)
    model = onnx.load(config.model)
    facts = {p.key: p.value for p in model.metadata_props} | {"likeness.threshold": f"{threshold:.4f}"}
    onnx.helper.set_model_props(model, facts)
    beside = config.model.with_name(config.model.name + ".part")
    onnx.save(model, beside)
    beside.replace(config.model)
    return threshold


def evaluate_finder(config: EvaluateFinder) -> None:
    """Print the numbers, or choose the threshold."""
    console = Console()
    if config.choose:
        console.print(f"threshold {choose(config):.3f}, written to {config.model}")
        return
    numbers = report(config)
    text = json.dumps(numbers, indent=1)
    console.print_json(text)
    if config.output:
        config.output.write_text(text + "\n")
