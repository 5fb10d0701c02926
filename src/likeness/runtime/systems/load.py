"""A trained system by its name, for those that ship, or by its file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from likeness.errors import AssetError, UsageError
from likeness.runtime.reconstruct import LEVELS, System
from likeness.runtime.systems import genova2018, tewari2018
from likeness.runtime.systems.card import Graph

FOLDER = Path(__file__).parent
MAKERS: dict[str, Callable[[Graph, str], System]] = {
    genova2018.NAME: genova2018.system,
    tewari2018.NAME: tewari2018.system,
}
"""Name of the recipe -> (graph, level) -> the system."""


@cache
def load(name: str, level: str = "dense") -> System:
    """A trained system, loaded once.

    Args:
        name: One of `MAKERS`, for the system that ships; or the path of a file (`--export` of its training command).
        level: "base" or "dense", of the mesh.

    Raises:
        UsageError: When there is no such level, or the name is neither a system nor a file.
        AssetError: When the file is damaged, something else, or made for another face model.
    """
    if level not in LEVELS:
        raise UsageError(f"there is no level {level!r}; choose one of {', '.join(LEVELS)}")
    path = FOLDER / f"{name}.onnx" if name in MAKERS else Path(name)
    if name not in MAKERS and not path.is_file():
        raise UsageError(f"--system {name}: neither a system that ships ({', '.join(MAKERS)}) nor a file")
    graph = Graph(path)
    if graph.card.system not in MAKERS:
        raise AssetError(f"{path} holds the system {graph.card.system!r}, which this program does not know: update it")
    return MAKERS[graph.card.system](graph, level)
