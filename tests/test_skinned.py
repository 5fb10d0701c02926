"""Heads with joints: rest is linear, turns are rigid where one joint rules, against plain matrices otherwise."""

import numpy as np
import outside_files as files
import pytest
import torch

from likeness.assets import flame
from likeness.assets.outside import OutsideModel, Skeleton
from likeness.geometry.rotation import from_axis_angle
from likeness.models.linear import LinearModel
from likeness.models.skinned import SkinnedModel

FACE = files.face()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """FLAME's layout with twelve vertices."""
    path = tmp_path_factory.mktemp("flame") / "flame.npz"
    np.savez(path, **files.flame_arrays(FACE))
    return flame.read(path, identity=3)


def codes(*batch, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(*batch, size, generator=generator, dtype=dtype) for size in (3, 1)] + [
        0.4 * torch.randn(*batch, 5, 3, generator=generator, dtype=dtype)]  # fmt: skip


def test_in_rest_it_is_the_linear_model(model):
    identity, expression, pose = codes()
    face = SkinnedModel(model)(identity, expression, 0 * pose)
    expected = LinearModel.outside(model)(identity, expression)
    torch.testing.assert_close(face.vertices, expected.vertices, atol=1e-3, rtol=0)
    np.testing.assert_allclose(expected.vertices, model.decode(identity.numpy(), expression.numpy()), atol=1e-3)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_against_four_by_four_matrices(model, batch):
    """SMPL's eq. 2-9 as they stand, joint by joint, in numpy."""
    face = SkinnedModel(model)
    inputs = codes(*batch)
    found = face(*inputs).vertices
    assert found.shape == (*batch, 12, 3)
    identity, expression, pose = (value.reshape(-1, *value.shape[len(batch) :])[-1].numpy() for value in inputs)
    shape, rig = model.decode(identity, expression), model.skeleton
    joints, turns = rig.regressor @ shape, from_axis_angle(pose.astype(np.float64))
    shape = shape + np.tensordot((turns[1:] - np.eye(3)).ravel(), rig.correctives, 1)
    world = []
    for k, parent in enumerate(rig.parents):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turns[k], joints[k] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    expected = np.zeros((12, 3))
    for matrix, joint, weight in zip(world, joints, rig.weights.T):
        back = np.eye(4)
        back[:3, 3] = -joint
        expected += weight[:, None] * ((matrix @ back)[:3] @ np.append(shape, np.ones((12, 1)), 1).T).T
    np.testing.assert_allclose(found.reshape(-1, 12, 3)[-1], expected, atol=1e-3)


def test_the_jaw_turns_what_it_rules_about_its_joint():
    """Three vertices on the jaw, three on the root; one joint each, nothing corrected: a rigid turn about the jaw's place."""
    mean = np.array([[0, 0, 0], [50, 0, 0], [0, 50, 0], [0, -50, 10], [10, -60, 10], [-10, -60, 10.0]], np.float32)
    weights = np.repeat(np.eye(2, dtype=np.float32), 3, 0)
    regressor = np.array([[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]], np.float32)
    rig = Skeleton(("root", "jaw"), np.array([-1, 0], np.int32), regressor, weights, np.zeros((0, 6, 3), np.float32))
    empty = np.zeros((0, 6, 3), np.float32)
    model = SkinnedModel(OutsideModel("x", "", mean, empty, empty, np.zeros((0, 4), np.int32), skeleton=rig))
    pose = torch.tensor([[0.0, 0, 0], [torch.pi / 2, 0, 0]])
    found = model(torch.zeros(0), torch.zeros(0), pose).vertices
    torch.testing.assert_close(found[:4], torch.tensor(mean[:4]), atol=1e-4, rtol=0)
    # a quarter turn about +X takes -Y to -Z: the chin, which lay 10 mm below the joint, comes to lie 10 mm behind it
    torch.testing.assert_close(found[4:], torch.tensor([[10.0, -50, 0], [-10, -50, 0]]), atol=1e-4, rtol=0)


def test_gradient(model):
    face = SkinnedModel(model).double()
    inputs = [value.requires_grad_() for value in codes(dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda *values: face(*values).vertices[:3], inputs, atol=1e-4)


def test_a_model_without_joints_is_refused(model):
    from dataclasses import replace

    with pytest.raises(ValueError, match="no joints"):
        SkinnedModel(replace(model, skeleton=None))
