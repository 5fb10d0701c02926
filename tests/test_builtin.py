"""The face model that ships, and the toy: symmetry, connectivity, storage, refinement."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from likeness.assets import builtin, regions, toy
from likeness.assets.arkit import EXPRESSIONS, mirrored
from likeness.errors import AssetError
from likeness.geometry.mesh import face_normals

MODELS = {"toy": toy.head, "shipped": builtin.load}
LEVELS = ("base", "dense")


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def vertices_of(model, level):
    return model.mean if level == "base" else model.refine(model.mean)


@pytest.mark.parametrize("level", LEVELS)
def test_mirroring_is_a_permutation_that_keeps_surface_and_chart(model, level):
    topology, vertices = model.topology(level), vertices_of(model, level)
    mirror = topology.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(vertices)))
    np.testing.assert_allclose(builtin.flip(vertices, mirror), vertices, atol=0 if level == "base" else 1e-4)
    np.testing.assert_allclose(topology.uv[mirror] * [-1, 1] + [1, 0], topology.uv, atol=2e-7)
    images = [np.sort(triangles, axis=1) for triangles in (topology.triangles, mirror[topology.triangles])]
    np.testing.assert_array_equal(*(image[np.lexsort(image.T)] for image in images))


def test_modes_are_exactly_symmetric_or_antisymmetric_and_expressions_come_in_pairs(model):
    mirror = model.topology().mirror
    signs = model.symmetry[:, None, None].astype(np.float32)
    np.testing.assert_array_equal(signs * builtin.flip(model.identity, mirror), model.identity)
    rows = [EXPRESSIONS.index(mirrored(name)) for name in EXPRESSIONS]
    np.testing.assert_array_equal(builtin.flip(model.expression[rows], mirror), model.expression)


@pytest.mark.parametrize("level", LEVELS)
def test_faces_are_oriented_and_parts_are_apart(model, level):
    topology = model.topology(level)
    directed = topology.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64) @ [2**32, 1]
    assert len(np.unique(directed)) == len(directed)
    for part in topology.parts.values():
        inside = (topology.triangles >= part.start) & (topology.triangles < part.stop)
        assert (inside.all(1) == inside.any(1)).all() and inside.any()
    vertices = vertices_of(model, level)
    skin = topology.triangles[(topology.triangles < topology.parts["skin"].stop).all(1)]
    assert (face_normals(vertices, skin)[:, 2] > 0).mean() > 0.9
    for name in ("eye_left", "eye_right"):
        start = topology.parts[name].start
        ball = topology.triangles[
            ((topology.triangles >= start) & (topology.triangles < start + model.layout.ball)).all(1)
        ]
        outwards = vertices[ball].mean(1) - vertices[start : start + model.layout.ball].mean(0)
        assert (face_normals(vertices, ball) * outwards).sum(1).min() > 0
    assert topology.uv.min() >= 0 and topology.uv.max() <= 1


@pytest.mark.parametrize("level", LEVELS)
def test_no_two_parts_share_a_place_of_the_chart(model, level):
    topology, layout = model.topology(level), model.layout
    for name, hole in layout.holes.items():
        u, v = topology.uv[topology.parts[name]].T * (layout.size - 1)
        assert hole.left - 1e-4 <= u.min() and u.max() <= hole.right + 1e-4
        assert hole.top - 1e-4 <= v.min() and v.max() <= hole.bottom + 1e-4
    free = np.logical_or.reduce(list(layout.free(level).values())).ravel()
    used = np.unique(topology.triangles)
    assert not free[used[used < len(free)]].any()


def test_sockets_and_bag_begin_on_the_skin(model):
    layout, mean = model.layout, model.mean
    grid = mean[model.topology().parts["skin"]].reshape(layout.size, layout.size, 3)
    starts = {"eye_left": layout.ball, "eye_right": layout.ball, "mouth_bag": 0}
    for name, hole in layout.holes.items():
        part = mean[model.topology().parts[name]][starts[name] :][: len(hole.loop())]
        rim = grid[hole.loop()[:, 0], hole.loop()[:, 1]]
        gaps = np.linalg.norm(part[:, None] - rim[None], axis=-1).min(axis=1)
        assert gaps.max() < 1e-4


@pytest.mark.parametrize("level", LEVELS)
def test_landmarks_regions_and_contour_lie_on_the_surface(model, level):
    topology, vertices = model.topology(level), vertices_of(model, level)
    assert {name: len(points.vertices) for name, points in topology.landmarks.items()} == {
        "68": 68, "66": 66, "5": 5, "dense": 478,
    }  # fmt: skip
    for points in topology.landmarks.values():
        np.testing.assert_allclose(points.weights.sum(1), 1, atol=1e-5)
        assert points.weights.min() > -1e-5
    base = model.topology("base").landmarks["68"].points(model.mean)
    np.testing.assert_allclose(
        topology.landmarks["68"].points(vertices), base, atol=0.5 if len(model.identity) > 6 else 3
    )
    few = topology.landmarks["5"].points(vertices)
    assert few[0, 0] < 0 < few[1, 0] and few[3, 0] < 0 < few[4, 0] and few[2, 2] == few[:, 2].max()
    assert set(topology.regions) == set(regions.NAMES)
    mirror = topology.mirror
    np.testing.assert_array_equal(topology.regions["eye_left"][mirror], topology.regions["eye_right"])
    for name in ("upper_lip", "lower_lip", "nose", "forehead", "cheeks", "inner_mouth", "skin"):
        np.testing.assert_array_equal(topology.regions[name][mirror], topology.regions[name])
        assert topology.regions[name].any()
    assert topology.contour.shape[0] == 17 and topology.regions["skin"][topology.contour].all()
    np.testing.assert_array_equal(mirror[topology.contour[::-1]], topology.contour)


def test_dense_keeps_every_base_vertex_and_torch_agrees(model):
    n = model.layout.size
    dense = model.refine(model.mean)
    assert len(dense) == model.layout.count("dense")
    skin = dense[: (2 * n - 1) ** 2].reshape(2 * n - 1, 2 * n - 1, 3)
    np.testing.assert_array_equal(skin[::2, ::2].reshape(-1, 3), model.mean[: n * n])
    batch = torch.tensor(model.mean).expand(2, -1, -1)
    np.testing.assert_allclose(model.refine(batch)[1], dense, atol=1e-4)


def test_a_stored_model_comes_back(tmp_path):
    head, path = toy.head(), tmp_path / "toy.safetensors"
    builtin.save(head, path)
    found = builtin.load(path)
    for field in dataclasses.fields(builtin.Builtin):
        value = getattr(head, field.name)
        if isinstance(value, np.ndarray) and field.name != "places_dense":
            np.testing.assert_allclose(getattr(found, field.name), value, atol=0.02, err_msg=field.name)
    assert found.layout == head.layout and found.licence == head.licence


def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(AssetError, match="cannot read"):
        builtin.load(tmp_path / "nothing.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"not a model at all")
    with pytest.raises(AssetError, match="not a face model"):
        builtin.load(tmp_path / "other.safetensors")


def test_the_shipped_model_is_as_large_as_promised():
    model = builtin.load()
    assert 7_000 <= model.layout.size**2 <= 10_000 and 30_000 <= model.layout.grid("dense") ** 2 <= 40_000
    assert model.identity.shape[0] == 100 and model.expression.shape[0] == 51
    assert "MIT" in model.licence
    path = builtin.resources.files("likeness.assets") / "builtin.safetensors"
    assert len(path.read_bytes()) <= 6_000_000


def test_loading_needs_neither_torch_nor_scipy():
    code = "import sys; from likeness.assets import builtin; builtin.load().topology('dense'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "scipy", "skimage", "numba"} & set(loaded)


def test_eyes_look_and_lids_close():
    model = builtin.load()
    part = model.topology().parts["eye_left"]
    pole = model.expression[:, part.start]
    moves = {name: pole[EXPRESSIONS.index(f"eyeLook{name}Left")] for name in ("Up", "Down", "In", "Out")}
    assert moves["Up"][1] > 4 and moves["Down"][1] < -4 and moves["In"][0] < -4 and moves["Out"][0] > 4
    upper, lower = (model.topology().landmarks["68"].points(model.mean)[k] for k in ([43, 44], [47, 46]))
    blink = model.expression[EXPRESSIONS.index("eyeBlinkLeft")]
    shut = model.topology().landmarks["68"].points(model.mean + blink)
    assert (upper - lower)[:, 1].min() > 8 and np.abs(shut[[43, 44]] - shut[[47, 46]])[:, 1].max() < 2


def test_eyeballs_stay_behind_closed_lids():
    model, random = builtin.load(), np.random.default_rng(0)
    topology = model.topology("dense")
    start = topology.parts["eye_left"].start
    front = np.arange(start, start + 1 + 2 * model.layout.eye_segments)
    expression = np.zeros(51)
    expression[EXPRESSIONS.index("eyeBlinkLeft")] = 1
    lids = topology.regions["eye_left"]
    for _ in range(10):
        vertices = model.refine(model.decode(random.normal(size=100), expression))
        for pole in vertices[front]:
            near = vertices[lids & (np.linalg.norm(vertices[:, :2] - pole[:2], axis=1) < 1.5)]
            assert near[:, 2].max() > pole[2]
