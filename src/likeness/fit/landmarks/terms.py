"""Landmarks as a least-squares problem: residuals of photos, their derivatives, and what is believed before seeing any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.correspondence import FEATURES, OUTLINE
from likeness.fit.landmarks.bases import LandmarkBases
from likeness.geometry.alignment import similarity
from likeness.losses.landmark import ALONG, outline_tangents

if TYPE_CHECKING:
    from likeness.fit.landmarks.solver import FitConfig, Guess

IDENTITY, EXPRESSION, POSE = 100, 51, 7
"""Unknowns of a photo under the face model that ships (another may have any number of identity modes): codes, then turn (3,
axis-angle), shift x and y (mm), log scale (px/mm), log distance. Below, 151 and 158 stand for their sums."""
OPPOSED = (
    ("eyeLookUpLeft", "eyeLookDownLeft"), ("eyeLookUpRight", "eyeLookDownRight"),
    ("eyeLookInLeft", "eyeLookOutLeft"), ("eyeLookInRight", "eyeLookOutRight"),
    ("eyeBlinkLeft", "eyeWideLeft"), ("eyeBlinkRight", "eyeWideRight"),
    ("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"),
    ("mouthSmileLeft", "mouthFrownLeft"), ("mouthSmileRight", "mouthFrownRight"),
    ("mouthPucker", "mouthStretchLeft"), ("mouthPucker", "mouthStretchRight"),
    ("mouthPucker", "mouthSmileLeft"), ("mouthPucker", "mouthSmileRight"),
    ("mouthFunnel", "mouthSmileLeft"), ("mouthFunnel", "mouthSmileRight"),
    ("browDownLeft", "browOuterUpLeft"), ("browDownRight", "browOuterUpRight"),
    ("browDownLeft", "browInnerUp"), ("browDownRight", "browInnerUp"),
)  # fmt: skip
"""Pairs that pull the same skin in opposite directions; both at once explain nothing."""
IRIS_STARTS = (468, 473)
LIDS = ((33, 133, 159, 145), (263, 362, 386, 374))
"""Outer corner, inner corner, upper and lower lid of the subject's right and left eye."""


def face_box(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The face's square box: centre (B, 2) px, side (B,) px and roll (B,) radians, positive clockwise in the image.

    The roll is the angle of the line through the outer eye corners (dense 33 to 263); centre and side are those of the
    points' extent after the roll is taken out.

    Args:
        points: (B, n, 2 or more) dense landmarks, px.
    """
    line = points[:, 263, :2] - points[:, 33, :2]
    roll = torch.atan2(line[:, 1], line[:, 0])
    cosine, sine = torch.cos(roll), torch.sin(roll)
    image_from_upright = torch.stack([cosine, -sine, sine, cosine], -1).reshape(-1, 2, 2)
    upright = points[..., :2] @ image_from_upright  # row vectors: this is the inverse turn
    low, high = upright.amin(1), upright.amax(1)
    centre = ((low + high) / 2)[:, None] @ image_from_upright.transpose(1, 2)
    return centre[:, 0], (high - low).amax(1), roll


def orthographic_pose(shape: Tensor, points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scaled orthographic camera that puts a shape nearest to points without depth.

    Linear least squares, then the nearest rotation (the first step of POS; DeMenthon and Davis 1995, sec. 3).

    Args:
        shape: (B, n, 3) mm.
        points: (B, n, 2), y up.
        weights: (B, n) non-negative; at least four points that lie in no plane.

    Returns:
        Rotation (B, 3, 3), scale (B,) and shift (B, 2): `point = scale * (rotation @ shape)[:2] + shift`.
    """
    share = (weights / weights.sum(-1, keepdim=True))[..., None]
    shape_mean, point_mean = (share * shape).sum(1), (share * points).sum(1)
    centred, target = shape - shape_mean[:, None], points - point_mean[:, None]
    normal = centred.transpose(1, 2) @ (share * centred)
    rows = torch.linalg.solve(normal, centred.transpose(1, 2) @ (share * target)).transpose(1, 2)
    u, size, v = torch.linalg.svd(rows, full_matrices=False)
    flat = u @ v
    rotation = torch.cat([flat, torch.linalg.cross(flat[:, :1], flat[:, 1:])], 1)
    scale = size.mean(-1)
    return rotation, scale, point_mean - scale[:, None] * (flat @ shape_mean[..., None])[..., 0]


class Problem:
    """Residuals and derivatives of a batch of photos. Lengths in mm on the face: weights do not depend on a photo's size."""

    def __init__(
        self,
        bases: LandmarkBases,
        points: Tensor,
        config: FitConfig,
        sigma: Tensor | None = None,
        start: Guess | None = None,
    ):
        self.config, self.dtype = config, points.dtype
        count = points.shape[1]

        def tensor(array):
            return torch.as_tensor(array[..., :count, :] if array.ndim > 1 else array[:count], dtype=self.dtype)

        self.mean, self.normals, spread = tensor(bases.mean), tensor(bases.normals), tensor(bases.sigma)
        modes = torch.cat([tensor(bases.identity), tensor(bases.expression)])
        self.modes, self.identities = modes.permute(1, 2, 0).contiguous(), len(bases.identity)  # (n, 3, 151)
        self.pairs = torch.tensor([[EXPRESSIONS.index(a), EXPRESSIONS.index(b)] for a, b in OPPOSED])
        self.close, self.open = EXPRESSIONS.index("mouthClose"), EXPRESSIONS.index("jawOpen")
        noise = torch.zeros_like(points[..., 0]) if sigma is None else sigma.to(self.dtype)
        self.present = torch.isfinite(noise)
        points = torch.where(self.present[..., None], points, torch.zeros_like(points))
        self.codes = torch.zeros(len(points), modes.shape[0], dtype=self.dtype)
        if start is None:
            self._place(points)
        else:
            self._follow(start, points)
        self.unit = self.pose[:, 2].exp()  # px per mm, fixed: turns residuals to mm
        self.sigma = torch.hypot(spread.expand_as(noise), noise / self.unit[:, None])
        if not self.present.all():
            points = torch.where(
                self.present[..., None], points[..., :2], self.pixels(self.codes, self.rotation, self.pose)
            )
        self.whitening = self._whitening(points)

    def _place(self, points: Tensor) -> None:
        """First pose of the mean face, and the principal point: the centre of the face's box."""
        trust = torch.zeros(points.shape[1], dtype=self.dtype)
        trust[[i for i in FEATURES if i < points.shape[1]]] = 1
        trust, mean = trust * self.present, self.mean.expand(len(points), -1, -1)
        if points.shape[-1] == 3:
            motion = similarity(mean, points * points.new_tensor([1.0, -1.0, -1.0]), trust)
            rotation, scale, shift = motion.rotation, motion.scale, motion.translation[:, :2]
        else:
            rotation, scale, shift = orthographic_pose(mean, points * points.new_tensor([1.0, -1.0]), trust)
        sign = points.new_tensor([1.0, -1.0])
        guess = (scale[:, None, None] * (mean @ rotation.transpose(1, 2))[..., :2] + shift[:, None]) * sign
        self.principal, _, _ = face_box(torch.where(self.present[..., None], points[..., :2], guess))
        self.observed = points[..., :2] - self.principal[:, None]
        distance = torch.full_like(scale, self.config.distance).log()
        shift = (shift - self.principal * sign) / scale[:, None]
        self.rotation, self.pose = rotation, torch.cat([shift, scale.log()[:, None], distance[:, None]], 1)

    def _follow(self, start: Guess, points: Tensor) -> None:
        """Begin with the codes, the pose and the principal point of a guess."""
        self.codes = torch.cat([start.identity, start.expression], 1).to(self.dtype)
        self.rotation, self.principal = start.rotation.to(self.dtype), start.principal.to(self.dtype)
        self.observed = points[..., :2] - self.principal[:, None]
        distance = -start.translation[:, 2]
        logarithms = torch.stack([(start.focal / distance).log(), distance.log()], 1)
        self.pose = torch.cat([start.translation[:, :2], logarithms], 1).to(self.dtype)

    def _whitening(self, points: Tensor) -> Tensor:
        """(B, n, 2, 2): takes a residual in mm to standard deviations; along the outline hardly anything counts."""
        ring = torch.tensor(OUTLINE)
        tangent = outline_tangents(points, OUTLINE)
        across = torch.stack([-tangent[..., 1], tangent[..., 0]], -1)
        whitening = torch.eye(2, dtype=self.dtype).expand(*points.shape[:2], 2, 2).clone()
        whitening[:, ring] = torch.stack([ALONG * tangent, across], -2)
        for first, (outer, inner, upper, lower) in zip(IRIS_STARTS, LIDS):  # the iris under a closed lid is a guess
            flat = points[..., :2]
            opening = (flat[:, upper] - flat[:, lower]).norm(dim=-1) / (flat[:, outer] - flat[:, inner]).norm(dim=-1)
            whitening[:, first : first + 5] *= ((opening - 0.1) / 0.1).clamp(0.02, 1)[:, None, None, None]
        return whitening / self.sigma[..., None, None]

    def visibility(self, rotation: Tensor) -> Tensor:
        """(B, n) in (0, 1]: how far each point's skin faces the camera; points turned away are guesses of the detector."""
        facing = self.normals @ rotation.transpose(1, 2)[..., 2:]
        return torch.sigmoid((facing[..., 0] - 0.1) / 0.07).clamp(min=0.02)

    def pixels(self, codes: Tensor, rotation: Tensor, pose: Tensor) -> Tensor:
        """(B, n, 2) px of the photo: where the model's landmarks lie."""
        residual, _, _ = self.project(codes, rotation, pose)
        return residual * self.unit[:, None, None] + self.observed + self.principal[:, None]

    def project(self, codes: Tensor, rotation: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Residual (B, n, 2) mm, camera-frame points relative to the head's origin, and 1 - depth ratio (B, n)."""
        model = self.mean + torch.einsum("ncm,bm->bnc", self.modes, codes)
        turned = model @ rotation.transpose(1, 2)
        shifted = turned[..., :2] + pose[:, None, :2]
        depth = 1 - turned[..., 2] * (-pose[:, 3]).exp()[:, None]
        pixels = pose[:, 2].exp()[:, None, None] * shifted / depth[..., None] * self.mean.new_tensor([1.0, -1.0])
        return (pixels - self.observed) / self.unit[:, None, None], turned, depth

    def jacobian(
        self, rotation: Tensor, pose: Tensor, turned: Tensor, depth: Tensor, part: Tensor | None = None
    ) -> Tensor:
        """Derivative (B, n, 2, 158) of the residual in mm by codes, turn, shift, log scale and log distance.

        Args:
            part: Numbers of the photos that the arguments belong to; by default all.
        """
        unit = self.unit if part is None else self.unit[part]
        inverse = (-pose[:, 3]).exp()[:, None]
        size = ((pose[:, 2].exp() / unit)[:, None] / depth)[..., None]
        sign = self.mean.new_tensor([1.0, -1.0])
        flat = (turned[..., :2] + pose[:, None, :2]) * sign
        by_camera = torch.zeros(*turned.shape[:2], 2, 3, dtype=self.dtype)
        by_camera[..., 0, 0], by_camera[..., 1, 1] = 1.0, -1.0
        by_camera[..., 2] = flat * (inverse / depth)[..., None]
        by_camera = by_camera * size[..., None]
        by_model = by_camera @ rotation[:, None]
        batch, count = turned.shape[:2]
        rows = by_model.permute(1, 0, 2, 3).reshape(count, batch * 2, 3) @ self.modes
        by_codes = rows.reshape(count, batch, 2, -1).transpose(0, 1)
        x, y, z = turned.unbind(-1)
        zero = torch.zeros_like(x)
        skew = torch.stack([zero, z, -y, -z, zero, x, y, -x, zero], -1).reshape(batch, count, 3, 3)  # d(turn x)/d turn
        by_distance = -(size * flat) * (turned[..., 2:] * inverse[..., None] / depth[..., None])
        columns = [by_codes, by_camera @ skew, by_camera[..., :2], (size * flat)[..., None], by_distance[..., None]]
        return torch.cat(columns, -1)

    def penalties(self, codes: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cost (B,), gradient (B, 158) and Hessian (B, 158, 158) of what is believed of expression and pose before any
        photo is seen; identity belongs to the person, see `fit.landmarks.solver.People`."""
        config, batch, first = self.config, len(codes), codes.shape[1] - EXPRESSION
        total, own = codes.shape[1] + POSE, slice(first, codes.shape[1])
        gradient = torch.zeros(batch, total, dtype=self.dtype)
        hessian = torch.zeros(batch, total, total, dtype=self.dtype)
        weights = codes[:, own]
        curvature = torch.zeros(total, dtype=self.dtype)
        curvature[own] = config.expression_spread**-2
        curvature[-1] = config.distance_spread**-2
        far = pose[:, 3] - torch.tensor(config.distance, dtype=self.dtype).log()
        state = torch.cat([codes, torch.zeros_like(pose[:, :1]).expand(-1, 6), far[:, None]], 1)
        gradient += curvature * state
        gradient[:, own] += config.expression_cost
        hessian.diagonal(dim1=1, dim2=2).add_(curvature)
        cost = 0.5 * (curvature * state**2).sum(1) + config.expression_cost * weights.sum(1)
        one, two = self.pairs[:, 0], self.pairs[:, 1]
        rows = [(one, weights[:, two]), (two, weights[:, one])]
        product = weights[:, one] * weights[:, two]
        cost = cost + 0.5 * config.opposed_cost * (product**2).sum(1)
        for index, other in rows:
            gradient.index_add_(1, first + index, config.opposed_cost * product * other)
            hessian.diagonal(dim1=1, dim2=2).index_add_(1, first + index, config.opposed_cost * other**2)
        excess = (weights[:, self.close] - weights[:, self.open]).clamp(min=0)
        stiff = 1000.0 * (excess > 0)
        cost = cost + 0.5 * 1000.0 * excess**2
        i, j = first + self.close, first + self.open
        gradient[:, i] += stiff * excess
        gradient[:, j] -= stiff * excess
        hessian[:, i, i] += stiff
        hessian[:, j, j] += stiff
        hessian[:, i, j] -= stiff
        hessian[:, j, i] -= stiff
        return cost, gradient, hessian

    def robust(self, residual: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Whitened residuals (B, n, 2), weights (B, n) and cost (B,) under Student's distribution."""
        white = (self.whitening @ residual[..., None])[..., 0]
        square = (white**2).sum(-1)
        freedom = self.config.freedom
        seen = seen * self.present
        weight = seen * (freedom + 2) / (freedom + square)
        cost = 0.5 * self.config.trust * (seen * (freedom + 2) * torch.log1p(square / freedom)).sum(1)
        return white, weight, cost
