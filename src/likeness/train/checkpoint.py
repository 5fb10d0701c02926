"""State of a training run on disk: one safetensors file with weights, their moving average and the optimiser's moments.

The position in the run and the settings travel as JSON in the same file's header, with a SHA-256 over all of it, and the
file is written beside and renamed: a run that is killed at any moment keeps a whole checkpoint. The one before it stays as
`checkpoint.previous.safetensors`; should the last one be damaged after all, the run goes on from there. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from likeness.errors import AssetError

_KEY, _DIGEST = "likeness.run", "likeness.sha256"


def save(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-able state beside `path`, keep the file that is there, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(state, sort_keys=True)
    save_file(plain, beside, metadata={_KEY: text, _DIGEST: _digest(plain, text)})
    with beside.open("rb+") as file:
        os.fsync(file.fileno())  # a rename may reach the disk before the content does
    if path.exists():
        _keep(path)
    os.replace(beside, path)


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and state of a file that `save` wrote.

    Raises:
        AssetError: When the file is missing, damaged or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        text = metadata[_KEY]
        # Files of earlier versions have no digest.
        if _DIGEST in metadata and metadata[_DIGEST] != _digest(tensors, text):
            raise ValueError("its SHA-256 is another one than it was written with")
        return tensors, json.loads(text)
    except FileNotFoundError:
        raise AssetError(f"{path}: no such checkpoint") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise AssetError(f"{path}: damaged, or not a checkpoint of Likeness ({error})") from None


def previous(path: Path) -> Path:
    """Where the checkpoint before the last one lies: checkpoint.previous.safetensors."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def exists(path: Path) -> bool:
    """Whether a run can be resumed."""
    return path.exists() or previous(path).exists()


def resume(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], str]:
    """The last checkpoint that is whole; a damaged one is put aside as checkpoint.damaged.safetensors.

    Returns:
        Tensors, state, and a line to be told to the user: empty when all is well.

    Raises:
        AssetError: When the checkpoint is damaged and there is none before it, or that one is damaged too.
    """
    try:
        return *load(path), ""
    except AssetError as error:
        if not previous(path).exists():
            raise
        told = str(error)
    try:
        tensors, state = load(previous(path))
    except AssetError as error:
        raise AssetError(f"{told}; and {error}; begin in another folder") from None
    if path.exists():
        os.replace(path, path.with_name(f"{path.stem}.damaged{path.suffix}"))
    return tensors, state, f"{told}; going on from {previous(path)}, step {state.get('step')}"


def load_weights(path: Path, module: nn.Module, average: bool = True) -> dict[str, Any]:
    """Put a checkpoint's weights into `module` (the moving average where there is one and it is wanted).

    Returns:
        The state that was saved with them.
    """
    tensors, state = load(path)
    prefix = "average." if average and any(name.startswith("average.") for name in tensors) else "weights."
    module.load_state_dict(strip(tensors, prefix))
    return state


def load_fitting(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Put those tensors into `module` that have a name and a size of its own; the rest of it stays.

    Returns:
        Their names.
    """
    own = module.state_dict()
    fitting = {name: tensor for name, tensor in tensors.items() if name not in own or own[name].shape == tensor.shape}
    # The module itself says what is too much: some take what they do not have yet, such as a backbone's `input`.
    unknown = set(module.load_state_dict(fitting, strict=False).unexpected_keys)
    return [name for name in fitting if name not in unknown]


def names(path: Path) -> set[str]:
    """Names of the tensors of the checkpoint that a run goes on from; none where there is none that is whole."""
    for file in (path, previous(path)):
        with suppress(AssetError):
            return set(load(file)[0])
    return set()


def strip(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose name begins with `prefix`, under the rest of their name."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str]) -> dict[str, torch.Tensor]:
    """An optimiser's state as flat tensors named `<parameter>.<quantity>`."""
    return {
        f"{names[parameter]}.{quantity}": torch.as_tensor(value)
        for parameter, slots in optimizer.state.items()
        for quantity, value in slots.items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[nn.Parameter, str], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Put back what `optimizer_tensors` took out. Parameters that had no state yet get none."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            slots = strip(tensors, names[parameter] + ".")
            # A name may be the beginning of another parameter's name, whose rest then holds a dot.
            slots = {quantity: tensor.clone() for quantity, tensor in slots.items() if "." not in quantity}
            if slots:
                device = parameter.device
                optimizer.state[parameter] = {
                    quantity: value if quantity == "step" else value.to(device) for quantity, value in slots.items()
                }


def _keep(path: Path) -> None:
    """Give a checkpoint its second name, without a moment at which the first is missing."""
    beside = previous(path).with_name(previous(path).name + ".part")
    with suppress(FileNotFoundError):
        beside.unlink()
    try:
        os.link(path, beside)
    except OSError:  # a file system without links
        shutil.copyfile(path, beside)
    os.replace(beside, previous(path))


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    """SHA-256 over the state and every tensor's name, type, shape and numbers, in the order of their names."""
    found = sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
