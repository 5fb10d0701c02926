"""Identity features to a face at rest, learned from unlabelled photos through a frozen recognition network.

Genova, Cole, Maschinot, Sarna, Vlasic, Freeman 2018, "Unsupervised Training for 3D Morphable Model Regression", CVPR,
doi:10.1109/cvpr.2018.00874.

| equation | function |
|---|---|
| (2) sum of the terms | `Stage.terms` of `stages` |
| (3) parameter loss | `parameter_distance`, `losses.parameter.code_distance` |
| (4) identity, three views (sec. 3.3.2) | `losses.identity.unlikeness_of_views` |
| (5), (6) batch distribution | `losses.distribution.batch_distribution` |
| loopback (sec. 3.3.4) | `Genova2018.losses`: eq. (3) between codes and what their own pictures are decoded to |
| Phong, deferred shading (sec. 3.2) | `render.render`, `render.shade.phong` |
| two coloured lamps (sec. 3.2.2) | `data.lamps.draw_lamps` |
| specular = c - c diffuse (sec. 3.2.2) | `render.shade.specular_from_diffuse`, `data.booth.SPECULAR` |
| encoder and decoder (sec. 3.1) | any `encoders.recognition` network, frozen; `encoders.feature_decoder` |

*Ours differs*: eq. (4) prints the cosine where its loss is one minus it. Eq. (3) is a mean over the batch, so that its size
does not decide the weights. The decoder reads the network's answer, a unit vector, not the layer before it. Because the
network is frozen, what it says about photos and drawn faces is found once and kept (`data.observed`), and a step draws
only what changes. Moments cost nothing then: they see all photos of a step, the renderer only a share of them (`drawn`).
Photos are decoded spoiled, too, and compared unspoiled. Loopback reads the last view of the identity loss instead of one
more picture. Pictures are drawn where the network's crop is, and the face gets the gradient of that, too. Beside the two
lamps there is ambient light, 15 to 50 % of all (`data.lamps.AMBIENT`), and a camera's white balance takes 70 % of their
colour away (`ADAPTATION`); the paper has neither. The face model may be any with colours.

*Not in the paper*: all numbers below in capitals, those of `data.lamps`, `data.booth` and `data.observed`, and all weights:
those of eq. (2) and (3) belong to the Basel model's units (0.4, 0.002, 10, 0.07) and to a batch's sum.

*Number to expect* (`likeness train genova2018`: the identity network that ships, 96 px, four photo sets, 56 minutes of one core
after 5 for looking at photos and drawn faces; seen by a judge that no loss knows, `likeness evaluate recall`): own photo
first of 729 validation photos 16 % (chance 0.14), among five 35 %, nearer than 95 % of strangers; among frames of other videos
22 and 42 %, where real photos reach 41 and 63. Deviation of the codes 0.88 (shape) and 0.92 (colour), where people of the
model have 1. With an identity network whose answers varied in five directions instead of 27, and about as many steps,
it was 3.4 and 12 %: likeness is bounded by what the network sees.

*Ablation* (docs/results/genova2018.md, 1,900 steps, three seeds). Terms do what fig. 3 says of them: without moments shapes
vary by 0.36 instead of 0.84 of what people do, without loopback codes lie 0.33 instead of 0.24 off the centre, with one view
two frames of a person give faces that are less alike. They do not raise recall: own photo first 14.4 % with all, 16.2, 17.4 and
14.6 % without. Tried for that, with seed 0 (13.7 %; without loopback 17.8): a loopback of 0.1
(`--stages.both.terms.loopback 0.1`; the paper's weighs 0.07) 17.7 %, its codes 0.28 off the centre; an identity of 10 instead
of 3, 16.9 %, with colours 0.35 off the centre instead of 0.26; a loopback of 0.1 and moments of 0.003, 17.8 %, colours 0.36 off
the centre. The file that ships has the weights below.

*Licences*: those of the recognition network and of the face model hold for what is trained with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from likeness.color import linear_from_srgb
from likeness.data.booth import Booth, as_seen
from likeness.encoders.feature_decoder import FeatureDecoder, IdentityCodes
from likeness.encoders.recognition.interface import Recognition
from likeness.encoders.weights import fingerprint
from likeness.losses.distribution import batch_distribution
from likeness.losses.identity import unlikeness_of_views
from likeness.losses.parameter import code_distance
from likeness.models.expressionless import Expressionless
from likeness.recipes.base import Recipe
from likeness.types import Batch, Face, Stage

SHAPE, TEXTURE = 0.01, 0.01
"""Weights of shape and colour in eq. (3): equal, because our codes are in standard deviations, both."""
SYNTHETIC = {"parameter": 1.0}
"""Terms of the first stage: drawn faces alone."""
BOTH = {"parameter": 1.0, "identity": 3.0, "moments": 0.01, "loopback": 1.0}
"""Terms of the second stage: photos and drawn faces. Chosen so that at its beginning no gradient is much larger than the
others; with ten times as much for the moments, faces lost likeness (top 1 among 166 photos, by the network of the loss
itself, after 80 steps: 0.58 instead of 0.73)."""
VIEWS = 3
"""Random poses in which the face found in a photo is compared with it (sec. 3.3.2)."""


def stages(synthetic: int, both: int, rate: float) -> tuple[Stage, ...]:
    """The two stages of sec. 3.3: drawn faces alone, then photos and drawn faces.

    Args:
        synthetic, both: Steps; 0 leaves a stage out.
        rate: Learning rate of the first stage; the second has a third of it.
    """
    made = (
        Stage("synthetic", synthetic, SYNTHETIC, {"decoder": rate}),
        Stage("both", both, BOTH, {"decoder": rate / 3}),
    )  # fmt: skip
    return tuple(stage for stage in made if stage.steps)


def parameter_distance(found: IdentityCodes, true: IdentityCodes) -> Tensor:
    """Eq. (3) for each face, (B,)."""
    return SHAPE * code_distance(found.identity, true.identity) + TEXTURE * code_distance(found.albedo, true.albedo)


class Genova2018(Recipe):
    """The decoder's training.

    Args:
        recogniser: Frozen, with gradients. It is not part of the recipe's weights: checkpoints do not hold it.
        model: The face model.
        booth: Draws that model's faces for that network.
        stages: Stages of training, with any of the terms of `BOTH`.
        data: A stage to its data set (`data.observed.Pairs`); with photos where there are terms other than "parameter".
        views: Pictures of a face that the identity loss compares. With one it is seen from the front, as in fig. 3.
        drawn: Share of a step's photos whose faces are drawn; the moments see all.
        width: Of the decoder's layers.

    Attributes:
        decoder: Features (B, F) to codes.
    """

    def __init__(
        self, recogniser: Recognition, model: Expressionless, booth: Booth, stages: tuple[Stage, ...] = (),
        data: Callable[[Stage], Any] | None = None, views: int = VIEWS, drawn: float = 1.0,
        width: int = 1024,
    ) -> None:  # fmt: skip
        super().__init__()
        self._frozen = (recogniser.to(memory_format=torch.channels_last),)  # in a tuple, so that it is not a submodule
        self.model, self.booth, self.stages, self.data = model, booth, stages, data
        self.views, self.drawn = views, drawn
        self.decoder = FeatureDecoder(recogniser.features, model.codes["identity"], model.codes["albedo"], width)

    @property
    def recogniser(self) -> Recognition:
        """The frozen network."""
        return self._frozen[0]

    def _apply(self, function: Callable, recurse: bool = True) -> Genova2018:
        """Moves the frozen network along."""
        self.recogniser._apply(function, recurse)
        return super()._apply(function, recurse)

    def forward(self, image: Tensor) -> IdentityCodes:
        """Codes of the faces in crops (B, 3, S, S), sRGB values in [0, 1], aligned as the network wants them."""
        return self.decoder(self.recogniser(image))

    def reconstruct(self, image: Tensor) -> Face:
        """Faces at rest, with colours, in such crops."""
        return self.model(*self(image))

    def facts(self) -> dict[str, Any]:
        seen = f"{self.recogniser.name} {fingerprint(self.recogniser.state_dict().values())[:16]}"
        model = fingerprint([self.model.mean, self.model.albedo.mean])[:16]
        return super().facts() | {"views": self.views, "drawn": self.drawn, "recogniser": seen, "face model": model}

    def groups(self) -> dict[str, list[nn.Parameter]]:
        return {"decoder": list(self.decoder.parameters())}

    def dataset(self, stage: Stage) -> Any:
        return self.data(stage)

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, Tensor]:
        losses, terms = {}, stage.terms
        if "parameter" in terms:
            true = IdentityCodes(batch["identity"], batch["albedo"])
            losses["parameter"] = parameter_distance(self._codes(batch["features"]), true).mean()
        if terms.keys() & {"moments", "identity", "loopback"}:
            codes = self._codes(batch["photo"])
        if "moments" in terms:
            losses["moments"] = batch_distribution(*codes)
        if terms.keys() & {"identity", "loopback"}:
            count = max(1, round(self.drawn * len(codes.identity)))
            codes = IdentityCodes(*(code[:count] for code in codes))
            seen = self._seen(codes, "identity" in terms, "loopback" in terms)
        if "identity" in terms:
            losses["identity"] = unlikeness_of_views(batch["target"][:count], seen[:, : self.views]).mean()
        if "loopback" in terms:
            losses["loopback"] = parameter_distance(self._codes(seen[:, -1]), codes).mean()
        return losses

    def _codes(self, features: Tensor) -> IdentityCodes:
        """What features are decoded to."""
        return self.ask(self.decoder, features)

    def _seen(self, codes: IdentityCodes, compared: bool, looped: bool) -> Tensor:
        """What the network says, (B, n, F), about pictures of faces: `views` to be compared, the last in a random pose."""
        count, frontal = len(codes.identity), self.views == 1
        place = self.booth.frontal if frontal else self.booth.poses
        poses = [place(count) for _ in range(self.views if compared else 0)]
        if looped and (frontal or not compared):
            poses.append(self.booth.poses(count))
        turn, distance = (torch.stack(values, 1).flatten(0, 1) for values in zip(*poses))
        face = self.model(*codes)
        parts = (face.vertices, face.neutral, face.albedo)
        many = Face(*(part[:, None].expand(-1, len(poses), -1, -1).flatten(0, 1) for part in parts))
        image = self.booth.photograph(many, turn, distance)
        return self.ask(self.recogniser, as_seen(image)).unflatten(0, (count, len(poses)))

    def pictures(self, batch: Batch) -> Tensor | None:
        """Photo, the face found in it in plain light from the front, and in a random pose under random lamps."""
        if "image" not in batch:
            return None
        face = self.model(*self.decoder(batch["target"]))
        fixed = torch.Generator().manual_seed(0)
        turned = self.booth.photograph(face, *self.booth.poses(len(face.vertices), fixed), fixed)
        return torch.cat([linear_from_srgb(batch["image"] / 255), self.booth.portrait(face), turned], 2)
