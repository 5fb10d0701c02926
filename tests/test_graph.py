"""Deformation graphs: nodes everywhere, weights that share every vertex among the nodes around it."""

import numpy as np
import pytest

from likeness.assets import builtin
from likeness.geometry import graph
from likeness.geometry.mesh import edges


def sheet(count=21, step=5.0, shift=0.0):
    """A flat symmetric sheet (V, 3) mm, its triangles and its mirror permutation."""
    y, x = np.mgrid[0:count, 0:count] * step
    ids = np.arange(count * count).reshape(count, count)
    quads = np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1)
    quads[:, count // 2 :] = np.roll(quads[:, count // 2 :], -1, -1)
    quads = quads.reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    points = np.stack([x - x.mean() + shift, -y, 0 * x], -1).reshape(-1, 3)
    return points, triangles, ids[:, ::-1].ravel()


@pytest.fixture(scope="module", params=["base", "dense"])
def shipped(request):
    """The graph of the shipped model's skin, with the skin."""
    model = builtin.load()
    topology = model.topology(request.param)
    skin = topology.parts["skin"].stop
    vertices = (model.mean if request.param == "base" else model.refine(model.mean))[:skin]
    triangles = topology.triangles[(topology.triangles < skin).all(1)]
    mirror = topology.mirror[:skin]
    return graph.build(vertices, triangles, mirror=mirror), np.asarray(vertices, float), triangles, mirror


def test_as_many_nodes_as_in_the_paper_cover_the_shipped_skin(shipped):
    made, vertices, triangles, _ = shipped
    used = np.unique(triangles)
    assert len(made.nodes) == len(set(made.nodes)) == 521 and np.isin(made.nodes, used).all()
    assert made.distances[used].max() < 8.5  # mm; 521 discs of this radius would cover the face about twice
    among = np.linalg.norm(vertices[made.nodes][:, None] - vertices[made.nodes], axis=-1) + 99 * np.eye(521)
    assert np.median(among.min(1)) > 5


def test_weights_are_shares_and_local(shipped):
    made, vertices, triangles, _ = shipped
    matrix = made.upsampling
    assert matrix.shape == (len(vertices), 521) and matrix.values.min() > 0
    np.testing.assert_allclose(matrix.apply(np.ones((521, 1))), 1)
    assert np.bincount(matrix.rows).max() <= 4
    kept = np.isin(matrix.rows, np.unique(triangles))
    apart = np.linalg.norm(vertices[matrix.rows] - vertices[made.nodes[matrix.columns]], axis=1)[kept]
    assert apart.max() < 20 and apart @ matrix.values[kept] / kept.sum() < 2


def test_every_node_moves_vertices_and_touches_its_neighbours(shipped):
    made, *_ = shipped
    assert np.bincount(made.upsampling.columns, made.upsampling.values, 521).min() > 0.5
    assert np.bincount(made.edges.ravel(), minlength=521).min() >= 2
    assert 2.5 < len(made.edges) / 521 < 3.1  # three in the triangulation that is dual to the nodes' territories
    reached = {0}
    for _ in range(521):
        more = {int(b) for a, b in np.concatenate([made.edges, made.edges[:, ::-1]]) if a in reached} - reached
        if not more:
            break
        reached |= more
    assert len(reached) == 521


def test_smooth_shapes_pass_through_the_nodes(shipped):
    made, vertices, triangles, _ = shipped
    used = np.unique(triangles)
    bend = np.stack([np.sin(vertices[:, 1] / 40), np.cos(vertices[:, 0] / 50), vertices[:, 2] / 100], -1)
    error = made.upsampling.apply(bend[made.nodes]) - bend
    assert (error[used] ** 2).sum() < 0.005 * ((bend - bend[used].mean(0))[used] ** 2).sum()


def test_the_graph_is_as_symmetric_as_the_face(shipped):
    made, _, _, mirror = shipped
    np.testing.assert_array_equal(made.nodes[made.mirror], mirror[made.nodes])
    values = np.random.default_rng(0).standard_normal((521, 2))
    np.testing.assert_allclose(
        made.upsampling.apply(values)[mirror], made.upsampling.apply(values[made.mirror]), atol=1e-4
    )
    assert 15 < (made.mirror == np.arange(521)).sum() < 45


def test_no_node_is_crowded_by_its_mirror_image(shipped):
    made, vertices, triangles, mirror = shipped
    apart = np.linalg.norm(vertices[made.nodes] - vertices[mirror[made.nodes]], axis=1)
    assert apart[made.mirror != np.arange(521)].min() > 0.45 * made.distances[np.unique(triangles)].max()


def test_linear_motion_is_nearly_kept_inside():
    points, triangles, _ = sheet()
    made = graph.build(points, triangles, 60)
    inside = (np.abs(points[:, 0]) < 30) & (np.abs(points[:, 1] + 50) < 30)
    error = np.linalg.norm(made.upsampling.apply(points[made.nodes]) - points, axis=1)[inside]
    spacing = 100 / 60**0.5
    assert error.max() < 0.6 * spacing and error.mean() < 0.22 * spacing


def test_weights_vary_without_steps():
    points, triangles, _ = sheet(161, 0.625)
    weights = graph.build(points, triangles, 30).upsampling.apply(np.eye(30))
    pairs = edges(triangles)
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    slopes = np.abs(weights[pairs[:, 0]] - weights[pairs[:, 1]]).max(1) / lengths
    assert slopes.max() * 100 / 30**0.5 < 3.6  # per spacing of nodes; the finer the sheet, the steeper a step would be


def test_distances_run_along_the_surface():
    points, triangles, _ = sheet(11)
    corners = points[triangles]
    cut = triangles[(corners[..., 0].min(1) > 1) | (corners[..., 0].max(1) < -1) | (corners[..., 1].min(1) > -6)]
    made = graph.build(points, cut, 1)
    far = np.flatnonzero(np.isin(np.arange(len(points)), np.unique(cut)))
    straight = np.linalg.norm(points - points[made.nodes[0]], axis=1)
    assert (made.distances[far] > straight[far] - 1e-9).all()
    assert (made.distances[far] / np.maximum(straight[far], 1)).max() > 1.8  # around the end of the cut
    whole = graph.build(points, triangles, 1)
    ratio = whole.distances / np.maximum(np.linalg.norm(points - points[whole.nodes[0]], axis=1), 1)
    assert ratio.max() < 1.09  # steps to eight sides


def test_every_piece_has_a_node_and_loose_vertices_follow_the_nearest():
    points, triangles, _ = sheet(5)
    both = np.concatenate([points, points + [0, 0, 300], [[1, 2, 290.0]]])
    pieces = np.concatenate([triangles, triangles + 25])
    made = graph.build(both, pieces, 2)
    assert sorted(made.nodes // 25) == [0, 1] and len(made.edges) == 0
    expected = (np.arange(51) >= 25).astype(float)[:, None]
    np.testing.assert_allclose(made.upsampling.apply((made.nodes >= 25)[:, None].astype(float)), expected)
    with pytest.raises(ValueError, match="pieces"):
        graph.build(both, pieces, 1)
    for count in (0, 51):
        with pytest.raises(ValueError, match="nodes on a surface of 50"):
            graph.build(both, pieces, count)


def test_all_vertices_may_be_nodes():
    points, triangles, mirror = sheet(5)
    made = graph.build(points, triangles, 25, mirror)
    assert sorted(made.nodes) == list(range(25))
    assert (made.upsampling.apply(np.eye(25))[made.nodes].argmax(1) == np.arange(25)).all()


def test_without_chance():
    points, triangles, mirror = sheet()
    one, other = (graph.build(points, triangles, 40, mirror) for _ in range(2))
    np.testing.assert_array_equal(one.nodes, other.nodes)
    np.testing.assert_array_equal(one.upsampling.values, other.upsampling.values)
    np.testing.assert_array_equal(graph.build(points, triangles, 20, mirror).nodes[:15], one.nodes[:15])
