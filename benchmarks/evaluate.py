"""Time of the evaluation kit, one thread: `python benchmarks/evaluate.py`.

A scan of 100,000 points against a face of 38,000 vertices, alignment included, should take at most 2 s; scoring 1,000
predictions of 68 landmarks, files read, at most 1 s. Process time, so that other programs disturb it less; the least of
some rounds, after one that loads the kernels.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from likeness.assets import builtin
from likeness.cli.evaluate_points import EvaluateNme2d, evaluate_nme2d
from likeness.evaluate import meshes, micc, now
from likeness.evaluate.keypoints import NOSE_TIP_68, known, seven
from likeness.evaluate.meshes import Mesh, checked
from likeness.evaluate.surfaces import crop
from likeness.geometry.grid import refine

POINTS = 100_000


def least(work: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of process time of the quickest round."""
    work()
    spent = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return min(spent)


def pair() -> tuple[Mesh, np.ndarray, Mesh, np.ndarray]:
    """The mean face (38,000 vertices) and a person's face as a scan of about 100,000 points, each with its 68 points."""
    model = builtin.load()
    topology = model.topology("dense")
    mean = model.refine(model.mean).astype(np.float64)
    person = model.refine(model.decode(np.random.default_rng(0).normal(size=100), np.zeros(51))).astype(np.float64)
    n = model.layout.grid("dense")
    grid = refine(person[: n * n].reshape(n, n, 3).astype(np.float32)).astype(np.float64)
    m = len(grid)
    index = np.arange(m * m).reshape(m, m)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (a, d, c))])
    points = known(len(person)).points(person)
    whole = checked(grid.reshape(-1, 3), triangles, "scan")
    centre = points[NOSE_TIP_68]
    radius = np.sort(np.linalg.norm(whole.vertices - centre, axis=1))[min(POINTS, m * m) - 1]
    scan = crop(whole, centre, radius)
    return checked(mean, topology.triangles, "mean"), known(len(mean)).points(mean), scan, points


def main() -> None:
    """Print the times."""
    prediction, predicted, scan, points = pair()
    print(f"scan of {len(scan.vertices):,} points, mesh of {len(prediction.vertices):,} vertices")
    tip, ours, theirs = points[NOSE_TIP_68], seven(predicted, ""), seven(points, "")
    print(f"  micc: {least(lambda: micc.point_to_plane(prediction, scan, predicted, points, tip, radius=1e3)):.2f} s")
    print(f"  now: {least(lambda: now.scan_to_mesh(prediction, scan, ours, theirs)):.2f} s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_obj(folder / "scan.obj", scan)
        print(f"  reading the scan's OBJ: {least(lambda: meshes.read(folder / 'scan.obj', 'mm')):.2f} s")
        truth = np.random.default_rng(0).uniform(0, 256, (1000, 68, 2))
        for part, offset in (("p", 1.0), ("t", 0.0)):
            (folder / part).mkdir()
            for i, row in enumerate(truth + offset):
                np.save(folder / part / f"{i}.npy", row)
        config = EvaluateNme2d(folder / "p", folder / "t", folder / "r")
        with redirect_stdout(StringIO()):
            spent = least(lambda: evaluate_nme2d(config))
        print(f"1,000 predictions of 68 landmarks, command `nme2d`: {spent:.2f} s")


def write_obj(path: Path, mesh: Mesh) -> None:
    """Vertices and triangles as text."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
    path.write_text("\n".join(lines + [f"f {a} {b} {c}" for a, b, c in mesh.triangles + 1]) + "\n")


if __name__ == "__main__":
    main()
