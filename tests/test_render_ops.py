"""The renderer's operations inside PyTorch: schema, compilation, gradients, batches, threads, forks, errors."""

import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.geometry.cameras import project_with_depth
from likeness.render import rasterize_numba
from likeness.render.interpolate import interpolate, mix, sample_texture
from likeness.render.rasterize import rasterize
from likeness.types import View

SIZE = (48, 40)


def scene(rows=3, dtype=torch.float32):
    """Points (rows, V, 3) of a toy head at several distances, and its triangles."""
    head = toy.head()
    mean, triangles = torch.as_tensor(head.mean, dtype=dtype), head.topology("base").triangles
    translation = torch.tensor([[4.0 * i, -3.0, -700.0 - 90 * i] for i in range(rows)], dtype=dtype)
    focal = torch.full((rows,), 140.0, dtype=dtype)
    principal = torch.tensor([[20.0, 24.0]], dtype=dtype).expand(rows, 2)
    view = View(torch.eye(3, dtype=dtype).expand(rows, 3, 3), translation, focal, principal, SIZE)
    return project_with_depth(mean.expand(rows, -1, -1), view), torch.as_tensor(triangles)


def sheet(dtype=torch.float64, seed=0):
    """Few triangles without a silhouette near a centre: gradients exist everywhere."""
    random = np.random.default_rng(seed)
    points = np.array([[-9, -9, 40], [30, -7, 55], [12, 33, 70], [-20, 20, 90.0]]) + random.uniform(-1, 1, (4, 3))
    return torch.as_tensor(points, dtype=dtype), torch.tensor([[0, 2, 1], [0, 3, 2]], dtype=torch.int32)


def leaves(*tensors):
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def test_opcheck():
    points, triangles = scene(2)
    for dtype, names in ((torch.float32, torch.int32), (torch.float64, torch.int64)):
        inputs = points.to(dtype).requires_grad_(), triangles.to(names)
        for cull, perspective in ((True, True), (False, False)):
            torch.library.opcheck(torch.ops.likeness.rasterize.default, (*inputs, *SIZE, cull, perspective))
        fragments = rasterize(*inputs, SIZE)
        flat = fragments.triangle.flatten(1), fragments.barycentric.detach().flatten(1, 2).requires_grad_()
        attributes = torch.rand(2, points.shape[1], 3, dtype=dtype, requires_grad=True)
        torch.library.opcheck(torch.ops.likeness.interpolate.default, (attributes, inputs[1], *flat))


def test_drawing_does_not_load_the_compiler():
    code = """if True:
        import sys, torch
        from likeness.render.interpolate import interpolate
        from likeness.render.normals import vertex_normals
        from likeness.render.rasterize import rasterize
        points = torch.tensor([[-9.0, -9, 40], [30, -7, 55], [12, 33, 70]], requires_grad=True)
        triangles = torch.tensor([[0, 1, 2]], dtype=torch.int32)
        drawn = rasterize(points, triangles, (4, 5), cull=False)
        interpolate(vertex_normals(points, triangles), triangles, drawn).sum().backward()
        assert (drawn.triangle == 0).all() and points.grad.abs().sum() > 0
        assert "torch._dynamo" not in sys.modules
    """
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("perspective", [True, False])
def test_gradients_equal_finite_differences(perspective):
    points, triangles = sheet()
    attributes = torch.rand(4, 2, dtype=torch.float64)

    def image(points, attributes):
        fragments = rasterize(points, triangles, (4, 5), perspective=perspective)
        assert (fragments.triangle >= 0).all()
        return fragments.barycentric, fragments.depth, interpolate(attributes, triangles, fragments)

    assert torch.autograd.gradcheck(image, leaves(points, attributes), eps=1e-5, atol=1e-6, rtol=1e-6)


def test_gradients_of_a_triangle_that_crosses_the_near_plane():
    points = torch.tensor([[0.0, 1, 5], [6.2, 1.3, 6], [3, -20, -30]], dtype=torch.float64)  # seen below its first edge
    triangles = torch.tensor([[0, 1, 2]])
    fragments = rasterize(points, triangles, (6, 6), cull=False)
    assert 10 < (fragments.triangle == 0).sum() < 36 and 1 < fragments.depth.min() < 4.5

    def image(points):
        fragments = rasterize(points, triangles, (6, 6), cull=False)
        seen = fragments.triangle >= 0
        return fragments.barycentric[seen], fragments.depth[seen]

    assert torch.autograd.gradcheck(image, leaves(points), eps=1e-6, atol=1e-5, rtol=1e-5)


def test_either_gradient_may_be_missing():
    points, triangles = sheet()
    whole, weights, depth = (leaves(points)[0] for _ in range(3))
    for tensor, use in ((whole, (1, 1)), (weights, (1, 0)), (depth, (0, 1))):
        fragments = rasterize(tensor, triangles, (4, 5))
        outputs = (fragments.barycentric.square().sum(), fragments.depth.square().sum())
        sum(output for output, used in zip(outputs, use) if used).backward()
    assert depth.grad.norm() > 0 and weights.grad.norm() > 0
    torch.testing.assert_close(whole.grad, weights.grad + depth.grad)


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_interpolation_equals_its_twin(channels):
    points, triangles = scene(2, torch.float64)
    fragments = rasterize(points, triangles, SIZE)
    flat = fragments.triangle.flatten(1), fragments.barycentric.flatten(1, 2)
    results = []

    def fused(attributes, weights):
        weights = weights.view_as(fragments.barycentric)
        return interpolate(attributes, triangles, fragments._replace(barycentric=weights))

    def twin(attributes, weights):
        return mix(attributes, triangles, flat[0], weights).view(*fragments.triangle.shape, -1)

    for way in (fused, twin):
        torch.manual_seed(0)
        inputs = leaves(torch.rand(2, points.shape[1], channels, dtype=torch.float64), flat[1])
        values = way(*inputs)
        gradients = torch.autograd.grad(values, inputs, torch.rand_like(values))
        results.append((values, *gradients))
    for value, truth in zip(*results):
        assert value.abs().sum() > 0
        torch.testing.assert_close(value, truth)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_batches_are_pictures_side_by_side(batch):
    points, triangles = scene(6)
    count = int(np.prod(batch))
    attributes = torch.rand(points.shape[1], 3)
    together = rasterize(points[:count].view(*batch, -1, 3), triangles, SIZE)
    image = interpolate(attributes, triangles, together)
    assert together.triangle.shape == (*batch, *SIZE) and image.shape == (*batch, *SIZE, 3)
    for row in range(count):
        alone = rasterize(points[row], triangles, SIZE)
        for one, all_ in zip(alone, together):
            torch.testing.assert_close(all_.reshape(count, *one.shape)[row], one, rtol=0, atol=0)
        torch.testing.assert_close(image.reshape(count, *SIZE, 3)[row], interpolate(attributes, triangles, alone))


def test_no_pictures_and_no_triangles():
    points, triangles = scene(2)
    assert rasterize(points[:0], triangles, SIZE).depth.shape == (0, *SIZE)
    fragments = rasterize(points, triangles[:0], SIZE)
    assert (fragments.triangle == -1).all() and fragments.depth.isinf().all() and (fragments.barycentric == 0).all()
    assert (interpolate(torch.ones(0, 2), triangles[:0], rasterize(points[:, :0], triangles[:0], SIZE)) == 0).all()


def test_compiled_whole():
    points, triangles = scene(2)
    attributes = torch.rand(points.shape[1], 3)

    def picture(points, attributes):
        return interpolate(attributes, triangles, rasterize(points, triangles, SIZE)).square().sum()

    results = []
    for way in (picture, torch.compile(picture, fullgraph=True, backend="aot_eager")):
        inputs = leaves(points, attributes)
        value = way(*inputs)
        results.append((value, *torch.autograd.grad(value, inputs)))
    for plain, compiled in zip(*results):
        torch.testing.assert_close(compiled, plain)


def picture(points, triangles, threads):
    """Everything that a step of training computes."""
    torch.set_num_threads(threads)
    inputs = leaves(points, points / 100)
    fragments = rasterize(inputs[0], triangles, SIZE)
    image = interpolate(inputs[1], triangles, fragments)
    loss = image.square().sum() + fragments.depth[fragments.triangle >= 0].square().sum()
    return *fragments, image, *torch.autograd.grad(loss, inputs)


def same(results, reference):
    return all(torch.equal(a, b) for a, b in zip(results, reference, strict=True))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_any_number_of_threads_and_callers_gives_the_same_bits(threads):
    points, triangles = scene(5)
    reference = picture(points, triangles, 1)
    assert same(picture(points, triangles, 3), reference)
    right = []

    def call():
        right.append(all(same(picture(points, triangles, 2), reference) for _ in range(5)))

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=120)
    assert right == [True] * 8


class Pictures(torch.utils.data.Dataset):
    def __init__(self, points, triangles):
        self.points, self.triangles = points, triangles

    def __len__(self):
        return 4

    def __getitem__(self, index):
        torch.set_num_threads(2)  # a worker has one thread by itself
        return rasterize(self.points, self.triangles, SIZE).depth


@pytest.mark.skipif("fork" not in torch.multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_works_in_forked_workers_after_use_in_the_parent(threads):
    points, triangles = scene(4)
    torch.set_num_threads(2)
    reference = rasterize(points, triangles, SIZE).depth
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the parent has threads; that is the point
        loader = torch.utils.data.DataLoader(
            Pictures(points, triangles), 1, num_workers=2, multiprocessing_context="fork", timeout=60
        )
        for depth in loader:
            assert torch.equal(depth[0], reference)


def test_the_entry_without_torch_draws_the_same():
    points, triangles = scene(1)
    fragments = rasterize(points[0], triangles, SIZE)
    triangle, weights, depth = rasterize_numba.rasterize(points[0].numpy(), triangles.numpy(), SIZE)
    np.testing.assert_array_equal(triangle, fragments.triangle)
    np.testing.assert_array_equal(weights, fragments.barycentric)
    np.testing.assert_array_equal(depth, fragments.depth)
    mixed = rasterize_numba.interpolate(points[0].numpy(), triangles.numpy(), triangle, weights)
    np.testing.assert_array_equal(mixed, interpolate(points[0], triangles, fragments))


@pytest.mark.parametrize("names", [torch.int32, torch.int64])
@pytest.mark.parametrize("wrong", [-1, 4, 2**31 - 1])
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_a_triangle_that_names_no_vertex_is_refused(wrong, names, backend):
    points, triangles = sheet()
    triangles = triangles.to(names)
    triangles[1, 2] = wrong
    with pytest.raises(IndexError, match="triangle 1 names"):
        rasterize(points, triangles, SIZE, backend=backend)
    triangles[1, 2] = 2
    fragments = rasterize(points, triangles, SIZE, backend=backend)
    triangles[1, 2] = wrong
    with pytest.raises(IndexError, match="triangle 1 names"):
        interpolate(points, triangles, fragments)


def test_a_pixel_whose_triangle_is_not_there_is_refused():
    points, triangles = sheet()
    fragments = rasterize(points, triangles, SIZE)
    with pytest.raises(IndexError, match="triangles that were drawn"):
        interpolate(points, triangles[:1], fragments)
    with pytest.raises(IndexError, match="triangles that were drawn"):
        rasterize_numba.interpolate(points.numpy(), triangles[:1].numpy(), *(part.numpy() for part in fragments[:2]))


def test_checked_names_what_is_wrong_and_unchecked_ignores_it():
    points, triangles = sheet()
    two = torch.stack([points, points])
    two[1, 3, 1] = torch.nan
    with pytest.raises(ValueError, match="vertex 3 of batch row 1 is not finite"):
        rasterize(two, triangles, SIZE, checked=True)
    fragments = rasterize(two, triangles, SIZE)
    assert set(fragments.triangle[1].unique().tolist()) <= {-1, 0} and fragments.depth[1].isfinite().any()
    two[1, 3] = two[1, 0]
    with pytest.raises(ValueError, match="triangle 1 of batch row 1 has no area"):
        rasterize(two, triangles, SIZE, checked=True)
    assert not (rasterize(two, triangles, SIZE).triangle[1] == 1).any()
    rasterize(points, triangles, SIZE, checked=True)


def test_what_does_not_fit_is_refused():
    points, triangles = sheet()
    for arguments, message in (
        ((points[:, :2], triangles, SIZE), "give"), ((points, triangles[:, :2], SIZE), "give"),
        ((points.half(), triangles, SIZE), "float16"), ((points, triangles.float(), SIZE), "float32"),
        ((points, triangles, (0, 4)), "pixels"), ((points, triangles, (4, 40000)), "pixels"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            rasterize(*arguments)
    for backend in ("cuda", "metal"):
        with pytest.raises(ValueError, match="backend"):
            rasterize(points, triangles, SIZE, backend=backend)
    fragments = rasterize(points, triangles, SIZE)
    for attributes in (points.float(), points.expand(2, -1, -1), points[0]):
        with pytest.raises(ValueError):
            interpolate(attributes, triangles, fragments)


def test_textures_are_read_at_their_texels_centres():
    texture = torch.rand(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    v, u = torch.meshgrid((torch.arange(3).double() + 0.5) / 3, (torch.arange(5).double() + 0.5) / 5, indexing="ij")
    uv = torch.stack([u, v], -1)
    torch.testing.assert_close(sample_texture(texture, uv.expand(2, 3, 5, 2)), texture)
    between = (uv[:, :1] + uv[:, 1:2]) / 2
    torch.testing.assert_close(sample_texture(texture[0], between)[:, 0], (texture[0, :, 0] + texture[0, :, 1]) / 2)
    places = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-3.0, 7.0]], dtype=torch.float64)
    corners = torch.stack([texture[0, 0, 0], texture[0, -1, -1], texture[0, -1, 0]])
    torch.testing.assert_close(sample_texture(texture[0], places), corners)
    inside = leaves(texture, 0.2 + 0.5 * torch.rand(2, 7, 2, dtype=torch.float64))
    assert torch.autograd.gradcheck(sample_texture, inside)
