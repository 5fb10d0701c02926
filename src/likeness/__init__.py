"""Likeness: from a photo to a textured, animatable 3D face."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors; at run time `__getattr__` imports what is used
    from likeness.assets.arkit import EXPRESSIONS
    from likeness.assets.builtin import load as load_model
    from likeness.errors import AssetError, LikenessError, NoFaceError, OutputError, PhotoError, UsageError
    from likeness.photos.read import read as read_photo
    from likeness.runtime.reconstruct import Reconstruction, reconstruct
    from likeness.types import Topology, View

__version__ = "0.1.0"

_HOMES = {
    "reconstruct": "runtime.reconstruct",
    "Reconstruction": "runtime.reconstruct",
    "read_photo": "photos.read",
    "load_model": "assets.builtin",
    "EXPRESSIONS": "assets.arkit",
    "Topology": "types",
    "View": "types",
    "LikenessError": "errors",
    "PhotoError": "errors",
    "NoFaceError": "errors",
    "OutputError": "errors",
    "AssetError": "errors",
    "UsageError": "errors",
}
"""Public name -> the module that defines it, imported when the name is first used."""
_RENAMED = {"read_photo": "read", "load_model": "load"}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'likeness' has no attribute {name!r}")
    value = getattr(import_module(f"likeness.{_HOMES[name]}"), _RENAMED.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_HOMES))
