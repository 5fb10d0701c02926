"""Draw docs/pictures/fit.jpg: `LIKENESS_DATA=... python docs/make_fit_sheet.py`; a row is a photo of the sfhq test split.

Columns: photo; the regressor's mesh over it; the fitted mesh over it; the fitted face drawn with albedo and light; its albedo
alone; what is left (photo less drawing, middle grey where they agree).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from likeness import color
from likeness.cli.evaluate import given_face, photo
from likeness.cli.fit import Fitter
from likeness.data.folder import read_set
from likeness.export.residual import residual
from likeness.fit.photo.observe import observe
from likeness.fit.photo.result import drawn
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.synthesis import first_scene, fit
from likeness.runtime import overlay
from likeness.runtime.reconstruct import shipped
from likeness.types import View

ROWS, SIDE = 8, 224


def view_of(scene: Scene) -> View:
    """The camera of a scene's first frame."""
    cameras = (getattr(scene, name)[0].double().numpy() for name in ("rotation", "translation", "focal", "principal"))
    return View(*cameras, (scene.size, scene.size))


def row(fitter: Fitter, image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The pictures of one photo side by side."""
    evidence = observe(image, given_face(points), fitter.system.encode, fitter.system.model, fitter.measure)
    fitted = fit(fitter.surface, [evidence], precision=fitter.precision)
    scene, shown, topology = fitted.scene, color.encode(evidence.image), fitter.surface.topology

    def meshed(one: Scene) -> np.ndarray:
        vertices = fitter.surface.vertices(one.identity[0], one.expression[0]).double().numpy()
        return overlay.draw(shown, vertices, view_of(one), topology)

    rendering, coverage = drawn(fitter.surface, scene, evidence.image)
    white = torch.zeros_like(scene.light)
    white[:, 0] = 3.545
    flat, _ = drawn(fitter.surface, Scene(**{**vars(scene), "light": white}), np.full_like(evidence.image, 0.5))
    left = residual(evidence.image, rendering, coverage * evidence.skin)[:, -SIDE:]
    return np.concatenate([shown, meshed(first_scene(fitter.surface, [evidence])), meshed(scene), color.encode(rendering),
                           color.encode(flat), left], 1)  # fmt: skip


def main(path: Path) -> None:
    """Fit and draw."""
    torch.set_num_threads(1)
    listing = read_set(Path(os.environ["LIKENESS_DATA"]) / "photos", "sfhq", "test")
    chosen = np.linspace(3, len(listing.files) - 4, ROWS).round().astype(int)
    fitter = Fitter.shipped(shipped("base"))
    rows = [row(fitter, photo(listing.root / listing.name / listing.files[i]), listing.points[i]) for i in chosen]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures/fit.jpg")
