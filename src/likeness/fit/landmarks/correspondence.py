"""Learn where each dense landmark lies on the face model's surface, jointly over many photos."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from likeness.assets import dense_mirror
from likeness.assets.arkit import EXPRESSIONS
from likeness.assets.canonical import provisional_correspondence
from likeness.assets.correspondence import FEATURES, IRISES, OUTLINE, Correspondence
from likeness.assets.ict import NARROW, IctModel
from likeness.fit.landmarks.bases import LandmarkBases, iris_embedding, landmark_bases
from likeness.fit.landmarks.solver import FitConfig, LandmarkFit, fit
from likeness.geometry.alignment import similarity
from likeness.geometry.closest import closest_points
from likeness.geometry.mesh import triangulate
from likeness.types import Embedding

REACH, OUTLINE_REACH = 10.0, 25.0
"""No landmark moves further than this from its provisional place, mm; the outline is no place on the skin. Ours."""
FORGETTING = 0.95
"""Share of an offset that survives a round, so that what no photo determines fades."""
GAZE_ROWS = [i for i, name in enumerate(EXPRESSIONS) if name.startswith("eyeLook")]


@dataclass(frozen=True)
class Population:
    """What a round of fits says about the people as a whole.

    Attributes:
        bias: RMS over the modes of the mean identity, standard deviations.
        spread: RMS over the modes of the identities' standard deviation.
        widest: Largest standard deviation of a mode.
        error: Mean distance of landmark and fit, as a share of the distance between the outer eye corners.
    """

    bias: float
    spread: float
    widest: float
    error: float


def fit_all(
    bases: LandmarkBases,
    points: np.ndarray,
    config: FitConfig,
    starts: list[LandmarkFit] | None = None,
    batch: int = 64,
) -> list[LandmarkFit]:
    """Fit many photos, in batches."""
    chunks = range(0, len(points), batch)
    return [
        fit(bases, torch.as_tensor(points[first : first + batch]), config, starts[i] if starts else None)
        for i, first in enumerate(chunks)
    ]


def joined(fits: list[LandmarkFit]) -> LandmarkFit:
    """Batches as one."""
    return LandmarkFit(*(torch.cat([getattr(f, k) for f in fits]) for k in LandmarkFit.__dataclass_fields__))


def population(fits: LandmarkFit, points: np.ndarray) -> Population:
    """Statistics of fitted photos; points (B, 478, 3) px are what was fitted."""
    eyes = np.linalg.norm(points[:, 33] - points[:, 263], axis=-1)
    error = np.linalg.norm(fits.points.numpy() - points[..., :2], axis=-1)[:, : IRISES.start].mean(1) / eyes
    deviation = fits.identity.std(0)
    return Population(
        bias=float(fits.identity.mean(0).square().mean().sqrt()),
        spread=float(deviation.square().mean().sqrt()),
        widest=float(deviation.max()),
        error=float(error.mean()),
    )


def shared_offsets(
    bases: LandmarkBases, fits: LandmarkFit, points: Tensor, distance_prior: float, ridge: float = 0.05
) -> tuple[Tensor, Tensor]:
    """What all photos agree their landmarks keep from the model, and the spread that is left.

    The mean identity counts as disagreement of the correspondence, not of the people; so does the part of an expression
    that three quarters of the photos show, and a median distance other than the expected one. The rest is the least-squares
    point offset that explains the mean residuals; depth comes from turned heads.

    Args:
        points: (B, n, 3) px.
        distance_prior: Expected median distance of the camera, mm.
        ridge: Pulls the offset to zero, as a share of a photo.

    Returns:
        Offsets (n, 3) mm, model frame, and spread (n,) mm.
    """
    model = torch.as_tensor(bases.mean, dtype=points.dtype)
    modes = torch.cat([torch.as_tensor(bases.identity), torch.as_tensor(bases.expression)]).to(points.dtype)
    usual = fits.expression.quantile(0.25, dim=0)
    usual[GAZE_ROWS] = 0
    bias = torch.einsum("mnc,m->nc", modes, torch.cat([fits.identity.mean(0), usual]))
    distance = -fits.translation[:, 2]
    scale = fits.focal / distance
    shape = model + torch.einsum("mnc,bm->bnc", modes, torch.cat([fits.identity, fits.expression], 1))
    turned = shape @ fits.rotation.transpose(1, 2)
    depth = 1 - turned[..., 2] / distance[:, None]
    flat = (turned[..., :2] + fits.translation[:, None, :2]) / depth[..., None]
    sign = points.new_tensor([1.0, -1.0])
    by_camera = torch.cat([torch.eye(2).expand(*flat.shape, 2), (flat / distance[:, None, None])[..., None]], -1)
    by_model = (by_camera / depth[..., None, None]) @ fits.rotation[:, None]
    residual = (points[..., :2] - fits.points) * sign / scale[:, None, None]
    by_distance = -flat * (turned[..., 2] / (depth * distance[:, None]))[..., None]
    target = (
        residual
        + torch.einsum("bnij,nj->bni", by_model, bias)
        + (distance.median() / distance_prior).log() * by_distance
    )
    weight = fits.trusts
    system = torch.einsum("bn,bnki,bnkj->nij", weight, by_model, by_model)
    system = system + ridge * weight.sum(0)[:, None, None] * torch.eye(3)
    offset = torch.linalg.solve(system, torch.einsum("bn,bnki,bnk->ni", weight, by_model, target))
    left = residual - torch.einsum("bnij,nj->bni", by_model, offset - bias)
    spread = ((weight * left.square().sum(-1)).sum(0) / weight.sum(0) / 2).sqrt()
    return offset, spread


def without_motion(offset: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Offsets (n, 3) less the motion and growth of the whole face, which the camera explains; judged at feature points."""
    rows = list(FEATURES)
    motion = similarity(places[rows], places[rows] + offset[rows])
    return offset - (motion.apply(places) - places)


def first_guess(ict: IctModel, canonical: np.ndarray) -> Correspondence:
    """The provisional places, with guessed spreads: features are sharper than what lies between them."""
    vertices, weights = provisional_correspondence(ict, canonical)
    irises = iris_embedding(ict)
    sigma = np.full(IRISES.stop, 2.5)
    sigma[list(FEATURES)], sigma[list(OUTLINE)], sigma[IRISES] = 1.2, 3.0, 0.8
    embedding = Embedding(np.concatenate([vertices, irises.vertices]), np.concatenate([weights, irises.weights]))
    return Correspondence(embedding, sigma, np.zeros((IRISES.stop, 3)), {})


class CorrespondenceLearner:
    """Alternates between fitting photos and moving the landmarks over the surface."""

    def __init__(self, ict: IctModel, provisional: Correspondence, config: FitConfig):
        self.ict, self.config = ict, config
        self.current = provisional
        self.home = provisional.embedding.points(ict.mean.astype(np.float64))
        self.pairs = dense_mirror.permutation()
        self.triangles = triangulate(ict.faces[(ict.faces < NARROW).all(1)])
        self.fits: list[LandmarkFit] | None = None

    def round(self, points: np.ndarray) -> Population:
        """Fit all photos (B, 478, 3) px, then move the landmarks; answers the statistics before the move."""
        bases = landmark_bases(self.ict, self.current)
        config = self.config if self.fits is None else replace(self.config, steps=self.config.steps // 2)
        self.fits = fit_all(bases, points, config, self.fits)
        fits = joined(self.fits)
        offset, spread = shared_offsets(bases, fits, torch.as_tensor(points), self.config.distance)
        self.current = self._moved(offset.numpy().astype(np.float64), spread.numpy())
        return population(fits, points)

    def annotated(self, metadata: dict[str, str]) -> Correspondence:
        """The present correspondence with its metadata."""
        return replace(self.current, metadata=metadata)

    def _moved(self, offset: np.ndarray, spread: np.ndarray) -> Correspondence:
        mirror = (-1.0, 1.0, 1.0)
        offset = (offset + offset[self.pairs] * mirror) / 2
        spread = np.sqrt((spread**2 + spread[self.pairs] ** 2) / 2)
        places = self.current.embedding.points(self.ict.mean.astype(np.float64))
        wanted = places + FORGETTING * self.current.offset + without_motion(offset, places)
        leash = wanted - self.home
        length = np.linalg.norm(leash, axis=1, keepdims=True)
        reach = np.full((IRISES.stop, 1), REACH)
        reach[list(OUTLINE)] = OUTLINE_REACH
        held = self.home + leash * np.minimum(1, reach / np.maximum(length, 1e-9))
        landed = closest_points(held[: IRISES.start], self.ict.mean[:NARROW], self.triangles)
        vertices, weights = self.current.embedding.vertices.copy(), np.array(self.current.embedding.weights)
        vertices[: IRISES.start], weights[: IRISES.start] = self.triangles[landed.triangle], landed.barycentric
        remainder = wanted - places
        remainder[: IRISES.start] = wanted[: IRISES.start] - landed.points
        sigma = np.maximum(spread, 0.7)
        return replace(self.current, embedding=Embedding(vertices, weights), sigma=sigma, offset=remainder)
