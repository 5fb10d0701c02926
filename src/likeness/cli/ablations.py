"""`likeness ablate`: variants of a recipe's training, several seeds each, trained, measured and compared."""

from __future__ import annotations

import csv
import json
import math
import os
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from likeness.cli.ablation_variants import EXPERIMENTS, Experiment, Variant
from likeness.cli.main import complain, show
from likeness.errors import PARTIAL, UsageError

if TYPE_CHECKING:
    from likeness.train.children import Task

RESULT, SHARED, PROBE = "ablation.json", "shared", "probe"
"""In the output folder: what was found; what all runs share; short runs whose time was taken."""
CHECKPOINT = "checkpoint.safetensors"
MINUTES = 20
"""Of a run, for which `--probe` says how many steps fit."""


@dataclass(frozen=True)
class Ablate:
    """Train every variant with every seed, measure, and compare seed by seed.

    Every training and measurement is a process of its own. Call it again with the same options after it was stopped or
    killed: it goes on where it was. Ends with 7 as long as something is missing.
    """

    recipe: tyro.conf.Positional[Literal["genova2018", "tewari2018"]]
    """Which recipe."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/ablation")
    """Folder for the runs and ablation.json."""
    steps: int = 0
    """Steps of each run, over its stages, the same for all variants; 0: the recipe's own number."""
    seeds: int = 3
    """Seeds 0, 1, ... of each variant."""
    variants: tuple[str, ...] = ()
    """Only these; by default all."""
    jobs: int = 1
    """Processes at a time."""
    minutes_left: float | None = None
    """Stop after so many minutes; what is running then goes on from its last checkpoint at the next call."""
    training: str = ""
    """More options for every `likeness train RECIPE`, as one word: --training="--batch 64 --data /photos"."""
    measuring: str = ""
    """More options for every measurement; usually how the recipe was made: --measuring="--recogniser-weights x.safetensors"."""
    judging: str = ""
    """More options for recall; usually the judge: --judging="--judge-weights y.safetensors"."""
    status: bool = False
    """Only say how far every run is, and write what is there."""
    sheet: Path | None = None
    """Write a picture, .png or .jpg: photos that may be shown, and what each variant's first seed makes of them."""
    probe: int = 0
    """Do not compare: take the time of so many and of three times so many steps of every variant, and say how many steps make
    20 minutes on one core."""


def ablate(config: Ablate) -> int:
    """Train, measure, compare; returns the exit code."""
    if os.name != "posix":
        raise UsageError("`likeness ablate` needs locks and process groups as Linux and macOS have them")
    from likeness.evaluate.results import ablation_tables
    from likeness.train import children

    experiment = EXPERIMENTS[config.recipe]
    unknown = [name for name in config.variants if name not in experiment.variants]
    if unknown:
        raise UsageError(f"--variants {unknown[0]!r}: unknown; choose {', '.join(experiment.variants)}")
    if config.seeds < 1 or config.jobs < 1 or config.steps < 0 or config.probe < 0:
        raise UsageError("--seeds and --jobs must be at least 1, --steps and --probe at least 0")
    if config.probe:
        return take_times(config, experiment)
    work, left = tasks(config, experiment), {}
    if not config.status:
        left = work_on(preparation(config, experiment), work, config)
    found = document(config, experiment)
    children.write(config.output / RESULT, found)
    if config.sheet is not None:
        from likeness.cli import ablation_sheet

        ablation_sheet.write(config.sheet, recalls(config, experiment))
    show("\n".join([*state(config, experiment), "", ablation_tables(found)]))
    for name, why in left.items():
        complain(f"{name}: {why}")
    return PARTIAL if any(children.missing(task) for task in work) else 0


def work_on(first: list[Task], then: list[Task], config: Ablate) -> dict[str, str]:
    """Run tasks until they are done or the time is over: name -> why it is not done."""
    from likeness.train import children

    end = math.inf if config.minutes_left is None else time.monotonic() + 60 * config.minutes_left
    for tasks, jobs in ((first, 1), (then, config.jobs)):
        left = children.run(tasks, jobs, None if end == math.inf else max(0.0, end - time.monotonic()), show)
        if tasks is first and left:
            return left
    return left


def chosen(config: Ablate, experiment: Experiment) -> dict[str, Variant]:
    """The variants that are wanted."""
    return {name: experiment.variants[name] for name in config.variants or experiment.variants}


def folder(config: Ablate, name: str, seed: int) -> Path:
    """Of a run."""
    return config.output / name.replace(" ", "-") / f"seed-{seed}"


def tasks(config: Ablate, experiment: Experiment) -> list[Task]:
    """Every run with its measurements, first seeds first, so that whoever stops early has one of each."""
    from likeness.train.children import Call, Task

    work, options = [], shlex.split(config.measuring)
    for seed in range(config.seeds):
        for name, variant in chosen(config, experiment).items():
            place = folder(config, name, seed)
            calls = [
                Call("train", training(config, experiment, variant, place, seed, config.steps or experiment.steps))
            ]
            for measure, (what, *own) in experiment.measures.items():
                judge = shlex.split(config.judging) if measure in experiment.judged else []
                level = ["--level", variant.level] if config.recipe == "tewari2018" else []
                calls.append(Call(measure, likeness(
                    "evaluate", what, str(place / CHECKPOINT), *own, *options, *level, *judge, "-o", str(place / measure)
                )))  # fmt: skip
            work.append(Task(f"{name}, seed {seed}", place, tuple(calls)))
    return work


def preparation(config: Ablate, experiment: Experiment) -> list[Task]:
    """What prepares what all runs share, by itself: they would prepare it at the same time otherwise."""
    from likeness.train.children import Call, Task

    if not experiment.first:
        return []
    name, variant = next(iter(experiment.variants.items()))
    place = config.output / f"{SHARED}-by"
    command = training(config, experiment, variant, place, 0, config.steps or experiment.steps)
    return [Task(f"what {name} and the others share", place, (Call("train", (*command, *experiment.first)),))]


def training(
    config: Ablate, experiment: Experiment, variant: Variant, place: Path, seed: int, steps: int
) -> tuple[str, ...]:
    """The command that trains a variant."""
    counts = [word for option, share in variant.shares.items() for word in (option, str(round(share * steps)))]
    shared = ["--observed", str(config.output / SHARED)] if experiment.first else []
    return likeness("train", config.recipe, "--output", str(place), "--seed", str(seed), *counts, *shared,
                    *shlex.split(config.training), *variant.options)  # fmt: skip


def likeness(*words: str) -> tuple[str, ...]:
    """A command of ours, by the Python that runs now."""
    return (sys.executable, "-m", "likeness", *words)


def recalls(config: Ablate, experiment: Experiment) -> dict[str, Any]:
    """How recall is measured of the first seed of each variant that is trained: `cli.evaluate_recall.EvaluateRecall`."""
    from likeness.cli.evaluate_recall import EvaluateRecall
    from likeness.train.children import done

    place = next(name for name, (what, *_) in experiment.measures.items() if what == "recall")
    found = {}
    for task, name in zip(
        tasks(config, experiment), chosen(config, experiment)
    ):  # the first tasks are the first seed's
        command = next(call.command for call in task.calls if call.name == place)
        if "train" in done(task.folder):
            found[name] = tyro.cli(EvaluateRecall, args=list(command[command.index("recall") + 1 :]))
    return found


def document(config: Ablate, experiment: Experiment) -> dict[str, Any]:
    """Everything that was found, as it is written: nothing in it depends on where the runs lie."""
    wanted, steps = chosen(config, experiment), config.steps or experiment.steps
    return {
        "recipe": config.recipe,
        "steps": steps,
        "seeds": config.seeds,
        "options": [" ".join(_brief(shlex.split(text))) for text in (config.training, config.measuring, config.judging)],
        "variants": {
            name: {"about": variant.about, "options": " ".join(variant.options),
                   "steps": {option: round(share * steps) for option, share in variant.shares.items()}}
            for name, variant in wanted.items()
        },
        "numbers": {name: number.up for name, number in experiment.numbers.items()},
        "trials": [
            trial for name in wanted for seed in range(config.seeds) if (trial := _trial(config, experiment, name, seed))
        ],
    }  # fmt: skip


def _trial(config: Ablate, experiment: Experiment, name: str, seed: int) -> dict[str, Any] | None:
    """One run, or None as long as it is not trained."""
    from likeness.train.children import done

    place = folder(config, name, seed)
    ended = done(place)
    if "train" not in ended:
        return None
    numbers = {}
    for number, (call, keys, _) in experiment.numbers.items():
        if call in ended:
            value: Any = json.loads((place / call / "report.json").read_text(encoding="utf-8"))
            for key in keys:
                value = value[key.format(level=experiment.variants[name].level)]
            numbers[number] = value
    return {"variant": name, "seed": seed, "cpu minutes": round(ended["train"]["cpu"] / 60, 2), "numbers": numbers}


def _brief(words: list[str]) -> list[str]:
    """Options without the folders of this machine."""
    return [Path(word).name if "/" in word else word for word in words]


def state(config: Ablate, experiment: Experiment) -> list[str]:
    """How far every run is, a line each."""
    from likeness.train.children import done

    lines, steps = [], config.steps or experiment.steps
    for seed in range(config.seeds):
        for name in chosen(config, experiment):
            place = folder(config, name, seed)
            ended = done(place)
            reached = steps if "train" in ended else steps_of(place / "log.csv")
            measured = [measure for measure in experiment.measures if measure in ended]
            left = ", ".join(measure for measure in experiment.measures if measure not in measured)
            lines.append(
                f"{name}, seed {seed}: {reached} of {steps} steps" + (f"; not measured: {left}" if left else "")
            )
    return lines


def steps_of(path: Path) -> int:
    """Steps that a log tells of; 0 without one."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return max((int(row["step"]) for row in csv.DictReader(file)), default=0)
    except FileNotFoundError:
        return 0


def take_times(config: Ablate, experiment: Experiment) -> int:
    """Print what a step of each variant costs, in processor time: what a busy machine makes slower does not count."""
    from likeness.train.children import Call, Task, done

    runs = {}
    for name, variant in chosen(config, experiment).items():
        for steps in (config.probe, 3 * config.probe):
            place = config.output / PROBE / f"{name.replace(' ', '-')}-{steps}"
            command = training(config, experiment, variant, place, 0, steps)
            runs[name, steps] = Task(f"{name}, {steps} steps", place, (Call("train", command),))
    left = work_on(preparation(config, experiment), list(runs.values()), config)
    for name, why in left.items():
        complain(f"{name}: {why}")
    if left:
        return PARTIAL
    for name in chosen(config, experiment):
        short, long = (done(runs[name, steps].folder)["train"]["cpu"] for steps in (config.probe, 3 * config.probe))
        step = (long - short) / (2 * config.probe)
        show(
            f"{name}: {1000 * step:.0f} ms a step, begun in {max(0.0, short - config.probe * step):.0f} s; "
            f"{int(MINUTES * 60 / step)} steps in {MINUTES} minutes"
        )
    return 0
