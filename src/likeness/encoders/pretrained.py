"""Published ImageNet weights for our backbones, from a file that the user brings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from likeness.encoders import weights
from likeness.encoders.backbones.base import Backbone
from likeness.errors import AssetError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue of ImageNet's pictures, sRGB values in [0, 1]: what published weights expect."""
COUNTER = "num_batches_tracked"
"""Ends the names of batch normalisation's counters, which older files lack and nothing reads."""


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
    """
    path, own, found = Path(path), backbone.state_dict(), weights.read(path)
    names = _names(backbone, own, found)
    kind = type(backbone).__name__
    lacking = [there for here, there in names.items() if there not in found and not here.endswith(COUNTER)]
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
    missing = (name for name in own if name not in names and not name.endswith(COUNTER))
    return Loaded(path, len(filled), _modules(name for name in found if name not in used), _modules(missing))


def _names(backbone: Backbone, own: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, str]:
    """Tensor here -> its name in the file: itself in a file of our own, else as the backbone says."""
    if all(name in found for name in own if not name.endswith(COUNTER)):
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
