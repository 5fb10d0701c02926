"""`likeness evaluate spread`: how far the landmark network is off, and whether it knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.cli.evaluate import Rows, given_face, show
from likeness.cli.train import data_folder


@dataclass(frozen=True)
class EvaluateSpread:
    """The landmark network's errors and spreads: in photos against automatic landmarks (without outline and irises), in
    renders against the truth (all 478 points, hidden ones too)."""

    renders: tuple[Path, ...] = ()
    """Shards of renders that no training saw."""
    data: Path | None = None
    """Data folder that holds photos/ and ict/; by default LIKENESS_DATA."""
    split: str = "validation"
    """Split of the photos: validation or test."""
    sets: tuple[str, ...] = ("sfhq", "stylegan", "officials")
    """Photo sets."""
    points: Path | None = None
    """The landmark network's ONNX file; by default the one that ships."""
    limit: int = 300
    """At most so many pictures of a set."""
    output: Path | None = None
    """JSON file for the table."""


def evaluate_spread(config: EvaluateSpread) -> None:
    """Print and write the table."""
    from likeness.assets.correspondence import IRISES, OUTLINE
    from likeness.evaluate import landmarks as measure
    from likeness.runtime.landmarks import MODEL, Landmarker

    folder, look, rows = data_folder(config.data), Landmarker(config.points or MODEL), Rows()
    inner = np.setdiff1d(np.arange(IRISES.start), OUTLINE)
    pictures = {name: (_photos(folder, name, config), inner) for name in config.sets}
    pictures |= {path.stem: (_renders(folder, path, config.limit), np.arange(478)) for path in config.renders}
    for name, (items, chosen) in pictures.items():
        errors, sigma, unit = [], [], []
        for image, true in items:
            found = look(image, given_face(true))
            errors.append(found.points[chosen] - true[chosen, :2])
            sigma.append(found.sigma[chosen])
            unit.append(float(measure.eye_distance(true[None])[0]))
        errors, sigma, unit = np.stack(errors), np.stack(sigma), np.array(unit)
        share = np.linalg.norm(errors, axis=-1).mean(1) / unit
        typical = 100 * float((sigma / unit[:, None]).mean())
        rows[name] = measure.Errors(share).row() | {"sigma": typical} | measure.within(errors, sigma)
    show(f"landmark network, {config.split}, % of outer-eye distance", rows, config.output)


def _photos(folder: Path, name: str, config: EvaluateSpread) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and their automatic landmarks (478, 3) px."""
    from likeness.data.folder import read_set

    listing = read_set(folder / "photos", name, config.split)
    for i, points in enumerate(listing.points[: config.limit]):
        yield listing.picture(i), points


def _renders(folder: Path, path: Path, limit: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Renders and their true landmarks (478, 3) px, z in the same unit."""
    from likeness.assets import ict
    from likeness.cli.regressor import dense_model, landmark_model
    from likeness.data.synthetic import Renders
    from likeness.encoders.camera import of_row
    from likeness.geometry.cameras import project_with_depth

    renders = Renders([path])
    act = dense_model(landmark_model(ict.read(folder / "ict/ict_face_model.npz")))
    for i in range(min(limit, len(renders))):
        view = of_row(renders.targets, i, renders.images.shape[1:3])
        places = act(renders.targets["identity"][i], renders.targets["expression"][i]).astype(np.float64)
        true = project_with_depth(places, view)
        true[:, 2] *= view.focal / -view.translation[2]
        yield renders.images[i], true
