"""A linear face model with joints: codes and turns in, a Face out (FLAME's formation)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from likeness.assets.outside import OutsideModel
from likeness.geometry.rotation import from_axis_angle
from likeness.models.linear import LinearModel
from likeness.types import Face


class SkinnedModel(nn.Module):
    """Linear blend skinning over a linear model, at any leading batch dimensions.

    Li et al. 2017, "Learning a model of facial shape and expression from 4D scans", eq. 1-3, after Loper et al. 2015,
    "SMPL", eq. 2-9: joints follow from the unposed head, correctives are linear in the joints' rotation matrices.

    Attributes:
        codes: Size of each code: "identity" and "expression" as in `LinearModel`, "pose" three numbers for each joint.
        joints: Name of each joint, in the order of "pose".
    """

    def __init__(self, model: OutsideModel) -> None:
        """Take over a model's arrays.

        Raises:
            ValueError: When the model has no skeleton; `LinearModel` is for those.
        """
        super().__init__()
        if model.skeleton is None:
            raise ValueError(f"{model.name} has no joints; use LinearModel")
        self.rest = LinearModel.outside(model)
        skeleton = model.skeleton
        self.joints, self.parents = skeleton.names, tuple(int(parent) for parent in skeleton.parents)
        self.codes = self.rest.codes | {"pose": 3 * len(self.joints)}
        for name in ("regressor", "weights", "correctives"):
            self.register_buffer(name, torch.tensor(np.asarray(getattr(skeleton, name))), persistent=False)

    def forward(self, identity: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor) -> Face:
        """Decode codes.

        Args:
            identity: (..., I) standard deviations.
            expression: (..., E).
            pose: (..., J, 3) axis times angle of each joint relative to its parent, radians; zero is rest.

        Returns:
            A face with `vertices` (..., V, 3) mm, model frame, turned; and `neutral`, in rest without expression.
        """
        face = self.rest(identity, expression)
        joints = self.regressor @ face.vertices
        turns = from_axis_angle(pose)
        shape = face.vertices
        if len(self.correctives):
            feature = turns[..., 1:, :, :] - torch.eye(3).to(turns)
            shape = shape + torch.tensordot(feature.flatten(-3), self.correctives, 1)
        rotations, places = self._chain(turns, joints)
        shifts = places - (rotations @ joints[..., None])[..., 0]
        rotation = torch.einsum("vj,...jab->...vab", self.weights, rotations)
        posed = (rotation @ shape[..., None])[..., 0] + self.weights @ shifts
        return Face(vertices=posed, neutral=face.neutral)

    def _chain(self, turns: torch.Tensor, joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotation (..., J, 3, 3) and place (..., J, 3) of every joint, carried by its parents."""
        rotations, places = [], []
        for k, parent in enumerate(self.parents):
            if parent < 0:
                rotations.append(turns[..., k, :, :])
                places.append(joints[..., k, :])
            else:
                rotations.append(rotations[parent] @ turns[..., k, :, :])
                arm = joints[..., k, :] - joints[..., parent, :]
                places.append(places[parent] + (rotations[parent] @ arm[..., None])[..., 0])
        return torch.stack(rotations, -3), torch.stack(places, -2)
