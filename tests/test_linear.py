"""The linear model against numpy, its gradient, its batches."""

import numpy as np
import pytest
import torch

from likeness.assets import toy
from likeness.models.linear import LinearModel


def codes(*batch, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(*batch, toy.IDENTITY, generator=generator, dtype=dtype),
        torch.rand(*batch, 51, generator=generator, dtype=dtype),
    )


def test_vertices_agree_with_numpy_at_both_levels():
    head, (identity, expression) = toy.head(), codes()
    expected = head.decode(identity.numpy(), expression.numpy())
    np.testing.assert_allclose(LinearModel.of(head)(identity, expression).vertices, expected, atol=1e-4)
    dense = LinearModel.of(head, "dense")(identity, expression).vertices
    np.testing.assert_allclose(dense, head.refine(expected), atol=1e-4)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_batches_are_rows(batch):
    model, (identity, expression) = LinearModel.of(toy.head()), codes(*batch)
    face = model(identity, expression)
    assert face.vertices.shape == face.neutral.shape == (*batch, len(model.mean), 3)
    alone = model(identity.reshape(-1, toy.IDENTITY)[-1], expression.reshape(-1, 51)[-1])
    torch.testing.assert_close(face.vertices.reshape(-1, *alone.vertices.shape)[-1], alone.vertices, atol=1e-4, rtol=0)


def test_no_expression_leaves_the_neutral_face():
    identity, expression = codes(2)
    face = LinearModel.of(toy.head())(identity, 0 * expression)
    assert torch.equal(face.vertices, face.neutral)


def test_gradient():
    head, rows = toy.head(), slice(0, 4)
    model = LinearModel(
        *(shape[..., rows, :].astype(np.float64) for shape in (head.mean, head.identity, head.expression))
    )
    identity, expression = (code.requires_grad_() for code in codes(2, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda a, b: model(a, b).vertices, (identity, expression))
