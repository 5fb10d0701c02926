"""Published ImageNet weights for our backbones, from a file that the user brings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from likeness.encoders import weights
from likeness.encoders.backbones.base import Backbone
from likeness.encoders.weights import COUNTERS
from likeness.errors import AssetError, UsageError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue of ImageNet's pictures, sRGB values in [0, 1]: what published weights expect."""
NOTICE = "its backbone began with published weights, whose own terms hold too"
"""What files of networks say that began with such weights."""


class Loaded(NamedTuple):
    """What became of a weight file.

    Attributes:
        path: The file.
        taken: How many of its tensors are in the network now.
        unused: Names in the file that the network has no place for: mostly the published classifier.
        missing: Names in the network that the file does not fill, which keep their random start: a top of our own.
    """

    path: Path
    taken: int
    unused: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        """One line for people."""
        rest = {"not used": self.unused, "not in it": self.missing}
        lines = [f"{what}: {', '.join(names)}" for what, names in rest.items() if names]
        return "; ".join([f"{self.path.name}: {self.taken} tensors taken", *lines])


def standardized(image: Tensor) -> Tensor:
    """sRGB values in [0, 1], (B, 3, H, W), as networks with published weights expect them."""
    mean, deviation = (image.new_tensor(values).reshape(3, 1, 1) for values in (MEAN, DEVIATION))
    return (image - mean) / deviation


def load(backbone: Backbone, path: Path) -> Loaded:
    """Fill a backbone with the weights of a file.

    Args:
        backbone: Changed in place. It expects `standardized` crops from then on.
        path: A state dict of the same architecture with torchvision's names, or one of this backbone's own; see
            `weights.read`.

    Returns:
        What was taken and what did not fit; print it.

    Raises:
        AssetError: When the file cannot be read, lacks a tensor, or has one of another shape: another architecture.
        UsageError: For a backbone that has nothing to learn.
    """
    path, found, kind = Path(path), weights.read(path), type(backbone).__name__
    own = {name: value for name, value in backbone.state_dict().items() if not name.startswith("input.")}
    if not own:
        raise UsageError(f"{path}: {kind} is a fixed map, which takes no weights; choose another backbone")
    names = _names(backbone, own, found)
    lacking = [there for here, there in names.items() if there not in found and not here.endswith(COUNTERS)]
    if lacking:
        raise AssetError(
            f"{path}: no weights of a {kind}: {len(lacking)} of its {len(names)} tensors are missing, first "
            f"{lacking[0]!r}; torchvision's names of the same architecture are needed, "
            f"the file begins with {next(iter(found))!r}"
        )
    for here, there in names.items():
        if there in found and found[there].shape != own[here].shape:
            seen, needed = tuple(found[there].shape), tuple(own[here].shape)
            raise AssetError(f"{path}: no weights of this {kind}: {there!r} is {seen} in the file, {needed} is needed")
    filled = {here: found[there] for here, there in names.items() if there in found}
    backbone.load_state_dict(filled, strict=False)
    used = set(names.values())
    missing = (name for name in own if name not in names and not name.endswith(COUNTERS))
    return Loaded(path, len(filled), _modules(name for name in found if name not in used), _modules(missing))


def fill(backbone: Backbone, path: Path, black: float, white: float) -> Loaded:
    """`load` weights into the backbone of a network that feeds it other numbers; they are converted from now on.

    Args:
        black, white: What the network makes of sRGB values 0 and 1, and of those between, in proportion.
    """
    loaded, (mean, deviation) = load(backbone, path), torch.tensor([MEAN, DEVIATION], dtype=torch.float64)
    spread = (white - black) * deviation
    backbone.input.set(1 / spread, -black / spread - mean / deviation)
    return loaded


def _names(backbone: Backbone, own: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, str]:
    """Tensor here -> its name in the file: itself in a file of our own, else as the backbone says."""
    if all(name in found for name in own if not name.endswith(COUNTERS)):
        return {name: name for name in own}
    published, names = backbone.published(), {}
    for name in own:
        module, _, tensor = name.rpartition(".")
        if module in published:
            names[name] = f"{published[module]}.{tensor}"
    return names


def _modules(names: Iterable[str]) -> tuple[str, ...]:
    """Modules that have the tensors of these names, each once, in their order."""
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
