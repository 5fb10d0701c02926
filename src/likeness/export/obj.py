"""Wavefront OBJ with a material and a texture: the pose of the photo's expression, quads kept. Millimetres, +Y up."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from likeness.export.asset import Asset
from likeness.export.textures import mime_type

BLOCK = 4096
"""Lines that are formatted at once."""
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}


def to_files(asset: Asset, stem: str = "face") -> dict[str, bytes]:
    """The three files of an OBJ model by name: `STEM.obj`, `STEM.mtl` and, with a texture, `STEM.jpg` or `STEM.png`.

    An OBJ file names its material file, and that the texture, in lines that many readers split at spaces; so spaces
    and what else a name could hurt with are replaced in all names alike.

    Args:
        asset: The face; its expression is applied, since OBJ knows no movements.
        stem: Name of the files without suffix.
    """
    stem = re.sub(r"[^\w.-]", "_", stem, flags=re.ASCII) or "face"
    asset = replace(asset.still(), positions=asset.posed()).compacted()
    texture = None if asset.texture is None else stem + SUFFIXES[mime_type(asset.texture)]
    files = {f"{stem}.obj": _mesh(asset, stem), f"{stem}.mtl": _material(asset, texture)}
    return files | ({texture: asset.texture} if texture else {})


def _lines(form: str, rows: np.ndarray) -> bytes:
    """One line a row, thousands formatted at once."""
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    return b"".join(((form * len(block)) % tuple(block.ravel().tolist())).encode() for block in blocks)


def _mesh(asset: Asset, stem: str) -> bytes:
    header = ["# Likeness. Millimetres, +Y up, +Z out of the face."]
    header += [f"# {line}" for notice in asset.notices for line in notice.splitlines()]
    text = ["\n".join([*header, f"mtllib {stem}.mtl", "o face", ""]).encode()]
    text.append(_lines("v %.4f %.4f %.4f\n", asset.positions))
    quads, triangles = asset.faces[asset.faces[:, 3] >= 0] + 1, asset.faces[asset.faces[:, 3] < 0][:, :3] + 1
    if asset.uv is None:
        text += [b"usemtl face\ns 1\n", _lines("f %d %d %d %d\n", quads), _lines("f %d %d %d\n", triangles)]
    else:
        text.append(_lines("vt %.6f %.6f\n", asset.uv * [1, -1] + [0, 1]))  # OBJ counts v upwards
        text += [b"usemtl face\ns 1\n", _lines("f %d/%d %d/%d %d/%d %d/%d\n", np.repeat(quads, 2, 1))]
        text.append(_lines("f %d/%d %d/%d %d/%d\n", np.repeat(triangles, 2, 1)))
    return b"".join(text)


def _material(asset: Asset, texture: str | None) -> bytes:
    colour = "Kd 1 1 1" if texture else "Kd 0.6 0.45 0.38"
    lines = ["newmtl face", "Ka 0 0 0", colour, "Ks 0.04 0.04 0.04", "Ns 20", "illum 2"]
    return "\n".join(lines + ([f"map_Kd {texture}"] if texture else []) + [""]).encode()
