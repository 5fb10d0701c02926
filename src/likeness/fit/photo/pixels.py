"""The photometric term: what the renderer draws against what the photo shows, and how the difference moves with every unknown.

The picture is formed as in `render.render`: rasterize, interpolate, shade with spherical harmonics, the albedo from the chart. A
pixel keeps its triangle, as in the renderer's own gradient; the derivative here is that gradient in closed form for all unknowns
at once (the material under a pixel moves, taking the drawn picture with it; its normal turns; its albedo changes; the light
changes), which Gauss-Newton needs and reverse-mode differentiation would give one row at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, embedding_bag, normalize
from torch.nn.functional import interpolate as resample

from likeness.color import linear_from_srgb
from likeness.fit.photo import pose
from likeness.fit.photo.quadratic import GROUPS, Layout, Quadratic
from likeness.fit.photo.scene import Scene
from likeness.fit.photo.surface import Surface
from likeness.geometry import harmonics
from likeness.losses.photometric import robust
from likeness.render.interpolate import interpolate
from likeness.render.normals import vertex_normals
from likeness.render.project import project
from likeness.render.rasterize import rasterize

MOST = 8000
"""Pixels of a frame that are used at most, evenly chosen: more cost time and say little new."""
PART = 2000
"""Pixels whose derivatives are held at once: of all they take 24 MB, several times over."""
FACING = (0.1, 0.4)
"""Cosine towards the camera below which skin does not count, and above which it counts fully: at the outline a fit is off."""
JUMP = 6.0
"""mm of depth between neighbouring pixels: there one part of the face hides another, and the picture has no derivative."""
SIGMA = 0.12
"""Standard deviation of a colour that the model explains, as a share of the face's median brightness in the photo."""

NEAR = 1 / 24
"""Standard deviation of the Gaussian about each pixel that contrast is measured in, as a share of the picture's side: about
10 mm. Ours."""


class Picture(NamedTuple):
    """A frame's photo at one size.

    Attributes:
        image: (s, s, 3) linear RGB.
        skin: (s, s) in [0, 1].
        sigma: Spread of its colours, linear RGB.
    """

    image: Tensor
    skin: Tensor
    sigma: Tensor

    @classmethod
    def at(cls, image: Tensor, skin: Tensor, size: int) -> Picture:
        """The mean over the pixels' areas; `size` divides the picture's side, or is it."""
        both = torch.cat([image, skin[..., None]], -1).movedim(-1, 0)[None]
        small = resample(both, size=(size, size), mode="area")[0].movedim(0, -1)
        trusted = small[..., 3] > 0.5
        bright = small[..., :3][trusted].median() if trusted.any() else small[..., :3].median()
        return cls(small[..., :3].contiguous(), small[..., 3].contiguous(), SIGMA * bright.clamp(min=0.02))


class Seen(NamedTuple):
    """What n pixels of a frame see, and how far the photo differs there.

    Attributes:
        place: (n,) numbers of the pixels, row by row.
        weight: (n,) visibility times skin.
        corners: (n, 3) vertices and shares (n, 3): the material under the pixel.
        about: (n, 3) mm, turned about the pivot; normal (n, 3) unit, both in the camera's axes.
        uv: (n, 2) places in the chart.
        albedo, light: (n, 3) diffuse albedo, and what it is multiplied by.
        slope: (n, 3) derivative of the decoded albedo by its encoded value; zero where it is clipped.
        gradient: (n, 3, 2) how the colours change per px to the right and down, mean of the drawing's and the photo's.
        residual: (n, 3) drawn minus photo, in standard deviations.
        sigma: Of the photo's colours.
        size: Side of the picture, px.
    """

    place: Tensor
    weight: Tensor
    corners: Tensor
    shares: Tensor
    about: Tensor
    normal: Tensor
    uv: Tensor
    albedo: Tensor
    light: Tensor
    slope: Tensor
    gradient: Tensor
    residual: Tensor
    sigma: Tensor
    size: int

    def parts(self, most: int) -> Iterator[Seen]:
        """The same pixels, at most so many at once."""
        each = zip(*(value.split(most) for value in self[:-2]))
        return (Seen(*values, self.sigma, self.size) for values in each)

    def cost(self) -> Tensor:
        """Weighted mean of the robust cost; see `losses.photometric`."""
        return (self.weight * robust(self.residual.square().sum(-1))[0]).sum() / self.weight.sum().clamp(min=1.0)

    def contrast(self) -> Seen:
        """The same with the residuals' local mean taken out: brows, lids, lips and creases stay, and light that no harmonics
        explain goes. The mean is over a Gaussian `NEAR` wide; that it moves, too, is left out of the derivative."""
        width = NEAR * self.size
        mass = torch.zeros(self.size**2, 4).index_copy(
            0, self.place, torch.cat([self.residual * self.weight[:, None], self.weight[:, None]], -1)
        )
        smooth = _blurred(mass.unflatten(0, (self.size, self.size)), width).flatten(0, 1)[self.place]
        return self._replace(residual=self.residual - smooth[:, :3] / smooth[:, 3:].clamp(min=1e-6))

    def error(self) -> Tensor:
        """Weighted mean distance of the colours, linear RGB."""
        distance = self.residual.norm(dim=-1) * self.sigma
        return (self.weight * distance).sum() / self.weight.sum().clamp(min=1e-9)


def _blurred(field: Tensor, width: float) -> Tensor:
    """A field (s, s, C) under a Gaussian of a standard deviation in px, cut off at three of them."""
    reach = int(3 * width) + 1
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / width) ** 2)
    line = (line / line.sum())[None, None, :, None]
    planes = field.movedim(-1, 0)[:, None]
    planes = conv2d(planes, line, padding=(reach, 0))
    return conv2d(planes, line.mT, padding=(0, reach))[:, 0].movedim(0, -1)


def texels(uv: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The four texels about places (n, 2) of a chart, (n, 4) long, row by row, and their shares; as `render.sample_texture`."""
    place = (uv * size - 0.5).clamp(0, size - 1)
    corner = place.floor().clamp(max=size - 2)
    right, down = (place - corner).unbind(-1)
    first = (corner[:, 1] * size + corner[:, 0]).long()
    ids = torch.stack([first, first + 1, first + size, first + size + 1], -1)
    return ids, torch.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], -1)


def albedo_at(encoded: Tensor, uv: Tensor) -> tuple[Tensor, Tensor]:
    """Diffuse albedo (n, 3), linear RGB, of an encoded map (S, S, 3) at places of the chart, and its derivative (n, 3) by encoded
    values, zero where those are clipped."""
    ids, shares = texels(uv, len(encoded))
    values = embedding_bag(ids, encoded.flatten(0, 1), per_sample_weights=shares, mode="sum").requires_grad_()
    with torch.enable_grad():
        linear = linear_from_srgb(values.clamp(0, 1))
    return linear.detach(), torch.autograd.grad(linear.sum(), values)[0]


def look(surface: Surface, scene: Scene, frame: int, picture: Picture, most: int = MOST) -> Seen:
    """Draw one frame at the picture's size and compare."""
    size = picture.image.shape[0]
    one = scene.frames([frame]).resized(size)
    person = scene.person[frame]
    vertices = surface.vertices(scene.identity[person], one.expression[0])
    view = one.view
    camera, points = project(vertices[None], view)
    fragments = rasterize(points, surface.triangles, (size, size))
    normals = vertex_normals(camera, surface.triangles)
    attributes = torch.cat([normals, camera, surface.uv.expand(1, -1, -1)], -1)
    drawn = interpolate(attributes, surface.triangles, fragments)[0].flatten(0, 1)
    normal, position = normalize(drawn[:, :3], dim=-1), drawn[:, 3:6]
    triangle = fragments.triangle[0].flatten()
    there = (triangle >= 0) & surface.bare[triangle.clamp(min=0).long()]
    rows = there.nonzero()[:, 0]
    albedo, slope = albedo_at(surface.encoded(scene.albedo[person]), drawn[rows, 6:])
    light = harmonics.shade(normal[rows], one.light[0])
    image = torch.zeros(size * size, 3).index_copy(0, rows, albedo * light)
    gradient, usable = _gradients(image, picture.image, there, fragments.depth[0], size)
    facing = -(normal * normalize(position, dim=-1)).sum(-1)
    low, high = FACING
    weight = picture.skin.flatten() * ((facing - low) / (high - low)).clamp(0, 1) * usable
    kept = (weight[rows] > 0.02).nonzero()[:, 0]
    kept = kept[:: max(1, -(-len(kept) // most))]
    place = rows[kept]
    place_pivot = one.rotation[0] @ one.rotation.new_tensor(pose.PIVOT) + one.translation[0]
    return Seen(
        place, weight[place], surface.triangles[triangle[place].long()].long(), fragments.barycentric[0].flatten(0, 1)[place],
        position[place] - place_pivot, normal[place], drawn[place, 6:], albedo[kept], light[kept], slope[kept],
        gradient[place], (image[place] - picture.image.flatten(0, 1)[place]) / picture.sigma, picture.sigma,
        size,
    )  # fmt: skip


def _gradients(image: Tensor, photo: Tensor, there: Tensor, depth: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Slopes (s * s, 3, 2) per px by central differences, and where (s * s,) all four neighbours belong to one surface.

    The mean of both pictures' slopes makes the step exact to second order (Malis 2004, "efficient second-order minimization").
    """
    mean = ((image.unflatten(0, (size, size)) + photo) / 2).movedim(-1, 0)
    slopes = torch.zeros(3, size, size, 2)
    slopes[:, :, 1:-1, 0] = (mean[:, :, 2:] - mean[:, :, :-2]) / 2
    slopes[:, 1:-1, :, 1] = (mean[:, 2:] - mean[:, :-2]) / 2
    there = there.unflatten(0, (size, size))
    usable = torch.zeros(size, size, dtype=torch.bool)
    inner = slice(1, -1)
    sides = [(slice(0, -2), inner), (slice(2, None), inner), (inner, slice(0, -2)), (inner, slice(2, None))]
    usable[inner, inner] = there[inner, inner]
    for side in sides:
        near = (depth[side] - depth[inner, inner]).abs() < JUMP * max(1.0, 112 / size)
        usable[inner, inner] &= there[side] & near
    return slopes.movedim(0, 2).flatten(0, 1), usable.flatten()


def derivative(
    surface: Surface,
    scene: Scene,
    frame: int,
    seen: Seen,
    free: Layout,
    groups: Collection[str] = GROUPS,
    shading: bool = True,
) -> Tensor:
    """(n, 3, U): how the residuals change per unit of each unknown, in the order of the layout.

    Args:
        groups: What is free; columns of the others are zero and cost nothing.
        shading: Whether turning normals count. Without them geometry follows what is drawn on the skin, and brightness is left
            to light and albedo.
    """
    result = torch.zeros(len(seen.place), 3, free.count)
    if {"identity", "expression", "pose"} & set(groups):
        geometry = _by_geometry(surface, scene, frame, seen, shading)
        codes = surface.identities
        result[..., free.identity], result[..., free.pose] = geometry[..., :codes], geometry[..., -pose.COUNT :]
        result[..., free.expression] = geometry[..., codes : codes + surface.expressions]
    if "albedo" in groups:
        paints = surface.paints.at(*texels(seen.uv, len(surface.chart)))
        result[..., free.albedo] = paints * (seen.slope * seen.light)[..., None]
    if "light" in groups:
        basis, light = harmonics.basis(seen.normal), torch.zeros(len(seen.place), 3, 9, 3)
        for channel in range(3):
            light[:, channel, :, channel] = seen.albedo[:, channel, None] * basis
        result[..., free.light] = light.flatten(-2)
    return result / seen.sigma


def _by_geometry(surface: Surface, scene: Scene, frame: int, seen: Seen, shading: bool) -> Tensor:
    """(n, 3, M + 7): how the colours change with the codes and the camera."""
    rotation, place = scene.rotation[frame], pose.of_scene(scene.resized(seen.size))[frame]
    flow = pose.motion(seen.about, surface.moving(seen.corners, seen.shares), rotation, place)
    if not shading:
        return -seen.gradient @ flow
    turning = rotation @ surface.turned(seen.corners, seen.shares)
    x, y, z = seen.normal.unbind(-1)
    zero = torch.zeros_like(x)
    turn = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))
    still = torch.zeros(*turning.shape[:2], 4)
    normals = torch.cat([turning, turn, still], -1)
    normals = normals - seen.normal[..., None] * (seen.normal[:, None] @ normals)  # a unit normal moves across itself
    by_normal = seen.albedo[..., None] * (scene.light[frame].T @ basis_slope(seen.normal))
    return torch.cat([-seen.gradient, by_normal], -1) @ torch.cat([flow, normals], 1)


def basis_slope(normal: Tensor) -> Tensor:
    """Derivative (n, 9, 3) of `geometry.harmonics.basis` by the direction."""
    with torch.enable_grad():
        one = torch.ones_like(normal[:, 0])
        normal = normal.detach().requires_grad_()
        values = harmonics.basis(normal)
        rows = [
            torch.autograd.grad(values[:, k], normal, one, retain_graph=True, allow_unused=True)[0] for k in range(9)
        ]
    return torch.stack([torch.zeros_like(normal) if row is None else row for row in rows], 1)


def quadratic(
    surface: Surface,
    scene: Scene,
    frame: int,
    seen: Seen,
    free: Layout,
    weight: float,
    groups: Collection[str] = GROUPS,
    shading: bool = True,
) -> Quadratic:
    """The term of one frame: cost (), gradient (U,), Hessian (U, U) by Gauss and Newton; `weight` measurements in all."""
    columns = free.chosen(groups).nonzero()[:, 0]
    gradient, hessian = torch.zeros(len(columns)), torch.zeros(len(columns), len(columns))
    every = weight / seen.weight.sum().clamp(min=1.0)
    for part in seen.parts(PART):
        rows = derivative(surface, scene, frame, part, free, groups, shading).detach()[..., columns]
        root = (every * part.weight * robust(part.residual.square().sum(-1))[1]).sqrt()[:, None]
        flat = (rows * root[..., None]).flatten(0, 1)
        gradient += flat.T @ (part.residual * root).flatten()
        hessian += flat.T @ flat
    total = Quadratic(weight * seen.cost(), torch.zeros(free.count), torch.zeros(free.count, free.count))
    total.gradient[columns], total.hessian[columns[:, None], columns] = gradient, hessian
    return total
