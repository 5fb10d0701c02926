"""Other people's weights in networks whose parts bear the names of the published files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from likeness.encoders.weights import COUNTERS
from likeness.errors import AssetError


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, what: str) -> None:
    """Fill a network in place, in single precision. Tensors that it has no place for, as a classifier's, are passed over.

    Args:
        tensors: By the network's own names.
        what: The network, for messages.

    Raises:
        AssetError: When a tensor is missing or has another shape.
    """
    own = {name: value for name, value in network.state_dict().items() if not name.endswith(COUNTERS)}
    missing = [name for name in own if name not in tensors]
    if missing:
        raise AssetError(
            f"{path}: no weights of {what}: {len(missing)} of its {len(own)} tensors are missing, first {missing[0]!r}; "
            f"the file begins with {next(iter(tensors))!r}"
        )
    for name, value in own.items():
        if tensors[name].shape != value.shape:
            seen, wanted = tuple(tensors[name].shape), tuple(value.shape)
            raise AssetError(f"{path}: no weights of {what}: {name} is {seen} in the file, {wanted} is needed")
    network.load_state_dict({name: tensors[name].float() for name in own}, strict=False)
