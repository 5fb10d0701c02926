"""One surface bent onto another, gently: which point of the other corresponds to each point of the first."""

from __future__ import annotations

import numpy as np

from likeness.geometry.closest import Grid
from likeness.geometry.laplacian import cotangent, voronoi_areas

LENGTHS = (40.0, 20.0, 10.0, 5.0)
"""mm below which the bending follows nothing, round by round from stiff to soft; in the first only marks pull. Ours."""
MARKS = (1.0, 0.4, 0.15, 0.05)
"""Weight of all marks together, in shares of the surface's area: they lead, then what is near decides. Ours."""
ROUNDS = 3
"""New partners at each stiffness."""
FAR, LEAST = 2.0, 1.0
"""Partners further away than so many mean distances, and than so many mm, do not pull (as REALY's public evaluation)."""


def bend(vertices: np.ndarray, triangles: np.ndarray, surface: Grid, rows: np.ndarray, aims: np.ndarray) -> np.ndarray:
    """The first surface's vertices (V, 3), bent towards a surface by displacements that are smooth.

    Non-rigid iterated closest points with a stiffness that falls (Amberg, Romdhani and Vetter 2007, "Optimal step
    nonrigid ICP algorithms for surface registration"). There each vertex has an affine motion much like its neighbours';
    here, where a rigid motion was taken out before, a displacement much like theirs, which is one sparse system of V
    unknowns: minimise

        sum_i a_i w_i |t_i - d_i|^2 + l^2 sum_ij c_ij |t_i - t_j|^2 + marks,

    with areas a, displacements d to the closest points, w 0 or 1, and the cotangent weights c of the surface at rest, by
    which neither the density of vertices nor their order counts.

    Args:
        vertices: (V, 3) mm.
        triangles: (T, 3), every vertex used.
        surface: What it is bent towards, mm.
        rows: (k,) vertices that are marked; may be none.
        aims: (k, 3) mm, where they belong.
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import splu

    count = len(vertices)
    areas = np.maximum(voronoi_areas(vertices, triangles), 1e-6)
    entries = cotangent(vertices, triangles)
    stiffness = coo_matrix((entries.values, (entries.rows, entries.columns)), entries.shape).tocsc()
    marked = np.zeros(count)
    np.add.at(marked, rows, areas.sum() / max(len(rows), 1))
    wanted = np.zeros((count, 3))
    np.add.at(wanted, rows, areas.sum() / max(len(rows), 1) * (aims - vertices[rows]))
    moved = np.zeros((count, 3))
    for step, (length, share) in enumerate(zip(LENGTHS, MARKS)):
        if step == 0 and not len(rows):
            continue
        for _ in range(1 if step == 0 else ROUNDS):
            found = surface.closest(vertices + moved)
            near = found.distances < max(FAR * found.distances.mean(), LEAST)
            pull = areas * np.maximum(near * (step > 0), 1e-6)  # never nothing, so that there is one solution
            system = stiffness * length**2 + diags(pull + share * marked)
            moved = splu(system.tocsc()).solve(pull[:, None] * (found.points - vertices) + share * wanted)
    return vertices + moved


def correspondents(
    vertices: np.ndarray, triangles: np.ndarray, surface: Grid, rows: np.ndarray, aims: np.ndarray
) -> np.ndarray:
    """The point (V, 3) of a surface that corresponds to each vertex of another one: the closest to where it was bent."""
    return surface.closest(bend(vertices, triangles, surface, rows, aims)).points
