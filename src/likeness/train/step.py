"""One step of training: losses, their gradient, the optimiser; and what to tell when a number is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from likeness.recipes.base import Recipe
from likeness.train.order import TrainingError, mix
from likeness.train.processes import Processes
from likeness.train.settings import OPTIMIZERS, Settings
from likeness.types import Stage


def make_optimizer(recipe: Recipe, stage: Stage, settings: Settings) -> torch.optim.Optimizer:
    """The stage's optimiser over its groups; everything else is frozen. Vectors and scalars get no weight decay."""
    recipe.requires_grad_(False)
    name = optimizer_of(stage, settings)
    groups = []
    for group, parameters in recipe.groups().items():
        if group in stage.rates:
            for decay, wanted in ((settings.decay, True), (0.0, False)):
                chosen = [p.requires_grad_(True) for p in parameters if (p.ndim > 1) == wanted]
                if chosen:
                    decay = decay if name == "adamw" else 0.0
                    groups.append({"params": chosen, "weight_decay": decay, "rate": stage.rates[group]})
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "adadelta": torch.optim.Adadelta}
    return kinds[name](groups, lr=0.0)


def optimizer_of(stage: Stage, settings: Settings) -> str:
    """Name of the optimiser with which a stage is trained.

    Raises:
        TrainingError: When there is none of that name.
    """
    name = stage.optimizer or settings.optimizer
    if name not in OPTIMIZERS:
        raise TrainingError(
            f"stage {stage.name}: there is no optimiser {name!r}; choose one of {', '.join(OPTIMIZERS)}"
        )
    return name


def check_terms(losses: Mapping[str, torch.Tensor], stage: Stage) -> None:
    """Refuse losses under other names than the stage's terms."""
    if set(losses) != set(stage.terms):
        raise TrainingError(
            f"stage {stage.name}: losses {sorted(losses)} and terms {sorted(stage.terms)} have different names"
        )


class Step:
    """A callable that takes one step; one for a run."""

    def __init__(self, recipe: Recipe, settings: Settings, processes: Processes, folder: Path, kept: Path) -> None:
        """
        Args:
            folder: Where a batch is written whose numbers are not finite.
            kept: The checkpoint that is named then.
        """
        self.recipe, self.settings, self.processes, self.folder, self.kept = recipe, settings, processes, folder, kept
        self.losses = torch.compile(recipe.losses) if settings.compile else recipe.losses
        self.parts = settings.accumulate * processes.count

    def __call__(
        self, optimizer: torch.optim.Optimizer, batch: Any, stage: Stage, number: int, factor: float
    ) -> dict[str, float]:
        """Take step `number` of the run.

        Args:
            batch: This process's share, on its device.
            factor: On the learning rates.

        Returns:
            Means over the batch's parts of the terms before weighting, and of their weighted sum under the empty name.

        Raises:
            TrainingError: When a loss or a gradient is not finite, in all processes alike.
        """
        optimizer.zero_grad(set_to_none=True)
        means = torch.zeros(len(stage.terms) + 1, dtype=torch.float64, device=self.processes.device)
        state = _State(self.recipe) if self.parts > 1 else None
        for k, part in enumerate(split(batch, self.settings.accumulate)):
            if state:
                state.rewind()
            losses, loss = self._forward(part, stage, number, k)
            values = torch.stack([value.detach().double() for value in (*(losses[name] for name in stage.terms), loss)])
            values /= self.parts
            # Before the gradient: where a loss gathers the batch, its backward pass waits for all processes, so that all
            # must go there or none. A sum is finite where all its parts are.
            self.processes.add_up([values])
            means += values
            if values.isfinite().all():
                (loss if self.parts == 1 else loss / self.parts).backward()
            if state:
                state.keep()
        found = dict(zip([*stage.terms, ""], means.tolist()))
        wrong = [name for name in stage.terms if not math.isfinite(found[name])]
        if wrong:
            raise self._stop(batch, stage, number, f"{', '.join(wrong)} is not finite")
        self._gather(optimizer)
        if state:
            state.settle(self.processes, self.parts)
        self._check_gradient(optimizer, batch, stage, number)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        optimizer.step()
        return found

    def _forward(self, part: Any, stage: Stage, number: int, k: int) -> tuple[Mapping[str, torch.Tensor], torch.Tensor]:
        """Losses of a part of the batch and their weighted sum; all that is random follows from (seed, step, part)."""
        seed, place = mix(self.settings.seed, number), self.processes.rank * self.settings.accumulate + k
        torch.manual_seed(seed if place == 0 else mix(seed, place))
        losses = self.losses(part, stage)
        check_terms(losses, stage)
        return losses, sum(weight * losses[name] for name, weight in stage.terms.items())

    def _gather(self, optimizer: torch.optim.Optimizer) -> None:
        """Add up the gradients of all processes; a parameter that none of them reached keeps none."""
        if self.processes.count == 1:
            return
        free = _free(optimizer)
        reached = torch.tensor([p.grad is not None for p in free], dtype=torch.int64, device=self.processes.device)
        self.processes.add_up([reached])
        for parameter, times in zip(free, reached.tolist()):
            if times and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.processes.add_up([p.grad for p in free if p.grad is not None])

    def _check_gradient(self, optimizer: torch.optim.Optimizer, batch: Any, stage: Stage, number: int) -> None:
        """Clip the gradient where that is wanted, and stop where it is not finite."""
        free = _free(optimizer)
        if self.settings.clip:
            norm = nn.utils.clip_grad_norm_(free, self.settings.clip)
        else:
            norm = nn.utils.get_total_norm([p.grad for p in free if p.grad is not None])
        if not torch.isfinite(norm):
            wrong = self._terms_to_blame(free, batch, stage, number) or ["the sum"]
            raise self._stop(batch, stage, number, f"the gradient of {', '.join(wrong)} is not finite")

    def _terms_to_blame(self, free: list[nn.Parameter], batch: Any, stage: Stage, number: int) -> list[str]:
        """Terms whose own gradient is not finite on this process's share."""
        wrong = []
        for name, weight in stage.terms.items():
            for k, part in enumerate(split(batch, self.settings.accumulate)):
                losses, _ = self._forward(part, stage, number, k)
                if losses[name].requires_grad:
                    gradients = torch.autograd.grad(weight * losses[name], free, allow_unused=True)
                    if any(g is not None and not g.isfinite().all() for g in gradients) and name not in wrong:
                        wrong.append(name)
        return wrong

    def _stop(self, batch: Any, stage: Stage, number: int, what: str) -> TrainingError:
        """Write the batch down, and say where."""
        rank = f"-process-{self.processes.rank}" if self.processes.count > 1 else ""
        path = self.folder / f"batch-of-step-{number}{rank}.safetensors"
        self.folder.mkdir(parents=True, exist_ok=True)
        save_file(flat(batch), path, metadata={"stage": stage.name, "step": str(number), "what": what})
        return TrainingError(
            f"stage {stage.name}, step {number}: {what}; the batch is in {path}; "
            f"the last checkpoint is kept at {self.kept}"
        )


class _State:
    """Running statistics and other numbers that a pass leaves in a module.

    Every part of a batch begins with those of the step's beginning, and the mean of what the parts leave is kept, so that
    it does not matter whether they are computed one after the other or side by side.
    """

    def __init__(self, recipe: Recipe) -> None:
        parameters = {name for name, _ in recipe.named_parameters()}
        self.buffers = {name: value for name, value in recipe.state_dict().items() if name not in parameters}
        self.before = {name: value.clone() for name, value in self.buffers.items()}
        self.sums = {name: torch.zeros_like(v) for name, v in self.buffers.items() if v.is_floating_point()}
        self.after: dict[str, torch.Tensor] = {}

    def rewind(self) -> None:
        """Go back to the step's beginning."""
        for name, value in self.before.items():
            self.buffers[name].copy_(value)

    def keep(self) -> None:
        """Remember what a part left."""
        for name, value in self.buffers.items():
            if name in self.sums:
                self.sums[name] += value - self.before[name]
            else:
                self.after[name] = value.clone()

    def settle(self, processes: Processes, parts: int) -> None:
        """Put the mean of all parts in place."""
        processes.add_up(self.sums.values())
        for name, value in self.buffers.items():
            value.copy_(self.before[name] + self.sums[name] / parts if name in self.sums else self.after[name])


def split(batch: Any, count: int) -> list[Any]:
    """A batch as `count` equal batches, cut along the first dimension."""
    if count == 1:
        return [batch]
    if isinstance(batch, torch.Tensor):
        return list(batch.chunk(count))
    if isinstance(batch, Mapping):
        pieces = {name: split(value, count) for name, value in batch.items()}
        return [{name: values[k] for name, values in pieces.items()} for k in range(count)]
    if isinstance(batch, list):  # what cannot be collated into a tensor, such as names
        size = len(batch) // count
        return [batch[k * size : (k + 1) * size] for k in range(count)]
    return [batch] * count


def flat(batch: Any, name: str = "batch") -> dict[str, torch.Tensor]:
    """The tensors of a batch by dotted names."""
    if isinstance(batch, torch.Tensor):
        return {name: batch.detach().cpu().contiguous().clone()}
    if isinstance(batch, Mapping):
        pieces = [flat(value, key if name == "batch" else f"{name}.{key}") for key, value in batch.items()]
        return {key: value for piece in pieces for key, value in piece.items()}
    return {}


def _free(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]
