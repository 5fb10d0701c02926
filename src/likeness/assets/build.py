"""Build the face model that ships from the ICT Face Model Light. Needs scipy (the `learn` extra).

ICT's narrow face is sampled through its chart; base vertices are solved by least squares so that the *dense* surface fits.
One linear operator does this for the mean and for every mode, so the model stays linear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from likeness.assets import landmarks, parts, regions
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.builtin import Builtin, flip, split_expressions
from likeness.assets.canonical import provisional_correspondence
from likeness.assets.chart import Chart, flatten, narrow_quads
from likeness.assets.ict import MULTI_PIE_68, NARROW, IctModel
from likeness.assets.layout import Layout
from likeness.geometry.closest import closest_points
from likeness.geometry.grid import refine
from likeness.geometry.mesh import triangulate

LICENCE = (
    "Likeness builtin face model, Apache-2.0; geometry learned from the ICT Face Model Light, "
    "Copyright (c) 2020 USC Institute for Creative Technologies, MIT."
)
SKIN_STIFFNESS, MEMBRANE_STIFFNESS = 0.2, 0.03
"""Weights of third differences of the skin (which smooth the creases between ICT's flat faces) and of second differences
of the membrane (which only decide what samples leave open), against one sample of the surface. Ours."""
CANDIDATES = 20
"""Contour candidates for a jaw point."""
CONTOUR_START = (0.6, 0.85)
"""Where candidates begin on the way from the middle of the face to a jaw point: beside the eyes, and at the chin. Ours."""


def build(
    ict: IctModel,
    size: int = 97,
    correspondence: tuple[np.ndarray, np.ndarray] | None = None,
    chart: Chart | None = None,
) -> Builtin:
    """Learn the face model.

    Args:
        ict: The full ICT model.
        size: N, vertices along a side of the base grid: odd, 2N - 1 on the dense level.
        correspondence: ICT vertex ids and weights (n >= 468, 3) of the dense landmarks; by default the learned one
            inside the package, or the provisional one while there is none.
        chart: ICT's chart where it is known; by default it is flattened anew, which takes most of the time.

    Returns:
        The model before storage; `save` rounds modes to float16.
    """
    chart = chart or flatten(ict.mean, ict.faces, size)
    places = _rounded(np.asarray(chart.places, np.float64))
    layout = Layout(size=size, eye=chart.eye, mouth=chart.mouth, **parts.SIZES)
    skin = _Skin(layout, places, triangulate(narrow_quads(ict.faces)))
    ball = parts.Ball.sample(ict, layout)
    mirror = layout.mirror("base")

    def whole(surface: np.ndarray, offset: bool) -> np.ndarray:
        return parts.assemble(layout, skin.solve(surface[..., :NARROW, :]), ball, surface, offset)

    mean = whole(ict.mean[None], False)[0]
    identity = whole(ict.identity, True)
    expression = whole(ict.expression, True)
    expression += ball.looks(layout, mean)
    identity, symmetry = _symmetric_identity(identity, mirror)
    mean = (mean + flip(mean, mirror)) / 2
    vertices, weights = correspondence or landmarks.correspondence() or provisional_correspondence(ict)
    dense = (places[vertices[:468]] * weights[:468, :, None]).sum(axis=1)
    return Builtin(
        mean=mean.astype(np.float32),
        identity=identity.astype(np.float32),
        expression=_symmetric_expression(expression, mirror).astype(np.float32),
        expression_names=EXPRESSIONS,
        symmetry=symmetry,
        layout=layout,
        places_68=places[list(MULTI_PIE_68)].astype(np.float32),
        places_dense=dense.astype(np.float32),
        painted=regions.draw(layout, dense),
        contour=_contour(layout, places[list(MULTI_PIE_68[:17])]),
        ict_chart=places.astype(np.float32),
        licence=LICENCE,
    )


def _rounded(places: np.ndarray) -> np.ndarray:
    """Chart coordinates as they are stored, in float32, still exactly symmetric; computed with in float64."""
    u = np.where(places[:, 0] >= 0.5, places[:, 0], 1 - places[:, 0]).astype(np.float32)
    u = np.where(places[:, 0] >= 0.5, u, np.float32(1) - u)
    return np.stack([u, places[:, 1].astype(np.float32)], axis=-1).astype(np.float64)


@dataclass
class _Skin:
    """The least-squares fit of the base grid, factored once for all shapes."""

    layout: Layout
    places: np.ndarray
    triangles: np.ndarray

    def __post_init__(self) -> None:
        from scipy.sparse import diags, vstack
        from scipy.sparse.linalg import splu

        layout, n = self.layout, self.layout.grid("dense")
        refinement = _refinement(layout.size)
        used = ~np.logical_or.reduce(list(layout.free("dense").values())).ravel()
        on_grid = layout.uv("dense")[: n * n][used].astype(np.float64)
        samples = vstack(
            [_rows(layout.embed(on_grid, "dense"), n * n), _rows(layout.embed(self.places, "dense"), n * n)]
        )
        targets = vstack([self._interpolation(on_grid), diags(np.ones(NARROW))])
        self._design = (samples @ refinement).tocsr()
        self._targets = targets.tocsr()
        bending = _bending(layout)
        self._solver = splu((self._design.T @ self._design + bending.T @ bending).tocsc())

    def _interpolation(self, places: np.ndarray) -> Any:
        """Sparse (n, 6706): ICT's surface at chart coordinates."""
        flat = np.concatenate([self.places, np.zeros((NARROW, 1))], axis=1)
        found = closest_points(np.concatenate([places, np.zeros((len(places), 1))], axis=1), flat, self.triangles)
        return _sparse(self.triangles[found.triangle], found.barycentric, NARROW)

    def solve(self, surface: np.ndarray) -> np.ndarray:
        """Base grid vertices (..., N * N, 3) whose refinement fits shapes (..., 6706, 3) of ICT's narrow face."""
        columns = np.moveaxis(surface, -2, 0).reshape(NARROW, -1).astype(np.float64)
        found = self._solver.solve(np.asarray(self._design.T @ (self._targets @ columns)))
        return np.moveaxis(found.reshape(-1, *surface.shape[:-2], 3), 0, -2)


def _sparse(columns: np.ndarray, weights: np.ndarray, width: int) -> Any:
    """Sparse (n, width) rows with three weights each."""
    from scipy.sparse import coo_matrix

    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    values = np.asarray(weights, np.float64).ravel()
    return coo_matrix((values, (rows, columns.ravel())), (len(columns), width)).tocsr()


def _rows(embedding: Any, width: int) -> Any:
    """An embedding as a sparse matrix."""
    return _sparse(embedding.vertices, embedding.weights, width)


def _refinement(size: int) -> Any:
    """Sparse ((2N - 1)^2, N^2): `geometry.grid.refine`, whose one-dimensional weights are read off unit grids."""
    from scipy.sparse import csr_matrix, kron

    units = np.repeat(np.eye(size)[:, None], 2, axis=1)
    line = csr_matrix(refine(units)[:, 0])
    return kron(line, line).tocsr()


def _bending(layout: Layout) -> Any:
    """Third differences of the skin and second ones of the membrane, along rows and columns."""
    from scipy.sparse import diags, eye, kron, vstack

    n = layout.size
    free = np.logical_or.reduce(list(layout.free("base").values())).ravel()
    rows = []
    for stencil, weights in (
        ([-1.0, 3.0, -3.0, 1.0], SKIN_STIFFNESS * ~free),
        ([1.0, -2.0, 1.0], MEMBRANE_STIFFNESS * free),
    ):
        line = diags(stencil, range(-1, len(stencil) - 1), (n, n)).tolil()
        line[0], line[n + 2 - len(stencil) :] = 0, 0
        rows += [diags(weights) @ kron(eye(n), line), diags(weights) @ kron(line, eye(n))]
    return vstack(rows).tocsr()


def _symmetric_identity(modes: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modes made exactly symmetric or antisymmetric, whichever they nearly are, and the sign of each."""
    image = flip(modes, mirror)
    agreement = (modes * image).sum((1, 2)) / (modes**2).sum((1, 2))
    if np.abs(agreement).min() < 0.9:
        raise ValueError(
            f"an identity mode is neither symmetric nor antisymmetric (agreement {np.abs(agreement).min():.3f})"
        )
    symmetry = np.sign(agreement).astype(np.int8)
    return (modes + symmetry[:, None, None] * image) / 2, symmetry


def _symmetric_expression(shapes: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Expressions whose left-right pairs, or themselves, are exact mirror images."""
    result = shapes.copy()
    single, pairs = split_expressions()
    result[single] = (shapes[single] + flip(shapes[single], mirror)) / 2
    for left, right in pairs:
        result[left] = (shapes[left] + flip(shapes[right], mirror)) / 2
        result[right] = flip(result[left], mirror)
    return result


def _contour(layout: Layout, jaw: np.ndarray) -> np.ndarray:
    """(17, K) base vertices along rays of the chart through the jaw points, from inside the cheeks to the border."""
    last = layout.size - 1
    middle = np.array([0.5, (layout.eye.bottom + layout.mouth.top) / 2 / last])
    rays = jaw[:9] - middle
    room = np.where(rays < 0, middle, 1 - middle)
    reach = (room / np.maximum(np.abs(rays), 1e-9)).min(axis=1)
    start = np.linspace(*CONTOUR_START, 9)
    share = start[:, None] + np.linspace(0, 1, CANDIDATES) * (reach - start)[:, None]
    column, row = np.rint((middle + share[..., None] * rays[:, None]) * last).astype(int).transpose(2, 0, 1)
    half = row * layout.size + column
    other = row[:8][::-1] * layout.size + last - column[:8][::-1]
    return np.concatenate([half, other]).astype(np.int32)
