"""Published weights for the backbone of a training: what commands with `--backbone-weights` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from likeness.errors import UsageError


def fill(network: Any, path: Path, start: Path | None, output: Path) -> None:
    """Fill the backbone of a network that is to be trained, and say in a line what was taken. A run that goes on from its
    folder has its weights already, and the file is not read again.

    Args:
        network: Has `fill_backbone`, and is the recipe's `network`.
        path: The published weights.
        start: What else the run would begin with.
        output: The run's folder.

    Raises:
        UsageError: When both are given, or the run in the folder began without published weights.
        AssetError: When the file does not fit.
    """
    from likeness.cli.main import show
    from likeness.train import checkpoint, loop
    from likeness.train.processes import is_first

    if start is not None:
        raise UsageError("--start and --backbone-weights both fill the backbone; leave one of them out")
    kept = output / loop.CHECKPOINT
    if checkpoint.exists(kept):
        known = checkpoint.names(kept)
        if known and "weights.network.backbone.input.factor" not in known:
            raise UsageError(f"{kept}: began without --backbone-weights; leave it out, or choose another --output")
        return
    loaded = network.fill_backbone(path)
    if is_first():
        show(str(loaded))
