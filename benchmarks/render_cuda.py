"""Time of the rasterizer on a GPU: `python benchmarks/render_cuda.py`.

The scene of `benchmarks/render.py` in a batch of 8: 60,000 vertices, 119,500 triangles, 224 x 224 pixels, float32,
random gradients. "Alone" waits for the GPU after each call; "in a row" queues many calls and waits once, as a training
loop does. Beside it stands a device copy of the bytes that must move: inputs, outputs, and the gradients of both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from render import BATCH, SIZE, scene

from likeness.render.rasterize import rasterize

BUDGET = 0.5
"""Milliseconds that the project aims at, for the batch, forward and backward."""


def alone(action: Callable[[], object], rounds: int) -> float:
    """Median milliseconds of a call, from an idle GPU to an idle GPU."""
    times = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        action()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def in_a_row(action: Callable[[], object], rounds: int) -> float:
    """Mean milliseconds of a call among many."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(rounds):
        action()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / rounds


def main() -> None:
    """Print a table, or one line where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return
    points, _, triangles = (value.cuda() for value in scene(BATCH))
    points.requires_grad_()
    start = time.perf_counter()
    seen = rasterize(points, triangles, SIZE)
    by_weight, by_depth = torch.randn_like(seen.barycentric), torch.randn_like(seen.depth)

    def forward() -> object:
        return rasterize(points.detach(), triangles, SIZE)

    def both() -> object:
        seen = rasterize(points, triangles, SIZE)
        return torch.autograd.grad((seen.barycentric, seen.depth), points, (by_weight, by_depth))

    gradient = both()[0]
    torch.cuda.synchronize()
    first = time.perf_counter() - start
    moved = [points.detach(), triangles, *(value.detach() for value in seen), by_weight, by_depth, gradient]
    size = sum(value.numel() * value.element_size() for value in moved)
    print(f"{torch.cuda.get_device_name()}, batch of {BATCH}, ms a batch; first calls {first:.1f} s")
    actions = {
        "forward": forward,
        f"forward and backward (aim {BUDGET} alone)": both,
        f"device copy of {size / 1e6:.0f} MB": lambda: [value.clone() for value in moved],
    }
    for name, action in actions.items():
        in_a_row(action, 10)
        print(f"{name:45s} alone {alone(action, rounds):7.3f}   in a row {in_a_row(action, rounds):7.3f}")


if __name__ == "__main__":
    main()
