"""What a fit of one photo is written as: the files of a reconstruction, and albedo, light, what is left over, and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch

from likeness import color
from likeness.assets.ict import IctModel
from likeness.export import environment
from likeness.export.documents import number
from likeness.export.residual import residual
from likeness.export.textures import to_png
from likeness.fit.photo.evidence import Evidence
from likeness.fit.photo.pixels import FACING
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Surface
from likeness.fit.photo.synthesis import Fitted, Report
from likeness.geometry import harmonics
from likeness.geometry.cameras import transform_view
from likeness.geometry.mesh import vertex_normals
from likeness.render.render import render
from likeness.runtime.reconstruct import Reconstruction, System
from likeness.runtime.sight import ROWS
from likeness.runtime.unwrap import Seen, see
from likeness.types import Face, Light, View

FIT_FILES = ("albedo.png", "light.png", "light.hdr", "residual.png", "fit.json")
"""What a fit writes beside the files of a reconstruction."""
FORMAT, VERSION = "likeness.fit", 1
"""What fit.json calls itself; the version grows when a field changes its meaning."""
DIM = 0.15
"""Light, as a share of its mean over the face, below which a photo says nothing about albedo: it would be divided by noise."""
FINE = 1 / 20
"""Chart sides: what varies more slowly than this belongs to the model's albedo, what varies faster to the photo. What is left
of the light after the fit is smooth, pores and moles are not."""
DETAIL = 0.7
"""Largest logarithm by which the photo's detail may brighten or darken the model's albedo."""


@dataclass(frozen=True)
class FittedFace:
    """One face of a photo after a fit.

    Attributes:
        face: The reconstruction with the fitted codes, camera and vertices.
        evidence: What was fitted to.
        fitted: The scene of one frame and one person, and the report.
        surface: The face model of the fit.
        seconds: Spent on the fit.
    """

    face: Reconstruction
    evidence: Evidence
    fitted: Fitted
    surface: Surface
    seconds: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """As in the reconstruction."""
        return self.face.box

    @property
    def score(self) -> float:
        """As in the reconstruction."""
        return self.face.score

    def files(self, formats: Sequence[str], head: IctModel | None = None) -> dict[str, bytes]:
        """The files of a folder of results, by name."""
        light = Light(_in_photo(self))
        around = environment.radiance(light)
        own = {
            "albedo.png": to_png(albedo_texture(self)),
            "light.png": to_png(environment.tone_mapped(environment.irradiance(light))[0]),
            "light.hdr": environment.to_hdr(around),
            "residual.png": to_png(self.residual()),
            "fit.json": (json.dumps(self.record(), indent=1) + "\n").encode(),
        }
        return self.face.files(formats, head) | own  # the GLB is made last, when nothing else is held

    def residual(self) -> np.ndarray:
        """Photo, rendering and difference side by side, uint8 sRGB."""
        image, coverage = drawn(self.surface, self.fitted.scene, self.evidence.image)
        return residual(self.evidence.image, image, coverage * self.evidence.skin)

    def record(self) -> dict[str, Any]:
        """What fit.json holds."""
        scene, report = self.fitted.scene, self.fitted.report
        unit = outer_eyes(self.evidence)
        return {
            "format": FORMAT, "version": VERSION, "diverged": bool(report.diverged[0]),
            "kept": "regressor" if report.diverged[0] else "fit",
            "landmarks": {
                "points": int(np.isfinite(self.evidence.sigma).sum()), "unit": "share of the outer-eye distance",
                **_pair(report, "landmarks", 1 / unit),
            },
            "photometric": {
                "unit": "linear RGB distance, mean over the face", "mean_albedo": number(report.plain.photometric[0], 6),
                **_pair(report, "photometric", 1.0),
            },
            "largest_code": {name: number(getattr(scene, name).abs().max(), 6) for name in ("identity", "albedo")},
            "albedo": [number(value, 6) for value in scene.albedo[0]],
            "light": [[number(value, 6) for value in row] for row in scene.light[0]],
            "stages": {name: {key: number(value, 6) for key, value in row.items()} for name, row in report.stages.items()},
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


def outer_eyes(evidence: Evidence) -> float:
    """Distance of the outer eye corners in px of the square, seen face on: by the regressor's scale, so that it is there for
    profiles and sparse landmarks too; a mean face's is 92 mm."""
    view = evidence.view
    return float(92.0 * view.focal / -view.translation[2])


def _pair(report: Report, name: str, scale: float) -> dict[str, Any]:
    before, after = (float(getattr(errors, name)[0]) * scale for errors in (report.before, report.after))
    return {"before": number(before, 6), "after": number(after, 6)}


def finished(
    start: Reconstruction, system: System, evidence: Evidence, fitted: Fitted, surface: Surface, seconds: float
) -> FittedFace:
    """The reconstruction with what the fit found instead of the regressor's answer."""
    scene = fitted.scene
    codes: Mapping[str, np.ndarray] = {"identity": scene.identity[0].numpy(), "expression": scene.expression[0].numpy()}
    view = photo_view(scene, 0, evidence, start.image.shape[:2])
    vertices = np.asarray(system.decode(codes, view).vertices)
    timings = start.timings | {"fit": 1000 * seconds}
    return FittedFace(
        replace(start, codes=codes, view=view, vertices=vertices, timings=timings), evidence, fitted, surface, seconds
    )


def photo_view(scene: Scene, frame: int, evidence: Evidence, size: tuple[int, int]) -> View:
    """The camera of one frame in pixels of its photo."""
    cameras = (
        getattr(scene, name)[frame].double().numpy() for name in ("rotation", "translation", "focal", "principal")
    )
    return transform_view(View(*cameras, (scene.size, scene.size)), evidence.photo_from_crop, size)


def drawn(surface: Surface, scene: Scene, background: np.ndarray, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One frame by the renderer, over a picture of its size: (S, S, 3) linear RGB, and where the skin is, (S, S) in {0, 1}."""
    one, person = scene.frames([frame]), scene.person[frame]
    with torch.no_grad():
        face = Face(surface.vertices(scene.identity[person], one.expression[0])[None])
        texture = surface.texture(scene.albedo[person])[None]
        result = render(face, surface.topology, one.view, one.lights(), texture=texture)
    skin = surface.bare[result.triangle[0].clamp(min=0).long()] & (result.triangle[0] >= 0)
    image = torch.where(skin[..., None], result.image[0].clamp(min=0), torch.as_tensor(background))
    return image.numpy(), skin.float().numpy()


def albedo_texture(fit: FittedFace) -> np.ndarray:
    """The person's colours without the photo's light, (S, S, 3) uint8 sRGB over the chart, as large as the texture.

    The model's albedo, and on it the fine detail of the photo, divided by the fitted light, where the photo can be believed.
    Eyes and mouth are those of the photo: the model has no albedo for them.
    """
    face, size = fit.face, len(fit.face.texture)
    seen = see(face.image, face.vertices, face.view, face.topology, size)
    seen = replace(seen, texels=seen.texels.without("places", "depth"))
    albedo = _enlarged(fit.surface.texture(fit.fitted.scene.albedo[0]).numpy(), size)
    ratio, trust = _unlit(fit, seen, albedo)
    mass = _small(trust)
    for channel in range(3):
        plane = ratio[..., channel]
        plane -= _smooth(plane, trust, mass, FINE * size)
        np.clip(plane, -DETAIL, DETAIL, out=plane)
        plane *= trust
    skin = (seen.texels.part == 1 + list(face.topology.parts).index("skin")) | (seen.texels.triangle < 0)
    del seen
    albedo *= np.exp(ratio, out=ratio)
    return np.where(skin[..., None], color.encode(albedo), face.texture)


def _enlarged(texture: np.ndarray, size: int) -> np.ndarray:
    """The model's texture at the size of the photo's, never quite black."""
    large = cv2.resize(texture, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, 1e-3, 1, out=large)


def _unlit(fit: FittedFace, seen: Seen, albedo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm (S, S, 3) of the photo divided by the fitted light and the albedo, and how far it is believed (S, S).

    Rows by rows, written over colours and trust as they were seen: all at once would take 150 MB.
    """
    face, light, texels = fit.face, _in_photo(fit), seen.texels
    normals = (vertex_normals(face.vertices.astype(np.float64), face.topology.triangles) @ face.view.rotation.T).astype(
        np.float32
    )
    bands = [slice(start, start + ROWS) for start in range(0, len(albedo), ROWS)]

    def shade(rows: slice) -> np.ndarray:
        corners = face.topology.triangles[np.maximum(texels.triangle[rows], 0)]
        shares = texels.shares(face.topology, (rows, slice(None)))
        normal = sum(shares[..., i, None] * normals[corners[..., i]] for i in range(3))
        return harmonics.shade(normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6), light)

    lit = sum(float((shade(rows).mean(-1) * (seen.trust[rows] + 1e-9)).sum()) for rows in bands)
    least = DIM * max(lit / (float(seen.trust.sum(dtype=np.float64)) + 1e-9 * seen.trust.size), 1e-3)
    for rows in bands:
        light_here = shade(rows)
        seen.trust[rows] *= np.clip((light_here.mean(-1) - least) / least, 0, 1)
        seen.trust[rows] *= np.clip((texels.cosine[rows] - FACING[0]) / FACING[1], 0, 1)
        seen.colours[rows] = np.log(np.clip(seen.colours[rows] / np.maximum(light_here, least), 1e-3, 4) / albedo[rows])
    return seen.colours, seen.trust


def _in_photo(fit: FittedFace) -> np.ndarray:
    """The light (9, 3) in the camera frame of the photo, from which the square's is rolled."""
    back = fit.evidence.crop_from_photo[:2, :2]
    cosine, sine = back[:, 0] / np.hypot(*back[:, 0])
    crop_from_photo = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])  # y is up in the camera
    return harmonics.turned(fit.fitted.scene.light[0].double().numpy(), crop_from_photo)


def _small(field: np.ndarray) -> np.ndarray:
    """Means (S / 8, S / 8) of a field: what is smooth needs no more."""
    return cv2.resize(field, tuple(side // 8 for side in field.shape[::-1]), interpolation=cv2.INTER_AREA)


def _smooth(values: np.ndarray, weight: np.ndarray, mass: np.ndarray, width: float) -> np.ndarray:
    """Weighted mean (S, S) around each texel; `mass` is the weight made small."""
    sums, mass = (cv2.GaussianBlur(field, (0, 0), width / 8) for field in (_small(values * weight), mass))
    return cv2.resize(sums / np.maximum(mass, 1e-4), weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
