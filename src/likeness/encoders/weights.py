"""Weight files of others, brought by the user: names and tensors, and nothing of them is run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likeness.errors import AssetError

INSIDE = ("state_dict", "model_state_dict", "model", "net")
"""Under which key a training's checkpoint keeps the tensors, in the order in which they are looked for."""
BEFORE = ("module.", "_orig_mod.")
"""What wrappers (several GPUs, compilation) put before every name."""
COUNTERS = "num_batches_tracked"
"""Ends the names of batch normalisation's counters, which older files lack and nothing reads."""


def read(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.safetensors` file or of PyTorch's (`.pth`, `.pt`, `.tar`): a state dict, alone or in a checkpoint.

    PyTorch's files are pickles; they are read with its restricted reader, which runs no code. A wrapper's prefix is
    taken off the names.

    Raises:
        AssetError: When there is no such file, it is damaged, or holds anything else than tensors by name.
    """
    path = Path(path)
    if not path.is_file():
        raise AssetError(f"{path}: no such file; a weight file of the network is needed (.safetensors or .pth)")
    found = _safetensors(path) if path.suffix == ".safetensors" else _pytorch(path)
    tensors = {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        raise AssetError(f"{path}: holds no tensors by name; a state dict is needed")
    for prefix in BEFORE:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def fingerprint(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of numbers, in their order: the same wherever the tensors are."""
    found = hashlib.sha256()
    for values in tensors:
        found.update(np.ascontiguousarray(values.detach().cpu().numpy()).tobytes())
    return found.hexdigest()


def misfit(error: RuntimeError) -> str:
    """What `load_state_dict` found first that does not fit, on one line."""
    return " ".join(str(error).split("\n")[1:2]).strip() or str(error)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise AssetError(f"{path}: not a readable safetensors file ({error})") from None


def _pytorch(path: Path) -> Mapping:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of the unpickler, of the archive or of the file system, by the damage
        reason = str(error).split("\n")[0]
        raise AssetError(
            f"{path}: not a file of plain tensors ({reason}); save it again with torch.save(model.state_dict(), ...)"
        ) from None
    for key in INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise AssetError(f"{path}: holds a {type(found).__name__}, no tensors by name; a state dict is needed")
    return found
