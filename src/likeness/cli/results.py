"""`likeness results`: keep what trainings and measurements of papers' recipes left, and write the pages on them from it."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import tyro

from likeness.cli.main import show
from likeness.errors import AssetError, UsageError

if TYPE_CHECKING:
    from likeness.evaluate.results import Document

RUN, CURVE, DRAWN, ABLATION, SCOREBOARD = "run.json", "curve.csv", "curve.svg", "ablation.json", "scoreboard.csv"
"""Files of a recipe's folder, besides `report-NAME.json` and `sheet-NAME.jpg`."""
JUDGE = "judge.json"
"""How well the judge of recall knows people, beside them."""
TEXT = ("metrics", "whole", "protocol", "unit", "scored", "failed")
"""What is kept of a report."""


class Page(NamedTuple):
    """What no file of numbers says of a recipe.

    Attributes:
        title: Paper.
        about: What the recipe is, in a sentence or two.
        paper: What the paper measured, as a list.
        beware: What flatters or spoils the numbers.
    """

    title: str
    about: str
    paper: tuple[str, ...]
    beware: str = ""


PAGES = {
    "genova2018": Page(
        "Genova et al. 2018, Unsupervised Training for 3D Morphable Model Regression",
        "A decoder takes what a frozen recognition network says about a photo to the codes of a face at rest; it learns from "
        "unlabelled photos and drawn faces. `src/likeness/recipes/genova2018.py` tells equation by equation.",
        ("Table 3, MoFA test, 84 pictures of 78 people, VGG-Face as judge: top 1 87 %, top 5 96 %; LFW, 12,993: 16 and 51 %.",
         "Table 2, earth mover's distance to photos of one person and of two: 0.09 and 0.32 on MoFA test, 0.14 and 0.26 on LFW.",
         "Fig. 3 shows by pictures, without numbers, that leaving out moments, loopback or views makes faces worse."),
    ),
    "tewari2018": Page(
        "Tewari et al. 2018, Self-supervised Multi-level Face Model Learning",
        "A network answers codes, camera and light of a photo; a linear face model is the base level, learned correctives of "
        "geometry and reflectance the final one. `src/likeness/recipes/tewari2018.py` tells equation by equation.",
        (("Fig. 11, photometric error over 2,000 validation photos: 0.092 at the base level, 0.072 at the final one, 22 % less. Its "
          "base is that of the network before correctives were trained (sec. 7); ours was trained on beside the final level."),
         "Fig. 5 and sec. 7: linear correctives gave better results than non-linear ones (no number)."),
        "The final level's colours are corrected by what that very photo shows, and the judge sees gradients and coarse colours: "
        "recall of a face's own photo is flattered by that. Fair are the rows *in other videos*, where no frame of the same "
        "video is a candidate.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """Write the pages of docs/results from the files there; with the options below, put more files there before.

    Nothing on the pages is written by hand: numbers come from the files, sentences on them from their intervals.
    """

    folder: tyro.conf.Positional[Path] = Path("docs/results")
    """Folder of the pages; a folder of files for each recipe is in it."""
    recipe: Literal["", "genova2018", "tewari2018"] = ""
    """Whose files are put there by the options below."""
    run: tuple[Path, ...] = ()
    """A training's folder: its stages, settings, time and curve; several, if each began where the one before ended."""
    command: tuple[str, ...] = ()
    """The commands that trained it, for the page."""
    report: tuple[str, ...] = ()
    """NAME=DIR: report.json of a measurement. The name is shown, as "recall among photos, validation"."""
    judge: Path | None = None
    """JSON of `likeness evaluate recognition` that tells how well the judge of recall knows people; rows ending in "judge"."""
    sheet: tuple[str, ...] = ()
    """NAME=FILE.jpg: a sheet to be shown."""
    ablation: Path | None = None
    """Folder of `likeness ablate`."""
    benchmark: Path | None = None
    """Folder of `likeness benchmark`; kept are the rows of --methods."""
    methods: tuple[str, ...] = ()
    """Methods of the benchmark whose rows are kept."""


def results(config: Results) -> None:
    """Gather where wanted, then write all pages."""
    given = (config.run, config.report, config.sheet, config.ablation, config.benchmark, config.judge)
    if any(given):
        if not config.recipe:
            raise UsageError("say with --recipe whose files these are")
        gather(config, config.folder / config.recipe)
    there = [name for name in PAGES if (config.folder / name).is_dir()]
    if not there:
        raise AssetError(f"{config.folder}: no results of {' or '.join(PAGES)}; put some there, see --help")
    for name in there:
        (config.folder / f"{name}.md").write_text(page(config.folder / name, PAGES[name]), encoding="utf-8")
    (config.folder / "README.md").write_text(overview(config.folder, there), encoding="utf-8")
    show("\n".join(str(config.folder / name) for name in (*(f"{name}.md" for name in there), "README.md")))


def gather(config: Results, place: Path) -> None:
    """Put files there, made small."""
    place.mkdir(parents=True, exist_ok=True)
    if config.run:
        keep_run(config.run, config.command, place, config.recipe)
    for name, path in map(_named, config.report):
        found = _json(path / "report.json")
        kept = {"title": name} | {key: found[key] for key in TEXT}
        _write(place / f"report-{_file(name)}.json", kept)
    if config.judge is not None:
        (title, rows), *_ = _json(config.judge).items()
        kept = {name: row for name, row in rows.items() if name.endswith(": judge")}
        _write(
            place / JUDGE, {"title": title, "rows": {name.removesuffix(": judge"): row for name, row in kept.items()}}
        )
    for name, path in map(_named, config.sheet):
        if path.suffix.lower() != ".jpg":
            raise UsageError(f"--sheet {path}: a .jpg is wanted")
        shutil.copyfile(path, place / f"sheet-{_file(name)}.jpg")
    if config.ablation is not None:
        found = _json(config.ablation / ABLATION)
        _mine(config.ablation, found["recipe"], config.recipe)
        _write(place / ABLATION, found)
    if config.benchmark is not None:
        keep_rows(config.benchmark / SCOREBOARD.replace("scoreboard", "scores"), config.methods, place / SCOREBOARD)


def keep_run(runs: tuple[Path, ...], commands: tuple[str, ...], place: Path, recipe: str) -> None:
    """What a training's folders tell: stages, settings, time, curve."""
    from likeness.evaluate import training_curve
    from likeness.train import checkpoint
    from likeness.train.loop import CHECKPOINT, LOG

    stages, minutes, steps, logs = [], 0.0, 0, []
    for run in runs:
        tensors, state = checkpoint.load(run / CHECKPOINT)
        identity = state["identity"]
        _mine(run, identity["recipe"].lower(), recipe)
        logs.append(training_curve.read(run / LOG))
        stages += identity["stages"]
        steps += state["step"]
        minutes += training_curve.minutes(logs[-1], identity["settings"]["batch"])
    weights = checkpoint.strip(tensors, "weights.")
    _write(place / RUN, {
        "commands": list(commands),
        "stages": stages,
        "settings": identity["settings"],
        "steps": steps,
        "minutes": round(minutes, 1),
        "weights": sum(value.numel() for value in weights.values() if value.is_floating_point()),
    })  # fmt: skip
    small = training_curve.reduced(training_curve.joined(logs))
    training_curve.write(small, place / CURVE)
    (place / DRAWN).write_text(training_curve.svg(small), encoding="utf-8")


def _mine(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise UsageError(f"{path}: of {found}, where --recipe says {wanted}")


def keep_rows(scores: Path, methods: tuple[str, ...], target: Path) -> None:
    """Rows of the whole sets of some methods, without columns in which all are empty."""
    try:
        with scores.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] == "all" and row["method"] in methods]
    except FileNotFoundError:
        raise AssetError(f"{scores}: no scores of a benchmark") from None
    if not rows:
        raise UsageError(f"{scores}: no row of --methods {' '.join(methods)}")
    columns = [key for key in rows[0] if any(row[key] for row in rows)]
    with target.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def page(place: Path, about: Page) -> str:
    """A recipe's page, from the files that are there."""
    from likeness.evaluate import results as text

    origin = f"Written by `likeness results` from the files in [{place.name}/]({place.name}); nothing here is written by hand."
    parts = [f"# {about.title}", about.about, origin]
    if (place / RUN).exists():
        parts += _run(place, _json(place / RUN))
    for path in sorted(place.glob("sheet-*.jpg")):
        name = path.stem.removeprefix("sheet-").replace("-", " ")
        parts.append(f"![{name}]({place.name}/{path.name})\n\n*{name.capitalize()}.* Photos are AI-generated.")
    reports = [_json(path) for path in sorted(place.glob("report-*.json"))]
    if reports:
        ways = [
            MEASURED[protocol] for protocol in MEASURED if any(report["protocol"] == protocol for report in reports)
        ]
        tables = [
            f"### {_first(report['title'])}\n\n{_about(report)}\n\n{text.report_table(report)}" for report in reports
        ]
        parts += ["## Measured", *ways, *([about.beware] if about.beware else []), *tables]
    if (place / JUDGE).exists():
        judge = _json(place / JUDGE)
        parts += [f"### The judge\n\n{JUDGED} {_first(judge['title'])}:", text.rows_table(judge["rows"])]
    parts += ["## What the paper found", "\n".join(f"- {line}" for line in about.paper)]
    if (place / ABLATION).exists():
        parts += _ablation(_json(place / ABLATION))
    if (place / SCOREBOARD).exists():
        counts = text.scoreboard_counts(place / SCOREBOARD, place.parent.parent / "scoreboard/validation/scores.csv")
        said = f"Rows of `likeness benchmark`, measured on so many pictures of a set: {counts}. Docs/scoreboard says what is measured."
        parts += ["## Scoreboard", said, text.scoreboard_table(place / SCOREBOARD)]
    return "\n\n".join(parts) + "\n"


def _run(place: Path, run: Document) -> list[str]:
    from likeness.evaluate import results as text

    settings = ", ".join(f"{key} {value}" for key, value in run["settings"].items())
    which = "Settings" if len(run["commands"]) < 2 else "Settings of the last"
    planned = sum(stage[1] for stage in run["stages"])
    steps = f"{run['steps']} steps" + ("" if run["steps"] == planned else f" of {planned}: the run was not over,")
    said = f"{steps} in {run['minutes']:.0f} minutes, {run['weights'] / 1e6:.1f} million weights. {which}: {settings}."
    command = ["```\n{}\n```".format("\n".join(run["commands"]))] if run["commands"] else []
    return ["## The run", *command, said, text.run_table(run), f"![curves]({place.name}/{DRAWN})"]


def _about(report: Document) -> str:
    return f"{report['scored']} scored, {report['failed']} not; {report['unit']}."


def _ablation(found: Document) -> list[str]:
    from likeness.evaluate import results as text

    options = "; ".join(part for part in found["options"] if part)
    command = f"likeness ablate {found['recipe']} --steps {found['steps']} --seeds {found['seeds']}"
    rows = [["variant", "what", "options", "steps"]]
    for name, variant in found["variants"].items():
        steps = ", ".join(f"{option} {count}" for option, count in variant["steps"].items())
        rows.append([name, variant["about"], f"`{variant['options']}`" if variant["options"] else "", steps])
    missing = len(found["variants"]) * found["seeds"] - len(found["trials"])
    more = [f"{missing} of {len(found['variants']) * found['seeds']} runs are missing."] if missing else []
    intro = (
        f"Every variant with the same {found['steps']} steps and {found['seeds']} seeds. ± is the standard deviation of one seed; "
        'brackets hold the 95 % interval of the mean difference, seed by seed (Student\'s t). "Better" and "worse" are said '
        "where it holds no zero."
    )
    return ["## Ablation", f"```\n{command}\n```", f"Options: {options}." if options else "", intro, *more, text.markdown(rows),
            text.ablation_tables(found), "\n".join(f"- {line}" for line in text.verdicts(found))]  # fmt: skip


def overview(folder: Path, names: list[str]) -> str:
    """The first page."""
    from likeness.evaluate import results as text

    rows = [["recipe", "run", "measured", "ablation"]]
    for name in names:
        place = folder / name
        run = _json(place / RUN) if (place / RUN).exists() else None
        ablation = _json(place / ABLATION) if (place / ABLATION).exists() else None
        found = [_json(path) for path in sorted(place.glob("report-*.json"))]
        reports = [f"{report['title']}: {text.in_short(report)}" for report in found]
        rows.append([
            f"[{name}]({name}.md)", f"{run['steps']} steps, {run['minutes']:.0f} min" if run else "-", "; ".join(reports) or "-",
            f"{len(ablation['trials'])} of {len(ablation['variants']) * ablation['seeds']} runs" if ablation else "-",
        ])  # fmt: skip
    return "\n\n".join(["# Results of the papers' recipes", WHAT, text.markdown(rows), HOW]) + "\n"


WHAT = (
    "What was trained and measured here, on the CPU, at a size that fits it. Each page is written by `likeness results` from "
    "the files beside it."
)
MEASURED = {
    "levels": "Photometric error: `likeness evaluate levels RUN/checkpoint.safetensors`, of test photos with `--split test`.",
    "recall": "Faces known again: `likeness evaluate recall RUN/checkpoint.safetensors --judge-weights JUDGE`, among frames of videos "
    "with `--sets video_frames`, of tewari2018's base level with `--level base`.",
}
"""What measures, by a report's protocol: reports do not hold their commands."""
JUDGED = (
    "Recall is judged by what was part of no loss and is no network: discriminants of gradients and coarse colours, learned by "
    "`likeness train judge` ([identity](../identity.md)). How often it is right about pairs of pictures bounds what recall can be."
)
HOW = """## Doing it again

```
likeness train RECIPE --output RUN                                      # the run; goes on after it was stopped
likeness train judge --export JUDGE                                     # see docs/identity.md
likeness evaluate levels RUN/checkpoint.safetensors -o LEVELS           # tewari2018: base and final level
likeness evaluate recall RUN/checkpoint.safetensors --judge-weights JUDGE -o RECALL
likeness ablate RECIPE -o ABLATION --judging="--judge-weights JUDGE"    # goes on after it was stopped, too
likeness results --recipe RECIPE --run RUN --command "likeness train RECIPE" --report recall=RECALL --ablation ABLATION
likeness results                                                        # the pages alone
```

The judge must have been part of no loss. `likeness train judge` learns one of gradients and coarse colours, which is no network
([identity](../identity.md)); one of others is named by `--judge` and its file."""


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise UsageError(f"{text!r}: NAME=PATH is wanted")
    return name, Path(path)


def _file(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _first(title: str) -> str:
    return title[:1].upper() + title[1:]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AssetError(f"{path}: no such file") from None
    except ValueError as error:
        raise AssetError(f"{path}: no JSON ({error})") from None


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
