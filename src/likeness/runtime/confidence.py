"""How well a face is known, region by region, from the photos that were there; and which photo would help most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from likeness.geometry.mesh import vertex_normals
from likeness.runtime.blend import PLENTY, Blend, resolution, worth
from likeness.runtime.draw import portrait
from likeness.runtime.unwrap import see
from likeness.types import Topology

SIDEWAYS = 0.8
"""Skin whose normal points at least so far to a side belongs to that side: what a frontal photo shows at a slant only."""
AROUND = (0.0, 0.7, -0.7)
"""Yaw, radians, of the photos that would show all there is to see of a face: what none of them shows, such as the inner
border of closed lips or the inside of the nostrils, belongs to no region."""
SEEN = 0.25
"""Worth from which a place counts as seen by a photo. Ours."""
FACED = 0.42
"""Mean cosine between a side and the line of sight of the best photo for each place, below which the side needs a view. On
the mean face a frontal photo reaches 0.2, one from 10 degrees aside 0.35, one from 20 degrees 0.5."""
FULL = 0.6
"""Worth at which one photo alone is enough to know a place's colour well: a face of 300 px, half turned away. Ours."""


@dataclass(frozen=True)
class Region:
    """How well one region is known.

    Attributes:
        name: As in the topology, "_left" and "_right" (the person's) added where the topology has one region for both sides.
        confidence: In [0, 1]: how well the photos together show it; see `regions_of`.
        photos: Mean number of photos that show a place of it.
        coverage: Share of its places that any photo shows.
        facing: Mean over places of the best cosine between surface and line of sight, 0 where none shows it.
        resolution: Photo pixels per mm, foreshortened, of the best photo for each place; mean.
        shape_mm: Root mean square over its vertices of the posterior standard deviation of the shape, `shape_deviation`; None
            where not known.
    """

    name: str
    confidence: float
    photos: float
    coverage: float
    facing: float
    resolution: float
    shape_mm: float | None


def sides(neutral: np.ndarray, topology: Topology) -> dict[str, np.ndarray]:
    """Masks (V,) of skin that faces the person's left and right.

    Args:
        neutral: (V, 3) mm, model frame.
        topology: Its connectivity and regions.
    """
    normals = vertex_normals(np.asarray(neutral, np.float64), topology.triangles)
    skin = topology.regions["skin"]
    return {"left": skin & (normals[:, 0] > SIDEWAYS), "right": skin & (normals[:, 0] < -SIDEWAYS)}


def regions_of(neutral: np.ndarray, topology: Topology) -> dict[str, np.ndarray]:
    """Masks (V,) of the regions that are reported: the topology's, halved where they span both sides, and the sides."""
    left = np.asarray(neutral)[:, 0] > 0
    result = {}
    for name, mask in topology.regions.items():
        if name in ("skin", "inner_mouth"):
            continue
        if name.endswith(("_left", "_right", "_lip")):
            result[name] = mask
        else:
            result |= {f"{name}_left": mask & left, f"{name}_right": mask & ~left}
    return result | {f"side_{side}": mask for side, mask in sides(neutral, topology).items()}


def exposed(neutral: np.ndarray, topology: Topology, size: int = 256) -> np.ndarray:
    """(V,) bool: places that a photo can show at all. Arguments are those of `assess`; `size` in texels."""
    places = []
    for yaw in AROUND:
        view = portrait(neutral, (size, size), yaw=yaw)
        seen = see(np.full((size, size, 3), 128, np.uint8), neutral, view, topology, size)
        places.append(worth(seen) / min(resolution(seen) / PLENTY, 1.0))
    return (_at_vertices(np.stack(places), topology) > SEEN).any(0)


def assess(
    blend: Blend, neutral: np.ndarray, topology: Topology, deviation: np.ndarray | None = None
) -> tuple[Region, ...]:
    """Every region's confidence.

    A place is known with `1 - product over photos of (1 - min(1, worth / FULL))`; a region by the mean over its vertices.

    Args:
        blend: What the photos show.
        neutral: (V, 3) mm, model frame.
        topology: Its connectivity, chart and regions.
        deviation: (V,) mm, posterior standard deviation of the shape.
    """
    value, facing = (_at_vertices(field, topology) for field in (blend.worth, blend.facing))
    known = 1 - np.prod(1 - np.minimum(value / FULL, 1), 0)
    shown = value > SEEN * np.minimum(blend.resolution / blend.resolution.max(), 1)[:, None]
    sharp = facing * blend.resolution[:, None]
    found, there = [], exposed(neutral, topology)
    for name, mask in regions_of(neutral, topology).items():
        mask = mask & there
        if mask.any():
            spread = None if deviation is None else float(np.sqrt((deviation[mask] ** 2).mean()))
            found.append(Region(
                name, float(known[mask].mean()), float(shown[:, mask].sum(0).mean()), float(shown[:, mask].any(0).mean()),
                float(facing[:, mask].max(0).mean()), float(sharp[:, mask].max(0).mean()), spread,
            ))  # fmt: skip
    return tuple(found)


def advice(regions: Sequence[Region]) -> tuple[str, ...]:
    """Which photos would help: a line for each side that was never seen well, empty when all were.

    Left and right are the person's: "a view from your left" is taken by a camera that stands at the person's left hand.
    """
    known = {region.name: region for region in regions}
    poor = [side for side in ("left", "right") if f"side_{side}" in known and known[f"side_{side}"].facing < FACED]
    if len(poor) == 2:
        return ("add a view from your left and one from your right",)
    return tuple(f"add a view from your {side}" for side in poor)


def shape_modes(neutral: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """What modes (K, V, 3) mm do to the shape of a face (V, 3) mm alone: place, turn and size of the whole taken out, to first
    order. No photo tells the size of a head."""
    centred = np.asarray(neutral, np.float64) - np.mean(neutral, 0)
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    shifts = [np.broadcast_to(axis, centred.shape) for axis in np.eye(3)]
    motions, _ = np.linalg.qr(np.stack([centred, *turns, *shifts]).reshape(7, -1).T)
    flat = modes.reshape(len(modes), -1)
    return (flat - flat @ motions @ motions.T).reshape(modes.shape)


def shape_deviation(neutral: np.ndarray, modes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Posterior standard deviation (V,) mm of each vertex of the shape (`shape_modes`), its three directions joined.

    Args:
        neutral: (V, 3) mm.
        modes: (K, V, 3) mm per standard deviation of the code.
        covariance: (K, K) of the code.
    """
    values, vectors = np.linalg.eigh(covariance)
    spread = np.tensordot((vectors * np.sqrt(np.maximum(values, 0))).T, shape_modes(neutral, modes), 1)
    return np.sqrt((spread**2).sum((0, 2)))


def _at_vertices(maps: np.ndarray, topology: Topology) -> np.ndarray:
    """Maps (n, s, s) over the chart at the vertices: (n, V)."""
    size = maps.shape[-1]
    column, row = np.clip((topology.uv * size).astype(int), 0, size - 1).T
    return maps[:, row, column]
