"""Codes and a camera to a face, by the exported graph."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.assets import builtin
from likeness.assets.builtin import Builtin, layout_to_json
from likeness.assets.halves import half_shapes
from likeness.errors import AssetError
from likeness.runtime.session import open_session
from likeness.types import View

FOLDER = Path(__file__).parent
LEVELS = ("base", "dense")


@dataclass(frozen=True)
class Decoded:
    """A face.

    Attributes:
        vertices: (V, 3) float32 mm, model frame.
        normals: (V, 3) float32 unit outward normals, model frame.
        points: (V, 2) float32 pixels of the view's picture.
        depth: (V,) float32 mm in front of the camera.
    """

    vertices: np.ndarray
    normals: np.ndarray
    points: np.ndarray
    depth: np.ndarray


class Decoder:
    """The face model in an ONNX Runtime session of one thread.

    Args:
        level: "base" or "dense".
        model: The face model whose shapes are used; by default the one that ships. Its layout must be the graph's.
        path: The graph; by default the one that ships.

    Raises:
        AssetError: When the graph is missing, damaged, or made for another layout.
    """

    def __init__(self, level: str = "dense", model: Builtin | None = None, path: Path | None = None) -> None:
        if level not in LEVELS:
            raise ValueError(f"level {level!r}; choose 'base' or 'dense'")
        path = path or FOLDER / f"decoder-{level}.onnx"
        self.level, self.model = level, model or builtin.load()
        self.session = open_session(path, "decoder")
        self.shapes = half_shapes(self.model)
        sizes = {node.name: tuple(node.shape) for node in self.session.get_inputs()}
        fits = all(sizes[name] == shape.shape for name, shape in self.shapes.items())
        layout = self.session.get_modelmeta().custom_metadata_map.get("likeness.layout")
        if not fits or layout != layout_to_json(self.model.layout):
            raise AssetError(f"{path} was made for another face model; export it again with `likeness train decoder`")

    def decode(self, codes: Mapping[str, np.ndarray], view: View | None = None) -> Decoded:
        """The face of codes "identity" (100,) and "expression" (51,), seen by a camera.

        Args:
            view: By default one far in front of the face, for those who want vertices only.
        """
        view = view or View(np.eye(3), np.array([0.0, 0, -1000]), np.float32(1000), np.zeros(2), (0, 0))
        values = {
            "identity": codes["identity"], "expression": codes["expression"], "rotation": view.rotation,
            "translation": view.translation, "focal": view.focal, "principal": view.principal,
        }  # fmt: skip
        feed = {name: np.asarray(value, np.float32, order="C") for name, value in values.items()}
        return Decoded(*self.session.run(None, feed | self.shapes))


@functools.lru_cache(maxsize=2)
def shipped(level: str = "dense") -> Decoder:
    """The decoder of a level that ships, loaded once."""
    return Decoder(level)
