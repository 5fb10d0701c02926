"""A Newton step for photos that share the identity of their person, with expression weights kept within bounds."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 4
"""How often what leaves its bounds is fixed there and the rest solved again. Ours."""


def summed(values: Tensor, person: Tensor, people: int) -> Tensor:
    """Sum of values (B, ...) of each person's photos, (P, ...)."""
    return values.new_zeros(people, *values.shape[1:]).index_add_(0, person, values)


def bounded_step(
    hessian: Tensor,
    gradient: Tensor,
    prior: tuple[Tensor, Tensor],
    person: Tensor,
    low: Tensor,
    high: Tensor,
    rounds: int = ROUNDS,
) -> tuple[Tensor, Tensor]:
    """The step that minimises a quadratic model of all photos, the expression's part kept in [low, high].

    Unknowns of a photo: the identity, which all photos of a person share, the expression, the pose. The Hessian is an
    arrow: the pose is eliminated first, then what of the expression is free, photo by photo; what is left of a person's
    photos adds up to one system for the identity (Schur complement, as in bundle adjustment; Triggs et al. 2000,
    sec. 6.1). Weights that leave their bounds are fixed there, and the others are solved again.

    Args:
        hessian: (B, I + E + 7, I + E + 7) of each photo by itself, symmetric.
        gradient: (B, I + E + 7).
        prior: Hessian (P, I, I) and gradient (P, I) of what is known of the people besides.
        person: (B,) whose photo it is, from 0 to P - 1.
        low, high: (B, E) bounds of the expression's step; low <= 0 <= high.

    Returns:
        Steps of identity (P, I), and of expression and pose (B, E + 7).
    """
    people, identity = prior[1].shape
    expression = low.shape[1]
    codes, pose = slice(0, identity + expression), slice(identity + expression, None)
    factor = torch.linalg.cholesky(hessian[:, pose, pose])
    mixed = hessian[:, pose, codes]
    solved = torch.cholesky_solve(torch.cat([mixed, gradient[:, pose, None]], 2), factor)
    reduced = hessian[:, codes, codes] - mixed.transpose(1, 2) @ solved[..., :-1]
    slope = gradient[:, codes] - (mixed.transpose(1, 2) @ solved[..., -1:])[..., 0]
    who, what = slice(0, identity), slice(identity, None)
    cross, own = reduced[:, what, who], reduced[:, what, what]

    whole = torch.linalg.cholesky(summed(reduced[:, who, who], person, people) + prior[0])

    def identity_given(weights: Tensor) -> Tensor:
        pull = slope[:, who] + (cross.transpose(1, 2) @ weights[..., None])[..., 0]
        return -torch.cholesky_solve((summed(pull, person, people) + prior[1])[..., None], whole)[..., 0]

    step = torch.zeros_like(low)
    toward = slope[:, what] + (cross @ identity_given(step)[person][..., None])[..., 0]
    held = ((low >= 0) & (toward > 0)) | ((high <= 0) & (toward < 0))
    for _ in range(rounds):
        fixed = torch.where(held, step, torch.zeros_like(step))
        loose = (~held).to(own.dtype)
        system = own * loose[:, :, None] * loose[:, None] + torch.diag_embed(1 - loose)
        right = (slope[:, what] + (own @ fixed[..., None])[..., 0]) * loose
        arm = cross * loose[..., None]
        answer = torch.cholesky_solve(torch.cat([arm, right[..., None]], 2), torch.linalg.cholesky(system))
        shared = summed(reduced[:, who, who] - arm.transpose(1, 2) @ answer[..., :-1], person, people) + prior[0]
        pull = (
            slope[:, who] + (cross.transpose(1, 2) @ fixed[..., None] - arm.transpose(1, 2) @ answer[..., -1:])[..., 0]
        )
        move = -torch.linalg.solve(shared, summed(pull, person, people) + prior[1])
        step = torch.where(held, fixed, -answer[..., -1] - (answer[..., :-1] @ move[person][..., None])[..., 0])
        outside = (step < low) | (step > high)
        step = torch.minimum(torch.maximum(step, low), high)
        held = held | outside
    move = identity_given(step)
    together = torch.cat([move[person], step], 1)
    return move, torch.cat([step, -solved[..., -1] - (solved[..., :-1] @ together[..., None])[..., 0]], 1)
