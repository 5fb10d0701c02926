"""What a training run is made of: stages, groups of parameters, named losses and data. The loop in `train` runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from likeness.types import Batch, Stage


class Recipe(nn.Module):
    """A system that can be trained: networks as submodules, and the answers to the four questions below.

    A recipe is complete when constructed: no lazy layers, no parameters made later. All randomness in `losses` may come
    from torch's global generator, which the loop seeds at every step from (seed, step).

    Attributes:
        stages: Stretches of training, run in this order.
        precision: Of the networks' large products, "float32" or "bfloat16"; set by the loop.
        made_from: What the data were made from, for `facts`.
    """

    stages: tuple[Stage, ...] = ()
    precision: str = "float32"
    made_from: Mapping[str, Any] = {}

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by group. `Stage.rates` speaks of these names; a group without a rate is frozen in that stage."""
        raise NotImplementedError

    def losses(self, batch: Batch, stage: Stage) -> Mapping[str, torch.Tensor]:
        """One scalar for each term of `stage.terms`, under exactly the same names, before weighting."""
        raise NotImplementedError

    def ask(self, network: Callable[..., Any], *inputs: torch.Tensor) -> Any:
        """What a network answers, computed in the run's precision and given in single precision.

        What `losses` computes otherwise is computed in single precision: half of it has not three digits, too few for
        millimetres, pixels and colours.
        """
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return _single(network(*inputs))

    def dataset(self, stage: Stage) -> Any:
        """A map-style data set (`__len__`, `__getitem__` -> dict of arrays or tensors) whose item i depends only on
        (its seed, i), never on the order of access, so that training resumes exactly and workers do not matter. One whose
        photos are split between processes has `__getitems__` too: items that depend on the part of the batch besides."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What must be equal, beside stages and settings, for a run that is resumed to be the same run: plain JSON values,
        under names that tell a user which option differs."""
        return dict(self.made_from)

    def pictures(self, batch: Batch) -> torch.Tensor | None:
        """(B, H, W, 3) linear RGB in [0, 1]: what the recipe makes of each item, beside what it was given. Optional.

        The loop asks for the same few items every so many steps, in evaluation mode and without gradients.
        """
        return None


def _single(answer: Any) -> Any:
    """A tensor, or a tuple of such answers, in single precision where it is in half of it."""
    if isinstance(answer, torch.Tensor):
        return answer.float() if answer.dtype in (torch.bfloat16, torch.float16) else answer
    if isinstance(answer, tuple):
        parts = [_single(part) for part in answer]
        return type(answer)(*parts) if hasattr(answer, "_fields") else tuple(parts)
    return answer
