"""Stages changed from the command line: `--stages.1.terms.moments 5`, `--stages.full.rates.encoder 1e-4`.

A stage is named by its number, from 0, or by its name; `all` means every stage that has such an entry. Needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from likeness.errors import UsageError
from likeness.train.settings import OPTIMIZERS
from likeness.types import Stage

OFF = "off"
"""The value that leaves a term or a group out: a term is then not computed, a group frozen."""


def changed(stages: tuple[Stage, ...], changes: Mapping[str, str]) -> tuple[Stage, ...]:
    """Stages with changes applied: keys are `STAGE.steps`, `STAGE.optimizer`, `STAGE.terms.TERM`, `STAGE.rates.GROUP`.

    Raises:
        UsageError: When a key or a value is none that the stages take, with what they have.
    """
    result = list(stages)
    for key, value in changes.items():
        which, _, what = key.partition(".")
        chosen = _chosen(result, which, key)
        # Of all stages those are meant that have the entry; of a named one, one that is new may be put in.
        fitting = [k for k in chosen if which != "all" or _has(result[k], what)]
        if not fitting:
            raise UsageError(f"--stages.{key}: no stage has {what}; they are {_names(result)}")
        for k in fitting:
            result[k] = _one(result[k], what, value, key)
    return tuple(result)


def _chosen(stages: list[Stage], which: str, key: str) -> list[int]:
    """Places of the stages that a word names."""
    if which == "all":
        return list(range(len(stages)))
    if which.isdigit() and int(which) < len(stages):
        return [int(which)]
    chosen = [k for k, stage in enumerate(stages) if stage.name == which]
    if not chosen:
        raise UsageError(f"--stages.{key}: there is no stage {which!r}; they are {_names(stages)}")
    return chosen


def _one(stage: Stage, what: str, value: str, key: str) -> Stage:
    """A stage with one change."""
    field, _, name = what.partition(".")
    if field == "steps" and not name:
        if not value.isdigit():
            raise UsageError(f"--stages.{key} {value}: a whole number of steps is expected")
        return replace(stage, steps=int(value))
    if field == "optimizer" and not name:
        if value not in OPTIMIZERS:
            raise UsageError(
                f"--stages.{key} {value}: there is no such optimiser; choose one of {', '.join(OPTIMIZERS)}"
            )
        return replace(stage, optimizer=value)
    if field not in ("terms", "rates") or not name:
        raise UsageError(f"--stages.{key}: stages have steps, optimizer, terms.NAME and rates.GROUP")
    entries = dict(getattr(stage, field))
    if value == OFF:
        if name not in entries:
            raise UsageError(
                f"--stages.{key} off: stage {stage.name} has no {name}; its {field} are {', '.join(entries)}"
            )
        del entries[name]
    else:
        try:
            entries[name] = float(value)
        except ValueError:
            raise UsageError(f"--stages.{key} {value}: a number or `off` is expected") from None
    return replace(stage, **{field: entries})


def _has(stage: Stage, what: str) -> bool:
    field, _, name = what.partition(".")
    return not name or name in getattr(stage, field, {})


def _names(stages: list[Stage]) -> str:
    return ", ".join(f"{k} {stage.name}" for k, stage in enumerate(stages))
