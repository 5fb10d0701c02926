"""Reader for the Basel Face Models: 2009 (MAT v5), 2017 and 2019 and the albedo model's combination with them (HDF5).

2009: Paysan et al. 2009; `01_MorphableModel.mat` with shapeMU, shapePC, shapeEV (standard deviations), texMU, texPC,
texEV in [0, 255], tl (from 1, clockwise), in micrometres; as its own documentation and eos' `convert-bfm2009-to-eos.py`
say. 2017 and 2019: Gerig et al. 2018; statismo's layout as in scalismo-faces' `MoMoIO.scala`: for each of shape,
expression and color `model/mean`, `model/pcaBasis` (3V, K), `model/pcaVariance`, and `representer/cells` (3, F), in
millimetres (micrometres for 2009's model in this layout, as its maker says in basel-face-model-viewer's issue 20). The
model's axes are ours. Colours are taken for sRGB: the scans' photographs were, and the model's own renderer draws without
a transfer curve.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from likeness.assets import hdf5
from likeness.assets.archive import need
from likeness.assets.catalogue import READABLE
from likeness.assets.outside import (
    Colors,
    OutsideModel,
    checked,
    first_bytes,
    landmark_table,
    modes_of,
    no_modes,
    triangles_of,
    vertices_of,
)  # fmt: skip
from likeness.errors import AssetError, one_line

_MICROMETRES = 1e-3
_SIZE_2009, _SIZE_2017 = 53490, 53149
_POINTS_2009 = {
    18: 38792, 20: 40087, 22: 40514, 23: 41091, 25: 41511, 27: 42825, 31: 8319, 34: 8334, 37: 2088, 40: 5959, 43: 10603,
    46: 14472, 49: 5006, 52: 8344, 55: 11714, 58: 8374, 63: 8354, 67: 8366,
}  # fmt: skip
"""Multi-PIE point from 1 -> vertex of the whole 2009 model (eos, share/ibug_to_bfm.txt)."""
_POINTS_2017 = {
    9: 47846, 31: 8156, 37: 2602, 40: 5830, 43: 10390, 46: 13481, 49: 5522, 50: 6026, 51: 7355, 52: 8181, 53: 9007,
    54: 10329, 55: 10857, 56: 9730, 57: 8670, 58: 8199, 59: 7726, 60: 6898, 61: 6291, 62: 7364, 63: 8190, 64: 9016,
    65: 10088, 66: 8663, 67: 8191, 68: 7719,
}  # fmt: skip
"""The same for 2017's model masked as the first one (eos, share/ibug_to_bfm2017-1_bfm_nomouth.txt)."""


def read(path: str | Path) -> OutsideModel:
    """Read a `.mat` or `.h5` file of a Basel Face Model.

    Raises:
        AssetError: When the file is missing, damaged or of another layout, or what it needs is not installed.
    """
    path = Path(path)
    return checked(path, _read_hdf5(path) if first_bytes(path).startswith(hdf5.MAGIC) else _read_mat(path))


def _read_mat(path: Path) -> OutsideModel:
    try:
        from scipy.io import loadmat
    except ModuleNotFoundError:
        raise AssetError(f"{path}: reading MAT files needs scipy: pip install 'likeness[learn]'") from None
    keys = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
    try:
        data = loadmat(path, variable_names=keys, appendmat=False)
    except Exception as error:  # of many kinds, by the damage
        raise AssetError(f"{path}: not a MAT file of version 5, or a damaged one ({one_line(error)[:100]})") from None
    need(path, {key: 0 for key in data if key in keys}, keys, "the Basel Face Model of 2009")
    mean = vertices_of(path, "shapeMU", data["shapeMU"]) * np.float32(_MICROMETRES)
    identity = modes_of(path, "shapePC", data["shapePC"], data["shapeEV"]) * np.float32(_MICROMETRES)
    color = vertices_of(path, "texMU", data["texMU"]) / np.float32(255)
    modes = modes_of(path, "texPC", data["texPC"], data["texEV"]) / np.float32(255)
    faces = triangles_of(path, data["tl"], first=1)[:, [0, 2, 1, 3]]
    return OutsideModel(
        "Basel Face Model 2009", READABLE["bfm"].licence, mean, identity, no_modes(len(mean)), faces, albedo=Colors(color, modes, "srgb"),
        landmarks68=landmark_table(_POINTS_2009, len(mean), _SIZE_2009),
        notes=("no expressions in this file", "colours taken for sRGB"),
    )  # fmt: skip


def _read_hdf5(path: Path) -> OutsideModel:
    data = hdf5.read(path, ("shape", "expression", "color", "diffuseAlbedo", "specularAlbedo"))
    if "shape/model/mean" not in data and "diffuseAlbedo/model/mean" in data:
        raise AssetError(f"{path}: has colours but no shape; read it with `albedomm.read` beside a Basel Face Model")
    need(path, data, ("shape/model/mean", "shape/representer/cells"), "a Basel Face Model of 2017 or 2019")
    mean, identity = _part(path, data, "shape")
    scale = np.float32(_MICROMETRES if np.ptp(mean, axis=0).max() > 2000 else 1)
    expression, notes = no_modes(len(mean)), ["colours taken for sRGB"]
    if "expression/model/mean" in data:
        offset, expression = _part(path, data, "expression")
        mean = mean + offset
    else:
        notes.insert(0, "no expressions in this file")
    albedo = specular = None
    if "color/model/mean" in data:
        albedo = Colors(*_part(path, data, "color"), "srgb")
        if albedo.mean.max() > 2:
            albedo = Colors(albedo.mean / 255, albedo.modes / 255, "srgb")
    elif "diffuseAlbedo/model/mean" in data:
        albedo, notes[-1] = (
            Colors(*_part(path, data, "diffuseAlbedo"), "linear"),
            "colours are the albedo model's, linear",
        )
    if "specularAlbedo/model/mean" in data:
        specular = Colors(*_part(path, data, "specularAlbedo"), "linear")
    faces = triangles_of(path, data["shape/representer/cells"])
    year = "2009" if scale != 1 else "2017 or 2019"
    return OutsideModel(
        f"Basel Face Model {year}", READABLE["bfm"].licence, scale * mean, scale * identity, scale * expression, faces,
        landmarks68=landmark_table(_POINTS_2017, len(mean), _SIZE_2017), albedo=albedo, specular=specular,
        notes=tuple(notes),
    )  # fmt: skip


def _part(path: Path, data: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean (V, 3) and modes (K, V, 3) of one of the file's models; its columns may hold their variances (version 0.8)."""
    keys = [f"{name}/model/{key}" for key in ("mean", "pcaBasis", "pcaVariance")]
    need(path, data, keys, f"a Basel Face Model with {name}")
    mean, basis, variance = (data[key] for key in keys)
    if (variance < 0).any():
        raise AssetError(f"{path}: {keys[2]} holds a negative number; the file is damaged")
    return vertices_of(path, keys[0], mean), modes_of(path, keys[1], basis, np.sqrt(variance.astype(np.float64)))
