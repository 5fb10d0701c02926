"""The face model that ships: linear identity and expression on our own quad grid, eyeballs and mouth bag included.

Learned from the ICT Face Model Light (MIT) by `likeness build`. `vertices = mean + identity . codes + expression . codes`
for every part, so that morph targets in files are exact. See docs/model_card.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from likeness.arrays import namespace
from likeness.assets import landmarks, regions
from likeness.assets.arkit import EXPRESSIONS, mirrored
from likeness.assets.layout import Layout, Rectangle
from likeness.errors import AssetError
from likeness.geometry.grid import refine
from likeness.geometry.mesh import triangulate
from likeness.types import Topology


@dataclass(frozen=True)
class Builtin:
    """A linear face model on our own topology, in millimetres, model frame.

    V is the number of base vertices: [skin grid | left eye | right eye | mouth bag], see `Layout`.

    Attributes:
        mean: (V, 3) float32 mm.
        identity: (100, V, 3) float32 mm per standard deviation.
        expression: (51, V, 3) float32 mm at weight 1.
        expression_names: Apple's spelling, in the order of `expression`.
        symmetry: (100,) int8: +1 where an identity mode is its own mirror image, -1 where it is the negative of it.
        layout: Sizes from which connectivity follows.
        places_68: (68, 2) chart coordinates of the Multi-PIE points.
        places_dense: (468, 2) chart coordinates of the dense landmarks on the skin.
        painted: (M, M) uint16 region bits over the dense skin grid.
        contour: (17, K) int32 base vertices: candidates for each jaw point, from the cheek outwards.
        ict_chart: (n, 2) float32 chart coordinates of ICT's narrow-face vertices; empty where there is no such thing.
        licence: One line that must travel with what is made from the model.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    symmetry: np.ndarray
    layout: Layout
    places_68: np.ndarray
    places_dense: np.ndarray
    painted: np.ndarray
    contour: np.ndarray
    ict_chart: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    licence: str = ""

    def topology(self, level: str = "base") -> Topology:
        """Everything that stays fixed at a level, "base" or "dense"; made once."""
        if level not in self._topologies:
            self._topologies[level] = self._make_topology(level)
        return self._topologies[level]

    @cached_property
    def _topologies(self) -> dict[str, Topology]:
        return {}

    def _make_topology(self, level: str) -> Topology:
        layout = self.layout
        faces = layout.faces(level)
        n, last = layout.grid(level), layout.size - 1
        rows, columns = np.divmod(self.contour, layout.size)
        factor = (n - 1) // last
        return Topology(
            faces=faces,
            triangles=triangulate(faces),
            uv=layout.uv(level),
            mirror=layout.mirror(level),
            parts=layout.parts(level),
            regions=regions.masks(layout, level, self.painted),
            landmarks=landmarks.embeddings(layout, level, self.places_68, self.places_dense),
            contour=(factor * rows * n + factor * columns).astype(np.int32),
        )

    def decode(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Base vertices (..., V, 3) mm of codes (..., 100) in standard deviations and (..., 51) in [0, 1]."""
        offsets = np.tensordot(identity, self.identity, 1) + np.tensordot(expression, self.expression, 1)
        return self.mean + offsets

    def refine(self, vertices: Any) -> Any:
        """Dense vertices (..., V', C) from base vertices (..., V, C), numpy or torch: the skin refined, the rest as it is.

        Linear, so that it may be applied to a posed face, to the mean or to a mode.
        """
        n = self.layout.size
        grid = vertices[..., : n * n, :]
        fine = refine(grid.reshape(*grid.shape[:-2], n, n, grid.shape[-1]))
        fine = fine.reshape(*grid.shape[:-2], -1, grid.shape[-1])
        return namespace(vertices).concatenate([fine, vertices[..., n * n :, :]], -2)


def flip(vertices: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The mirror image of a face (..., V, 3) or of an offset, vertex by vertex, by a topology's permutation."""
    return vertices[..., mirror, :] * np.array([-1, 1, 1], vertices.dtype)


@cache
def load(path: Path | None = None) -> Builtin:
    """The shipped model, or one built elsewhere; read once.

    Args:
        path: A file written by `likeness build`; by default the one inside the package.

    Raises:
        AssetError: If the file is missing or is no face model.
    """
    from safetensors.numpy import load as parse

    source = resources.files("likeness.assets") / "builtin.safetensors" if path is None else Path(path)
    try:
        content = source.read_bytes()
        head = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["model"])
        data = parse(content)
        layout = layout_from_json(head["layout"])
        half = half_vertices(layout)
        places = data["places_dense"]
        learned = landmarks.correspondence()
        if learned is not None and len(data["ict_chart"]):
            places = (data["ict_chart"][learned[0][:468]] * learned[1][:468, :, None]).sum(1)
        return Builtin(
            mean=_whole(data["mean"], half, layout, np.float32(1)),
            identity=_whole(data["identity"], half, layout, data["symmetry"].astype(np.float32)[:, None, None]),
            expression=_expressions(data, half, layout),
            expression_names=EXPRESSIONS,
            symmetry=data["symmetry"],
            layout=layout,
            places_68=data["places_68"],
            places_dense=places,
            painted=data["painted"],
            contour=data["contour"],
            ict_chart=data["ict_chart"],
            licence=head["licence"],
        )
    except OSError as error:
        raise AssetError(f"cannot read the face model {source}: {error.strerror}") from error
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise AssetError(f"{source} is not a face model written by `likeness build` ({error})") from error


def save(model: Builtin, path: Path) -> None:
    """Write a model as half faces: one side of symmetric shapes, one of each left-right pair of expressions.

    The mean in float32, modes in float16 (steps of 0.008 mm at 10 mm), the rest as it is.
    """
    from safetensors.numpy import save_file

    half = half_vertices(model.layout)
    single, pairs = split_expressions()
    tensors = {
        "mean": model.mean[half].astype(np.float32),
        "identity": model.identity[:, half].astype(np.float16),
        "symmetry": model.symmetry.astype(np.int8),
        "expression_single": model.expression[single][:, half].astype(np.float16),
        "expression_left": model.expression[[left for left, _ in pairs]].astype(np.float16),
        "places_68": model.places_68.astype(np.float32),
        "places_dense": model.places_dense.astype(np.float32),
        "painted": model.painted,
        "contour": model.contour.astype(np.int32),
        "ict_chart": model.ict_chart.astype(np.float32),
    }
    # One entry only: safetensors writes several in no fixed order.
    head = {"model": json.dumps({"layout": layout_to_json(model.layout), "licence": model.licence})}
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path, metadata=head)


def half_vertices(layout: Layout) -> np.ndarray:
    """(H,) base vertices that are stored: one of each mirror pair, and those on the symmetry plane."""
    mirror = layout.mirror("base")
    return np.flatnonzero(mirror >= np.arange(len(mirror)))


def split_expressions() -> tuple[list[int], list[tuple[int, int]]]:
    """Rows of the expressions that are their own mirror image, and (left, right) rows of the pairs."""
    row = {name: k for k, name in enumerate(EXPRESSIONS)}
    single = [k for name, k in row.items() if mirrored(name) == name]
    pairs = [(k, row[mirrored(name)]) for name, k in row.items() if name.endswith("Left")]
    return single, pairs


def _whole(stored: np.ndarray, half: np.ndarray, layout: Layout, sign: Any) -> np.ndarray:
    """Whole shapes (..., V, 3) from half ones (..., H, 3); sign +1 for symmetric and -1 for antisymmetric ones."""
    mirror = layout.mirror("base")
    place = np.full(len(mirror), -1)
    place[half] = np.arange(len(half))
    whole = np.take(stored, np.where(place >= 0, place, place[mirror]), axis=-2).astype(np.float32)
    # What a vertex keeps of its stored twin, and what that twin's mirror image adds: on the symmetry plane half of both.
    own = np.where(place < 0, 0, np.where(mirror == np.arange(len(mirror)), 0.5, 1)).astype(np.float32)[:, None]
    image = (1 - own) * np.array([-1, 1, 1], np.float32)
    for factor in np.unique(sign):
        rows = (np.asarray(sign) == factor).reshape(-1)
        shapes = whole.reshape(-1, *whole.shape[-2:])
        shapes[rows if len(rows) > 1 else slice(None)] *= own + factor * image
    return whole


def _expressions(data: dict[str, np.ndarray], half: np.ndarray, layout: Layout) -> np.ndarray:
    """(51, V, 3) from the symmetric halves and the left ones of the pairs."""
    single, pairs = split_expressions()
    result = np.zeros((len(EXPRESSIONS), layout.count("base"), 3), np.float32)
    result[single] = _whole(data["expression_single"], half, layout, np.float32(1))
    left = data["expression_left"].astype(np.float32)
    result[[row for row, _ in pairs]] = left
    result[[row for _, row in pairs]] = flip(left, layout.mirror("base"))
    return result


def layout_to_json(layout: Layout) -> str:
    """A layout as a line of JSON."""
    return json.dumps({name: getattr(layout, name) for name in Layout.__dataclass_fields__})


def layout_from_json(text: str) -> Layout:
    """The layout written by `layout_to_json`."""
    values = json.loads(text)
    values |= {"eye": Rectangle(*values["eye"]), "mouth": Rectangle(*values["mouth"])}
    return Layout(**values | {"eye_rings": tuple(values["eye_rings"])})
