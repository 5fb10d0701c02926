"""Where the 478 dense landmarks lie on the ICT surface, and how far each may be trusted: learned jointly over many photos."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from likeness.errors import AssetError
from likeness.types import Embedding

COUNT = 478
"""468 points of the face mesh, then five for each iris (centre and ring)."""
IRISES = slice(468, 478)
OUTLINE: tuple[int, ...] = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136,
    172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The face's outline, a closed ring from the top of the forehead towards the subject's left, round the chin and back."""
LIPS: tuple[int, ...] = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
"""Outer border of the lips, then the inner one; each a ring from the subject's right corner along the lower lip."""
EYE_RIGHT: tuple[int, ...] = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
"""The subject's right lid margin, a ring from the outer corner along the lower lid."""
EYE_LEFT: tuple[int, ...] = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""The subject's left lid margin, a ring from the outer corner along the lower lid."""
BROWS: tuple[int, ...] = (
    46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336,
)  # fmt: skip
NOSE: tuple[int, ...] = (
    168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 294, 278, 344, 440, 275, 274, 458, 461, 462, 250, 309, 392,
    64, 48, 115, 220, 45, 44, 238, 241, 242, 20, 79, 166, 60, 75, 290, 305, 240, 460, 99, 328, 235, 455, 219, 439,
    218, 438, 237, 457, 125, 354, 141, 370, 49, 279, 131, 360, 198, 420,
)  # fmt: skip
FEATURES: tuple[int, ...] = LIPS + EYE_RIGHT + EYE_LEFT + BROWS + NOSE
"""Points that mark something to be seen in a photo; the rest of the mesh lies between them."""
OUTER_EYE_CORNERS = (33, 263)
"""The subject's right and left outer eye corner: the unit of landmark errors."""
_FILE = "correspondence.safetensors"


@dataclass(frozen=True)
class Correspondence:
    """Dense landmarks as points of the ICT surface.

    Attributes:
        embedding: The 478 points: ICT vertex ids and barycentric weights.
        sigma: (478,) mm, spread of the automatic landmarks about the fitted surface.
        offset: (478, 3) mm, model frame: how far, in the mean over people, the automatic landmarks keep from their surface
            points. Used while fitting, so that a habit of the landmark detector is not read as identity.
        metadata: Licence, sources and figures of the training run.
    """

    embedding: Embedding
    sigma: np.ndarray
    offset: np.ndarray
    metadata: dict[str, str]


def read(path: str | Path | None = None) -> Correspondence:
    """Read the learned correspondence, by default the one that ships.

    Raises:
        AssetError: When the file is missing or has another layout.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path) if path is not None else Path(str(files("likeness.assets") / _FILE))
    try:
        with safe_open(path, "numpy") as file:
            vertices, weights, sigma, offset = (file.get_tensor(k) for k in ("vertices", "weights", "sigma", "offset"))
            metadata = dict(file.metadata() or {})
    except (FileNotFoundError, SafetensorError) as error:
        raise AssetError(
            f"{path}: not a landmark correspondence ({error}); make one with `likeness train landmarks`"
        ) from None
    if vertices.shape != (COUNT, 3):
        raise AssetError(f"{path} holds {len(vertices)} points; the dense landmarks are {COUNT}")
    return Correspondence(Embedding(vertices, weights), sigma, offset, metadata)


def write(path: str | Path, correspondence: Correspondence) -> None:
    """Write a correspondence as safetensors with its licence and sources in the metadata."""
    from safetensors.numpy import save_file

    tensors = {
        "vertices": np.ascontiguousarray(correspondence.embedding.vertices, np.int32),
        "weights": np.ascontiguousarray(correspondence.embedding.weights, np.float32),
        "sigma": np.ascontiguousarray(correspondence.sigma, np.float32),
        "offset": np.ascontiguousarray(correspondence.offset, np.float32),
    }
    metadata = {k: v if isinstance(v, str) else json.dumps(v) for k, v in correspondence.metadata.items()}
    save_file(tensors, str(path), metadata)
