"""People who are not in the face model's span, made up with known truth: how well a personal face model finds them is measured."""

from __future__ import annotations

import numpy as np

from likeness.assets.builtin import Builtin
from likeness.assets.person import Person

BUMPS, WIDTHS = 12, (12.0, 30.0)
"""Bumps of the neutral face, and their standard deviations, mm."""
DEVIATION = 1.5
"""mm: root mean square over the skin of what the neutral face keeps from the span."""
STRENGTH, LOPSIDED = 0.15, 0.5
"""Standard deviation of an expression's size, and of how much stronger it is on one side of the face than in the middle."""
REACH = 80.0
"""mm over which an expression goes from weak to strong."""


def someone(model: Builtin, seed: int) -> Person:
    """A person with an ordinary identity code, a neutral face beside the span of the identity modes, and expressions that are
    larger or smaller than the model's, and stronger towards one side.

    Args:
        model: The face model, any number of identity modes.
        seed: Makes the person.
    """
    random = np.random.default_rng(seed)
    vertices, topology = model.mean.astype(np.float64), model.topology("base")
    skin = np.flatnonzero(topology.regions["skin"])
    neutral = np.zeros_like(vertices)
    for centre in random.choice(skin, BUMPS, replace=False):
        distance = ((vertices - vertices[centre]) ** 2).sum(1)
        neutral += np.exp(-distance / (2 * random.uniform(*WIDTHS) ** 2))[:, None] * random.normal(size=3)
    modes = np.linalg.qr(model.identity.reshape(len(model.identity), -1).T.astype(np.float64))[0]
    neutral = (neutral.ravel() - modes @ (modes.T @ neutral.ravel())).reshape(-1, 3)
    neutral *= DEVIATION / np.sqrt((neutral[skin] ** 2).sum(1).mean())
    centred = (vertices - vertices.mean(0)) / REACH
    side = np.tanh(centred @ random.normal(size=(3, len(model.expression)))).T[..., None]
    strength = 1 + STRENGTH * random.normal(size=(len(model.expression), 1, 1))
    expression = model.expression * (strength * (1 + LOPSIDED * side) - 1)
    for name in ("eye_left", "eye_right"):
        neutral[topology.parts[name]] = 0
        expression[:, topology.parts[name]] = 0
    identity = random.normal(size=len(model.identity)) * 0.8
    return Person(
        f"person {seed}", identity.astype(np.float32), neutral.astype(np.float32), expression.astype(np.float32),
        licence=model.licence,
    )  # fmt: skip
