"""The one training loop. It knows stages, terms, parameter groups and time; it knows nothing about faces.

A run is a function of (recipe, settings): data order, dropout and everything else random come from (seed, step), so a
run that was stopped and resumed ends with the same weights, bit by bit, as one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, Sampler, default_collate

from likeness.errors import LikenessError
from likeness.recipes.base import Recipe
from likeness.train import checkpoint
from likeness.train.log import Log
from likeness.train.settings import Settings
from likeness.types import Stage

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"


class TrainingError(LikenessError):
    """A recipe is inconsistent, or training went to infinity. Exit code 7."""

    exit_code = 7


class Order(Sampler[list[int]]):
    """Batches of item numbers for the steps [start, stop): shuffled anew in every pass, from (seed, pass) alone."""

    def __init__(self, length: int, batch: int, seed: int, start: int, stop: int) -> None:
        if length < batch:
            raise TrainingError(f"the data set has {length} items, less than a batch of {batch}; lower the batch size")
        self.length, self.batch, self.seed, self.start, self.stop = length, batch, seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        per_pass, current, order = self.length // self.batch, -1, torch.empty(0)
        for step in range(self.start, self.stop):
            number, place = divmod(step, per_pass)
            if number != current:
                generator = torch.Generator().manual_seed(_mix(self.seed, number))
                current, order = number, torch.randperm(self.length, generator=generator)
            yield order[place * self.batch : (place + 1) * self.batch].tolist()


def _mix(seed: int, number: int) -> int:
    """One seed from two numbers."""
    return (seed * 1_000_003 + number) % (1 << 62)


def rate_factor(step: int, steps: int, warmup: int, floor: float) -> float:
    """Factor on the learning rates at `step` of `steps`: linear warm-up, then a cosine down to `floor`."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))
    return min(1.0, (step + 1) / max(warmup, 1)) * (floor + (1 - floor) * cosine)


def check(recipe: Recipe, device: str = "cpu") -> None:
    """Refuse a recipe whose stages speak of groups or terms that it does not have, before hours are spent on it.

    Raises:
        TrainingError: With the names on both sides.
    """
    if not recipe.stages:
        raise TrainingError(f"{type(recipe).__name__} has no stages")
    groups = recipe.groups()
    recipe.eval()
    for stage in recipe.stages:
        unknown = sorted(set(stage.rates) - set(groups))
        if unknown:
            raise TrainingError(f"stage {stage.name}: no parameter group {unknown}; the recipe has {sorted(groups)}")
        data = recipe.dataset(stage)
        batch = _to(default_collate([data[i] for i in range(min(2, len(data)))]), device)
        with torch.no_grad():
            _check_terms(recipe.losses(batch, stage), stage)


def _check_terms(losses: Mapping[str, torch.Tensor], stage: Stage) -> None:
    if set(losses) != set(stage.terms):
        raise TrainingError(
            f"stage {stage.name}: losses {sorted(losses)} and terms {sorted(stage.terms)} have different names"
        )


def train(
    recipe: Recipe, folder: Path, settings: Settings, limit: int | None = None, console: Console | None = None
) -> Path:
    """Run all stages of a recipe, or what is left of them after the checkpoint in `folder`.

    Args:
        folder: Receives `checkpoint.safetensors` and `log.csv`; an existing checkpoint there is resumed.
        limit: Stop, with a checkpoint, after so many steps of this call.

    Returns:
        Path of the checkpoint. The recipe holds the last weights; `checkpoint.load_weights` gives the averaged ones.

    Raises:
        TrainingError: When the recipe is inconsistent, the checkpoint belongs to other settings, or a loss is not
            finite.
    """
    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(0)  # a pool of OpenCV's that was used before the fork hangs the worker that touches it
    recipe.to(settings.device)
    check(recipe, settings.device)
    run = _Run(recipe, Path(folder), settings)
    total = sum(stage.steps for stage in recipe.stages)
    terms = list(dict.fromkeys(term for stage in recipe.stages for term in stage.terms))
    end = total if limit is None else min(total, run.step + limit)
    with Log(Path(folder) / LOG, terms, total, run.step, console) as log:
        first = 0
        for stage in recipe.stages:
            last = first + stage.steps
            if run.step < min(last, end):
                run.stage(stage, first, min(last, end), log)
            first = last
    return run.path


class _Run:
    """The state of a run: weights, their average, the optimiser of the current stage, and the step."""

    def __init__(self, recipe: Recipe, folder: Path, settings: Settings) -> None:
        self.recipe, self.settings, self.path = recipe, settings, folder / CHECKPOINT
        self.names = {parameter: name for name, parameter in recipe.named_parameters()}
        self.losses = torch.compile(recipe.losses) if settings.compile else recipe.losses
        self.step = 0
        self.moments: dict[str, torch.Tensor] = {}
        self.average: dict[str, torch.Tensor] = {}
        if self.path.exists():
            self._resume()
        elif settings.average:
            self.average = {name: value.detach().clone() for name, value in recipe.state_dict().items()}

    def _resume(self) -> None:
        tensors, state = checkpoint.load(self.path)
        if state["identity"] != self._identity():
            raise TrainingError(
                f"{self.path}: made with {state['identity']}, now {self._identity()}; "
                "choose another folder or equal settings"
            )
        self.recipe.load_state_dict(checkpoint.strip(tensors, "weights."))
        device = self.settings.device
        self.average = {name: value.to(device) for name, value in checkpoint.strip(tensors, "average.").items()}
        self.moments = checkpoint.strip(tensors, "moments.")
        self.step = state["step"]

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a run to be the same run."""
        stages = [
            [stage.name, stage.steps, dict(sorted(stage.terms.items())), dict(sorted(stage.rates.items()))]
            for stage in self.recipe.stages
        ]
        return {"recipe": type(self.recipe).__name__, "stages": stages, "settings": self.settings.identity()}

    def save(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Write the checkpoint. At the end of a stage there is no optimiser to keep: the next stage makes its own."""
        tensors = {f"weights.{name}": value for name, value in self.recipe.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        if optimizer is not None:
            moments = checkpoint.optimizer_tensors(optimizer, self.names)
            tensors |= {f"moments.{name}": value for name, value in moments.items()}
        checkpoint.save(self.path, tensors, {"identity": self._identity(), "step": self.step})

    def stage(self, stage: Stage, first: int, stop: int, log: Log) -> None:
        """Run a stage that begins at step `first` of the run up to step `stop`, from where the run stands."""
        settings, recipe = self.settings, self.recipe
        optimizer = self._optimizer(stage)
        checkpoint.restore_optimizer(optimizer, self.names, self.moments)
        self.moments = {}
        data = recipe.dataset(stage)
        order = Order(len(data), settings.batch, settings.seed, self.step - first, stop - first)
        loader = DataLoader(
            data, batch_sampler=order, num_workers=settings.workers, worker_init_fn=_one_thread,
            generator=torch.Generator().manual_seed(settings.seed),
        )
        recipe.train()
        sums, count, since = {}, 0, time.perf_counter()
        for batch in loader:
            factor = rate_factor(self.step - first, stage.steps, settings.warmup, settings.floor)
            values = self._step(optimizer, _to(batch, settings.device), stage, factor)
            self.step, count = self.step + 1, count + 1
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
            log.step(stage.name)
            if self.step % settings.log_every == 0 or self.step == stop:
                speed = count * settings.batch / (time.perf_counter() - since)
                means = {name: value / count for name, value in sums.items()}
                log.report(self.step, stage.name, factor, speed, means.pop(""), means)
                sums, count, since = {}, 0, time.perf_counter()
            if self.step == stop or self.step % settings.save_every == 0:
                self.save(None if self.step == first + stage.steps else optimizer)

    def _optimizer(self, stage: Stage) -> torch.optim.AdamW:
        """AdamW over the stage's groups; everything else is frozen. Vectors and scalars get no weight decay."""
        self.recipe.requires_grad_(False)
        groups = []
        for name, parameters in self.recipe.groups().items():
            if name in stage.rates:
                for decay, wanted in ((self.settings.decay, True), (0.0, False)):
                    chosen = [p.requires_grad_(True) for p in parameters if (p.ndim > 1) == wanted]
                    if chosen:
                        groups.append({"params": chosen, "weight_decay": decay, "rate": stage.rates[name]})
        return torch.optim.AdamW(groups, lr=0.0)

    def _step(self, optimizer: torch.optim.Optimizer, batch: Any, stage: Stage, factor: float) -> dict[str, float]:
        """One step; values of the terms before weighting, and their weighted sum under the empty name."""
        torch.manual_seed(_mix(self.settings.seed, self.step))
        losses = self.losses(batch, stage)
        _check_terms(losses, stage)
        loss = sum(weight * losses[name] for name, weight in stage.terms.items())
        values = {name: losses[name].detach().item() for name in stage.terms} | {"": loss.detach().item()}
        wrong = [name for name in stage.terms if not math.isfinite(values[name])]
        if wrong:
            raise TrainingError(f"stage {stage.name}, step {self.step}: {', '.join(wrong)} is not finite; "
                                f"the last checkpoint is kept at {self.path}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip:
            free = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(free, self.settings.clip)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        optimizer.step()
        self._follow()
        return values

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; counters and other whole numbers are copied."""
        if not self.average:
            return
        # Early on the average follows faster, or it would remember the random beginning for a thousand steps.
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        for name, value in self.recipe.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)


def _to(batch: Any, device: str) -> Any:
    """A batch with all its tensors on a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    return {name: _to(value, device) for name, value in batch.items()} if isinstance(batch, Mapping) else batch


def _one_thread(worker: int) -> None:
    """Workers share the machine with the training process: one thread each."""
    torch.set_num_threads(1)
