"""Reader for colours learned apart from a shape: the albedo morphable model, and FLAME's texture spaces.

Smith et al. 2020, "A Morphable Face Albedo Model": `albedoModel2020_bfm_albedoPart.h5` with diffuseAlbedo and
specularAlbedo in the layout of `bfm`, on the Basel vertices of 2017 (its README and `AlbedoMoMoIO.scala`); linear sRGB.
`albedoModel2020_FLAME_albedoPart.npz` is the same on FLAME's chart: MU (h, w, 3), PC (h, w, 3, K), specMU, specPC, vt
(n, 2), v up, and ft (F, 3), whose faces are FLAME's in their order. `FLAME_texture.npz` (mean, tex_dir, 0 to 255) and
`FLAME_albedo_from_BFM.npz` (MU, PC) have the names that TF_FLAME's and BFM_to_FLAME's code uses; they are sRGB and have no
specular part. Pictures of these files hold blue first, which is noticed by skin: it reflects more red than blue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from likeness.assets import archive, hdf5
from likeness.assets.catalogue import READABLE
from likeness.assets.outside import Colors, OutsideModel, checked, first_bytes, modes_of, vertices_of
from likeness.errors import AssetError


@dataclass(frozen=True)
class Albedo:
    """Colours without a shape.

    Attributes:
        name: As its makers call it.
        licence: One line under which its makers give it.
        diffuse: Diffuse colours of V vertices.
        specular: Specular colours, where the file has them.
    """

    name: str
    licence: str
    diffuse: Colors
    specular: Colors | None = None


def read(path: str | Path, shape: OutsideModel | None = None) -> Albedo:
    """Read colours.

    Args:
        shape: FLAME, for files on its chart: tells which vertices the chart's corners are.

    Raises:
        AssetError: When the file is missing, damaged or of another layout, or needs a shape.
    """
    path = Path(path)
    return _read_chart(path, shape) if first_bytes(path).startswith(b"PK") else _read_hdf5(path)


def dress(path: str | Path, shape: OutsideModel) -> OutsideModel:
    """A shape with the colours of a file; its licence then holds both.

    Raises:
        AssetError: As `read`, and when the colours are of another number of vertices.
    """
    albedo = read(path, shape)
    if len(albedo.diffuse.mean) != len(shape.mean):
        raise AssetError(f"{path}: colours of {len(albedo.diffuse.mean)} vertices; {shape.name} has {len(shape.mean)}")
    licence = f"{shape.licence}; {albedo.licence}"
    notes = tuple(note for note in shape.notes if not note.startswith("colours"))
    return checked(Path(path), replace(
        shape, albedo=albedo.diffuse, specular=albedo.specular, licence=licence, notes=(*notes, f"colours: {albedo.name}")
    ))  # fmt: skip


def _read_hdf5(path: Path) -> Albedo:
    data = hdf5.read(path, ("diffuseAlbedo", "specularAlbedo"))
    archive.need(path, data, ("diffuseAlbedo/model/mean",), "the albedo morphable model")
    found = {}
    for name in ("diffuseAlbedo", "specularAlbedo"):
        keys = [f"{name}/model/{key}" for key in ("mean", "pcaBasis", "pcaVariance")]
        if keys[0] in data:
            archive.need(path, data, keys, f"{name} of the albedo morphable model")
            deviations = np.sqrt(np.maximum(data[keys[2]].astype(np.float64), 0))
            found[name] = Colors(vertices_of(path, keys[0], data[keys[0]]), modes_of(path, keys[1], data[keys[1]], deviations),
                                 "linear")  # fmt: skip
    return Albedo(
        "AlbedoMM on Basel vertices", READABLE["albedomm"].licence, found["diffuseAlbedo"], found.get("specularAlbedo")
    )


def _read_chart(path: Path, shape: OutsideModel | None) -> Albedo:
    names = archive.names(path)
    mean, modes = ("MU", "PC") if "MU" in names else ("mean", "tex_dir")
    specular = {"specMU", "specPC"} <= names
    data = archive.read(path, {mean, modes, "vt", "ft"} | ({"specMU", "specPC"} if specular else set()))
    archive.need(path, data, (mean, modes, "vt", "ft"), "colours on FLAME's chart")
    if shape is None:
        raise AssetError(f"{path}: lies on FLAME's chart; give the FLAME model too, whose vertices it is brought to")
    if len(data["ft"]) != len(shape.faces):
        raise AssetError(f"{path}: {len(data['ft'])} faces in the chart, {len(shape.faces)} in {shape.name}")
    places = np.full((len(shape.mean), 2), np.nan)
    places[shape.faces[:, :3].ravel()] = np.asarray(data["vt"], np.float64)[np.ravel(data["ft"])]
    diffuse = _at(path, mean, data[mean], data[modes], places)
    linear = specular  # only the albedo model has a specular part, and only it is linear
    diffuse = Colors(diffuse.mean, diffuse.modes, "linear" if linear else "srgb")
    shiny = _at(path, "specMU", data["specMU"], data["specPC"], places) if specular else None
    name = "AlbedoMM on FLAME's chart" if specular else "texture space on FLAME's chart"
    return Albedo(name, READABLE["albedomm" if specular else "texture"].licence, diffuse, shiny)


def _at(path: Path, name: str, mean: np.ndarray, modes: np.ndarray, places: np.ndarray) -> Colors:
    """Colours at chart places (V, 2), v up, between four pixels; vertices outside the chart get the mean's mean."""
    side = round(np.sqrt(np.size(mean) / 3))
    if side * side * 3 != np.size(mean) or np.size(modes) % np.size(mean):
        raise AssetError(f"{path}: {name} has {np.size(mean)} numbers; a square picture in RGB is expected")
    mean = np.reshape(mean, (side, side, 3))
    modes = np.reshape(modes, (side, side, 3, -1))
    known = np.isfinite(places).all(1)
    x = np.clip(places[known, 0] * side - 0.5, 0, side - 1)
    y = np.clip((1 - places[known, 1]) * side - 0.5, 0, side - 1)
    column, row = np.minimum(x.astype(int), side - 2), np.minimum(y.astype(int), side - 2)
    right, down = x - column, y - row
    corners = (
        (row, column, (1 - down) * (1 - right)),
        (row, column + 1, (1 - down) * right),
        (row + 1, column, down * (1 - right)),
        (row + 1, column + 1, down * right),
    )
    values = np.zeros((len(places), 3), np.float32)
    values[known] = sum(weight[:, None] * mean[r, c] for r, c, weight in corners)
    values[~known] = values[known].mean(0)
    shapes = np.zeros((modes.shape[-1], len(places), 3), np.float32)
    shapes[:, known] = np.moveaxis(sum(weight[:, None, None] * modes[r, c] for r, c, weight in corners), -1, 0)
    scale = 1 / 255 if values.max() > 2 else 1.0
    order = [2, 1, 0] if values[:, 0].mean() < values[:, 2].mean() else [0, 1, 2]
    return Colors(
        (values * scale)[:, order].astype(np.float32), (shapes * scale)[..., order].astype(np.float32), "linear"
    )
