"""Overlay and drawings: where lines and surfaces fall, what stays untouched, faces half or wholly outside."""

import numpy as np
import pytest

from likeness.assets import toy
from likeness.geometry.cameras import project, project_with_depth, transform_view
from likeness.render.rasterize_numba import rasterize
from likeness.runtime import draw, overlay


@pytest.fixture(scope="module")
def face():
    model = toy.head()
    vertices = model.decode(np.linspace(-1, 1, 6), np.eye(51)[model.expression_names.index("jawOpen")] * 0.5)
    return vertices, model.topology("base")


def photo(height=200, width=240):
    return np.full((height, width, 3), 120, np.uint8)


def test_overlay_covers_exactly_the_pixels_of_the_mesh(face):
    vertices, topology = face
    view = draw.portrait(vertices, (200, 240), yaw=0.4, margin=0.2)
    before = photo()
    drawn = overlay.draw(before, vertices, view, topology)
    assert (before == 120).all() and drawn.shape == before.shape and drawn.dtype == np.uint8
    triangle, _, _ = rasterize(project_with_depth(vertices, view), topology.triangles, (200, 240))
    changed = (drawn != 120).any(-1)
    assert changed[triangle >= 0].mean() > 0.995
    rows, columns = np.nonzero(changed & (triangle < 0))
    inside = np.argwhere(triangle >= 0)
    reach = np.abs(np.stack([rows, columns], -1)[:, None] - inside[None]).max(-1).min(1)
    assert reach.max() <= 2  # an antialiased line is wider than the edge it follows


def test_lines_run_through_the_projected_lids(face):
    """The eye's rim, drawn alone, has its centre of mass where the rim projects: no half-pixel shift."""
    vertices, topology = face
    view = draw.portrait(vertices, (300, 300))
    _, holes = overlay.rims(topology)
    left = holes[(project(vertices[holes].mean(1), view)[:, 0] > 170) & (vertices[holes][..., 1].mean(1) > 0)]
    points = project_with_depth(vertices, view)
    canvas = np.zeros((300, 300, 3), np.uint8)
    overlay._segments(canvas, points[left], np.zeros((300, 300), np.float32), 1.0, (255, 255, 255), 1)
    mass = canvas[..., 0] / canvas[..., 0].sum()
    centre = np.array([(mass.sum(0) * (np.arange(300) + 0.5)).sum(), (mass.sum(1) * (np.arange(300) + 0.5)).sum()])
    ends = points[left][..., :2]
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)[:, None]
    np.testing.assert_allclose(centre, (ends.mean(1) * lengths).sum(0) / lengths.sum(), atol=0.1)


def test_a_moved_photo_moves_its_overlay(face):
    vertices, topology = face
    view = draw.portrait(vertices, (200, 200), margin=0.25)
    moved = transform_view(view, np.array([[1, 0, 30.0], [0, 1, 17], [0, 0, 1]]), (240, 260))
    first = overlay.draw(photo(200, 200), vertices, view, topology)
    second = overlay.draw(photo(240, 260), vertices, moved, topology)
    np.testing.assert_array_equal(second[17:217, 30:230][40:160, 40:160], first[40:160, 40:160])


def test_faces_partly_or_wholly_outside(face):
    vertices, topology = face
    view = draw.portrait(vertices, (200, 200))
    half = transform_view(view, np.array([[1, 0, -100.0], [0, 1, 0], [0, 0, 1]]), (200, 200))
    assert (overlay.draw(photo(200, 200), vertices, half, topology)[:, 110:] == 120).all()
    gone = transform_view(view, np.array([[1, 0, -900.0], [0, 1, 0], [0, 0, 1]]), (200, 200))
    assert (overlay.draw(photo(200, 200), vertices, gone, topology) == 120).all()


def test_rims_are_closed_loops(face):
    _, topology = face
    border, holes = overlay.rims(topology)
    for pairs in (border, holes):
        assert len(pairs) and (np.unique(pairs, return_counts=True)[1] == 2).all()
    assert len(border) == 4 * 32 and len(holes) == 2 * (2 * (2 + 4)) + 2 * (2 + 6)


def test_portrait_frames_the_face(face):
    vertices, _ = face
    for yaw in (0.0, 0.7, -1.2):
        view = draw.portrait(vertices, (120, 160), yaw=yaw, margin=0.1)
        points = project(vertices, view)
        low, high = points.min(0), points.max(0)
        np.testing.assert_allclose((low + high) / 2, [80, 60], atol=1e-6)
        np.testing.assert_allclose(max((high - low) / [160, 120]), 0.8, atol=1e-6)


def test_texture_lands_where_its_chart_says(face):
    vertices, topology = face
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:, 32:] = (255, 0, 0)  # u grows to the subject's left, the picture's right
    image = draw.textured(vertices, topology, texture, draw.portrait(vertices, (128, 128)), (0, 0, 1.0))
    assert (image[0, 0] == [0, 0, 255]).all()
    assert image[30, 80, 0] > 240 and image[30, 48].max() < 10
    clay = draw.shaded(vertices, topology, draw.portrait(vertices, (64, 64)))
    assert clay.shape == (64, 64, 3) and 100 < clay[20, 30].min() < clay[20, 30].max() < 230


def test_bands_join_without_a_seam(face, monkeypatch):
    vertices, topology = face
    view = draw.portrait(vertices, (200, 240), yaw=0.4, margin=0.2)
    whole = overlay.draw(photo(), vertices, view, topology)
    monkeypatch.setattr(overlay, "BAND", 1000)
    np.testing.assert_array_equal(overlay.draw(photo(), vertices, view, topology), whole)
