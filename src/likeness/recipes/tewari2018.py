"""Self-supervised multi-level face model learning for monocular reconstruction at over 250 Hz.

Tewari, Zollhoefer, Garrido, Bernard, Kim, Perez, Theobalt, CVPR 2018, doi:10.1109/CVPR.2018.00270. A network looks at
a photo and answers all that draws it; a coarse face model and learned correctives on top of it are trained from
photos and landmarks.

| equation | here |
|---|---|
| 1-2 levels, 3-4 base | `models.multilevel.MultilevelModel`, `models.linear`, `models.albedo` |
| sec. 4.2 correctives, linear and not | `models.multilevel.LinearSpace`, `NonLinearSpace`; C = 500 each |
| 5 light, sec. 5 point-based formation | `render.shade.harmonic`, `render.sample.sample` |
| 6-8 sums | the stages' terms |
| 9 `photo_base`, `photo_final` | `losses.photometric.l21` |
| 10 `sparse` | `losses.contour.slide`, `losses.landmark.confident_squares` |
| 11 `std` | `Tewari2018._standard` |
| 12 `smo`, 15 `sta` | `losses.smoothness` |
| 13 `ref`, 14 `glo` | `losses.reflectance` |

*Ours differs.* The encoder is any of `encoders.backbones`, by default a small MobileNetV3 at 128 px (AlexNet, 240
px), that may begin with the weights of our regressor, whose normalisation is then kept; heads of colour see a
thumbnail of the crop too. The base model is ours: 100 identity and 60 albedo modes, 51 expression weights in [0, 1]
whose Tikhonov term is about rest; its albedo knows more people than the 200 scans of the paper, so that less is left
to correct. Correctives live on 521 graph nodes and on a chart of 32 x 32 texels. The camera's focal length is
answered too. Colours are compared as stored (sRGB), and shaded in linear light; reflectance in eq. 2, 13 and 14 is
encoded. In eq. 2 the base reflectance is clipped to [0, 1] before correctives are added: where it is, its code gets no
gradient from the final level. Eq. 9 looks at the outer skin alone, which is also all that reflectance correctives
colour; the paper at every visible vertex. Its mean is over visible vertices (the paper divides by all). Eq. 13 runs
over edges within that skin, per vertex of it; its weights compare chromaticities, as the text below it says and its
formula does not, with 0.02 added to the sum by which a colour is divided, and come from this step's estimate; alpha = 50
and p = 0.9 are the paper's. The 66 landmarks are chosen from 478 automatic ones, their confidence follows from the
head's turn (`data.landmarked.believed`), and those of the jaw slide along the face's outline on the skin, in the
picture. Terms over vertices and edges look at random ones in each step, unbiased. Adam, not AdaDelta
(`--stages.all.optimizer adadelta`); thousands of steps, not 390,000.

*Not in the paper.* All weights of terms (`BASE`, `FULL`), `BASE_RATES`, `SAMPLES`, `EDGES`, `PAIRS`, the priors of
expression and distance, the scale of the bases and their start, the shape of the non-linear correctives.

*Number to expect.* Photometric error in stored RGB over the skin visible at both levels, 729 validation photos, after 4,500
steps of the base level from our regressor's weights and 8,100 of both: 0.1025 at the base and 0.0837 at the final level,
18 % less, and better on more than 99 % of the faces. That base was trained on beside the final level, so that the 18 %
are what correctives add. The paper compares with the base of the network before correctives were trained (sec. 7): in
fig. 11 0.092 and 0.072, 22 % less. By that measure, in which the longer training counts too, ours has 0.1096 and 0.0837,
24 % less. As its fig. 5 says, linear correctives beat non-linear ones: after 2,200 + 2,200 steps they lie 18.1 and
9.8 % below their own base, in all of three seeds. Docs/results/tewari2018.md has the rest.

*Licences.* The face model's, and those of the photos learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from likeness.assets.albedo import decoded
from likeness.color import linear_from_srgb, srgb_from_linear
from likeness.data.augment import CROP_SIZE
from likeness.encoders import camera
from likeness.encoders.backbones.base import Backbone
from likeness.encoders.parameters import ParameterNetwork, Parameters
from likeness.encoders.weights import fingerprint
from likeness.geometry.cameras import project
from likeness.geometry.laplacian import umbrella
from likeness.geometry.mesh import edges
from likeness.losses import reflectance, smoothness
from likeness.losses.contour import slide
from likeness.losses.landmark import confident_squares
from likeness.losses.photometric import l21
from likeness.models.multilevel import (
    GeometryCorrectives,
    Level,
    Levels,
    MultilevelModel,
    ReflectanceCorrectives,
    corrected,
    skin_of,
    spread,
)
from likeness.recipes.base import Recipe
from likeness.render.normals import vertex_normals
from likeness.render.render import render
from likeness.render.sample import bilinear, sample
from likeness.render.shade import Surface, harmonic
from likeness.types import Batch, Embedding, Face, Light, Stage, Topology, View

BASE = {"sparse": 0.5, "photo_base": 60.0, "std": 0.02}
"""Weights of the terms of the base level."""
FULL = BASE | {"photo_final": 60.0, "smo": 30.0, "sta": 0.6, "ref": 3.0, "glo": 3.0}
"""Weights of all terms. Ours: the paper's are not in its text. With a third of `sta` the jaw wandered in a first trial."""
BASE_RATES = {"encoder": 1.0, "heads": 1.0, "skin": 5.0}
FULL_RATES = {"encoder": 1.0, "heads": 1.0, "skin": 1.0, "geometry": 5.0, "reflectance": 10.0}
"""Learning rates by group, as shares of one; those of the second stage are the paper's (sec. 7: 0.001, 0.005, 0.01)."""
ALBEDO_STD, EXPRESSION_STD, DISTANCE_STD = 0.5, 10.0, 10.0
"""Within `std`: w_rstd of eq. 11; weights of squared expression weights, where those are in [0, 1], and of the squared
logarithm of distance."""
SAMPLES, EDGES, PAIRS = 2500, 2000, 500
"""Vertices, edges and skin vertices that eq. 9, 13 and 14 look at in a step."""
OTHERS = 6
"""Random skin vertices that each is compared with (sec. 6.2)."""
PERCENT = 100.0
"""Landmarks are in hundredths of half a crop side."""
BARE = ("forehead", "cheeks", "nose")
"""Regions without facial hair: the skin mask of eq. 14 and fig. 2."""
JAW = 17
"""The first landmarks of the 66 slide."""


@dataclass(frozen=True)
class FaceParts:
    """The fixed face model, and where its landmarks are.

    Attributes:
        shape: (identity, expression) -> Face; has `codes` and `mean`, as `models.linear.LinearModel`.
        albedo: Its `encoded(code)` is (B, V, 3) sRGB-encoded diffuse albedo; has `codes`, as
            `models.albedo.AlbedoDecoder`.
        topology: Of both.
        fixed: The 49 landmarks that are places on the skin.
        path: Points in order along which the jaw's landmarks slide.
        weights: Whether expressions are weights in [0, 1].
    """

    shape: nn.Module
    albedo: nn.Module
    topology: Topology
    fixed: Embedding
    path: Embedding
    weights: bool = True


class Seen(NamedTuple):
    """A level against the photo: colours of both at some vertices, (B, n, 3) sRGB in [0, 1], and visibility (B, n)."""

    shaded: Tensor
    photo: Tensor
    visible: Tensor

    def error(self) -> Tensor:
        """(B,) eq. 9 of one level: mean distance of colours over the visible."""
        return l21(self.shaded, self.photo, self.visible.to(self.shaded.dtype))


class Tewari2018(Recipe):
    """The network and both levels of the face model.

    Args:
        face: The base level's face model.
        backbone: Of the network.
        kind: "linear" or "non-linear" correctives.
        codes: C.
        nodes, chart: Sizes on which correctives live.
        stages: Stages of training.
        data: Data set of landmarked crops (`data.landmarked`), for all stages.

    Attributes:
        network: Crop -> `encoders.parameters.Parameters`.
        model: Codes -> `models.multilevel.Levels`.
        topology: The face model's.
        settled: Whether the backbone's batch normalisation is kept as it is: with a backbone that was trained before, on
            small batches, what it measures anew is noise. Ours.
        kind: As above.
    """

    def __init__(
        self,
        face: FaceParts,
        backbone: Backbone,
        kind: str = "linear",
        codes: int = 500,
        nodes: int = 521,
        chart: int = 32,
        stages: tuple[Stage, ...] = (),
        data: Any = None,
    ) -> None:
        super().__init__()
        self.topology, self.weights, self.stages, self.data = face.topology, face.weights, stages, data
        self.settled, self.kind = False, kind
        sizes = {**face.shape.codes, **face.albedo.codes, "geometry": codes, "reflectance": codes}
        self.network = ParameterNetwork(backbone, sizes, face.weights).to(memory_format=torch.channels_last)
        mean = face.shape.mean.numpy()
        self.model = MultilevelModel(
            face.shape, face.albedo,
            GeometryCorrectives(*spread(mean, face.topology, nodes), kind, codes),
            ReflectanceCorrectives(face.topology, chart, kind, codes),
        )  # fmt: skip
        self.laplacian = umbrella(face.topology.triangles, len(mean))
        skin = skin_of(face.topology)
        sides = edges(face.topology.triangles)
        sides = sides[skin[sides].all(1)]
        self.degree = 2 * len(sides) / skin.sum()
        buffers = {
            "skin": np.flatnonzero(skin), "sides": sides, "bare": np.flatnonzero(bare_of(face.topology, skin)),
            "fixed_vertices": face.fixed.vertices, "fixed_weights": face.fixed.weights,
            "path_vertices": face.path.vertices, "path_weights": face.path.weights,
        }  # fmt: skip
        for name, values in buffers.items():
            kept = torch.as_tensor(values)
            self.register_buffer(name, kept.float() if kept.is_floating_point() else kept.long(), persistent=False)

    def facts(self) -> dict[str, Any]:
        model, face = self.model, fingerprint([self.model.shape.mean])[:16]
        own = {"correctives": self.kind, "codes": model.geometry.codes, "chart": model.reflectance.size}
        return super().facts() | own | {"settled": self.settled, "face model": face}

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """By name: "encoder"; "heads" of shape and camera, "skin" of albedo and light; "geometry" and "reflectance": a head and
        what it speaks to, each."""
        heads, model = self.network.heads, self.model
        own = {
            "heads": ("identity", "expression", "rotation", "camera"), "skin": ("albedo", "light"),
            "geometry": ("geometry",), "reflectance": ("reflectance",),
        }  # fmt: skip
        groups = {name: [p for head in names for p in heads[head].parameters()] for name, names in own.items()}
        groups["geometry"] += model.geometry.parameters()
        groups["reflectance"] += model.reflectance.parameters()
        return {"encoder": list(self.network.backbone.parameters())} | groups

    def train(self, mode: bool = True) -> Tewari2018:
        """As a module's; normalisation that is kept stays as in use."""
        super().train(mode)
        if self.settled:
            for module in self.network.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def dataset(self, stage: Stage) -> Any:
        return self.data

    def levels(self, found: Parameters) -> Levels:
        """Both levels of what the network answered."""
        return self.model(found.identity, found.expression, found.albedo, found.geometry, found.reflectance)

    def level(self, face: Face) -> Level:
        """What the losses see of a face."""
        return Level(face.vertices, srgb_from_linear(face.albedo))

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, Tensor]:
        found = self.ask(self.network, batch["image"])
        view, photo = camera.to_view(found.camera, CROP_SIZE), batch["image"].float() / 255
        model = self.model
        base = Level(model.shape(found.identity, found.expression).vertices, model.albedo.encoded(found.albedo))
        chosen = self.skin[torch.randint(len(self.skin), (min(SAMPLES, len(self.skin)),), device=self.skin.device)]
        terms = {}
        if "sparse" in stage.terms:
            terms["sparse"] = self._sparse(base.vertices, view, batch)
        if "photo_base" in stage.terms:
            terms["photo_base"] = self.seen(base, view, found.light, photo, chosen).error().mean()
        if "std" in stage.terms:
            terms["std"] = self._standard(found)
        if set(stage.terms) - set(terms):
            terms |= self._final(base, found, view, photo, chosen, stage)
        return terms

    def _final(
        self, base: Level, found: Parameters, view: View, photo: Tensor, chosen: Tensor, stage: Stage
    ) -> dict[str, Tensor]:
        """The terms of the final level."""
        displacement = self.model.geometry(found.geometry)
        final = corrected(base, displacement, self.model.reflectance(found.reflectance))
        compute = {
            "photo_final": lambda: self.seen(final, view, found.light, photo, chosen).error().mean(),
            "smo": lambda: smoothness.roughness(displacement, self.laplacian),
            "sta": lambda: smoothness.size(displacement),
            "ref": lambda: self._local(final, view, photo),
            "glo": lambda: self._global(final),
        }
        return {name: make() for name, make in compute.items() if name in stage.terms}

    def seen(self, level: Level, view: View, light: Tensor, photo: Tensor, chosen: Tensor) -> Seen:
        """The point-based image formation of some vertices (sec. 5).

        Args:
            light: (B, 9, 3).
            photo: (B, H, W, 3) sRGB in [0, 1].
            chosen: (n,) vertices.
        """
        normals = vertex_normals(level.vertices, self.topology.triangles)[:, chosen]
        vertices = level.vertices[:, chosen]
        read = sample(photo, vertices, normals, view)
        surface = Surface(vertices, normals @ view.rotation.mT, decoded(level.tones[:, chosen]))
        return Seen(stored(harmonic(surface, Light(light))), read.colors, read.visible)

    @torch.no_grad()
    def errors(self, batch: Batch) -> dict[str, Tensor]:
        """Photometric error (B,) of "base" and "final" over the skin that is visible at both levels (fig. 11)."""
        found = self.network(batch["image"])
        view, photo = camera.to_view(found.camera, CROP_SIZE), batch["image"].float() / 255
        both = [self.seen(self.level(face), view, found.light, photo, self.skin) for face in self.levels(found)]
        visible = both[0].visible & both[1].visible
        return {name: seen._replace(visible=visible).error() for name, seen in zip(Levels._fields, both)}

    def landmarks(self, vertices: Tensor, view: View, points: Tensor) -> Tensor:
        """Places (B, 66, 2) px of the landmarks; those of the jaw slide to be near the given points (B, 66, 2) px."""
        fixed = Embedding(self.fixed_vertices, self.fixed_weights).points(vertices)
        path = project(Embedding(self.path_vertices, self.path_weights).points(vertices), view)
        return torch.cat([slide(points[:, :JAW], path), project(fixed, view)], 1)

    def _sparse(self, vertices: Tensor, view: View, batch: Batch) -> Tensor:
        """Eq. 10, on the base level."""
        found, unit = self.landmarks(vertices, view, batch["points"]), PERCENT / (CROP_SIZE / 2)
        return confident_squares(unit * found, unit * batch["points"], batch["confidence"])

    def _standard(self, found: Parameters) -> Tensor:
        """Eq. 11, per face; and the pull of what the paper does not have, see `EXPRESSION_STD`."""
        expression = (EXPRESSION_STD if self.weights else 1.0) * found.expression.square().sum(-1)
        codes = found.identity.square().sum(-1) + ALBEDO_STD * found.albedo.square().sum(-1)
        return (codes + expression + DISTANCE_STD * found.camera.distance.square()).mean()

    def _local(self, final: Level, view: View, photo: Tensor) -> Tensor:
        """Eq. 13 over random edges of the skin."""
        chosen = self.sides[torch.randint(len(self.sides), (min(EDGES, len(self.sides)),), device=self.sides.device)]
        with torch.no_grad():
            pixels = project(final.vertices[:, chosen.flatten()], view)
            colors = linear_from_srgb(bilinear(photo, pixels)).unflatten(1, (-1, 2))
        ends = final.tones[:, chosen.flatten()].unflatten(1, (-1, 2))
        weight = reflectance.alikeness(colors[:, :, 0], colors[:, :, 1])
        return self.degree * reflectance.sparsity(ends[:, :, 0], ends[:, :, 1], weight)

    def _global(self, final: Level) -> Tensor:
        """Eq. 14 over random vertices of bare skin."""
        count, device = min(PAIRS, len(self.bare)), self.bare.device
        chosen = self.bare[torch.randint(len(self.bare), (count, 1 + OTHERS), device=device)]
        tones = final.tones[:, chosen.flatten()].unflatten(1, (count, 1 + OTHERS))
        return reflectance.constancy(tones[:, :, 0], tones[:, :, 1:])

    def pictures(self, batch: Batch) -> Tensor:
        """Photo, base, final, both albedos, both shapes: (B, H, 7 W, 3) linear RGB."""
        found = self.network(batch["image"])
        view, photo = camera.to_view(found.camera, CROP_SIZE), linear_from_srgb(batch["image"].float() / 255)
        levels, even = self.levels(found), self.network.even.expand(len(photo), 9, 3)
        lit = [render(face, self.topology, view, Light(found.light), background=photo).image for face in levels]
        skins = [render(face, self.topology, view, Light(even)).image for face in levels]
        shapes = [render(plain(face), self.topology, view, Light(lamp(even))).image for face in levels]
        return torch.cat([photo, *lit, *skins, *shapes], 2).clamp(0, 1)


def stored(color: Tensor) -> Tensor:
    """Linear RGB as stored (sRGB); what is brighter than white goes on as a line, so that a gradient leads back."""
    return srgb_from_linear(color) + (color - 1).clamp(min=0)


def plain(face: Face) -> Face:
    """The face in grey clay."""
    return Face(face.vertices, face.neutral, torch.full_like(face.vertices, 0.5))


def lamp(even: Tensor) -> Tensor:
    """Light (..., 9, 3) from above the camera, to see shape by."""
    harmonics = 0.25 * even
    harmonics[..., 1, :], harmonics[..., 2, :], harmonics[..., 3, :] = 0.6, 0.9, 0.4
    return harmonics


def bare_of(topology: Topology, skin: np.ndarray) -> np.ndarray:
    """(V,) bool: skin without facial hair, of eq. 14; all skin where a topology names no regions."""
    named = [np.asarray(topology.regions[name], bool) for name in BARE if name in topology.regions]
    hair = [np.asarray(mask, bool) for name, mask in topology.regions.items() if name.startswith(("brow", "eye"))]
    bare = np.logical_or.reduce(named) & skin if named else skin
    return bare & ~np.logical_or.reduce(hair) if hair else bare
