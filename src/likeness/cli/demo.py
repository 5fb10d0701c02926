"""`likeness demo`: a photo that is already on the disk, all the way to files that can be opened."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import tyro

from likeness.cli.main import show
from likeness.cli.reconstruct import Reconstruct, reconstruct
from likeness.errors import AssetError

HINTS = """
Open face.glb:
  Blender      File > Import > glTF 2.0; the 51 movements are shape keys under Object Data
  three.js     drag it into https://threejs.org/editor; mesh.morphTargetDictionary has Apple's names
  Unity        drag it into Assets (package glTFast); the movements are blend shapes of the SkinnedMeshRenderer
Look at overlay.png first: the mesh drawn over the photo."""


@dataclass(frozen=True)
class Demo:
    """Reconstruct scikit-image's picture of astronaut Eileen Collins (NASA, public domain)."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("likeness-demo")
    """Folder for the results."""


def demo(config: Demo) -> int:
    """Reconstruct the demo photo and say what was written; returns the exit code."""
    code = reconstruct(Reconstruct(photos=(photo(),), output=config.output, max_faces=1, overwrite=True))
    if code == 0:
        for path in sorted(config.output.rglob("*")):
            if path.is_file():
                show(f"  {path}  {path.stat().st_size / 1e6:.2f} MB")
        show(HINTS)
    return code


def photo() -> Path:
    """The astronaut in scikit-image's wheel, found without importing that package.

    Raises:
        AssetError: When scikit-image is not installed or has lost the picture.
    """
    package = find_spec("skimage")
    path = Path(package.origin).parent / "data" / "astronaut.png" if package and package.origin else None
    if path is None or not path.is_file():
        raise AssetError("the demo photo lies in scikit-image: pip install 'likeness[demo]', or take a photo of yours")
    return path
