"""Flatten ICT's narrow face to a square whose free rectangles are the eyes and the mouth.

Foldover-free maps (Garanzha, Kaporin, Kudryavtseva, Protais, Ray, Sokolov 2021, eq. 5): a distortion energy whose
denominator keeps every corner of every quad positively oriented, minimised with L-BFGS. Only the subject's left half is
flattened; the right half is its mirror image. Borders slide along the sides of the square and of the rectangles. Needs
scipy (the `learn` extra).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from likeness.assets.ict import NARROW
from likeness.assets.layout import Rectangle
from likeness.geometry.mesh import edges

FINENESS = 0.6
"""How much resolution follows ICT's own, edge by edge: 0 keeps lengths, 1 makes all edges equally long. Ours."""
MOST_ACUTE = 0.97
"""Cosine of the sharpest wanted corner, so that ICT's slivers do not ask for the impossible. Ours."""
AREA_WEIGHT = 1.0
"""Weight of area against angle distortion (lambda of eq. 5). Ours."""
CORNERS = (19, 59)
"""Vertices of the outline, counted from its topmost one on the symmetry plane, that become the square's top and bottom
corners: temple and jaw, where the outline turns. Ours."""

TOWARDS_CANTHUS = (2.5, 1.0)
"""Direction in which a rectangle's corners lie furthest out: nearer to the corners of eyes and mouth than the diagonal,
because a lid's edge that turns on the way would cross the grid in steps. Ours."""
HOLES: dict[str, tuple[float, float]] = {"eye_left": (1.7, 1.7), "mouth": (1.35, 2.0)}
"""Loops that bound the free rectangles, and how much wider and higher than the relaxed holes the rectangles are: the
textures of eyeballs and mouth bag need room, and lids and lips gain resolution along their borders. Ours."""


@dataclass(frozen=True)
class Chart:
    """ICT's narrow face in the unit square.

    Attributes:
        places: (6706, 2) float64 chart coordinates (u, v), v down, exactly symmetric.
        eye: Free rectangle of the left eye in base grid lines.
        mouth: Free rectangle of the mouth.
        loops: ICT vertex loops "outer", "eye_left", "eye_right", "mouth", each once around.
    """

    places: np.ndarray
    eye: Rectangle
    mouth: Rectangle
    loops: dict[str, np.ndarray]


def mirror_of(vertices: np.ndarray) -> np.ndarray:
    """(n,) the vertex nearest to each vertex's mirror image; exact one-to-one on ICT's narrow face."""
    from scipy.spatial import cKDTree

    mirror = cKDTree(vertices).query(vertices * np.array([-1, 1, 1]))[1]
    if not np.array_equal(mirror[mirror], np.arange(len(mirror))):
        raise ValueError("the surface is not mirror-symmetric vertex by vertex")
    return mirror


def narrow_quads(faces: np.ndarray) -> np.ndarray:
    """ICT's faces (F, 4) that lie in the narrow face; all of them are quads."""
    return faces[((faces >= 0) & (faces < NARROW)).all(axis=1)]


def border_loops(quads: np.ndarray) -> list[np.ndarray]:
    """Closed loops of border edges of quads (F, 4), in the direction of the faces."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in sorted(known) if (b, a) not in known}
    loops = []
    while following:
        loop = [min(following)]
        while (step := following.pop(loop[-1])) != loop[0]:
            loop.append(step)
        loops.append(np.array(loop))
    return loops


def named_loops(vertices: np.ndarray, quads: np.ndarray) -> dict[str, np.ndarray]:
    """The narrow face's four border loops by name; the outer one begins at the top of the symmetry plane."""
    loops = sorted(border_loops(quads), key=len)
    found = [len(loop) for loop in loops]
    if found != [42, 42, 74, 138]:
        raise ValueError(f"border loops of {found} vertices; the narrow face has 42, 42, 74 and 138")
    left, right = sorted(loops[:2], key=lambda loop: -vertices[loop, 0].mean())
    height = np.where(np.abs(vertices[loops[3], 0]) < 1e-3, vertices[loops[3], 1], -np.inf)
    outer = np.roll(loops[3], -int(height.argmax()))
    return {"outer": outer, "eye_left": left, "eye_right": right, "mouth": loops[2]}


def flatten(mean: np.ndarray, faces: np.ndarray, size: int) -> Chart:
    """Flatten the narrow face of the mean.

    Args:
        mean: (V, 3) ICT's mean, mm.
        faces: (F, 4) ICT's faces.
        size: N, vertices along a side of the base grid, odd; the rectangles lie on its lines.

    Returns:
        The chart; no corner of a quad is folded.
    """
    vertices, quads = np.asarray(mean, np.float64)[:NARROW], narrow_quads(faces)
    mirror, loops = mirror_of(vertices), named_loops(vertices, quads)
    plane = mirror == np.arange(NARROW)
    kept = np.flatnonzero(plane | (vertices[:, 0] > 0))
    local = np.full(NARROW, -1)
    local[kept] = np.arange(len(kept))
    sheet = _sheet(vertices[kept], local[quads[(local[quads] >= 0).all(axis=1)]])

    def whole(half: np.ndarray) -> np.ndarray:
        full = np.zeros((NARROW, 2))
        full[mirror[kept]] = half * np.array([-1, 1]) + np.array([1, 0])
        full[kept] = half
        return full

    fixed = np.full((NARROW, 2), np.nan)
    fixed[plane, 0] = 0.5
    _fix_square(fixed, mirror[loops["outer"]])
    places = _with_filled_holes(vertices[kept], sheet, fixed[kept], [local[loops[name]] for name in HOLES])
    rectangles = {}
    for name, growth in HOLES.items():
        full = whole(places)
        rectangles[name] = _rectangle(full[loops[name]], np.array(growth), size)
        _fix_rectangle(fixed, full, loops[name], rectangles[name], size)
        places = full[kept]
    fixed[plane, 0] = 0.5
    places = relax(places, sheet, fixed[kept])
    if determinants(places, sheet).min() <= 0:
        raise ValueError("the flattened face has folded quads")
    return Chart(whole(places), rectangles["eye_left"], rectangles["mouth"], loops)


@dataclass(frozen=True)
class Sheet:
    """The four corner triangles of every quad, with the flat shapes they should keep.

    Attributes:
        triangles: (T, 3) vertices.
        inverse: (T, 2, 2) inverse of the edge matrix of the wanted flat triangle.
        area: (T,) share of the wanted area.
        graph: (E, 2) undirected edges.
        count: Number of vertices.
    """

    triangles: np.ndarray
    inverse: np.ndarray
    area: np.ndarray
    graph: np.ndarray
    count: int


def _sheet(vertices: np.ndarray, quads: np.ndarray) -> Sheet:
    """Wanted flat triangles: ICT's own, with long edges shortened more, to a total area of one half."""
    corners = np.concatenate([np.roll(quads, k, axis=1)[:, [0, 1, 3]] for k in range(4)])
    return _sheet_of(vertices, corners)


def _sheet_of(vertices: np.ndarray, corners: np.ndarray) -> Sheet:
    """A sheet of any triangles (T, 3); those of a quad's four corners cover it twice."""
    along, across = (vertices[corners[:, k]] - vertices[corners[:, 0]] for k in (1, 2))
    first, second = np.linalg.norm(along, axis=1), np.linalg.norm(across, axis=1)
    cosine = np.clip((along * across).sum(1) / (first * second), -MOST_ACUTE, MOST_ACUTE)
    first, second = first ** (1 - FINENESS), second ** (1 - FINENESS)
    x, y = second * cosine, second * np.sqrt(1 - cosine**2)
    area = first * y / 2
    # Four corner triangles cover a quad twice, and the left half is half of the square. The chart's v runs down.
    scale = 1 / np.sqrt(area.sum())
    wanted = np.stack([np.stack([first, x], -1), np.stack([0 * x, -y], -1)], axis=1) * scale
    return Sheet(corners, np.linalg.inv(wanted), area / area.sum(), edges(corners), len(vertices))


def _fix_square(fixed: np.ndarray, outline: np.ndarray) -> None:
    """Put the left half's outline, from the top of the symmetry plane to its bottom, on the sides of the square."""
    half = outline[: len(outline) // 2 + 1]
    fixed[half[: CORNERS[0] + 1], 1] = 0
    fixed[half[CORNERS[0] : CORNERS[1] + 1], 0] = 1
    fixed[half[CORNERS[1] :], 1] = 1


def _rectangle(hole: np.ndarray, growth: np.ndarray, size: int) -> Rectangle:
    """The rectangle of grid lines nearest to a hole's bounding box, grown about its middle."""
    low, high = hole.min(axis=0), hole.max(axis=0)
    middle, half = (low + high) / 2, growth * (high - low) / 2
    low, high = np.rint((middle - half) * (size - 1)), np.rint((middle + half) * (size - 1))
    return Rectangle(int(low[1]), int(high[1]), int(low[0]), int(high[0]))


def _fix_rectangle(fixed: np.ndarray, places: np.ndarray, loop: np.ndarray, target: Rectangle, size: int) -> None:
    """Put a hole's loop on the sides of a rectangle, spaced as it was; its corners are furthest out diagonally."""
    low = np.array([target.left, target.top]) / (size - 1)
    high = np.array([target.right, target.bottom]) / (size - 1)
    inside = (places[loop] - (low + high) / 2) / (high - low)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    corners = {int((inside @ (np.array(sign) * TOWARDS_CANTHUS)).argmax()): sign for sign in signs}
    order = sorted(corners)
    for start, stop in zip(order, [*order[1:], order[0] + len(loop)]):
        ends = [np.where(np.array(corners[k % len(loop)]) < 0, low, high) for k in (start, stop)]
        side = loop[np.arange(start, stop + 1) % len(loop)]
        steps = np.linalg.norm(np.diff(places[side], axis=0), axis=1)
        share = np.append(0, np.cumsum(steps))[:, None] / steps.sum()
        fixed[side] = (1 - share) * ends[0] + share * ends[1]
    places[loop] = fixed[loop]


def _with_filled_holes(vertices: np.ndarray, sheet: Sheet, fixed: np.ndarray, holes: list[np.ndarray]) -> np.ndarray:
    """The embedding whose holes find their own place: each is filled with a fan of triangles, so that none turns over."""
    fans, middles, pinned = [sheet.triangles], [vertices], [fixed]
    for k, loop in enumerate(holes):
        steps = np.stack([np.roll(loop, -1), loop], axis=-1)
        steps = steps[(steps >= 0).all(axis=1)]
        fans.append(np.column_stack([steps, np.full(len(steps), sheet.count + k)]))
        on_plane = bool((loop < 0).any())
        middle = vertices[loop[loop >= 0]].mean(axis=0)
        middles.append(np.where([on_plane, False, False], 0, middle)[None])
        pinned.append(np.array([[0.5 if on_plane else np.nan, np.nan]]))
    filled = _sheet_of(np.concatenate(middles), np.concatenate(fans))
    return relax(_spread(filled, np.concatenate(pinned)), filled, np.concatenate(pinned))[: sheet.count]


def _spread(sheet: Sheet, fixed: np.ndarray) -> np.ndarray:
    """A first embedding: every free coordinate is the mean of its neighbours' (Tutte 1963)."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import spsolve

    a, b = sheet.graph.T
    weights = coo_matrix((np.ones(2 * len(a)), (np.append(a, b), np.append(b, a))), (sheet.count,) * 2).tocsr()
    laplacian = (diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()
    places = fixed.copy()
    for axis in range(2):
        free = np.isnan(fixed[:, axis])
        known = np.where(free, 0, fixed[:, axis])
        places[free, axis] = spsolve(laplacian[free][:, free].tocsc(), -(laplacian[free] @ known))
    return places


def determinants(places: np.ndarray, sheet: Sheet) -> np.ndarray:
    """(T,) area of each corner triangle over its wanted area; negative where folded."""
    return np.linalg.det(_jacobians(places, sheet))


def _jacobians(places: np.ndarray, sheet: Sheet) -> np.ndarray:
    """(T, 2, 2) derivative of the map from wanted triangles to the chart."""
    a, b, c = (places[sheet.triangles[:, k]] for k in range(3))
    return np.stack([b - a, c - a], axis=-1) @ sheet.inverse


def relax(places: np.ndarray, sheet: Sheet, fixed: np.ndarray, rounds: int = 24, steps: int = 120) -> np.ndarray:
    """Unfold and even out an embedding.

    Args:
        places: (n, 2) start, folds allowed.
        sheet: What to flatten.
        fixed: (n, 2) coordinates that stay, NaN where free.
        rounds: At most this many cuts of eps to a quarter (down to 1e-5), each after `steps` L-BFGS steps.
        steps: See rounds.

    Returns:
        (n, 2) places.
    """
    from scipy.optimize import minimize

    free = np.isnan(fixed)
    places = np.where(free, places, fixed)
    eps, energy = 1.0, np.inf
    for _ in range(rounds):
        lowest = determinants(places, sheet).min()
        eps = max(eps / 4, 1e-5)

        def objective(values: np.ndarray, places: np.ndarray = places, eps: float = eps) -> tuple[float, np.ndarray]:
            moved = places.copy()
            moved[free] = values
            value, gradient = _energy(moved, sheet, eps)
            return value, gradient[free]

        found = minimize(objective, places[free], jac=True, method="L-BFGS-B",
                         options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "ftol": 0, "gtol": 1e-9})  # fmt: skip
        places = places.copy()
        places[free] = found.x
        if lowest > 0 and eps == 1e-5 and energy - found.fun < 1e-4 * found.fun:
            break
        energy = found.fun
    return places


def _energy(places: np.ndarray, sheet: Sheet, eps: float) -> tuple[float, np.ndarray]:
    """Distortion and its gradient (n, 2), Garanzha et al. 2021, eq. 5, with areas as weights."""
    jacobian = _jacobians(places, sheet)
    det = np.linalg.det(jacobian)
    root = np.sqrt(eps**2 + det**2)
    # chi = (det + root) / 2, written without cancellation where det is very negative.
    chi = np.where(det > 0, (det + root) / 2, eps**2 / (2 * (root + np.abs(det))))
    slope = chi / root
    norm = (jacobian**2).sum((1, 2)) / 2
    value = (sheet.area * (norm + AREA_WEIGHT * (det**2 + 1) / 2) / chi).sum()
    cofactor = np.stack([np.stack([jacobian[:, 1, 1], -jacobian[:, 1, 0]], -1),
                         np.stack([-jacobian[:, 0, 1], jacobian[:, 0, 0]], -1)], axis=1)  # fmt: skip
    by_det = AREA_WEIGHT * det / chi - (norm + AREA_WEIGHT * (det**2 + 1) / 2) / chi**2 * slope
    pull = sheet.area[:, None, None] * (jacobian / chi[:, None, None] + by_det[:, None, None] * cofactor)
    edges = pull @ sheet.inverse.swapaxes(1, 2)
    corner = np.stack([-edges.sum(-1), edges[..., 0], edges[..., 1]], axis=1)
    flat = sheet.triangles.ravel()
    gradient = np.stack([np.bincount(flat, corner[..., axis].ravel(), sheet.count) for axis in range(2)], -1)
    return float(value), gradient
