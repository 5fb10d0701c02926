"""The whole batch, where several processes compute a part of it each, for losses that tie faces together."""

from __future__ import annotations

import torch
from torch import distributed


def whole(values: torch.Tensor) -> torch.Tensor:
    """The rows (N, ...) of all processes, in their order; with one process, the rows that were given.

    Differentiable: every process's loss sends its gradient to the process that a row came from. So where all processes
    compute the same loss of the whole batch, and their losses are averaged, the gradient is that of one process. Both passes
    wait for all processes: all must go there, or none. Where processes cut their share into parts, the rows are those of
    the same part of each.

    Args:
        values: (B, ...), the same shape in every process.
    """
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return values
    return _Gathered.apply(values)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.rows = len(values)
        parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.contiguous().clone()
        distributed.all_reduce(gradient)
        start = distributed.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows]
