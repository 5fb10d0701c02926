"""The albedo model that ships: diffuse albedo learned from portraits, specular albedo by an author's hand, of one code.

Diffuse albedo is linear in the code on sRGB-encoded values, over the chart of the face model:
`encoded = mean + sum code_k mode_k`, clipped to [0, 1], then decoded to linear RGB. Every mode is symmetric or antisymmetric
under the mirror, so that half of each is stored, in 8 bits with a scale of its own. How it was learned, and what its unit
means: docs/model_card.md.

The specular albedo is *authored*, not measured: a map of how shiny the regions of a face are (forehead, nose, cheeks, lips), as
published captures show it; tied to the code only in that places which the code darkens, as a beard does, shine less.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from likeness.arrays import namespace
from likeness.color import LUMINANCE, linear_from_srgb
from likeness.errors import AssetError

FILE = "albedo.safetensors"
MATTE = 2.0
"""Share of a place's shine that is lost for each unit of encoded brightness by which the code darkens it. Authored."""


@dataclass(frozen=True)
class AlbedoModel:
    """Diffuse and specular albedo over the chart, both linear in one code before they are clipped.

    Halves are the columns of small u, the subject's right side.

    Attributes:
        mean: (S, S / 2, 3) float32, sRGB-encoded.
        modes: (K, S, S / 2, 3) int8; times `scale`, encoded values per standard deviation.
        scale: (K,) float32.
        symmetry: (K,) int8: +1 where a mode is its own mirror image, -1 where it is the negative of it.
        gloss: (G, G / 2) uint8 / 255: the authored specular albedo of the mean.
        licence: One line that must travel with what is made from the model.
    """

    mean: np.ndarray
    modes: np.ndarray
    scale: np.ndarray
    symmetry: np.ndarray
    gloss: np.ndarray
    licence: str = ""

    @classmethod
    def of(
        cls, mean: np.ndarray, modes: np.ndarray, symmetry: np.ndarray, gloss: np.ndarray, licence: str = ""
    ) -> AlbedoModel:
        """Round whole maps to what is stored.

        Args:
            mean: (S, S, 3) sRGB-encoded, symmetric.
            modes: (K, S, S, 3) encoded values per standard deviation, each symmetric or antisymmetric.
            symmetry: (K,) which of the two.
            gloss: (G, G) in [0, 1], symmetric.
        """
        half, fine = mean.shape[1] // 2, gloss.shape[1] // 2
        largest = np.abs(modes).reshape(len(modes), -1).max(1)
        scale = (np.maximum(largest, 1e-9) / 127).astype(np.float32)
        stored = np.rint(modes[:, :, :half] / scale[:, None, None, None]).astype(np.int8)
        shine = np.rint(255 * gloss[:, :fine]).astype(np.uint8)
        return cls(mean[:, :half].astype(np.float32), stored, scale, np.asarray(symmetry, np.int8), shine, licence)

    @property
    def size(self) -> int:
        """Texels along a side of the diffuse map."""
        return self.mean.shape[0]

    @property
    def codes(self) -> int:
        """K, length of the code, in standard deviations."""
        return len(self.modes)

    @cached_property
    def half_modes(self) -> np.ndarray:
        """(K, S, S / 2, 3) float32 encoded values per standard deviation."""
        return self.modes * self.scale[:, None, None, None]

    @cached_property
    def whole_mean(self) -> np.ndarray:
        """(S, S, 3) float32, sRGB-encoded."""
        return unfold(self.mean, 1)

    @cached_property
    def half_shine(self) -> tuple[np.ndarray, np.ndarray]:
        """The specular albedo's mean (G, G / 2) and modes (K, G, G / 2), authored: gloss, and what darkening takes from it."""
        gloss = self.gloss.astype(np.float32) / 255
        step = self.size // len(self.gloss)
        bright = (self.half_modes @ LUMINANCE).reshape(self.codes, len(gloss), step, gloss.shape[1], step).mean((2, 4))
        person = (bright * gloss).sum(
            (1, 2)
        ) / gloss.sum()  # where skin shines: how bright the mode makes the whole person
        person = np.where(self.symmetry > 0, person, 0).astype(np.float32)
        return gloss, MATTE * gloss * (bright - person[:, None, None])

    def texture(self, code: np.ndarray) -> np.ndarray:
        """Diffuse albedo (S, S, 3) float32 linear RGB in [0, 1] over the chart, of a code (K,) in standard deviations."""
        code = np.asarray(code, np.float32)
        even, odd = (np.tensordot(code * (self.symmetry == sign), self.half_modes, 1) for sign in (1, -1))
        return decoded(unfold(self.mean + even, 1) + unfold(odd, -1))

    def specular(self, code: np.ndarray) -> np.ndarray:
        """Authored specular albedo (G, G, 3) float32 in [0, 1] over the chart, white, of a code (K,)."""
        code = np.asarray(code, np.float32)
        gloss, modes = self.half_shine
        even, odd = (np.tensordot(code * (self.symmetry == sign), modes, 1) for sign in (1, -1))
        shine = unfold((gloss + even)[..., None], 1) + unfold(odd[..., None], -1)
        return np.repeat(np.clip(shine, 0, 1), 3, -1)


def unfold(half: Any, sign: int) -> Any:
    """The whole map (..., S, S, C) of a half (..., S, S / 2, C), numpy or torch; the other side is its mirror image times `sign`."""
    xp = namespace(half)
    return xp.concatenate([half, sign * xp.flip(half, (-2,))], -2)


def decoded(encoded: Any) -> Any:
    """Linear RGB in [0, 1] of encoded values, clipped; numpy or torch."""
    return linear_from_srgb(namespace(encoded).clip(encoded, 0.0, 1.0))


@cache
def load(path: Path | None = None) -> AlbedoModel:
    """The shipped model, or one learned elsewhere; read once.

    Args:
        path: A file written by `likeness train albedo`; by default the one inside the package.

    Raises:
        AssetError: If the file is missing or is no albedo model.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    source = resources.files("likeness.assets") / FILE if path is None else Path(path)
    try:
        content = source.read_bytes()
        data = parse(content)
        head = json.loads(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["model"])
        model = AlbedoModel(
            data["mean"].astype(np.float32),
            *(data[k] for k in ("modes", "scale", "symmetry", "gloss")),
            head["licence"],
        )
    except OSError as error:
        raise AssetError(f"cannot read the albedo model {source}: {error.strerror}") from error
    except (KeyError, ValueError, TypeError, IndexError, SafetensorError) as error:
        raise AssetError(f"{source} is not an albedo model written by `likeness train albedo` ({error})") from error
    _check(model, str(source))
    return model


def save(model: AlbedoModel, path: Path, notes: dict[str, Any] | None = None) -> None:
    """Write a model; the mean in float16, whose steps are a tenth of those of 8 bits.

    Args:
        notes: What should be told about how it was learned; kept in the file.
    """
    from safetensors.numpy import save as packed

    tensors = {
        "mean": model.mean.astype(np.float16), "modes": model.modes, "scale": model.scale.astype(np.float32),
        "symmetry": model.symmetry, "gloss": model.gloss,
    }  # fmt: skip
    head = {"licence": model.licence, "specular": "authored, not measured", "space": "sRGB-encoded", **(notes or {})}
    content = packed({name: np.ascontiguousarray(a) for name, a in tensors.items()}, {"model": json.dumps(head)})
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    beside.replace(path)


def _check(model: AlbedoModel, source: str) -> None:
    """Refuse arrays that do not belong together.

    Raises:
        AssetError: With what is wrong.
    """
    size, count = model.mean.shape[0], len(model.modes)
    wanted = {
        "mean": (size, size // 2, 3), "modes": (count, size, size // 2, 3), "scale": (count,), "symmetry": (count,),
        "gloss": (len(model.gloss), len(model.gloss) // 2),
    }  # fmt: skip
    for name, shape in wanted.items():
        if getattr(model, name).shape != shape:
            raise AssetError(f"{source}: {name} has the shape {getattr(model, name).shape}, expected {shape}")
    if size % max(len(model.gloss), 1) or len(model.gloss) < 2:
        raise AssetError(f"{source}: a specular map of {len(model.gloss)} texels for a diffuse one of {size}")
    if model.modes.dtype != np.int8 or not np.isfinite(model.scale).all() or not np.isfinite(model.mean).all():
        raise AssetError(f"{source}: modes are {model.modes.dtype}, or its numbers are not finite")
    if not np.isin(model.symmetry, (-1, 1)).all():
        raise AssetError(f"{source}: a mode is neither symmetric (1) nor antisymmetric (-1)")
