"""`likeness personalise`: a clip or photos of one person to a personal face model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import tyro

from likeness.arrays import even
from likeness.cli import inputs
from likeness.cli.main import complain, show
from likeness.errors import LikenessError, NoFaceError, OutputError, UsageError

if TYPE_CHECKING:
    from likeness.fit.persons.frames import Frame
    from likeness.fit.persons.person import Worth
    from likeness.runtime.reconstruct import System

LONGEST = 960
"""Pixels of a frame's longer side above which it is reduced: more takes memory and shows no more of a face."""


@dataclass(frozen=True)
class Personalise:
    """Learn one person's face, movements and albedo from a clip or from photos; `--person` of other commands reads the file.

    Every fourth frame is left out and used to say what the personal model is worth. The person should speak, smile, frown,
    blink, and turn the head.
    """

    inputs: tyro.conf.Positional[tuple[Path, ...]]
    """A clip, or photos, or folders of photos, of one person."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("person.safetensors")
    """The file to write."""
    name: str = ""
    """The person's name, kept in the file; by default that of the clip or of the first photo."""
    frames: int = 60
    """Frames of a clip that are looked at, evenly spread."""
    min_face: float = 40.0
    """Smallest face, in pixels after a picture's longer side is reduced to 640."""
    report: Path | None = None
    """JSON file for the errors of the frames that were left out."""
    overwrite: bool = False
    """Replace a file that is there already."""


def personalise(config: Personalise, system: System | None = None, measure: Callable | None = None) -> int:
    """Run, by default with the parts that ship; returns the exit code.

    Args:
        config: What to do.
        system: Other parts than those that ship, base level.
        measure: (photo, face) -> dense landmarks; by default the landmark network that ships.
    """
    from likeness.assets import albedo, correspondence, person
    from likeness.fit.persons.person import learn
    from likeness.runtime import landmarks
    from likeness.runtime.reconstruct import printable, shipped
    from likeness.runtime.write import write_file

    start = perf_counter()
    if config.output.exists() and not config.overwrite:
        raise OutputError(f"{config.output}: is there already; add --overwrite to replace it")
    if config.frames < 8:
        raise UsageError(f"--frames is {config.frames}; 8 are the least")
    system = system or shipped("base")
    frames = _seen(config, system, measure or landmarks.shipped())
    name = printable(config.name or config.inputs[0].stem)
    learned = learn(
        frames, system.model, albedo.load(), correspondence.read(), name, progress=lambda what: show(f"  {what}")
    )
    write_file(config.output, person.to_bytes(learned.person, system.model))
    table = summary(learned.worth)
    if config.report is not None:
        write_file(
            config.report, (json.dumps({"person": name, "frames": len(frames), **table}, indent=1) + "\n").encode()
        )
    for key, row in table.items():
        show(
            f"{key}: {row['generic']:.4g} -> {row['personal']:.4g}  (better in {row['better']:.0f} % of {row['frames']} frames held out)"
        )
    show(f"{config.output}: {learned.person.frames} frames learned from ({perf_counter() - start:.0f} s)")
    return 0


def summary(worth: Worth) -> dict[str, dict[str, float]]:
    """Means of both errors by model, and the percentage of frames in which the personal model is better."""
    result = {}
    for name, values in (
        ("landmarks, % of the eyes' distance", worth.landmarks),
        ("photometric, linear RGB", worth.photometric),
    ):
        generic, personal = np.nanmean(values, 0)
        better = 100 * float((values[:, 1] < values[:, 0]).mean())
        result[name] = {"generic": float(generic), "personal": float(personal), "better": better, "frames": len(values)}
    return result


def _seen(config: Personalise, system: System, measure: Callable) -> list[Frame]:
    """The person in each picture; pictures without a face are passed by."""
    from likeness.fit.persons.frames import Frame, choose
    from likeness.photos.video import is_clip

    clips = [path for path in config.inputs if is_clip(path)]
    if clips and len(config.inputs) > 1:
        raise UsageError(f"{clips[0]} is a clip; give one clip, or photos")
    pictures = _frames(clips[0], config.frames) if clips else _photos(config)
    found: list[list[Frame]] = []
    for name, image in pictures:
        faces = []
        for face in sorted(system.find(image, config.min_face, None), key=lambda face: -face.side):
            answer = system.encode(image, face)
            codes, landmarks = answer.codes, measure(image, face)
            faces.append(Frame(name, image, codes["identity"], codes["expression"], answer.view, landmarks))
        found += [faces] if faces else []
    if not found:
        raise NoFaceError(f"{config.inputs[0]}: no face was found in any picture")
    return choose(found)


def _photos(config: Personalise) -> list[tuple[str, np.ndarray]]:
    from likeness.photos.read import read

    result = []
    for path in inputs.photos(config.inputs):
        try:
            result.append((path.name, _reduced(read(path))))
        except LikenessError as error:
            complain(f"{error} (passed by)")
    return result


def _frames(path: Path, count: int) -> list[tuple[str, np.ndarray]]:
    """At most `count` frames, evenly spread over a clip of any length; it is read once."""
    from likeness.photos import video

    kept, stride = [], 1
    for frame in video.frames(path):
        if frame.index % stride == 0:
            kept.append((f"{path.stem} {frame.time:.2f} s", _reduced(frame.image)))
        if len(kept) > 2 * count:
            kept, stride = kept[::2], 2 * stride
    return [kept[i] for i in even(len(kept), count)]


def _reduced(image: np.ndarray) -> np.ndarray:
    ratio = LONGEST / max(image.shape[:2])
    if ratio >= 1:
        return image
    size = [max(1, round(side * ratio)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
