"""The one training loop. It knows stages, terms, parameter groups and time; it knows nothing about faces.

A run is a function of (recipe, settings): data order, dropout and everything else random come from (seed, step), so a
run that was stopped and resumed ends with the same weights, bit by bit, as one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.console import Console
from torch.utils.data import DataLoader, default_collate

from likeness.encoders.weights import misfit
from likeness.errors import AssetError
from likeness.recipes.base import Recipe
from likeness.train import checkpoint, pictures
from likeness.train.log import Log, Silence
from likeness.train.order import Order, TrainingError, rate_factor
from likeness.train.processes import Processes, join
from likeness.train.settings import LATER, Settings
from likeness.train.stages import changed
from likeness.train.step import Step, check_terms, make_optimizer, optimizer_of
from likeness.types import Stage

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"
PICTURES = "pictures"


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
        batch = pictures.to_device(default_collate([data[i] for i in range(min(2, len(data)))]), device)
        with torch.no_grad():
            check_terms(recipe.losses(batch, stage), stage)


def train(
    recipe: Recipe, folder: Path, settings: Settings, limit: int | None = None, console: Console | None = None
) -> Path:
    """Run all stages of a recipe, or what is left of them after the checkpoint in `folder`.

    Started by torchrun, every process calls this alike; see `train.processes`.

    Args:
        folder: Receives `checkpoint.safetensors` and `log.csv`; an existing checkpoint there is resumed.
        limit: Stop, with a checkpoint, after so many steps of this call.

    Returns:
        Path of the checkpoint. The recipe holds the last weights; `checkpoint.load_weights` gives the averaged ones.

    Raises:
        UsageError: When the settings change stages that the recipe does not have.
        TrainingError: When the recipe is inconsistent, the checkpoint belongs to other settings, or a number is not
            finite.
    """
    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(0)  # a pool of OpenCV's that was used before the fork hangs the worker that touches it
    recipe.stages, recipe.precision = changed(recipe.stages, settings.stages), settings.precision
    for stage in recipe.stages:
        optimizer_of(stage, settings)  # a later stage's must be known before hours are spent on the first
    with join(settings.device) as processes:
        recipe.to(processes.device)
        check(recipe, processes.device)
        run = _Run(recipe, Path(folder), settings, processes)
        total = sum(stage.steps for stage in recipe.stages)
        terms = list(dict.fromkeys(term for stage in recipe.stages for term in stage.terms))
        end = total if limit is None else min(total, run.step + limit)
        kept = (
            Log(Path(folder) / LOG, terms, total, run.step, console, settings.board) if processes.first else Silence()
        )
        with kept as log:
            if run.told:
                log.tell(run.told)
            first = 0
            for stage in recipe.stages:
                last = first + stage.steps
                if run.step < min(last, end):
                    run.stage(stage, first, min(last, end), log)
                first = last
        processes.wait()  # so that nobody reads the checkpoint before it is whole
    return run.path


def begun_with(folder: Path) -> dict[str, Any]:
    """The facts (`Recipe.facts`) of the run in a folder; none where there is no run, or one of an earlier version."""
    for path in (folder / CHECKPOINT, checkpoint.previous(folder / CHECKPOINT)):
        with suppress(AssetError):
            return checkpoint.load(path)[1]["identity"].get("facts", {})
    return {}


class _Run:
    """The state of a run: weights, their average, the optimiser of the current stage, and the step."""

    def __init__(self, recipe: Recipe, folder: Path, settings: Settings, processes: Processes) -> None:
        self.recipe, self.settings, self.processes = recipe, settings, processes
        self.folder, self.path = folder, folder / CHECKPOINT
        self.names = {parameter: name for name, parameter in recipe.named_parameters()}
        self.take = Step(recipe, settings, processes, folder, self.path)
        if settings.batch % self.take.parts:
            raise TrainingError(
                f"a batch of {settings.batch} cannot be cut into {self.take.parts} equal parts "
                f"({processes.count} processes, accumulate {settings.accumulate})"
            )
        self.identity = self._identity()
        self.step = 0
        self.told = ""
        self.moments: dict[str, torch.Tensor] = {}
        self.average: dict[str, torch.Tensor] = {}
        found = checkpoint.exists(self.path)
        processes.agree(int(found), "whether they find a checkpoint")
        if found:
            self._resume()
        else:
            processes.follow_first(recipe.state_dict().values())
            if settings.average:
                self.average = {name: value.detach().clone() for name, value in recipe.state_dict().items()}
        processes.agree(self.step, "the step that they resume at")

    def _resume(self) -> None:
        # One after the other: the first process may put a damaged checkpoint aside.
        if not self.processes.first:
            self.processes.wait()
        tensors, state, self.told = checkpoint.resume(self.path)
        if self.processes.first:
            self.processes.wait()
        others = _differences(state["identity"], self.identity)
        if others:
            raise TrainingError(f"{self.path}: begun with {'; '.join(others)}; choose another folder or equal options")
        try:
            self.recipe.load_state_dict(checkpoint.strip(tensors, "weights."))
        except RuntimeError as error:
            raise TrainingError(
                f"{self.path}: its weights do not fit ({misfit(error)}); choose another folder or equal options"
            ) from None
        device = self.processes.device
        self.average = {name: value.to(device) for name, value in checkpoint.strip(tensors, "average.").items()}
        self.moments = checkpoint.strip(tensors, "moments.")
        self.step = state["step"]

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a run to be the same run, as it comes back from a file."""
        stages = [
            [stage.name, stage.steps, dict(sorted(stage.terms.items())), dict(sorted(stage.rates.items())),
             *([stage.optimizer] if stage.optimizer else [])]
            for stage in self.recipe.stages
        ]  # fmt: skip
        settings = self.settings.identity() | {"parts": self.take.parts}
        identity = {
            "recipe": type(self.recipe).__name__,
            "stages": stages,
            "settings": settings,
            "facts": self.recipe.facts(),
        }
        return json.loads(json.dumps(identity))

    def save(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Write the checkpoint. At the end of a stage there is no optimiser to keep: the next stage makes its own."""
        if not self.processes.first:
            return
        tensors = {f"weights.{name}": value for name, value in self.recipe.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        if optimizer is not None:
            moments = checkpoint.optimizer_tensors(optimizer, self.names)
            tensors |= {f"moments.{name}": value for name, value in moments.items()}
        checkpoint.save(self.path, tensors, {"identity": self.identity, "step": self.step})

    def stage(self, stage: Stage, first: int, stop: int, log: Log | Silence) -> None:
        """Run a stage that begins at step `first` of the run up to step `stop`, from where the run stands."""
        settings = self.settings
        optimizer = make_optimizer(self.recipe, stage, settings)
        checkpoint.restore_optimizer(optimizer, self.names, self.moments)
        self.moments = {}
        data = self.recipe.dataset(stage)
        share = self.processes.share(settings.batch)
        order = Order(len(data), settings.batch, settings.seed, self.step - first, stop - first, share)
        loader = DataLoader(
            data,
            batch_sampler=order,
            num_workers=settings.workers,
            worker_init_fn=_one_thread,
            generator=torch.Generator().manual_seed(settings.seed),
        )
        self.recipe.train()
        sums, count, since = {}, 0, time.perf_counter()
        for batch in loader:
            factor = rate_factor(self.step - first, stage.steps, settings.warmup, settings.floor)
            batch = pictures.to_device(batch, self.processes.device)
            values = self.take(optimizer, batch, stage, self.step, factor)
            self._follow()
            self.step, count = self.step + 1, count + 1
            sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
            log.step(stage.name)
            if self.step % settings.log_every == 0 or self.step == stop:
                speed = count * settings.batch / (time.perf_counter() - since)
                means = {name: value / count for name, value in sums.items()}
                log.report(self.step, stage.name, factor, speed, means.pop(""), means)
                sums, count, since = {}, 0, time.perf_counter()
            if settings.pictures_every and self.step % settings.pictures_every == 0:
                self._draw(data, log)
            if self.step == stop or self.step % settings.save_every == 0:
                self.save(None if self.step == first + stage.steps else optimizer)

    def _draw(self, data: Any, log: Log | Silence) -> None:
        """Pictures of the same faces, from the first process alone."""
        image = pictures.draw(self.recipe, data, self.processes.device) if self.processes.first else None
        if image is not None:
            pictures.write(image, self.folder / PICTURES, self.step)
            log.picture(self.step, image)

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


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Where two identities of runs differ, as "views 3, now 1". A fact that one of them does not know is no difference:
    versions learn to tell more of them."""

    def flat(identity: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        stages = {f"stage {k}": stage for k, stage in enumerate(identity["stages"])}
        return {"recipe": identity["recipe"]} | stages | LATER | identity["settings"] | facts

    old, new = was.get("facts", {}), now["facts"]
    before, after = (
        flat(a, {k: v for k, v in b.items() if k in old and k in new}) for a, b in ((was, old), (now, new))
    )
    names = dict.fromkeys([*before, *after])
    return [
        f"{name} {before.get(name)}, now {after.get(name)}" for name in names if before.get(name) != after.get(name)
    ]


def _one_thread(worker: int) -> None:
    """Workers share the machine with the training process: one thread each."""
    torch.set_num_threads(1)
