"""What the tests of the benchmark share: small heads to be photographed, and sets made of them."""

from dataclasses import replace
from functools import cache

import numpy as np

from likeness.assets import toy
from likeness.evaluate.benchmark import baselines, heads
from likeness.evaluate.benchmark.items import Item, ItemSet
from likeness.evaluate.scans import LANDMARKS_OF_68


def grey(side, random):
    """A background."""
    return np.full((side, side, 3), 90, np.uint8)


def skins(size=64):
    """Two painted skins."""
    return [heads.painted_skin(toy.head().topology("base"), np.random.default_rng(k), size) for k in range(2)]


@cache
def pictures() -> list[Item]:
    """Two pictures of each of six people."""
    return heads.items(toy.head(), skins(), "val", 6, grey)


def neutral(head, codes):
    """A person without expression as any method's shape."""
    return baselines.shape_of(head, head.decode(codes, np.zeros(len(head.expression))))


def as_set(items, measured, metrics=("shape", "ratio", "distinct", "points"), **more):
    """Pictures as a set."""
    return ItemSet("heads", "Heads", "Of the test.", tuple(items), measured, metrics, **more)


def write_peer(folder):
    """What another system writes for three pictures: OBJ in metres, vertices in another order, something to be cut off, points.

    Returns:
        The folder, and the shape that its meshes hold, in mm.
    """
    head, first = toy.head(), pictures()[:3]
    topology = head.topology("base")
    (folder / "meshes").mkdir(parents=True)
    (folder / "points").mkdir()
    shape = neutral(head, np.full(toy.IDENTITY, 0.5))
    order = np.random.default_rng(0).permutation(len(shape.vertices))
    place = np.argsort(order)
    before = shape.vertices[:, 2].max() - 10  # something that is no skin, among it: a lens, a lock of hair
    vertices = np.concatenate([shape.vertices[order], [[-40, -40, before], [40, -40, before], [0, 40, before]]]) / 1000
    triangles = np.concatenate([place[shape.triangles], len(order) + np.array([[0, 1, 2]])])
    lines = [f"v {x:.9f} {y:.9f} {z:.9f}" for x, y, z in vertices] + [
        f"f {a + 1} {b + 1} {c + 1}" for a, b, c in triangles
    ]
    for item in first:
        (folder / "meshes" / f"{item.name}.obj").write_text("\n".join(lines) + "\n")
        np.savetxt(folder / "points" / f"{item.name}.txt", item.truth.points + 1)
    marks = topology.landmarks["68"]
    nearest = place[marks.vertices[np.arange(68), np.asarray(marks.weights).argmax(1)]]
    (folder / "landmarks.txt").write_text("# Multi-PIE\n" + "\n".join(map(str, nearest)))
    shape = replace(shape, landmarks=vertices[nearest[list(LANDMARKS_OF_68)]] * 1000)
    (folder / "keep.txt").write_text(" ".join(map(str, range(len(order)))))
    (folder / "about.txt").write_text("A system of the test.\n")
    return folder, shape
