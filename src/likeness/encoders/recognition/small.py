"""Our own identity networks: a backbone and a linear layer, in one file that says what it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from likeness.encoders import pretrained
from likeness.encoders.backbones import build
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.weights import COUNTERS, misfit
from likeness.errors import AssetError

KIND = "likeness.identity"
"""What the file says it is."""
SHIPPED = Path(__file__).parent / "identity.safetensors"
"""The network that ships."""


def normalized(image: Tensor) -> Tensor:
    """sRGB values in [0, 1] as the backbones of identity networks get them: in [-2, 2], about as our other networks."""
    return (image - 0.5) * 4


class IdentityNetwork(nn.Module):
    """Backbone, linear layer, batch normalisation: crops (B, 3, S, S), sRGB values in [0, 1], to (B, features).

    The answer's length means nothing. The normalisation without scale before it is ArcFace's (Deng et al. 2019, sec. 3.2.1,
    "BN-Dropout-FC-BN").

    Args:
        backbone: A name that `encoders.backbones.build` knows.
        size: Pixels along a side of the crop.
        features: Length of the answer.
    """

    def __init__(self, backbone: str, size: int, features: int = 128) -> None:
        super().__init__()
        self.kind, self.size, self.features = backbone, size, features
        self.backbone = build(backbone, size)
        self.embedding = nn.Linear(self.backbone.features, features, bias=False)
        self.spread = nn.BatchNorm1d(features, affine=False)

    def prepared(self, image: Tensor) -> Tensor:
        """The backbone's answer (B, n)."""
        return self.backbone(normalized(image))

    def fill_backbone(self, path: Path) -> pretrained.Loaded:
        """Begin with published weights; see `encoders.pretrained.fill`."""
        return pretrained.fill(self.backbone, path, *normalized(torch.tensor([0.0, 1.0])).tolist())

    def forward(self, image: Tensor) -> Tensor:
        return self.spread(self.embedding(self.prepared(image)))


def write(
    path: Path, network: IdentityNetwork, name: str, template: np.ndarray, licence: str, sources: Sequence[str]
) -> None:
    """Write a network; matrices in half precision.

    Args:
        name: For tables.
        template: (5, 2) crop pixels of landmark set "5".
        licence: Under which terms the weights may be used, one line.
        sources: The data sets that it learned from.

    Raises:
        AssetError: When a weight is not finite in half precision.
    """
    from safetensors.torch import save_file

    arrays = {}
    for key, value in network.state_dict().items():
        if not key.endswith(COUNTERS):
            arrays[key] = value.detach().cpu().to(torch.float16 if value.ndim > 1 else torch.float32).contiguous()
            if not bool(torch.isfinite(arrays[key]).all()):
                raise AssetError(f"{path}: {key} is not finite in half precision; the training went wrong")
    about = {
        "kind": KIND, "name": name, "backbone": network.kind, "size": str(network.size), "features": str(network.features),
        "template": json.dumps(np.asarray(template, float).tolist()), "licence": licence, "sources": json.dumps(list(sources)),
    }  # fmt: skip
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path, about)


def load(path: Path = SHIPPED) -> Recognition:
    """A network of ours.

    Raises:
        AssetError: When the file is missing, damaged, or holds something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("kind") != KIND:
                raise AssetError(f"{path}: not an identity network of ours (`likeness train identity` makes one)")
            keys = file.keys()
            arrays = {key: file.get_tensor(key).float() for key in keys}
        network = IdentityNetwork(about["backbone"], int(about["size"]), int(about["features"]))
        template = np.array(json.loads(about["template"])).reshape(5, 2)
        licence, name = about["licence"], about["name"]
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file; an identity network is needed (`likeness train identity`)") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise AssetError(f"{path}: damaged, or not an identity network of ours ({error})") from None
    counters = {key: value for key, value in network.state_dict().items() if key.endswith(COUNTERS)}
    try:
        network.load_state_dict(arrays | counters)
    except RuntimeError as error:
        raise AssetError(f"{path}: the weights do not fit their {about['backbone']} ({misfit(error)})") from None
    return Recognition(network, name, network.size, network.features, template, licence)
