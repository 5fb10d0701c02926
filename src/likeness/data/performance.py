"""A performance with known truth: how a face might move that talks, blinks, nods and sometimes rests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.data.studio import Look, Studio
from likeness.geometry.rotation import from_euler
from likeness.types import View

_ROW = {name: i for i, name in enumerate(EXPRESSIONS)}
SYLLABLES = {
    "a": {"jawOpen": 0.5, "mouthLowerDown": 0.25, "mouthUpperUp": 0.1},
    "e": {"jawOpen": 0.2, "mouthStretch": 0.3, "mouthLowerDown": 0.2},
    "i": {"jawOpen": 0.08, "mouthSmile": 0.35, "mouthStretch": 0.15},
    "o": {"jawOpen": 0.32, "mouthFunnel": 0.5},
    "u": {"jawOpen": 0.12, "mouthPucker": 0.6, "mouthFunnel": 0.2},
    "m": {"mouthPress": 0.4, "mouthRollLower": 0.2},
    "f": {"jawOpen": 0.05, "mouthRollLower": 0.45, "mouthUpperUp": 0.15},
}
"""Mouth shapes of some sounds, two-sided names without their sides; "m" closes the lips."""
SYLLABLE = 0.11
"""Seconds from one mouth shape to the next: nine sounds a second, as in quick speech."""
CLOSING, OPENING = 0.07, 0.13
"""Seconds in which lids close and open in a blink (Evinger et al. 1991 report about these)."""


@dataclass(frozen=True)
class Performance:
    """What was played.

    Attributes:
        times: (F,) seconds.
        expression: (F, 51) in [0, 1].
        rotation: (F, 3, 3) camera from model.
        translation: (F, 3) mm, camera from model.
        rest: (F,) bool: nothing moves here.
        blinks: Frames in the middle of a blink.
        closures: Frames in the middle of a lip closure.
    """

    times: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    rest: np.ndarray
    blinks: np.ndarray
    closures: np.ndarray


def rows(name: str) -> list[int]:
    """Places of a movement, or of both its sides."""
    return [_ROW[n] for n in (name, name + "Left", name + "Right") if n in _ROW]


def perform(frames: int, rate: float, random: np.random.Generator, distance: float = 800.0) -> Performance:
    """Play: the first and the last fifth at rest, between them speech, blinks, glances and turns of the head.

    Args:
        frames: At least 40.
        rate: Frames per second.
        distance: mm from the camera to the head's origin.
    """
    times = np.arange(frames) / rate
    begin, end = times[frames // 5], times[frames - 1 - frames // 5]
    inside = _smooth((times - begin) / 0.3) * _smooth((end - times) / 0.3)
    expression = np.zeros((frames, len(EXPRESSIONS)))
    closures = _speak(expression, times, begin, end, random)
    _gaze(expression, times, begin, end, random)
    brows = rows("browInnerUp") + rows("browOuterUp")
    expression[:, brows] += (0.5 * _bump(times, random.uniform(begin + 0.5, end - 0.5), 0.3))[:, None]
    expression[:, rows("mouthSmile")] += 0.12  # at rest, too, a face is not the model's neutral one
    blinks = _blink(expression, times, begin, end, random)
    angles = [np.zeros(frames) for _ in range(3)]
    for angle, size in zip(angles, (0.3, 0.14, 0.1)):
        for hertz in (0.2, 0.5, 1.1):
            angle += inside * size * 0.2 / hertz**0.5 * np.sin(2 * np.pi * (hertz * times + random.random()))
    shift = np.stack([15 * inside * np.sin(2 * np.pi * (0.3 * times + random.random())) for _ in range(3)], -1)
    return Performance(
        times, np.clip(expression, 0, 1), from_euler(*angles), shift + [0, 0, -distance], inside <= 0, blinks, closures
    )


def _smooth(x: np.ndarray) -> np.ndarray:
    """From 0 to 1 with a flat start and end, over x in [0, 1]."""
    x = np.clip(x, 0, 1)
    return x * x * x * (10 + x * (6 * x - 15))


def _bump(times: np.ndarray, middle: float, half: float) -> np.ndarray:
    """Rise and fall about a time."""
    return _smooth(1 - np.abs(times - middle) / half)


def _speak(
    expression: np.ndarray, times: np.ndarray, begin: float, end: float, random: np.random.Generator
) -> np.ndarray:
    closures, at = [], begin + 0.2
    while at < end - 0.2:
        sound = str(random.choice(list(SYLLABLES)))
        part = _bump(times, at, SYLLABLE)
        for name, weight in SYLLABLES[sound].items():
            expression[:, rows(name)] += (part * weight * random.uniform(0.7, 1.1))[:, None]
        if sound == "m":
            closures.append(int(np.abs(times - at).argmin()))
        at += SYLLABLE * (1 if random.random() < 0.9 else 3)
    return np.array(closures, int)


def _blink(
    expression: np.ndarray, times: np.ndarray, begin: float, end: float, random: np.random.Generator
) -> np.ndarray:
    blinks, at = [], begin + 0.4
    while at < end - 0.3:
        closed = _smooth((times - at + CLOSING) / CLOSING) * _smooth((at + OPENING - times) / OPENING)
        expression[:, rows("eyeBlink")] = np.maximum(expression[:, rows("eyeBlink")], closed[:, None])
        blinks.append(int(closed.argmax()))
        at += random.uniform(0.8, 1.6)
    return np.array(blinks, int)


def _gaze(expression: np.ndarray, times: np.ndarray, begin: float, end: float, random: np.random.Generator) -> None:
    """Eyes jump within 50 ms and stay for half a second or so."""
    at, across, up = begin, 0.0, 0.0
    track = np.zeros((len(times), 2))
    while at < end:
        new = random.normal(0, 0.35, 2) if at + 0.9 < end else np.zeros(2)
        track += _smooth((times - at) / 0.05)[:, None] * (new - [across, up])
        (across, up), at = new, at + random.uniform(0.4, 0.9)
    for side, sign in (("Left", 1), ("Right", -1)):
        for name, part in (
            ("Out", sign * track[:, 0]),
            ("In", -sign * track[:, 0]),
            ("Up", track[:, 1]),
            ("Down", -track[:, 1]),
        ):
            expression[:, _ROW[f"eyeLook{name}{side}"]] = np.clip(part, 0, 1)


def film(
    played: Performance, identity: np.ndarray, studio: Studio, look: Look, background: np.ndarray, focal: float
) -> Iterator[np.ndarray]:
    """The performance as pictures uint8 of the background's size, with a little noise, by a camera through their middle.

    Args:
        identity: (100,) of the person.
        focal: Pixels.
    """
    size = background.shape[:2]
    principal = np.array([size[1] / 2, size[0] / 2])
    for number, (expression, rotation, translation) in enumerate(
        zip(played.expression, played.rotation, played.translation)
    ):
        view = View(rotation, translation, np.float64(focal), principal, size)
        image = studio.render(
            identity, expression, view, look, background, np.random.default_rng(0)
        )  # the same hair in all
        noise = np.random.default_rng(number).normal(0, 3, image.shape)
        yield np.clip(image + noise, 0, 255).astype(np.uint8)
