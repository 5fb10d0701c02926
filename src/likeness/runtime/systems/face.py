"""A face as a trained system answers it: codes of the face model that ships, an albedo, perhaps a light and a coarser level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from likeness import color
from likeness.assets.ict import IctModel
from likeness.export import codes as code_files
from likeness.export import environment, gltf
from likeness.export.asset import Asset
from likeness.export.textures import to_png
from likeness.geometry import harmonics
from likeness.geometry.mesh import vertex_normals
from likeness.runtime.draw import rendered
from likeness.runtime.reconstruct import FORMATS, TEXTURE_SIZE, Reconstruction
from likeness.runtime.systems.card import Card
from likeness.types import Light

AROUND = 41
"""Texels: twice as far as the skin around an eye or the mouth reaches whose light is taken for theirs. Ours."""
LIGHTER = 2.5
"""Largest factor by which eyes and mouth of a photo are brightened or darkened. Ours."""


@dataclass(frozen=True, kw_only=True)
class SystemFace(Reconstruction):
    """One face of a photo by a trained system.

    Attributes:
        card: Of the system.
        albedo: (S, S, 3) float32 linear RGB in [0, 1], diffuse albedo of the skin over the chart.
        light: In the camera frame of the photo, where the system estimates it.
        resting: Whether the system says nothing about expression: then files show the face at rest, and the expression in
            `codes` is what the photo's landmarks say (for overlay and face.json).
        base: The same face without what the system adds to the face model, where it has two levels.
    """

    card: Card
    albedo: np.ndarray
    light: Light | None = None
    resting: bool = False
    base: SystemFace | None = None

    @cached_property
    def texture(self) -> np.ndarray:
        """(1024, 1024, 3) uint8 sRGB over the chart: the system's albedo; eyes and mouth are those of the photo, without the colour
        of its light, and each as bright as the skin around it says."""
        photo = color.decode(self.unwrapped())
        skin = cv2.resize(self.albedo, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_LINEAR)
        holes = [self._hole(part) for name, part in self.topology.parts.items() if name != "skin"]
        every = np.any(holes, 0)
        around = [(cv2.dilate(hole.astype(np.uint8), np.ones((AROUND, AROUND))) > 0) & ~every for hole in holes]
        ratios = [np.median(skin[ring], 0) / np.maximum(np.median(photo[ring], 0), 1e-3) for ring in around]
        tint = np.sqrt(
            np.median(ratios, 0)
        )  # a half of it: the albedo of skin is a guess too, and eyes show any error as blue
        tint = tint / tint.mean()
        result = skin.copy()
        for hole, ratio in zip(holes, ratios):
            gain = tint * np.clip(ratio.mean(), 1 / LIGHTER, LIGHTER)
            share = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 1.5)[..., None]
            result += share * (np.clip(gain * photo, 0, 1) - result)
        return encoded(result)

    def _hole(self, part: slice) -> np.ndarray:
        """(1024, 1024) bool: texels of an eyeball or the mouth bag, for which albedo models say nothing."""
        mask = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE), np.uint8)
        triangles = self.topology.triangles
        inside = triangles[((triangles >= part.start) & (triangles < part.stop)).all(1)]
        for corner in np.rint(self.topology.uv[inside] * TEXTURE_SIZE * 16 - 8).astype(np.int32):
            cv2.fillConvexPoly(mask, corner, 1, shift=4)
        return mask > 0

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """The face in the light that the system found, as its photo would show it.

        Returns:
            Linear RGB (H, W, 3), zero where the face is not, and its share of each pixel (H, W, 1).

        Raises:
            ValueError: When the system finds no light.
        """
        if self.light is None:
            raise ValueError(f"{self.card.system} finds no light; draw `vertices` with `texture` in one of your own")
        triangles = self.topology.triangles
        normals = vertex_normals(self.vertices.astype(np.float64), triangles) @ np.asarray(self.view.rotation).T
        shade = np.maximum(harmonics.shade(normals, self.light.harmonics), 0)
        surface, coverage = rendered(self.vertices, triangles, self.view, self.topology.uv, color.decode(self.texture))
        lit, _ = rendered(self.vertices, triangles, self.view, shade, None)
        return surface * lit / np.maximum(coverage, 1e-6), coverage

    def asset(self, textured: bool = True) -> Asset:
        """As for every reconstruction, with the system's notice; at rest where the system knows no expression."""
        asset = super().asset(textured)
        weights = np.zeros_like(asset.weights) if self.resting else asset.weights
        extras = {**asset.extras, "system": self.card.system}
        return replace(asset, weights=weights, extras=extras, notices=(*asset.notices, self.card.notice))

    def record(self) -> code_files.FaceFile:
        """What face.json holds; `model` names the system, and whether the surface is more than its codes."""
        record = super().record()
        more: Mapping[str, Any] = {"system": self.card.system, "correctives": self.base is not None}
        return replace(record, model={**record.model, **more}, licences=(*record.licences, self.card.notice))

    def files(self, formats: Sequence[str] = FORMATS, head: IctModel | None = None) -> dict[str, bytes]:
        """The files of a folder of results, by name: albedo and light beside those of a reconstruction; with two levels the
        coarser one as base.glb and albedo-base.png."""
        result = super().files(formats, head) | {"albedo.png": to_png(encoded(self.albedo))}
        if self.base is not None:
            result["albedo-base.png"] = to_png(encoded(self.base.albedo))
            if "glb" in formats:
                result["base.glb"] = gltf.to_bytes(self.base.asset())
        if self.light is not None:
            result["light.png"] = to_png(environment.tone_mapped(environment.irradiance(self.light))[0])
            result["light.hdr"] = environment.to_hdr(environment.radiance(self.light))
        return result


def extended(
    face: Reconstruction, card: Card, albedo: np.ndarray, light: Light | None = None, resting: bool = False,
    base: SystemFace | None = None,
) -> SystemFace:  # fmt: skip
    """A reconstruction with what a system adds to it; see the attributes of `SystemFace`."""
    own = {entry.name: getattr(face, entry.name) for entry in fields(Reconstruction)}
    return SystemFace(**own, card=card, albedo=albedo, light=light, resting=resting, base=base)


def encoded(albedo: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 sRGB of linear RGB."""
    return color.encode(np.clip(albedo, 0, 1).astype(np.float32))
