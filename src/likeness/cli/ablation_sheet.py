"""What the variants of an ablation make of the same photos, side by side, as fig. 3 of Genova et al. 2018 shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from likeness.cli.evaluate_recall import EvaluateRecall, aligned_photos, portraits
from likeness.cli.trained import system
from likeness.errors import UsageError


def write(path: Path, recalls: Mapping[str, EvaluateRecall], rows: int = 6) -> None:
    """Write the sheet: photo, then each variant's face at rest, all in one camera and one light.

    Args:
        path: .png or .jpg.
        recalls: Name of the variant -> how its recall is measured.
        rows: Photos of each set that may be shown, together.

    Raises:
        UsageError: When no variant is trained yet.
    """
    from likeness.cli import sheets
    from likeness.encoders.recognition.load import load

    if not recalls:
        raise UsageError(f"{path}: no variant is trained yet")
    first = next(iter(recalls.values()))
    judge, chosen = load(first.judge, first.judge_weights), first.on_sheet(rows)
    columns = [[photo for listing, *_ in chosen for photos in aligned_photos(listing, judge) for photo in photos]]
    for recall in recalls.values():
        found = system(recall.checkpoint, recall.made)
        faces = [portraits(rest, found, judge) for listing, *_ in chosen for rest in found.rest(listing)]
        columns.append(list(np.concatenate(faces)))
    sheets.write(path, [list(row) for row in zip(*columns)][:rows], ("photo", *recalls))
