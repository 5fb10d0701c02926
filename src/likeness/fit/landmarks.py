"""Fit the face model to the dense landmarks of photos: regularised, robust, non-linear least squares, many photos at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.correspondence import FEATURES, OUTLINE
from likeness.fit.bases import LandmarkBases
from likeness.geometry.alignment import similarity
from likeness.geometry.rotation import from_axis_angle
from likeness.losses.landmark import ALONG, outline_tangents

IDENTITY, EXPRESSION = 100, 51
POSE = slice(151, 158)
"""Last unknowns of a photo: turn (3, axis-angle), shift x and y (mm), log scale (px/mm), log distance."""
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


@dataclass(frozen=True)
class FitConfig:
    """How photos are fitted. All values are ours.

    Attributes:
        steps: Gauss-Newton steps.
        trust: Share of the landmarks that count as independent measurements; neighbours err together.
        freedom: Degrees of freedom of the errors' Student distribution; smaller forgives more.
        distance: Median distance of camera from head, mm.
        distance_spread: Standard deviation of the logarithm of that distance.
        expression_spread: Scale of an expression weight.
        expression_cost: Slope of the penalty on weights, which sends the needless ones to zero.
        opposed_cost: Penalty on the product of opposing weights.
    """

    steps: int = 7
    trust: float = 0.12
    freedom: float = 4.0
    distance: float = 900.0
    distance_spread: float = 0.35
    expression_spread: float = 0.5
    expression_cost: float = 1.5
    opposed_cost: float = 30.0


@dataclass(frozen=True)
class LandmarkFit:
    """Codes, pose and camera of B photos.

    Attributes:
        identity: (B, 100) standard deviations.
        expression: (B, 51) in [0, 1].
        rotation: (B, 3, 3) camera from model.
        translation: (B, 3) mm.
        focal: (B,) px.
        principal: (B, 2) px.
        points: (B, n, 2) px, the model's landmarks.
        trusts: (B, n) final weight of each landmark, 0..1; low where the head hides it or the measurement is an outlier.
    """

    identity: Tensor
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    focal: Tensor
    principal: Tensor
    points: Tensor
    trusts: Tensor


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


class _Problem:
    """Residuals and their derivatives for one batch. Lengths in mm on the face, so that weights do not depend on photo size."""

    def __init__(self, bases: LandmarkBases, points: Tensor, config: FitConfig):
        self.config, self.dtype = config, points.dtype
        count = points.shape[1]

        def tensor(array):
            return torch.as_tensor(array[..., :count, :] if array.ndim > 1 else array[:count], dtype=self.dtype)

        self.mean, self.normals, self.sigma = tensor(bases.mean), tensor(bases.normals), tensor(bases.sigma)
        modes = torch.cat([tensor(bases.identity), tensor(bases.expression)])
        self.modes = modes.permute(1, 2, 0).contiguous()  # (n, 3, 151)
        self.principal, _, _ = face_box(points)
        self.observed = points[..., :2] - self.principal[:, None]
        self.rotation, self.pose = self._initial_pose(points)
        self.unit = self.pose[:, 2].exp()  # px per mm, fixed: turns residuals to mm
        self.whitening = self._whitening(points)
        self.pairs = torch.tensor([[EXPRESSIONS.index(a), EXPRESSIONS.index(b)] for a, b in OPPOSED])
        self.close, self.open = EXPRESSIONS.index("mouthClose"), EXPRESSIONS.index("jawOpen")

    def _initial_pose(self, points: Tensor) -> tuple[Tensor, Tensor]:
        flipped = points * points.new_tensor([1.0, -1.0, -1.0])
        features = torch.zeros(points.shape[1], dtype=self.dtype)
        features[[i for i in FEATURES if i < points.shape[1]]] = 1
        features = features.expand(len(points), -1)
        motion = similarity(self.mean.expand(len(points), -1, -1), flipped, features)
        shift = motion.translation[:, :2] - self.principal * points.new_tensor([1.0, -1.0])
        distance = torch.full_like(motion.scale, self.config.distance).log()
        columns = [shift / motion.scale[:, None], motion.scale.log()[:, None], distance[:, None]]
        return motion.rotation, torch.cat(columns, 1)

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
        return whitening / self.sigma[:, None, None]

    def visibility(self, rotation: Tensor) -> Tensor:
        """(B, n) in (0, 1]: how far each point's skin faces the camera; points turned away are guesses of the detector."""
        facing = self.normals @ rotation.transpose(1, 2)[..., 2:]
        return torch.sigmoid((facing[..., 0] - 0.1) / 0.07).clamp(min=0.02)

    def project(self, codes: Tensor, rotation: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Residual (B, n, 2) mm, camera-frame points relative to the head's origin, and 1 - depth ratio (B, n)."""
        model = self.mean + torch.einsum("ncm,bm->bnc", self.modes, codes)
        turned = model @ rotation.transpose(1, 2)
        shifted = turned[..., :2] + pose[:, None, :2]
        depth = 1 - turned[..., 2] * (-pose[:, 3]).exp()[:, None]
        pixels = pose[:, 2].exp()[:, None, None] * shifted / depth[..., None] * self.mean.new_tensor([1.0, -1.0])
        return (pixels - self.observed) / self.unit[:, None, None], turned, depth

    def jacobian(self, rotation: Tensor, pose: Tensor, turned: Tensor, depth: Tensor) -> Tensor:
        """Derivative (B, n, 2, 158) of the residual in mm by codes, turn, shift, log scale and log distance."""
        inverse = (-pose[:, 3]).exp()[:, None]
        size = ((pose[:, 2].exp() / self.unit)[:, None] / depth)[..., None]
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
        """Cost (B,), gradient (B, 158) and Hessian (B, 158, 158) of what is believed before any photo is seen."""
        config, batch = self.config, len(codes)
        gradient = torch.zeros(batch, POSE.stop, dtype=self.dtype)
        hessian = torch.zeros(batch, POSE.stop, POSE.stop, dtype=self.dtype)
        identity, weights = codes[:, :IDENTITY], codes[:, IDENTITY:]
        curvature = torch.ones(POSE.stop, dtype=self.dtype)
        curvature[IDENTITY:POSE.start] = config.expression_spread**-2
        curvature[POSE] = 0
        curvature[-1] = config.distance_spread**-2
        far = pose[:, 3] - torch.tensor(config.distance, dtype=self.dtype).log()
        state = torch.cat([codes, torch.zeros_like(pose[:, :1]).expand(-1, 6), far[:, None]], 1)
        gradient += curvature * state
        gradient[:, IDENTITY : POSE.start] += config.expression_cost
        hessian.diagonal(dim1=1, dim2=2).add_(curvature)
        cost = 0.5 * (curvature * state**2).sum(1) + config.expression_cost * weights.sum(1)
        first, second = self.pairs[:, 0], self.pairs[:, 1]
        rows = [(first, weights[:, second]), (second, weights[:, first])]
        product = weights[:, first] * weights[:, second]
        cost = cost + 0.5 * config.opposed_cost * (product**2).sum(1)
        for index, other in rows:
            gradient.index_add_(1, IDENTITY + index, config.opposed_cost * product * other)
            hessian.diagonal(dim1=1, dim2=2).index_add_(1, IDENTITY + index, config.opposed_cost * other**2)
        excess = (weights[:, self.close] - weights[:, self.open]).clamp(min=0)
        stiff = 1000.0 * (excess > 0)
        cost = cost + 0.5 * 1000.0 * excess**2
        i, j = IDENTITY + self.close, IDENTITY + self.open
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
        weight = seen * (freedom + 2) / (freedom + square)
        cost = 0.5 * self.config.trust * (seen * (freedom + 2) * torch.log1p(square / freedom)).sum(1)
        return white, weight, cost


def _bounded_step(hessian: Tensor, gradient: Tensor, low: Tensor, high: Tensor, rounds: int = 4) -> Tensor:
    """Step (B, 158) that minimises the quadratic model with the expression's part kept in [low, high], (B, 51) each.

    Identity and pose are free and are eliminated first; of the rest, what leaves its bounds is fixed there, and the
    others are solved again.
    """
    bounded = torch.zeros(hessian.shape[-1], dtype=torch.bool)
    bounded[IDENTITY : POSE.start] = True
    free = ~bounded
    factor = torch.linalg.cholesky(hessian[:, free][:, :, free])
    mixed, own = hessian[:, free][:, :, bounded], hessian[:, bounded][:, :, bounded]
    solved = torch.cholesky_solve(torch.cat([mixed, gradient[:, free, None]], 2), factor)
    schur = own - mixed.transpose(1, 2) @ solved[..., :-1]
    slope = gradient[:, bounded] - (mixed.transpose(1, 2) @ solved[..., -1:])[..., 0]
    step = torch.zeros_like(low)
    held = ((low >= 0) & (slope > 0)) | ((high <= 0) & (slope < 0))
    for _ in range(rounds):
        fixed = torch.where(held, step, torch.zeros_like(step))
        loose = (~held).to(schur.dtype)
        system = schur * loose[:, :, None] * loose[:, None] + torch.diag_embed(1 - loose)
        right = -(slope + (schur @ fixed[..., None])[..., 0]) * loose
        step = torch.where(held, fixed, torch.linalg.solve(system, right))
        outside = (step < low) | (step > high)
        step = torch.minimum(torch.maximum(step, low), high)
        held = held | outside
    total = torch.zeros_like(gradient)
    total[:, bounded] = step
    total[:, free] = -solved[..., -1] - (solved[..., :-1] @ step[..., None])[..., 0]
    return total


def fit(
    bases: LandmarkBases, points: Tensor, config: FitConfig | None = None, start: LandmarkFit | None = None
) -> LandmarkFit:
    """Fit identity, expression, pose and focal length to dense landmarks.

    Levenberg-Marquardt on a Student likelihood of the projected points with a normal prior on identity and on the
    logarithm of the camera's distance, an exponential one on expression weights (kept in [0, 1], mouthClose <= jawOpen),
    and a penalty on opposed expressions. The principal point is the centre of the face's box, as in the crop that the
    regressor sees. z serves for the first pose only.

    Args:
        bases: Model of the first n landmarks.
        points: (B, n, 3) px, n = 478 or 468; z in the same unit, smaller is nearer.
        config: Weights; the defaults are those of the shipped targets.
        start: An earlier fit of the same photos to begin with.
    """
    config = config or FitConfig()
    problem = _Problem(bases, points, config)
    rotation, pose = problem.rotation, problem.pose
    codes = torch.zeros(len(points), POSE.start, dtype=points.dtype)
    if start is not None:
        codes, rotation = torch.cat([start.identity, start.expression], 1), start.rotation
        distance = -start.translation[:, 2]
        logarithms = torch.stack([(start.focal / distance).log(), distance.log()], 1)
        pose = torch.cat([start.translation[:, :2], logarithms], 1)
    damping = torch.full((len(points),), 1e-2, dtype=points.dtype)
    for _ in range(config.steps):
        codes, rotation, pose, damping = _improve(problem, codes, rotation, pose, damping)
    close, jaw = IDENTITY + problem.close, IDENTITY + problem.open
    codes[:, close] = torch.minimum(codes[:, close], codes[:, jaw])  # the penalty leaves a trace
    residual, _, _ = problem.project(codes, rotation, pose)
    _, weight, _ = problem.robust(residual, problem.visibility(rotation))
    focal = (pose[:, 2] + pose[:, 3]).exp()
    return LandmarkFit(
        identity=codes[:, :IDENTITY],
        expression=codes[:, IDENTITY:],
        rotation=rotation,
        translation=torch.cat([pose[:, :2], -pose[:, 3:].exp()], 1),
        focal=focal,
        principal=problem.principal,
        points=points[..., :2] + residual * problem.unit[:, None, None],
        trusts=weight * config.freedom / (config.freedom + 2),
    )


def _improve(problem: _Problem, codes: Tensor, rotation: Tensor, pose: Tensor, damping: Tensor):
    """One damped step; photos whose cost would rise stay where they are and are damped more."""
    seen = problem.visibility(rotation)
    residual, turned, depth = problem.project(codes, rotation, pose)
    white, weight, data_cost = problem.robust(residual, seen)
    cost, gradient, hessian = problem.penalties(codes, pose)
    derivative = problem.whitening @ problem.jacobian(rotation, pose, turned, depth)
    root = (problem.config.trust * weight).sqrt()[..., None]
    rows = (root[..., None] * derivative).flatten(1, 2)
    gradient = gradient + (rows.transpose(1, 2) @ (root * white).flatten(1)[..., None])[..., 0]
    hessian = hessian + rows.transpose(1, 2) @ rows
    hessian.diagonal(dim1=1, dim2=2).mul_(1 + damping[:, None])
    weights = codes[:, IDENTITY:]
    step = _bounded_step(hessian.double(), gradient.double(), -weights.double(), 1 - weights.double()).to(codes.dtype)
    moved_codes = torch.cat([codes[:, :IDENTITY] + step[:, :IDENTITY], (weights + step[:, IDENTITY : POSE.start]).clamp(0, 1)], 1)
    moved_rotation = from_axis_angle(step[:, 151:154]) @ rotation
    moved_pose = pose + step[:, 154:]
    moved_residual, _, _ = problem.project(moved_codes, moved_rotation, moved_pose)
    moved_cost = problem.robust(moved_residual, seen)[2] + problem.penalties(moved_codes, moved_pose)[0]
    better = moved_cost <= cost + data_cost
    codes = torch.where(better[:, None], moved_codes, codes)
    rotation = torch.where(better[:, None, None], moved_rotation, rotation)
    pose = torch.where(better[:, None], moved_pose, pose)
    return codes, rotation, pose, torch.where(better, damping * 0.2, damping * 10).clamp(1e-5, 1e3)
