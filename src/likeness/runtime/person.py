"""Photos of a known person: a system whose face is that person's, with the network's expression and pose."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from likeness.assets.builtin import Builtin
from likeness.assets.person import Person
from likeness.geometry.alignment import similarity
from likeness.photos.detect import Detection
from likeness.runtime.reconstruct import System
from likeness.types import Embedding, View


def personal(system: System, person: Person) -> System:
    """A system that finds and looks at faces as another one does, and takes each for one person's.

    The identity code is the person's; the camera is moved so that the person's landmarks lie where those of the face
    that the network saw lie. Topology, names and files are as ever.

    Args:
        system: Whose face model the person's offsets belong to.
        person: From `assets.person.read`.
    """
    model = person.model(system.model)
    dense = model.topology("base").landmarks["dense"]
    own, seen = _Points(model, dense), _Points(system.model, dense)

    def encode(image: np.ndarray, face: Detection) -> Any:
        estimate = system.encode(image, face)
        codes = dict(estimate.codes) | {"identity": person.identity}
        view = fitted(estimate.view, own(codes), seen(estimate.codes))
        return SimpleNamespace(**(vars(estimate) | {"codes": codes, "view": view}))

    def decode(codes: Mapping[str, np.ndarray], view: View) -> Any:
        vertices = model.decode(np.asarray(codes["identity"]), np.asarray(codes["expression"]))
        return SimpleNamespace(vertices=model.refine(vertices) if system.level == "dense" else vertices)

    return System(system.find, encode, decode, model, system.level)


def fitted(view: View, points: np.ndarray, others: np.ndarray) -> View:
    """The camera under which points (n, 3) lie over others (n, 3) seen by `view`, as nearly as a motion and a scale allow.

    Growing everything about the camera's centre changes no pixel, so that the scale becomes distance.
    """
    motion = similarity(np.asarray(points, np.float64), np.asarray(others, np.float64))
    rotation = np.asarray(view.rotation, np.float64)
    shift = rotation @ motion.translation + np.asarray(view.translation, np.float64)
    return View(rotation @ motion.rotation, shift / motion.scale, view.focal, view.principal, view.size)


class _Points:
    """A face model at landmarks only: codes to (n, 3) mm."""

    def __init__(self, model: Builtin, places: Embedding) -> None:
        self.mean, self.identity, self.expression = (
            places.points(shape) for shape in (model.mean, model.identity, model.expression)
        )

    def __call__(self, codes: Mapping[str, np.ndarray]) -> np.ndarray:
        parts = (np.tensordot(np.asarray(codes[name]), getattr(self, name), 1) for name in ("identity", "expression"))
        return self.mean + sum(parts)
