"""Two lamps at random places, in the colours of real ones.

Genova et al. 2018, sec. 3.2.2: two point lights of varying intensity several metres from the face, one colour temperature a
picture, drawn from common indoor and outdoor light and then perturbed. Every number here is ours; the paper gives none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likeness.types import PointLights

KELVIN = {
    "candle": 1900.0, "tungsten bulb": 2700.0, "halogen lamp": 3000.0, "cool white tube": 4000.0, "flash": 5500.0,
    "noon sun": 5600.0, "daylight tube": 6500.0, "overcast sky": 7000.0, "open shade": 8000.0,
}  # fmt: skip
"""Colour temperatures of common lights."""
ADAPTATION = 0.7
"""Share of a lamp's colour that a camera's white balance takes away: photos by candle light are warm, not orange."""
SPREAD = 0.08
"""Standard deviation of the logarithm by which each of red, green and blue is perturbed."""
NEAR, FAR = 2000.0, 6000.0
"""mm from the head to a lamp."""
ASIDE, ABOVE, BELOW = math.radians(70), math.radians(60), math.radians(20)
"""How far a lamp may stand beside, above and below the line from head to camera."""
SHARE = (0.25, 0.75)
"""What the first lamp gives of the light that is not ambient."""
AMBIENT = (0.15, 0.5)
"""Share of the light that is ambient."""
BRIGHTNESS = (0.75, 1.25)
"""Of all light together: 1 lights a white surface that faces every lamp to 1."""
SHININESS = (5.0, 20.0)
"""Phong's exponent."""
LEAST = 0.02
"""No lamp is without one of the primaries altogether."""
NATURAL = 6500.0
"""K; looks white in sRGB, whose white point is D65."""


def temperature(kelvin: Tensor) -> Tensor:
    """Linear sRGB (..., 3) of a black body at a temperature (...) in kelvin, of luminance 1; 1667 to 25000 K.

    Chromaticities by the cubic approximation of Kim et al. 2002 (US patent 7024034), as Wikipedia's "Planckian locus" gives
    it; then XYZ to sRGB primaries (IEC 61966-2-1). What lies outside the primaries is clipped to `LEAST`.
    """
    t = 1000 / kelvin
    x = torch.where(
        kelvin < 4000, ((-0.2661239 * t - 0.2343589) * t + 0.8776956) * t + 0.179910,
        ((-3.0258469 * t + 2.1070379) * t + 0.2226347) * t + 0.240390,
    )  # fmt: skip
    y = torch.where(
        kelvin < 2222, ((-1.1063814 * x - 1.34811020) * x + 2.18555832) * x - 0.20219683,
        torch.where(
            kelvin < 4000, ((-0.9549476 * x - 1.37418593) * x + 2.09137015) * x - 0.16748867,
            ((3.0817580 * x - 5.87338670) * x + 3.75112997) * x - 0.37001483,
        ),
    )  # fmt: skip
    xyz = torch.stack([x / y, torch.ones_like(y), (1 - x - y) / y], -1)
    matrix = xyz.new_tensor([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    return (xyz @ matrix.T).clip(min=LEAST)


def draw_lamps(count: int, head: Tensor, generator: torch.Generator | None = None) -> PointLights:
    """Two lamps for each of `count` pictures, from torch's generator.

    Args:
        head: (count, 3) mm, camera frame, where each head is; the camera looks along -Z.
    """

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    aside, up = uniform(-ASIDE, ASIDE, 2), uniform(-BELOW, ABOVE, 2)
    direction = torch.stack([up.cos() * aside.sin(), up.sin(), up.cos() * aside.cos()], -1)
    positions = direction * uniform(NEAR, FAR, 2, 1)
    share, ambient, brightness = uniform(*SHARE, 1), uniform(*AMBIENT, 1), uniform(*BRIGHTNESS, 1)
    lamps = torch.tensor(list(KELVIN.values()))
    kelvin = lamps[torch.randint(len(lamps), (count,), generator=generator)]
    color = temperature(kelvin) / temperature(torch.tensor(NATURAL))
    tint = color ** (1 - ADAPTATION) * torch.exp(SPREAD * torch.randn(count, 3, generator=generator))
    colors = tint * brightness
    first = colors * (1 - ambient) * share
    second = colors * (1 - ambient) * (1 - share)
    lights = PointLights(
        head.cpu()[:, None] + positions, torch.stack([first, second], 1), colors * ambient, uniform(*SHININESS)
    )
    return PointLights(
        *(value.to(head) for value in (lights.positions, lights.colors, lights.ambient, lights.shininess))
    )


def even_light(count: int, head: Tensor) -> PointLights:
    """The same plain light for all pictures: two white lamps high on either side. For comparing faces."""
    places = head.new_tensor([[-1500.0, 1200.0, 2500.0], [1500.0, 1200.0, 2500.0]])
    white = head.new_ones(count, 2, 3)
    return PointLights(head[:, None] + places, 0.35 * white, 0.4 * white[:, 0], head.new_full((count,), 10.0))
