"""Facts of geometry, in numpy and in torch."""

import numpy as np
import pytest
import torch

from likeness.geometry import alignment, cameras, grid, harmonics, mesh, rotation, sphere
from likeness.types import View

KINDS = [np.asarray, torch.as_tensor]
BATCHES = [(), (2,), (2, 3)]


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_rotations_are_rotations_and_come_back(kind, batch):
    matrix = rotation.from_sixd(kind(random(0, *batch, 6)))
    np.testing.assert_allclose(matrix @ matrix.swapaxes(-1, -2), np.broadcast_to(np.eye(3), (*batch, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(np.asarray(matrix)), 1)
    np.testing.assert_allclose(rotation.from_sixd(rotation.to_sixd(matrix)), matrix, atol=1e-12)
    angles = 0.4 * random(1, *batch, 3)
    back = rotation.to_euler(rotation.from_euler(*(kind(angles[..., i]) for i in range(3))))
    np.testing.assert_allclose(np.stack(back, -1), angles, atol=1e-12)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_quaternions_and_matrices(kind, batch):
    """Also half turns, of which the matrix holds no sign: every axis in turn has the largest component."""
    quaternion = random(2, *batch, 4)
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    matrix = rotation.from_quaternion(kind(quaternion))
    back = np.asarray(rotation.to_quaternion(matrix))
    np.testing.assert_allclose(np.abs((back * quaternion).sum(-1)), 1, atol=1e-12)
    axis = quaternion[..., :3] / np.linalg.norm(quaternion[..., :3], axis=-1, keepdims=True)
    turn = rotation.from_axis_angle(kind(3.1 * axis))
    np.testing.assert_allclose(rotation.from_quaternion(rotation.to_quaternion(turn)), turn, atol=1e-12)
    for half in np.eye(3):
        turn = rotation.from_axis_angle(kind(np.pi * half))
        np.testing.assert_allclose(rotation.from_quaternion(rotation.to_quaternion(turn)), turn, atol=1e-12)


def test_axis_angle_turns_about_its_axis_and_is_smooth_at_zero():
    quarter = rotation.from_axis_angle(np.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(quarter @ [1.0, 0.0, 0.0], [0, 1, 0], atol=1e-12)
    tiny = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation.from_axis_angle, (tiny,))


def test_head_angles_have_their_stated_signs():
    nose, chin = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])
    zero, angle = np.array(0.0), np.array(0.3)
    assert (rotation.from_euler(angle, zero, zero) @ nose)[0] > 0.1
    assert (rotation.from_euler(zero, angle, zero) @ chin)[2] < -0.1
    assert (rotation.from_euler(zero, zero, angle) @ [1.0, 0.0, 0.0])[1] > 0.1


def view(batch=()):
    return View(
        rotation.from_euler(*(0.3 * random(i, *batch) if batch else np.array(0.2) for i in range(3))),
        np.broadcast_to([5.0, -8.0, -700.0], (*batch, 3)),
        np.full(batch, 900.0),
        np.broadcast_to([64.0, 60.0], (*batch, 2)),
        (128, 120),
    )


@pytest.mark.parametrize("batch", BATCHES)
def test_numpy_and_torch_project_alike(batch):
    points, camera = 60 * random(3, *batch, 7, 3), view(batch)
    fields = (camera.rotation, camera.translation, camera.focal, camera.principal)
    twin = View(*(torch.tensor(f) for f in fields), camera.size)
    np.testing.assert_allclose(cameras.project(torch.as_tensor(points), twin), cameras.project(points, camera))


def test_the_camera_looks_along_minus_z_with_y_down_in_pixels():
    camera = View(np.eye(3), np.array([0.0, 0.0, -500.0]), np.array(1000.0), np.array([50.0, 40.0]), (80, 100))
    np.testing.assert_allclose(cameras.project(np.array([[10.0, 5.0, 0.0]]), camera), [[70.0, 30.0]])


def test_a_transformed_view_sees_the_transformed_picture():
    angle, scale = 0.4, 1.7
    similarity = np.array([
        [scale * np.cos(angle), -scale * np.sin(angle), 12.0], [scale * np.sin(angle), scale * np.cos(angle), -5.0], [0, 0, 1]
    ])  # fmt: skip
    points, camera = 60 * random(4, 9, 3), view()
    before = cameras.project(points, camera)
    after = cameras.project(points, cameras.transform_view(camera, similarity, (50, 60)))
    np.testing.assert_allclose(after, before @ similarity[:2, :2].T + similarity[:2, 2], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_refinement_keeps_vertices_and_is_exact_on_cubics_inside(kind):
    u, v = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
    fine_u, fine_v = np.meshgrid(np.linspace(-1, 1, 17), np.linspace(-1, 1, 17))
    cubic = lambda x, y: np.stack([x**3 - y, x * y * y, x + 2 * y], -1)
    refined = np.asarray(grid.refine(kind(cubic(u, v))))
    assert refined.shape == (17, 17, 3)
    np.testing.assert_array_equal(refined[::2, ::2], cubic(u, v))
    np.testing.assert_allclose(refined[2:-2, 2:-2], cubic(fine_u, fine_v)[2:-2, 2:-2], atol=1e-12)
    np.testing.assert_allclose(refined[..., 2], cubic(fine_u, fine_v)[..., 2], atol=1e-12)


def icosphere():
    trimesh = pytest.importorskip("trimesh")
    return trimesh.creation.icosphere(3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_normals_of_a_sphere_are_its_directions(kind, batch):
    sphere = icosphere()
    vertices = kind(np.broadcast_to(sphere.vertices, (*batch, *sphere.vertices.shape)).copy())
    np.testing.assert_allclose(mesh.vertex_normals(vertices, sphere.faces), vertices, atol=0.02)


def test_normals_have_the_right_gradient():
    sphere = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tetrahedron = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    assert torch.autograd.gradcheck(lambda v: mesh.vertex_normals(v, tetrahedron), (sphere,))


def test_a_closed_mesh_satisfies_euler():
    sphere = icosphere()
    assert len(sphere.vertices) - len(mesh.edges(sphere.faces)) + len(sphere.faces) == 2
    quads = np.array([[0, 1, 2, 3], [4, 5, 6, -1]], np.int32)
    np.testing.assert_array_equal(mesh.triangulate(quads), [[0, 1, 2], [0, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("scale", [True, False])
def test_alignment_recovers_a_known_motion(kind, batch, scale):
    source = random(5, *batch, 12, 3)
    turn = rotation.from_sixd(random(6, *batch, 6))
    size = 2.5 if scale else 1.0
    target = size * source @ turn.swapaxes(-1, -2) + random(7, *batch, 1, 3)
    motion = alignment.similarity(kind(source), kind(target), scale=scale)
    np.testing.assert_allclose(motion.apply(kind(source)), target, atol=1e-9)
    np.testing.assert_allclose(motion.rotation, turn, atol=1e-9)


def test_a_part_of_a_sphere_tells_its_centre():
    cap = random(1, 40, 3) + [0, 0, 3]
    cap /= np.linalg.norm(cap, axis=1, keepdims=True)
    np.testing.assert_allclose(sphere.centre(12 * cap + [30, -5, 80]), [30, -5, 80], atol=1e-9)
    rough = (12 + 0.1 * random(2, 40, 1)) * cap
    np.testing.assert_allclose(sphere.centre(rough + [1, 2, 3]), sphere.centre(rough) + [1, 2, 3], atol=1e-9)
    assert np.linalg.norm(sphere.centre(rough)) < 1


def test_alignment_never_mirrors():
    source = random(8, 20, 3)
    motion = alignment.similarity(source, source * [-1, 1, 1])
    assert np.linalg.det(motion.rotation) == pytest.approx(1)


def sphere_directions(seed=0, count=400_000):
    directions = random(seed, count, 3)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_turned_light_shades_turned_normals_alike():
    random = np.random.default_rng(3)
    light, turn = random.normal(size=(9, 3)), rotation.from_axis_angle(random.normal(size=3))
    normals = sphere_directions()[:50]
    expected = harmonics.shade(normals @ turn.T, light)
    np.testing.assert_allclose(harmonics.shade(normals, harmonics.turned(light, turn)), expected, atol=1e-9)
    np.testing.assert_allclose(harmonics.turned(harmonics.turned(light, turn), turn.T), light, atol=1e-9)


def test_harmonics_are_orthonormal():
    values = harmonics.basis(sphere_directions())
    np.testing.assert_allclose(4 * np.pi * values.T @ values / len(values), np.eye(9), atol=0.02)


def test_shading_equals_the_integral_of_radiance_over_the_hemisphere():
    radiance = 0.2 * random(9, 9, 3)
    radiance[0] += 3
    incoming = sphere_directions(1)
    normals = sphere_directions(2, 5)
    light = harmonics.basis(incoming) @ radiance
    irradiance = 4 * np.pi * np.clip(normals @ incoming.T, 0, None) @ light / len(incoming)
    np.testing.assert_allclose(
        harmonics.shade(normals, harmonics.from_radiance(radiance)), irradiance / np.pi, atol=0.01
    )
