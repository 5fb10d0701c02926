"""`likeness fit CLIP`: a face followed through a clip, as numbers, as animation, and drawn over the clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from likeness.cli import inputs
from likeness.cli.main import show
from likeness.errors import NoFaceError, OutputError, UsageError

if TYPE_CHECKING:
    from likeness.export.motion import Motion
    from likeness.fit.clips.clip import ClipFit, Evidence
    from likeness.runtime.reconstruct import System
    from likeness.runtime.track import Landmarker, Tracked

CLIP_FILES = ("motion.json", "motion.csv", "face.glb", "face.jpg", "albedo.png", "overlay.mp4")
"""Every name that a file of a clip's result can have."""
LOOKS = 2
"""Crops of a frame that the landmark network looks at, each mirrored, too; a photo has five, a clip has its neighbours."""
BLENDED, SIDE = 3, 12.0
"""Frames that the texture is blended from, and degrees of yaw from which on a frame shows a side."""


@dataclass(frozen=True)
class FitClip:
    """Follow a face through a clip: motion.json, motion.csv for Live Link, an animated face.glb, and an overlay video."""

    clip: tyro.conf.Positional[Path]
    """A video of any format that FFmpeg reads."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out")
    """Folder for the results."""
    face: int = 1
    """Which face: 1 is the one that is there largest and longest, 2 the next."""
    start: float = 0.0
    """Seconds of the clip that are left out at its beginning."""
    end: float | None = None
    """Where to stop, in seconds from the clip's first frame."""
    level: Literal["base", "dense"] = "dense"
    """Level of the mesh in face.glb."""
    min_face: float = 40.0
    """Smallest face, in pixels after the frame's longer side is reduced to 640."""
    overlay: bool = True
    """Write the overlay video."""
    overwrite: bool = False
    """Replace results that are there already; files that are not ours stay."""


def fit_clip(config: FitClip, system: System | None = None, landmarker: Landmarker | None = None) -> int:
    """Run over a clip, by default with the parts that ship; returns the exit code.

    Raises:
        LikenessError: One line; nothing has been written then.
    """
    from likeness.photos import video
    from likeness.runtime import landmarks
    from likeness.runtime.reconstruct import shipped
    from likeness.runtime.write import folders

    _check(config)
    start = perf_counter()
    about = video.describe(config.clip)
    place = config.output / inputs.folder_names([config.clip])[0]
    folder = f"face-{config.face}"
    if not config.overwrite and (place / folder).is_dir():
        raise OutputError(f"{place / folder}: results are there already; add --overwrite to replace them")
    if system is None:
        system, landmarker = shipped("base"), landmarker or landmarks.Landmarker(places=landmarks.PLACES[:LOOKS])
    with _progress() as stage:
        tracked = _follow(config, system, landmarker, stage("following", about.frames))
        if config.face > len(tracked.faces):
            raise NoFaceError(
                f"{config.clip}: --face {config.face} was asked for, but {len(tracked.faces)} faces are there"
            )
        motion = _fit(config, tracked, system, about.rate, stage("fitting", None))
        with folders(place, CLIP_FILES) as temporary:
            result = temporary / folder
            result.mkdir()
            motion, texture = _second_pass(config, motion, tracked, system, result, stage("drawing", len(motion.times)))
            _write(config, motion, system, texture, result)
    show(_summary(config, motion, len(tracked.faces), place / folder, perf_counter() - start))
    return 0


def _check(config: FitClip) -> None:
    if config.face < 1:
        raise UsageError(f"--face is {config.face}; faces are counted from 1")
    if config.start < 0 or (config.end is not None and config.end <= config.start):
        raise UsageError(f"--start {config.start:g} and --end {config.end} leave nothing of the clip")
    if not 1 <= config.min_face <= 640:
        raise UsageError(f"--min-face is {config.min_face:g}; give pixels between 1 and 640")


@contextmanager
def _progress() -> Iterator[Callable[[str, int | None], Callable[[int, int], None]]]:
    """A bar for each stage with frames per second: `stage(name, total)` gives a function of (done, total or anything)."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.fields[of]} frames"), \
        TextColumn("{task.fields[pace]}"), TimeRemainingColumn()  # fmt: skip
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:

        def stage(name: str, total: int | None) -> Callable[[int, int], None]:
            task, begin = bar.add_task(name, total=total, of=total or "?", pace=""), perf_counter()

            def advance(done: int, of: int) -> None:
                seconds = max(perf_counter() - begin, 1e-6)
                values = {} if total is not None else {"total": of, "of": of}
                bar.update(task, completed=done, pace=f"{done / seconds:.1f} a second", **values)

            return advance

        yield stage


def _follow(
    config: FitClip, system: System, landmarker: Landmarker | None, advance: Callable[[int, int], None]
) -> Tracked:
    from likeness.photos import video
    from likeness.runtime.track import track

    try:
        return track(video.frames(config.clip, config.start, config.end), system, landmarker, config.min_face, advance)
    except NoFaceError as error:
        hint = "; --min-face 20 looks for smaller ones" if config.min_face > 20 else ""
        raise NoFaceError(f"{config.clip}: {error}{hint}") from None


def evidence(tracked: Tracked, face: int) -> Evidence:
    """What was seen of a face, counted from 0."""
    from likeness.fit.clips.clip import Evidence

    return Evidence.of(
        [
            [
                (s.frame, s.landmarks, s.codes["identity"], s.codes["expression"], s.view, s.sharpness)
                for s in stretch.sightings
            ]
            for stretch in tracked.faces[face]
        ]
    )


def _fit(config: FitClip, tracked: Tracked, system: System, rate: float, advance: Callable[[int, int], None]) -> Motion:
    from likeness.assets import correspondence
    from likeness.fit.clips.clip import fit_clip as solve
    from likeness.fit.landmarks.bases import builtin_bases

    landmarks = correspondence.read()
    bases, seen = builtin_bases(system.model, landmarks), evidence(tracked, config.face - 1)
    fitted = solve(bases, seen, tracked.times, tracked.size, progress=advance, kept=landmarks.offset)
    return as_motion(fitted, tracked, config.face - 1, config.clip.name, rate, system)


def as_motion(fitted: ClipFit, tracked: Tracked, face: int, clip: str, rate: float, system: System) -> Motion:
    """A fit as the files tell it: one entry for every frame of the clip, lost ones too."""
    from likeness.export.motion import INTERPOLATED, LOST, TRACKED, Motion
    from likeness.runtime.reconstruct import printable

    count = len(tracked.times)
    state, segment = np.full(count, LOST), np.full(count, -1)
    state[fitted.frame] = np.where(fitted.seen, TRACKED, INTERPOLATED)
    segment[fitted.frame] = np.unique(fitted.stretch, return_inverse=True)[1]

    def everywhere(values: np.ndarray) -> np.ndarray:
        result = np.full((count, *values.shape[1:]), np.nan)
        result[fitted.frame] = values
        return result

    box = np.full((count, 4), np.nan)
    for stretch in tracked.faces[face]:
        for sighting in stretch.sightings:
            box[sighting.frame] = sighting.detection.box
    return Motion(
        clip=printable(clip), size=tracked.size, rate=rate, times=tracked.times, state=state, segment=segment,
        identity=fitted.identity, expression=everywhere(fitted.expression), rotation=everywhere(fitted.rotation),
        translation=everywhere(fitted.translation), focal=fitted.focal, principal=fitted.principal, box=box,
        cuts=tracked.cuts, model={"name": "likeness-builtin"},
        licences=(system.model.licence,) if system.model.licence else (),
    )  # fmt: skip


def _second_pass(
    config: FitClip, motion: Motion, tracked: Tracked, system: System, folder: Path, advance: Callable[[int, int], None]
) -> tuple[Motion, np.ndarray]:
    """Read the clip again: texture and albedo from its best frames, the light, the overlay video.

    Returns:
        The motion with its light, and the texture.
    """
    from likeness.export.motion import LOST
    from likeness.export.textures import to_png
    from likeness.photos import video
    from likeness.runtime import overlay
    from likeness.runtime.blend import blend
    from likeness.runtime.reconstruct import TEXTURE_SIZE
    from likeness.runtime.unwrap import see

    topology = system.model.topology("base")
    best = texture_frames(motion, tracked, config.face - 1)
    images = _pictures(config, best)
    shape = system.model.mean + np.tensordot(motion.identity.astype(np.float32), system.model.identity, 1)

    def vertices(frame: int) -> np.ndarray:
        return shape + np.tensordot(motion.expression[frame].astype(np.float32), system.model.expression, 1)

    photos = [lambda f=f: see(images[f], vertices(f), motion.view(f), topology, TEXTURE_SIZE) for f in best]
    texture = blend(photos, topology).texture
    lighting = _Lighting.of(motion, system, [images[f] for f in best], best)
    (folder / "albedo.png").write_bytes(to_png(lighting.texture()))
    writer = video.Writer(folder / "overlay.mp4", motion.size, motion.rate) if config.overlay else None
    with writer or nullcontext():
        for frame in video.frames(config.clip, config.start, config.end):
            there = motion.state[frame.index] != LOST
            if there:
                lighting.look(frame.index, frame.image)
            if writer is not None:
                drawn = (
                    overlay.draw(frame.image, vertices(frame.index), motion.view(frame.index), topology)
                    if there
                    else frame.image
                )
                writer.add(drawn, frame.time - motion.times[0])
            advance(frame.index + 1, 0)
    return lighting.finish(), texture


def _pictures(config: FitClip, wanted: list[int]) -> dict[int, np.ndarray]:
    """A few frames of the clip by their numbers."""
    from likeness.photos import video

    found = {}
    for frame in video.frames(config.clip, config.start, config.end):
        if frame.index in wanted:
            found[frame.index] = frame.image
        if len(found) == len(wanted):
            break
    return found


class _Lighting:
    """Measures light a few times a second while the frames go by, in batches, and joins it at the end.

    Attributes:
        batch: Frames that are measured together.
    """

    batch = 8

    def __init__(self, motion: Motion, surface: Any, albedo: np.ndarray) -> None:
        self.motion, self.surface, self.albedo = motion, surface, albedo
        self.waiting: list[tuple[int, Any]] = []
        self.known: dict[int, np.ndarray] = {}
        self.last = -np.inf
        self.segment = -1

    @classmethod
    def of(cls, motion: Motion, system: System, images: list[np.ndarray], frames: list[int]) -> _Lighting:
        """With the albedo that some frames show."""
        from likeness.assets import albedo
        from likeness.fit.clips import clip_light
        from likeness.fit.photo.surface import Surface

        surface = Surface.of(system.model, albedo.load())
        looks = [
            clip_light.Look(image, motion.expression[f].astype(np.float32), motion.view(f))
            for f, image in zip(frames, images)
        ]
        return cls(motion, surface, clip_light.albedo(surface, motion.identity, looks))

    def texture(self) -> np.ndarray:
        """(S, S, 3) uint8 sRGB: the person's albedo over the chart, within what the albedo model can show."""
        import torch

        from likeness import color

        return color.encode(self.surface.texture(torch.as_tensor(self.albedo)).numpy())

    def look(self, frame: int, image: np.ndarray) -> None:
        """Take a frame in, if the last one that was taken is long enough ago or of another stretch."""
        from likeness.fit.clips import clip_light

        new = self.motion.segment[frame] != self.segment
        if not new and self.motion.times[frame] - self.last < 1 / clip_light.RATE - 1e-6:
            return
        self.segment, self.last = self.motion.segment[frame], self.motion.times[frame]
        self.waiting.append(
            (frame, clip_light.Look(image, self.motion.expression[frame].astype(np.float32), self.motion.view(frame)))
        )
        if len(self.waiting) == self.batch:
            self._measure()

    def _measure(self) -> None:
        from likeness.fit.clips import clip_light

        frames, looks = zip(*self.waiting)
        self.known |= dict(zip(frames, clip_light.lights(self.surface, self.motion.identity, self.albedo, looks)))
        self.waiting = []

    def finish(self) -> Motion:
        """The motion with light at every frame that is not lost."""
        from likeness.fit.clips import clip_light

        if self.waiting:
            self._measure()
        light = np.full((len(self.motion.times), 9, 3), np.nan)
        for frames in self.motion.segments():
            measured = [i for i, frame in enumerate(frames) if int(frame) in self.known]
            values = np.stack([self.known[int(frames[i])] for i in measured])
            light[frames] = clip_light.through(self.motion.times[frames], measured, values)
        return replace(self.motion, light=light, albedo=self.albedo)


def texture_frames(motion: Motion, tracked: Tracked, face: int) -> list[int]:
    """The frames that a texture is made of: first the best from the front, then the best of each side that is shown.

    From the front, with open eyes and a quiet mouth, sharp, large.
    """
    from likeness.assets.arkit import EXPRESSIONS
    from likeness.geometry.rotation import to_euler

    sightings = [s for stretch in tracked.faces[face] for s in stretch.sightings]
    frames = np.array([s.frame for s in sightings])
    names = list(EXPRESSIONS)
    yaw, pitch, _ = np.degrees(np.stack(to_euler(motion.rotation[frames])))
    weights = motion.expression[frames]
    lids = weights[:, [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]].max(1)
    mouth = weights[:, [i for i, name in enumerate(names) if name.startswith(("mouth", "jaw"))]].sum(1)
    quality = np.array([np.log(s.sharpness + 1e-6) + np.log(s.detection.side) for s in sightings])
    quality = quality - 3 * lids - 0.5 * mouth
    chosen = [int(frames[np.argmax(quality - np.abs(yaw) / 10 - np.abs(pitch) / 15)])]
    for sign in (1, -1):
        if (sign * yaw > SIDE).any():
            score = np.where(sign * yaw > SIDE, quality + np.minimum(sign * yaw, 40) / 20, -np.inf)
            chosen.append(int(frames[np.argmax(score)]))
    return chosen[:BLENDED]


def _write(config: FitClip, motion: Motion, system: System, texture: np.ndarray, folder: Path) -> None:
    from likeness.export import gltf
    from likeness.export import motion as files
    from likeness.export.asset import from_builtin
    from likeness.export.textures import to_jpeg

    picture = to_jpeg(texture)
    first = motion.segments()[0][0]
    asset = from_builtin(
        system.model, motion.identity, motion.expression[first], config.level, picture, Path(motion.clip).stem or "face",
        {"clip": motion.clip},
    )  # fmt: skip
    contents: dict[str, Any] = {
        "motion.json": files.to_bytes(motion), "motion.csv": files.to_live_link(motion), "face.jpg": picture,
        "face.glb": gltf.to_bytes(asset, files.animations(motion), motion.view(int(first))),
    }  # fmt: skip
    for file, data in contents.items():
        (folder / file).write_bytes(data)


def _summary(config: FitClip, motion: Motion, faces: int, place: Path, seconds: float) -> str:
    from likeness.export.motion import INTERPOLATED, LOST

    count = len(motion.times)
    parts = [f"{count} frames", f"face {config.face} of {faces}"]
    for name, state in (("lost", LOST), ("interpolated", INTERPOLATED)):
        number = int((motion.state == state).sum())
        parts += [f"{number} {name}"] if number else []
    parts += [f"{len(motion.cuts)} cut{'s' if len(motion.cuts) > 1 else ''}"] if motion.cuts else []
    return f"{config.clip}: {', '.join(parts)} -> {place} ({seconds:.1f} s, {count / seconds:.1f} frames a second)"
