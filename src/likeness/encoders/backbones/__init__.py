"""Convolutional networks that turn a crop into a vector, written out here so that nothing is downloaded.

Each is a `base.Backbone` of published shape, without the layer that tells ImageNet's classes apart; `mobilenet-places`
has a top of our own. Weights start at random: `encoders.pretrained.load` reads published ones from a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from likeness.errors import UsageError

if TYPE_CHECKING:
    from likeness.encoders.backbones.base import Backbone

NAMES = ("alexnet", "resnet18", "resnet50", "mobilenetv3-small", "mobilenetv3-large", "mobilenet-places", "gradients")


def build(name: str, size: int) -> Backbone:
    """The network of this name for crops of `size` pixels: (B, 3, size, size) -> (B, `.features`).

    Raises:
        UsageError: For a name that is not in `NAMES`, or a size that the network cannot take.
    """
    # PyTorch is loaded here and not above, so that the names can be asked for without it.
    from likeness.encoders.backbones import alexnet, gradients, mobilenet, resnet

    match name:
        case "alexnet":
            return alexnet.AlexNet(size)
        case "resnet18":
            return resnet.ResNet18(size)
        case "resnet50":
            return resnet.ResNet50(size)
        case "mobilenetv3-small":
            return mobilenet.MobileNetV3Small(size)
        case "mobilenetv3-large":
            return mobilenet.MobileNetV3Large(size)
        case "mobilenet-places":
            return mobilenet.MobileNetPlaces(size)
        case "gradients":
            return gradients.Gradients(size)
    raise UsageError(f"no backbone {name!r}; there are {', '.join(NAMES)}")
