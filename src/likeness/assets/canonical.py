"""The canonical face of the dense landmarks (MediaPipe, Apache-2.0) and a first guess of where its points lie on ICT."""

import os
from pathlib import Path

import numpy as np

from likeness.assets.ict import MULTI_PIE_68, NARROW, IctModel
from likeness.errors import AssetError
from likeness.geometry.closest import closest_points

# Dense index of each Multi-PIE point, in Multi-PIE order: the customary table of the dense landmark set.
# None where the two definitions differ too much to serve as an anchor.
DENSE_OF_68 = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
CANONICAL = 468
_DATA_FILE = "mediapipe/canonical_face_model.obj"


def read(path: Path | None = None) -> np.ndarray:
    """Read the canonical face's vertices.

    Args:
        path: OBJ file with 468 vertices in centimetres; by default the one under LIKENESS_DATA.

    Returns:
        (468, 3) float64 in millimetres, model axes (+X to the subject's left, +Y up, +Z out of the face).

    Raises:
        AssetError: If the file is missing or is not the canonical face.
    """
    if path is None:
        if "LIKENESS_DATA" not in os.environ:
            raise AssetError("the canonical face's path was not given and LIKENESS_DATA is not set; set one of them")
        path = Path(os.environ["LIKENESS_DATA"]) / _DATA_FILE
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise AssetError(f"cannot read the canonical face {path}: {error.strerror}") from error
    vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float64)
    if vertices.shape != (CANONICAL, 3):
        raise AssetError(f"{path} has {len(vertices)} vertices; the canonical face has {CANONICAL}")
    return vertices * 10


def provisional_correspondence(ict: IctModel, canonical: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Guess where the first 468 dense landmarks lie on the ICT surface.

    The canonical face is warped by a thin-plate spline (Bookstein 1989, in 3D with kernel r) through the 68
    Multi-PIE points, then every vertex goes to the closest point of the mean's narrow face. A starting point only:
    targets fitted with it share a bias of about one standard deviation of identity, so it must be refined jointly
    over many photos.

    Args:
        ict: The ICT model.
        canonical: (468, 3) canonical vertices in mm; by default `read()`.

    Returns:
        ICT vertex ids (468, 3) int32 and barycentric weights (468, 3) float64, rows summing to 1.
    """
    canonical = read() if canonical is None else np.asarray(canonical, np.float64)
    target = np.asarray(ict.mean, np.float64)
    warped = _spline(canonical[list(DENSE_OF_68)], target[list(MULTI_PIE_68)], canonical, smoothing=1.0)
    narrow = ict.faces[(ict.faces < NARROW).all(axis=1)]
    triangles = np.concatenate([narrow[:, [0, 1, 2]], narrow[narrow[:, 3] >= 0][:, [0, 2, 3]]])
    landed = closest_points(warped, target[:NARROW], triangles)
    return triangles[landed.triangle].astype(np.int32), landed.barycentric


def _spline(source: np.ndarray, target: np.ndarray, points: np.ndarray, smoothing: float) -> np.ndarray:
    """Carry points (n, 3) by the thin-plate spline that takes source (k, 3) to target (k, 3) in mm, smoothing in mm."""
    count = len(source)
    kernel = np.linalg.norm(source[:, None] - source[None], axis=-1)
    affine = np.concatenate([np.ones((count, 1)), source], axis=1)
    system = np.block([[kernel - smoothing * np.eye(count), affine], [affine.T, np.zeros((4, 4))]])
    solution = np.linalg.solve(system, np.concatenate([target, np.zeros((4, 3))]))
    reach = np.linalg.norm(points[:, None] - source[None], axis=-1)
    return reach @ solution[:count] + np.concatenate([np.ones((len(points), 1)), points], axis=1) @ solution[count:]
