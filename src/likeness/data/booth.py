"""A photo booth: faces in random poses under random lamps, as a recognition network wants to see them.

Genova et al. 2018, sec. 3.2. The picture is drawn where the network's crop is, so that nothing is drawn and then resampled.
Ranges of poses and backgrounds are ours; the paper gives none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from likeness.color import srgb_from_linear
from likeness.data.lamps import draw_lamps, even_light
from likeness.encoders.recognition.templates import DENSE_OF_5, photo_from_crop
from likeness.geometry.cameras import project, transform_view
from likeness.geometry.rotation import from_euler
from likeness.render.render import render
from likeness.render.shade import specular_from_diffuse
from likeness.types import Embedding, Face, PointLights, Topology, View

YAW, PITCH, ROLL = math.radians(45), math.radians(20), math.radians(8)
"""Largest turns; drawn evenly. The crop takes the roll away again but for what the five points leave."""
NEAR, FAR = 500.0, 1800.0
"""mm from the camera to the head's origin."""
TINT = 0.3
"""Standard deviation of the logarithm by which a background's red, green and blue differ from grey."""
SPECULAR = 0.08
"""The paper's c of `specular = c - c diffuse`: skin shines a little."""


class Booth(nn.Module):
    """Draws faces of one topology for one recognition network.

    Args:
        topology: Of the faces, which knows its `five_points`.
        template: (5, 2) crop pixels, where the network wants these points.
        size: Pixels along a side of the crop.
    """

    def __init__(self, topology: Topology, template: Tensor, size: int) -> None:
        super().__init__()
        self.topology, self.size, five = topology, size, five_points(topology)
        tensors = {
            "triangles": topology.triangles, "corners": five.vertices, "weights": five.weights, "template": template,
        }  # fmt: skip
        for name, values in tensors.items():
            self.register_buffer(name, torch.as_tensor(values), persistent=False)

    def poses(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Random turns (count, 3, 3) of the head and distances (count,) mm of the camera, from torch's generator."""
        yaw, pitch, roll, nearness = torch.rand(4, count, generator=generator).mul(2).sub(1)
        distance = torch.exp(0.5 * (math.log(NEAR * FAR) + nearness * math.log(FAR / NEAR)))
        return from_euler(YAW * yaw, PITCH * pitch, ROLL * roll), distance

    def frontal(self, count: int, yaw: float = 0.0, distance: float = 900.0) -> tuple[Tensor, Tensor]:
        """Turns and distances of pictures that are to be compared."""
        zero = torch.zeros(count)
        return from_euler(zero + yaw, zero, zero), zero + distance

    def view(self, face: Face, turn: Tensor, distance: Tensor) -> View:
        """The camera whose picture is the crop: where the five points are nearest to the template.

        Differentiable in the face, so that a face gains nothing by moving or growing.
        """
        count, first = len(turn), float(self.size)
        zero = turn.new_zeros(count, 2)
        depth = torch.cat([zero, -distance[:, None]], 1)
        view = View(turn, depth, turn.new_full((count,), first), zero, (self.size, self.size))
        corners = face.vertices[:, self.corners.long()]
        points = project((corners * self.weights[..., None]).sum(-2), view)
        back = photo_from_crop(points, self.template)
        last = back.new_tensor([0.0, 0.0, 1.0]).expand(count, 1, 3)
        return transform_view(view, torch.linalg.inv(torch.cat([back, last], 1)), view.size)

    def draw(self, face: Face, turn: Tensor, distance: Tensor, light: PointLights, background: Tensor) -> Tensor:
        """Crops (B, S, S, 3), linear RGB, of faces (B, V, 3).

        Args:
            turn: (B, 3, 3).
            distance: (B,) mm.
            light: Camera frame.
            background: (B, 3) linear RGB.
        """
        shown = Face(face.vertices, albedo=face.albedo, specular=specular_from_diffuse(face.albedo, SPECULAR))
        view = self.view(face, turn, distance)
        return render(shown, self.topology, view, light, background=background[:, None, None]).image

    def photograph(
        self, face: Face, turn: Tensor, distance: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Crops (B, S, S, 3), linear RGB, in given poses under random lamps before a random plain background."""
        turn, distance = turn.to(face.vertices), distance.to(face.vertices)
        light = draw_lamps(len(turn), _place(distance), generator)
        grey = torch.rand(len(turn), 1, generator=generator).square()
        background = grey * torch.exp(TINT * torch.randn(len(turn), 3, generator=generator))
        background = background.to(face.vertices)
        return self.draw(face, turn, distance, light, background)

    def portrait(self, face: Face, yaw: float = 0.0) -> Tensor:
        """Crops (B, S, S, 3), linear RGB, in one plain light and one pose before grey: to be compared with one another."""
        turn, distance = (value.to(face.vertices) for value in self.frontal(len(face.vertices), yaw))
        light = even_light(len(turn), _place(distance))
        return self.draw(face, turn, distance, light, face.vertices.new_full((len(turn), 3), 0.2))


def five_points(topology: Topology) -> Embedding:
    """The five points as they are found in photos, by dense landmarks (`templates.five`), where a topology has those.

    Landmark set "5" has the mouth's corners 1.6 mm from there on the model that ships.
    """
    if "dense" not in topology.landmarks:
        return topology.landmarks["5"]
    dense = topology.landmarks["dense"]
    return Embedding(dense.vertices[list(DENSE_OF_5)], dense.weights[list(DENSE_OF_5)])


def _place(distance: Tensor) -> Tensor:
    """Where the heads are in the camera frame, (B, 3) mm."""
    zero = torch.zeros_like(distance)
    return torch.stack([zero, zero, -distance], -1)


def as_seen(image: Tensor) -> Tensor:
    """Linear crops (B, S, S, 3) as a network takes them: (B, 3, S, S), sRGB values in [0, 1]."""
    return srgb_from_linear(image).permute(0, 3, 1, 2)
