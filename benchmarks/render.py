"""Time and memory of the renderer on the CPU: `python benchmarks/render.py`.

The scene is a closed grid of 60,000 vertices and 119,500 triangles over an ellipsoid as large as a head, turned by
0.3 rad to the side and up, at 600 mm from a perspective camera: it covers a third of 224 x 224 pixels, half of its
triangles face away, and the boxes of 42 % hold no pixel's centre. Gradients are random. The picture shifts a little
from call to call, so that the processor cannot learn its branches by heart.

Times are milliseconds of one picture: medians, and the quickest, over many rounds in which the parts take turns. One
thread is measured by its processor time, two threads by the clock, which needs an idle machine, and by their processor
time. Memory and first calls are measured in fresh processes.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from likeness.geometry.mesh import vertex_normals as plain_normals
from likeness.render.interpolate import interpolate
from likeness.render.normals import vertex_normals
from likeness.render.rasterize import rasterize

SIZE = (224, 224)
BATCH = 8
BUDGET = {
    "rasterize, forward": 2.0, "rasterize, forward and backward": 3.0, "normals, forward": 1.0,
    "normals, forward and backward": 2.0, "batch of 8, two threads, an image": 2.0,
}  # fmt: skip
"""Milliseconds that the project asks for."""


def ellipsoid(rows: int = 240, columns: int = 250) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (rows * columns, 3) mm in the camera's frame but for the distance, and triangles, outwards."""
    down, around = np.linspace(0, np.pi, rows)[:, None], np.arange(columns)[None] * 2 * np.pi / columns
    x, y, z = 75 * np.sin(down) * np.sin(around), 105 * np.cos(down) + 0 * around, 90 * np.sin(down) * np.cos(around)
    place = np.arange(rows * columns).reshape(rows, columns)
    beside = np.roll(place, -1, 1)
    a, b, c, d = place[:-1], place[1:], beside[1:], beside[:-1]
    triangles = np.stack([a, b, c, a, c, d], -1).reshape(-1, 3).astype(np.int32)
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    nod = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return np.stack([x, y, z], -1).reshape(-1, 3) @ turn @ nod, triangles


def scene(rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Screen points (rows, V, 3), vertices (V, 3) and triangles (T, 3)."""
    vertices, triangles = ellipsoid()
    depth = 600 - vertices[:, 2]
    points = np.stack([112 + 486 * vertices[:, 0] / depth, 112 - 486 * vertices[:, 1] / depth, depth], -1)
    moved = points + np.random.default_rng(0).uniform(-2, 2, (rows, 1, 3))
    return torch.from_numpy(moved).float(), torch.from_numpy(vertices).float(), torch.from_numpy(triangles)


def parts() -> dict[str, Callable[[int], object]]:
    """What is timed on one thread, by name; each is given the number of the round."""
    points, vertices, triangles = scene(16)
    points.requires_grad_()
    vertices.requires_grad_()
    rows = [row.detach().requires_grad_() for row in points]
    fragments = [rasterize(row.detach(), triangles, SIZE) for row in rows]
    by_weight, by_depth, by_vertex = torch.randn(*SIZE, 3), torch.randn(SIZE), torch.randn(vertices.shape)
    for seen in fragments:
        seen.barycentric.requires_grad_()

    def rasterized(i: int) -> object:
        seen = rasterize(rows[i % 16], triangles, SIZE)
        return torch.autograd.grad((seen.barycentric, seen.depth), rows[i % 16], (by_weight, by_depth))

    def interpolated(i: int) -> object:
        image = interpolate(vertices, triangles, fragments[i % 16])
        return torch.autograd.grad(image, (vertices, fragments[i % 16].barycentric), by_weight)

    def normals(i: int) -> object:
        return torch.autograd.grad(vertex_normals(vertices, triangles), vertices, by_vertex)

    return {
        "rasterize, forward": lambda i: rasterize(rows[i % 16].detach(), triangles, SIZE),
        "rasterize, forward and backward": rasterized,
        "interpolate 3, forward": lambda i: interpolate(vertices.detach(), triangles, fragments[i % 16]),
        "interpolate 3, forward and backward": interpolated,
        "normals, forward": lambda i: vertex_normals(vertices.detach(), triangles),
        "normals, forward and backward": normals,
        "normals by the plain twin, forward": lambda i: plain_normals(vertices.detach(), triangles),
        "copy of inputs and outputs": lambda i: [x.clone() for x in (vertices.detach(), triangles, *fragments[0])],
    }


def measure(
    actions: dict[str, Callable[[int], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, np.ndarray]:
    """Milliseconds (rounds,) by name."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for i in range(-5, rounds):
        for name, action in actions.items():
            action(i)  # the caches as the same work leaves them
            start = clock()
            action(i + 1)
            times[name].append(1e3 * (clock() - start))
    return {name: np.array(values[5:]) for name, values in times.items()}


def step(
    points: torch.Tensor, triangles: torch.Tensor, by_weight: torch.Tensor, by_depth: torch.Tensor
) -> torch.Tensor:
    """Forward and backward of a batch."""
    seen = rasterize(points, triangles, SIZE)
    return torch.autograd.grad((seen.barycentric, seen.depth), points, (by_weight, by_depth))[0]


def batch() -> tuple:
    """Arguments of `step`."""
    points, _, triangles = scene(BATCH)
    return points.requires_grad_(), triangles, torch.randn(BATCH, *SIZE, 3), torch.randn(BATCH, *SIZE)


def memory() -> None:
    """Print the MB by which a batch raises the peak of this process, inputs and code being there; two threads."""
    torch.set_num_threads(2)
    points, triangles, by_weight, by_depth = batch()
    step(points[:1].detach().requires_grad_(), triangles, by_weight[:1], by_depth[:1])  # loads or compiles the kernels
    before = _resident()
    step(points, triangles, by_weight, by_depth)
    print(f"{max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before):.0f}")


def _resident() -> float:
    """MB that this process has in memory now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def first() -> None:
    """Print the seconds of the first step of everything, compilation included."""
    torch.set_num_threads(1)
    points, triangles, by_weight, by_depth = batch()
    vertices = points[0].detach().requires_grad_()
    start = time.perf_counter()
    step(points[:1].detach().requires_grad_(), triangles, by_weight[:1], by_depth[:1])
    image = interpolate(vertices, triangles, rasterize(vertices, triangles, SIZE))
    torch.autograd.grad(image.sum() + vertex_normals(vertices, triangles).sum(), vertices)
    print(f"{time.perf_counter() - start:.1f}")


def fresh(what: str, **environment: str) -> float:
    """The number that this file prints in a process of its own."""
    command = [sys.executable, __file__, "--only", what]
    done = subprocess.run(command, env=dict(os.environ, **environment), stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--only", choices=["times", "first", "memory"])
    arguments = parser.parse_args()
    if arguments.only in ("first", "memory"):
        {"first": first, "memory": memory}[arguments.only]()
        return
    torch.set_num_threads(1)
    times = measure(parts(), arguments.rounds, time.thread_time)
    torch.set_num_threads(2)
    inputs = batch()
    clocks = {"batch of 8, two threads, an image": time.perf_counter, "the same, both threads' sum": time.process_time}
    for name, clock in clocks.items():
        values = measure({name: lambda i: step(*inputs)}, arguments.rounds // 5, clock)[name]
        times[name] = values / BATCH
    print("milliseconds                          median  quickest  asked")
    for name, values in times.items():
        asked = f"{BUDGET[name]:6.1f}" if name in BUDGET else ""
        print(f"{name:36s} {np.median(values):7.2f} {values.min():9.2f} {asked}")
    if arguments.only == "times":
        return
    print(f"peak memory above inputs, batch of 8, MB   {fresh('memory'):5.0f}   asked 300")
    with tempfile.TemporaryDirectory() as cache:
        print(f"first call of everything, seconds          {fresh('first', NUMBA_CACHE_DIR=cache):5.1f}   asked 15")
        print(f"first call from the cache, seconds         {fresh('first', NUMBA_CACHE_DIR=cache):5.1f}")
    # a folder that nobody can make, root neither, and no other to fall back on
    nowhere = {"NUMBA_CACHE_DIR": os.devnull + "/cache", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    print(f"first call, no folder to write, seconds    {fresh('first', **nowhere):5.1f}")


if __name__ == "__main__":
    main()
