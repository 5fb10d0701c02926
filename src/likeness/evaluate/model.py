"""How far the face model that ships is from ICT, the model it was learned from. Needs ICT, not torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.assets.builtin import Builtin
from likeness.assets.ict import NARROW, IctModel
from likeness.geometry.closest import closest_points
from likeness.geometry.mesh import triangulate


@dataclass(frozen=True)
class Distances:
    """Point-to-surface distances in mm over many faces, in both directions.

    Attributes:
        from_ict: (faces, 6706) from ICT's narrow-face vertices to our dense skin.
        to_ict: (faces, n) from our dense skin's vertices to ICT's narrow face.
    """

    from_ict: np.ndarray
    to_ict: np.ndarray

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean, 99th percentile and maximum in mm by direction."""
        rows = {"ICT to builtin": self.from_ict, "builtin to ICT": self.to_ict}
        return {
            name: {"mean": float(gaps.mean()), "p99": float(np.percentile(gaps, 99)), "max": float(gaps.max())}
            for name, gaps in rows.items()
        }


def random_codes(faces: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes to measure on: identity (n, 100) from N(0, 1); expression (n, 51) with one to five weights from U(0, 1)."""
    random = np.random.default_rng(seed)
    identity = random.normal(size=(faces, 100))
    expression = np.zeros((faces, 51))
    for row in expression:
        chosen = random.choice(51, random.integers(1, 6), replace=False)
        row[chosen] = random.uniform(size=len(chosen))
    return identity, expression


def distances(model: Builtin, ict: IctModel, faces: int = 200, seed: int = 0) -> Distances:
    """Measure the dense skin against ICT's narrow face, borders of eyes, mouth and outline included.

    Args:
        model: The face model.
        ict: What it was learned from.
        faces: Number of random faces.
        seed: Of the random codes.

    Returns:
        All distances, float32.
    """
    topology = model.topology("dense")
    skin = topology.parts["skin"]
    triangles = topology.triangles[(topology.triangles < skin.stop).all(axis=1)]
    used = np.unique(triangles)
    inside = ((ict.faces >= 0) & (ict.faces < NARROW)).all(axis=1)
    ict_triangles = triangulate(ict.faces[inside])
    narrow = [ict.mean[:NARROW], ict.identity[:, :NARROW], ict.expression[:, :NARROW]]
    from_ict, to_ict = [], []
    for identity, expression in zip(*random_codes(faces, seed)):
        ours = model.refine(model.decode(identity, expression))
        theirs = narrow[0] + np.tensordot(identity, narrow[1], 1) + np.tensordot(expression, narrow[2], 1)
        from_ict.append(closest_points(theirs, ours, triangles).distances.astype(np.float32))
        to_ict.append(closest_points(ours[used], theirs, ict_triangles).distances.astype(np.float32))
    return Distances(np.stack(from_ict), np.stack(to_ict))
