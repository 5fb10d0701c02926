"""AFLW2000-3D: `image00002.mat` beside `image00002.jpg`, with 68 3D points and the head's pose."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from likeness.errors import AssetError


class Label(NamedTuple):
    """What a .mat file says.

    Attributes:
        points: (68, 3) px, y down, hidden ones too.
        angles: (yaw, pitch, roll) in degrees, AFLW2000's convention (`evaluate.pose`).
    """

    points: np.ndarray
    angles: np.ndarray


def read(path: Path) -> Label:
    """Read a label.

    Raises:
        AssetError: Missing, damaged, or without `pt3d_68` and `Pose_Para`.
    """
    from scipy.io import loadmat

    try:
        data = loadmat(path, variable_names=["pt3d_68", "Pose_Para"])
        points, pose = np.asarray(data["pt3d_68"], float), np.asarray(data["Pose_Para"], float).ravel()
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise AssetError(f"{path}: cannot be read as a .mat file: {error}") from None
    except KeyError as error:
        raise AssetError(f"{path}: no {error}; is it of AFLW2000-3D?") from None
    if points.shape != (3, 68) or len(pose) < 3 or not np.isfinite(points).all():
        seen = f"pt3d_68 is {points.shape}, Pose_Para has {len(pose)} numbers"
        raise AssetError(f"{path}: {seen}; (3, 68) and 7 are wanted")
    return Label(points.T.copy(), np.degrees(pose[[1, 0, 2]]))
