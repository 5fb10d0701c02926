"""A recognition network by its name and its file."""

from __future__ import annotations

from pathlib import Path

from likeness.encoders.recognition import arcface, facenet, small, vggface
from likeness.encoders.recognition.interface import Recognition
from likeness.errors import UsageError

NAMES = ("likeness", "facenet", "arcface", "vggface")


def load(name: str, path: Path | None = None) -> Recognition:
    """A frozen recognition network.

    Args:
        name: "likeness" (a network of ours), "facenet", "arcface" or "vggface".
        path: Its weights; nothing is ever downloaded. Without one, "likeness" is the network that ships.

    Raises:
        UsageError: For another name, or without a path where one is needed.
        AssetError: When the file does not hold such a network.
    """
    if name not in NAMES:
        raise UsageError(f"recogniser {name!r} is not known; choose {', '.join(NAMES)}")
    if name == "likeness":
        return small.load(small.SHIPPED if path is None else path)
    if path is None:
        raise UsageError(f"recogniser {name} needs its file of weights; nothing is downloaded")
    return {"facenet": facenet.load, "arcface": arcface.load, "vggface": vggface.load}[name](Path(path))
