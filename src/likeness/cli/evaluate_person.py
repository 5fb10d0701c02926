"""`likeness evaluate person`: how much of a made-up person with known truth a personal face model finds in drawn frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from likeness.assets.arkit import EXPRESSIONS
from likeness.errors import NoFaceError

if TYPE_CHECKING:
    from likeness.assets.builtin import Builtin
    from likeness.assets.person import Person
    from likeness.fit.persons.frames import Frame
    from likeness.runtime.reconstruct import System

SIDE, NOISE = 300, 3.0
"""Pixels along a side of a drawn frame, and the standard deviation of its noise, steps of sRGB."""
AWAY = 0.5
"""mm that an expression must move skin to be counted."""


@dataclass(frozen=True)
class EvaluatePerson:
    """Draw a made-up person with the texture of a photo, learn a personal face model, and compare with the truth."""

    photo: Path
    """A photo of a face, seen from the front: its texture is drawn."""
    seed: int = 0
    """Makes the person and the frames."""
    frames: int = 60
    """Frames; every fourth is only measured on."""
    output: Path | None = None
    """JSON file for the table."""


def evaluate_person(config: EvaluatePerson, system: System | None = None) -> None:
    """Print errors of the generic and of the personal model in frames held out."""
    from likeness.assets import albedo, correspondence
    from likeness.cli.evaluate import show
    from likeness.cli.main import show as say
    from likeness.data.someone import someone
    from likeness.fit.persons.person import learn
    from likeness.runtime.reconstruct import shipped

    system = system or shipped("base")
    model = system.model
    truth = someone(model, config.seed)
    frames, weights = performed(truth, system, config)
    found = learn(
        frames, model, albedo.load(), correspondence.read(), truth.name, progress=lambda what: say(f"  {what}")
    )
    rows = {}
    for which, (name, person) in enumerate((("generic", found.generic), ("personal", found.person))):
        rows[name] = compared(person, truth, model, found.worth.expression[which], weights[list(found.tested)]) | {
            "landmarks %": float(found.worth.landmarks[:, which].mean()),
            "photometric": float(found.worth.photometric[:, which].mean()),
        }
    show(f"person {config.seed}, {len(found.tested)} frames held out", rows, config.output)


def performed(truth: Person, system: System, config: EvaluatePerson) -> tuple[list[Frame], np.ndarray]:
    """Drawn frames as the system sees them, and the weights (F, 51) that were played."""
    import likeness
    from likeness.fit.persons.frames import Frame
    from likeness.geometry.rotation import from_euler
    from likeness.runtime import draw
    from likeness.runtime.track import own_landmarks
    from likeness.types import View

    faces = likeness.reconstruct(config.photo, max_faces=1)
    if not faces:
        raise NoFaceError(f"{config.photo}: no face was found")
    random, model = np.random.default_rng(config.seed), truth.model(system.model)
    behind = cv2.GaussianBlur(cv2.resize(faces[0].image, (SIDE, SIDE)), (0, 0), SIDE / 12) / np.float32(510)
    frames, played = [], []
    while len(frames) < config.frames:
        weights = some_weights(random)
        turned = from_euler(*(random.normal(size=3) * [0.35, 0.12, 0.08]))
        place, middle = np.append(random.normal(size=2) * 15, -800.0), np.array([SIDE / 2, SIDE / 2])
        view = View(turned, place, np.float64(800.0), middle, (SIDE, SIDE))
        shape = model.decode(truth.identity, weights)
        image = draw.textured(shape, model.topology("base"), faces[0].texture, view, behind)
        image = np.clip(image + random.normal(size=image.shape) * NOISE, 0, 255).astype(np.uint8)
        found = system.find(image, 40.0, None)
        if found:
            answer = system.encode(image, found[0])
            codes, marks = answer.codes, own_landmarks(answer, system)
            frames.append(
                Frame(f"frame {len(frames)}", image, codes["identity"], codes["expression"], answer.view, marks)
            )
            played.append(weights)
    return frames, np.stack(played)


def some_weights(random: np.random.Generator) -> np.ndarray:
    """Three to six expressions (51,), the gaze a little, the lips never pressed together against the jaw."""
    weights = np.zeros(len(EXPRESSIONS))
    chosen = random.choice(len(EXPRESSIONS), random.integers(3, 7), replace=False)
    weights[chosen] = random.uniform(0.2, 0.9, len(chosen))
    gaze = np.array([name.startswith("eyeLook") for name in EXPRESSIONS])
    weights[gaze] *= 0.3
    weights[EXPRESSIONS.index("jawOpen")] *= 0.6
    weights[EXPRESSIONS.index("mouthClose")] = 0
    return weights


def compared(person: Person, truth: Person, model: Builtin, found: np.ndarray, played: np.ndarray) -> dict[str, float]:
    """Vertex errors in mm over the skin after the best motion and growth, and what became of the expressions.

    Args:
        person, truth: What was learned, and what was drawn.
        found, played: (F, 51) weights of the frames.
    """
    from likeness.geometry.alignment import similarity

    skin = np.asarray(model.topology("base").regions["skin"])
    mine, true = person.model(model), truth.model(model)

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        one, other = one[skin].astype(np.float64), other[skin].astype(np.float64)
        return float(np.linalg.norm(similarity(one, other).apply(one) - other, axis=1).mean())

    def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        moving = np.abs(model.expression[:, skin]).max((1, 2)) > AWAY
        a, b = (modes[moving][:, skin].reshape(int(moving.sum()), -1) for modes in (one, other))
        return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)

    pairs = zip(found, played)
    posed = [apart(mine.decode(person.identity, a), true.decode(truth.identity, b)) for a, b in pairs]
    return {
        "vertices mm": float(np.mean(posed)),
        "neutral mm": apart(person.neutral_face(model), truth.neutral_face(model)),
        "weights rms": float(np.sqrt(((found - played) ** 2).mean())),
        "expressions to truth, cosine": float(cosines(mine.expression, true.expression).mean()),
        "least cosine to generic": float(cosines(mine.expression, model.expression).min()),
    }
