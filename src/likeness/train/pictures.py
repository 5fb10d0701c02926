"""Pictures of the same faces again and again, while a recipe learns to draw them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate

from likeness import color
from likeness.recipes.base import Recipe

COUNT = 8
"""Items that are drawn: the first of the stage's data."""


def draw(recipe: Recipe, data: Any, device: str) -> np.ndarray | None:
    """What the recipe draws of the first items, side by side two rows high: (H, W, 3) uint8 sRGB.

    None where the recipe draws nothing. The recipe is as it was afterwards, running statistics included.
    """
    batch = to_device(default_collate([data[k] for k in range(min(COUNT, len(data)))]), device)
    training = recipe.training
    recipe.eval()
    try:
        with torch.no_grad():
            images = recipe.pictures(batch)
    finally:
        recipe.train(training)
    if images is None:
        return None
    tiles = color.encode(images.float().clamp(0, 1).cpu().numpy())
    rows = [tiles[k : k + (len(tiles) + 1) // 2] for k in (0, (len(tiles) + 1) // 2)]
    empty = np.zeros((len(rows[0]) - len(rows[1]), *tiles.shape[1:]), np.uint8)
    return np.concatenate([np.concatenate(list(row), 1) for row in (rows[0], np.concatenate([rows[1], empty]))])


def write(image: np.ndarray, folder: Path, step: int) -> None:
    """Save a picture as `step-0000500.png`, beside and renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:07}.png"
    beside = path.with_name(path.name + ".part")
    Image.fromarray(image).save(beside, "PNG")
    os.replace(beside, path)


def to_device(batch: Any, device: str) -> Any:
    """A batch with all its tensors on a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    return {name: to_device(value, device) for name, value in batch.items()} if isinstance(batch, Mapping) else batch
