"""State of a training run on disk: one safetensors file with weights, their moving average and the optimiser's moments.

The position in the run and the settings travel as JSON in the same file's header, so that one rename makes all of it
current at once: a run that is killed while writing keeps its previous checkpoint. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from likeness.errors import AssetError

_KEY = "likeness.run"


def save(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-able state beside `path`, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(flat, beside, metadata={_KEY: json.dumps(state, sort_keys=True)})
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
        return tensors, json.loads(metadata[_KEY])
    except FileNotFoundError:
        raise AssetError(f"{path}: no such checkpoint") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise AssetError(f"{path}: not a checkpoint of Likeness ({error})") from None


def load_weights(path: Path, module: nn.Module, average: bool = True) -> dict[str, Any]:
    """Put a checkpoint's weights into `module` (the moving average where there is one and it is wanted).

    Returns:
        The state that was saved with them.
    """
    tensors, state = load(path)
    prefix = "average." if average and any(name.startswith("average.") for name in tensors) else "weights."
    module.load_state_dict(strip(tensors, prefix))
    return state


def strip(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose name begins with `prefix`, under the rest of their name."""
    return {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


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
