"""Time of vertex normals beside their plain torch twin: `python benchmarks/normals.py`.

A sheet of about 60,000 vertices and 119,000 triangles, float32. One thread: processor time, so that a busy machine counts
little. Batches: time on the clock over the threads there are. Medians over many rounds in which the parts take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from likeness.geometry.mesh import vertex_normals as twin
from likeness.render.normals import vertex_normals

SIDE = 245
"""Vertices along a side of the sheet."""
BUDGET = {"fused, forward": 1.0, "fused, forward and backward": 2.0}
"""Milliseconds that the project aims at, one thread, one mesh."""


def sheet() -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (V, 3) mm of a wavy sheet and triangles (T, 3)."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    ids = np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE)
    a, b, c, d = ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]
    triangles = np.stack([np.stack(t, -1) for t in ((a, b, c), (a, c, d))], 2).reshape(-1, 3)
    points = np.stack([x, -y, 20 * np.sin(x / 20) * np.cos(y / 20)], -1).reshape(-1, 3)
    return torch.from_numpy(points), torch.from_numpy(triangles)


def both(function: Callable, vertices: torch.Tensor, triangles: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Forward and backward, without the sum of a loss."""
    vertices = vertices.detach().requires_grad_()
    return torch.autograd.grad(function(vertices, triangles), vertices, gradient)[0]


def measure(actions: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, np.ndarray]:
    """Milliseconds (rounds,) by name; three calls of each before the first that counts."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        for _ in range(3):
            action()
    for _ in range(rounds):
        for name, action in actions.items():
            start = clock()
            action()
            times[name].append(1e3 * (clock() - start))
    return {name: np.array(values) for name, values in times.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    vertices, triangles = sheet()
    gradient = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0))
    eight, eight_gradients = vertices.expand(8, -1, -1).contiguous(), gradient.expand(8, -1, -1).contiguous()
    one = {
        f"{name}, {part}": action
        for name, function in (("fused", vertex_normals), ("torch", twin))
        for part, action in (
            ("forward", lambda f=function: f(vertices, triangles)),
            ("forward and backward", lambda f=function: both(f, vertices, triangles, gradient)),
        )
    }
    batch = {"fused, batch of 8, forward and backward": lambda: both(vertex_normals, eight, triangles, eight_gradients)}
    times = measure(one, rounds, time.thread_time) | measure(batch, rounds, time.perf_counter)
    print(f"{len(vertices)} vertices, {len(triangles)} triangles")
    print(f"{'part':<42}{'median ms':>10}{'fastest':>10}{'budget':>8}")
    for name, values in times.items():
        budget = f"{BUDGET[name]:.1f}" if name in BUDGET else ""
        print(f"{name:<42}{np.median(values):>10.2f}{values.min():>10.2f}{budget:>8}")


if __name__ == "__main__":
    main()
