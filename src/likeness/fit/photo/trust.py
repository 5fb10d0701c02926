"""How far the regressor's answers are off: their errors' covariance, measured on renders whose codes are known, and kept in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likeness.assets.builtin import Builtin
from likeness.encoders.camera import centred
from likeness.errors import AssetError
from likeness.fit.photo.beliefs import difference
from likeness.fit.photo.evidence import Evidence, gather
from likeness.fit.photo.observe import averaged
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.synthesis import scene_of
from likeness.geometry.cameras import transform_view
from likeness.photos.detect import Detection
from likeness.types import View

FILE = Path(__file__).parent / "regressor.safetensors"
RIDGE = 1e-3
"""Share of each variance that is added to it before the covariance is inverted."""


def off(
    image: np.ndarray, face: Detection, truth: Mapping[str, np.ndarray], encode: Callable, model: Builtin
) -> Tensor:
    """(D,): true identity, expression and pose less the regressor's answer to one render.

    Args:
        truth: The codes, and the camera in pixels of the render.
    """
    evidence = gather(image, averaged(image, face, encode, model))
    cameras = (np.asarray(truth[name], np.float64) for name in ("rotation", "translation", "focal", "principal"))
    view = transform_view(View(*cameras, image.shape[:2]), evidence.crop_from_photo, evidence.image.shape[:2])
    there = _scene(evidence, truth["identity"], truth["expression"], centred(view))
    return difference(there, _scene(evidence, evidence.identity, evidence.expression, evidence.view))[0]


def _scene(evidence: Evidence, identity: np.ndarray, expression: np.ndarray, view: View) -> Scene:
    return scene_of(
        identity[None], expression[None], [view], torch.zeros(1, dtype=torch.long), 1, evidence.image.shape[0]
    )


def covariance(errors: Iterable[Tensor]) -> Tensor:
    """(D, D) mean of outer products; the mean error is part of it, because a fit starts from the answer as it is."""
    rows = torch.stack(list(errors)).double()
    return rows.T @ rows / len(rows)


def write(path: Path, spread: Tensor, notes: Mapping[str, str]) -> None:
    """Keep a covariance."""
    from safetensors.torch import save_file

    save_file({"covariance": spread.float().contiguous()}, path, metadata={"model": json.dumps(dict(notes))})


@cache
def precision(path: Path = FILE) -> Tensor:
    """(D, D) inverse of the covariance in a file, by default of the one that ships; read once.

    Raises:
        AssetError: When the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        spread = load_file(path)["covariance"].double()
    except (OSError, KeyError, SafetensorError) as error:
        raise AssetError(f"{path}: not a covariance written by `likeness train trust` ({error})") from None
    return torch.linalg.inv(spread + RIDGE * torch.diag(spread.diagonal())).float()
