"""The transfer curve."""

import numpy as np
import torch

from likeness import color


def test_stored_pictures_come_back_exactly():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(color.encode(color.decode(values)), values)


def test_the_curve_matches_the_standard_and_torch_matches_numpy():
    # IEC 61966-2-1: middle grey 0.5 is 0.21404 linear, and the two branches meet at 0.04045
    assert abs(color.linear_from_srgb(np.array(0.5)) - 0.21404) < 1e-5
    values = np.linspace(0, 1, 1001)
    linear = color.linear_from_srgb(values)
    assert (np.diff(linear) > 0).all()
    np.testing.assert_allclose(color.srgb_from_linear(linear), values, atol=1e-6)
    np.testing.assert_allclose(color.linear_from_srgb(torch.as_tensor(values)), linear)
    np.testing.assert_allclose(color.srgb_from_linear(torch.as_tensor(linear)), values, atol=1e-6)


def test_the_curve_has_usable_gradients_everywhere():
    """Black, white, the branches' meeting point and values outside included: finite, and right where the curve is smooth."""
    inside = torch.tensor([0.01, 0.03, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    for curve in (color.linear_from_srgb, color.srgb_from_linear):
        assert torch.autograd.gradcheck(curve, (inside,))
        edges = torch.tensor([-0.5, 0.0, 0.0031308, 0.04045, 1.0, 1.5], requires_grad=True)
        curve(edges).sum().backward()
        assert torch.isfinite(edges.grad).all() and (edges.grad[1:5] > 0).all()
