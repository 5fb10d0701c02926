"""Time and memory of the renderer on the CPU: `python benchmarks/render.py`.

The scene is a closed grid of 60,000 vertices and 119,500 triangles over an ellipsoid as large as a head, turned by 0.3 rad
to the side and up, at 600 mm from a perspective camera: it covers a third of 224 x 224 pixels, half of the triangles face
away, and 39 % of those that do not cover no pixel's centre by their box. Gradients are random. Vertices move a little from
call to call, so that the processor cannot learn the branches of one picture by heart.

Times are milliseconds of one picture: medians, and the quickest, over many rounds in which the parts take turns. One thread
is measured by its processor time, two threads by the clock. Memory and first calls are measured in fresh processes.
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
    return torch.as_tensor(moved, dtype=torch.float32), torch.as_tensor(vertices, dtype=torch.float32), torch.as_tensor(triangles)


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

    return {
        "rasterize, forward": lambda i: rasterize(rows[i % 16].detach(), triangles, SIZE),
        "rasterize, forward and backward": rasterized,
        "interpolate 3, forward": lambda i: interpolate(vertices.detach(), triangles, fragments[i % 16]),
        "interpolate 3, forward and backward": interpolated,
        "normals, forward": lambda i: vertex_normals(vertices.detach(), triangles),
        "normals, forward and backward": lambda i: torch.autograd.grad(vertex_normals(vertices, triangles), vertices, by_vertex),
        "copy of inputs and outputs": lambda i: [t.clone() for t in (rows[i % 16].detach(), triangles, *fragments[i % 16])],
    }


def measure(actions: dict[str, Callable[[int], object]], rounds: int, clock: Callable[[], float]) -> dict[str, np.ndarray]:
    """Milliseconds (rounds,) by name."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for i in range(-5, rounds):
        for name, action in actions.items():
            action(i)  # the caches as the same work leaves them
            start = clock()
            action(i + 1)
            times[name].append(1e3 * (clock() - start))
    return {name: np.array(values[5:]) for name, values in times.items()}


def step(points: torch.Tensor, triangles: torch.Tensor, by_weight: torch.Tensor, by_depth: torch.Tensor) -> torch.Tensor:
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


def fresh(what: str, cache: str | None = None) -> float:
    """The number that this file prints in a process of its own."""
    environment = dict(os.environ) if cache is None else dict(os.environ, NUMBA_CACHE_DIR=cache)
    command = [sys.executable, __file__, "--only", what]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


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
    two = measure({"batch of 8, two threads, an image": lambda i: step(*inputs)}, arguments.rounds // 5, time.perf_counter)
    times |= {name: values / BATCH for name, values in two.items()}
    print("milliseconds                          median  quickest  asked")
    for name, values in times.items():
        print(f"{name:36s} {np.median(values):7.2f} {values.min():9.2f} {BUDGET.get(name, float('nan')):6.1f}".replace("nan", "  -"))
    if arguments.only == "times":
        return
    print(f"peak memory above inputs, batch of 8, MB   {fresh('memory'):5.0f}   asked 300")
    with tempfile.TemporaryDirectory() as cache:
        print(f"first call of everything, seconds          {fresh('first', cache):5.1f}   asked 15")
        print(f"first call from the cache, seconds         {fresh('first', cache):5.1f}")
        for file in Path(cache).rglob("*"):
            file.chmod(0o555 if file.is_dir() else 0o444)
        Path(cache).chmod(0o555)
        print(f"first call, cache read-only, seconds       {fresh('first', cache):5.1f}")
        for file in [Path(cache), *Path(cache).rglob("*")]:
            file.chmod(0o755)


if __name__ == "__main__":
    main()
