"""How far two pictures are apart in what a perceptual network sees, layer by layer (`encoders.perceptual`).

Where only part of a picture counts, give its mask as `weight`; it is averaged down to every layer. A layer sees beyond
the mask's border by as far as its filters reach, so paste the rendering into the photo before, if they differ around it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

NONE = 1e-8
"""Features shorter than this have no direction."""


def cosine(found: Sequence[Tensor], photo: Sequence[Tensor], weight: Tensor | None = None) -> Tensor:
    """Sum over the layers of one minus the cosine between whole layers.

    Mallikarjun et al. 2021, eq. 9. How strong the features are does not count, only how they are distributed.

    Args:
        found, photo: Maps (B, C, h, w) of each layer.
        weight: (B, 1, H, W) how much each pixel counts, 0 or more; without, all the same.

    Returns:
        (B,), 0 to 2 per layer; 0 where both have no features.
    """
    total = found[0].new_zeros(len(found[0]))
    for ours, theirs in zip(found, photo, strict=True):
        root = 1.0 if weight is None else _weights(weight, ours).sqrt()
        units = (functional.normalize((maps * root).flatten(1), eps=NONE) for maps in (ours, theirs))
        # half the squared distance of unit vectors is one minus their cosine, and exact where they nearly agree
        total = total + 0.5 * functional.mse_loss(*units, reduction="none").sum(1)
    return total


def squared(found: Sequence[Tensor], photo: Sequence[Tensor], weight: Tensor | None = None) -> Tensor:
    """Mean over the layers of the mean squared difference of their features (B,).

    Tran et al. 2019, eq. 5. Arguments as for `cosine`.
    """
    return _mean([(ours - theirs).square() for ours, theirs in zip(found, photo, strict=True)], weight)


def l1(found: Sequence[Tensor], photo: Sequence[Tensor], weight: Tensor | None = None) -> Tensor:
    """Mean over the layers of the mean absolute difference of their features (B,).

    Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs", sec. 3.3, all
    layers alike: a few features that cannot be met do not rule. Arguments as for `cosine`.
    """
    return _mean([(ours - theirs).abs() for ours, theirs in zip(found, photo, strict=True)], weight)


def _mean(distances: list[Tensor], weight: Tensor | None) -> Tensor:
    """Mean over layers of the weighted mean over places of the mean over channels of (B, C, h, w)."""
    total = distances[0].new_zeros(len(distances[0]))
    for distance in distances:
        places = distance.mean(1, keepdim=True)
        share = places.new_ones(1).expand_as(places) if weight is None else _weights(weight, places)
        total = total + (places * share).sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp(min=NONE)
    return total / len(distances)


def _weights(weight: Tensor, maps: Tensor) -> Tensor:
    """Weights of pixels (B, 1, H, W), averaged over what each place of a layer (B, C, h, w) covers."""
    return functional.adaptive_avg_pool2d(weight, maps.shape[-2:])
