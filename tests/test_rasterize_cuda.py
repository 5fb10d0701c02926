"""The GPU's kernels: in numba's simulator everywhere, and what only a GPU can show where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rasterizers import SIMULATED, head, soup

from likeness.render import rasterize_torch
from likeness.render.rasterize import rasterize

HERE = Path(__file__).parent
simulator = pytest.mark.skipif(not SIMULATED, reason="run by test_kernels_pass_in_the_simulator, in its own process")
gpu = pytest.mark.skipif(
    SIMULATED or not torch.cuda.is_available(),
    reason="no NVIDIA GPU that PyTorch can use; the simulator runs the kernels",
)


@pytest.mark.skipif(SIMULATED, reason="this is the simulator's process")
def test_kernels_pass_in_the_simulator():
    """The body of all rasterizers and this file's tests, thread by thread in Python; numba chooses at its import."""
    names = "test_rasterizers.py", "test_rasterize_gradients.py", "test_rasterize_cuda.py"
    files = [str(HERE / name) for name in names]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", "--color=no", *files]
    answer = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-2000:]


@simulator
def test_large_triangles_are_drawn_as_small_ones(monkeypatch):
    """By a block from the queue or by one thread: the same picture."""
    from likeness.render import rasterize_cuda

    points, triangles = soup(6, 5, 6)
    pictures = []
    for small in (0, 10**6):
        monkeypatch.setattr(rasterize_cuda, "SMALL", small)
        pictures.append(rasterize_cuda.forward(points[None], triangles, (6, 6), False, True))
    assert (pictures[0][0] >= 0).any()
    assert all(torch.equal(a, b) for a, b in zip(*pictures, strict=True))


@simulator
def test_triangles_with_vertices_that_are_not_there_are_ignored():
    from likeness.render import rasterize_cuda

    points, triangles = soup(6, 2, 6, near=5.0)
    wrong = torch.tensor([[0, 1, 6], [-1, 1, 2]])
    expected = rasterize_cuda.forward(points[None], triangles, (6, 6), False, True)
    drawn = rasterize_cuda.forward(points[None], torch.cat([triangles, wrong]), (6, 6), False, True)
    assert (expected[0] >= 0).any()
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))


@simulator
def test_gradients_of_any_magnitude_are_summed():
    """Integers are scaled by a picture's largest term: tiny, huge and missing gradients; NaN stays in its picture."""
    from likeness.render import rasterize_cuda

    points, triangles = soup(37, 3, 6, near=10.0)
    points = torch.stack([points, points, points])
    wave = torch.sin(torch.arange(108, dtype=torch.float64)).reshape(6, 6, 3)
    nothing = torch.zeros(3, 6, 6, dtype=torch.float64)
    scale = torch.tensor([1e-30, 0.0, 1e25], dtype=torch.float64).reshape(3, 1, 1, 1)
    free = points.clone().requires_grad_()
    triangle, weights, _ = rasterize_torch.rasterize(free, triangles, (6, 6), False, True)
    (weights * wave * scale).sum().backward()
    found = rasterize_cuda.backward(points, triangles, triangle, wave * scale, nothing, True)
    for row in range(3):
        largest = free.grad[row].abs().max().item()
        torch.testing.assert_close(found[row], free.grad[row], rtol=0, atol=1e-12 * largest)
    bad = (wave * scale).clone()
    bad[2] = float("nan")
    found = rasterize_cuda.backward(points, triangles, triangle, bad, nothing, True)
    assert found[2].isnan().all() and found[:2].isfinite().all()


@gpu
def test_a_dense_head_agrees_with_the_cpu():
    points, triangles = head(224, True)
    batch = torch.stack([points + torch.tensor([i, -i, 3 * i]) for i in range(8)]).float()
    on_cpu, on_gpu = (rasterize(batch.to(device), triangles, (224, 224)) for device in ("cpu", "cuda"))
    assert torch.equal(on_gpu.triangle.cpu(), on_cpu.triangle)
    torch.testing.assert_close(on_gpu.barycentric.cpu(), on_cpu.barycentric, rtol=0, atol=2e-5)


@gpu
def test_kernels_wait_for_the_stream_that_made_their_input():
    points, triangles = head(64, True)
    expected = rasterize(points.float(), triangles, (64, 64)).triangle
    source, stream = points.float().pin_memory(), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        drawn = rasterize(source.to("cuda", non_blocking=True), triangles, (64, 64)).triangle
    stream.synchronize()
    assert torch.equal(drawn.cpu(), expected)
