"""The `likeness` command: picks a subcommand, and imports nothing but that one."""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from threading import Timer
from typing import Any

from likeness.errors import INTERRUPTED, LikenessError, UsageError


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        module: Where it lives, below `likeness.cli`.
        config: Its options, a dataclass in that module.
        run: Its function there: config -> exit code or None.
        help: One line.
    """

    module: str
    config: str
    run: str
    help: str


COMMANDS = {
    "reconstruct": Command("reconstruct", "Reconstruct", "reconstruct", "photos to textured, rigged 3D faces"),
    "fit": Command("fit", "Fit", "fit", "the same, slower and nearer: fitted through the renderer"),
    "demo": Command("demo", "Demo", "demo", "the same for a photo that is here already"),
    "sheet": Command("sheet", "Sheet", "sheet", "a contact sheet: photo, overlay, shape, turned, neutral"),
    "personalise": Command(
        "personalise", "Personalise", "personalise", "a clip of one person to a personal face model"
    ),
    "retarget": Command("retarget", "Retarget", "retarget", "a clip's movement onto another face"),
    "benchmark": Command("benchmark", "Benchmark", "benchmark", "measure this and other systems: a page and a table"),
    "embed": Command("embed", "Embed", "embed", "pictures of faces to the vectors of a recognition network"),
    "build": Command("build", "Build", "build", "build the face model from ICT-FaceKit"),
    "models": Command("models", "Models", "models", "what ships, from where, under which licence"),
    "label": Command("landmarks", "Label", "label", "fit the face model to the landmarks of photos"),
    "train finder": Command("train", "Finder", "finder", "learn the face finder"),
    "train landmarks": Command("landmarks", "Landmarks", "landmarks", "learn where dense landmarks lie on the model"),
    "train renders": Command("regressor", "Renders", "renders", "draw faces with known codes to learn from"),
    "train people": Command("people", "People", "people", "draw many pictures of each of many people"),
    "train identity": Command("identity", "Identity", "identity", "learn to tell people apart"),
    "train judge": Command("judge", "Judge", "judge", "a recogniser of another kind, to judge with"),
    "train albedo": Command("albedo", "Albedo", "albedo", "learn the albedo model from portraits"),
    "train skin": Command("skin", "TrainSkin", "train_skin", "learn which colours are skin"),
    "train pack": Command("pack", "Pack", "pack", "pack photos with landmarks into WebDataset shards"),
    "train points": Command("points", "Points", "points", "learn the landmark network, the regressor's first lesson"),
    "train regressor": Command("regressor", "Regressor", "regressor", "learn the regressor of codes and camera"),
    "train genova2018": Command(
        "genova2018", "Genova2018", "genova2018", "learn Genova et al. 2018: features to a face"
    ),
    "train tewari2018": Command("tewari2018", "Tewari2018", "tewari2018", "learn a multi-level face model from photos"),
    "train repack": Command("regressor", "Repack", "repack", "write a regressor's file again in today's form"),
    "train trust": Command("fit_trust", "Trust", "trust", "measure how far the regressor's answers are off"),
    "train decoder": Command("regressor", "Decoder", "decoder", "export the face model's decoder"),
    "ablate": Command("ablations", "Ablate", "ablate", "variants of a recipe's training, compared over seeds"),
    "results": Command("results", "Results", "results", "write the pages on trained recipes from files of numbers"),
    "evaluate model": Command("build", "EvaluateModel", "evaluate_model", "measure the face model against ICT"),
    "evaluate fit": Command(
        "evaluate_fit", "EvaluateFit", "evaluate_fit", "measure fits of photos, renders and a scan"
    ),
    "evaluate finder": Command("evaluate_finder", "EvaluateFinder", "evaluate_finder", "measure the face finder"),
    "evaluate skin": Command("skin", "EvaluateSkin", "evaluate_skin", "skin told from other things, by its tone"),
    "evaluate albedo": Command("evaluate_albedo", "EvaluateAlbedo", "evaluate_albedo", "measure albedo on portraits"),
    "evaluate people": Command("evaluate_people", "EvaluatePeople", "evaluate_people", "one person in several photos"),
    "evaluate recognition": Command(
        "evaluate_recognition", "EvaluateRecognition", "evaluate_recognition", "are two pictures of one person"
    ),
    "evaluate person": Command(
        "evaluate_person", "EvaluatePerson", "evaluate_person", "a made-up person, learned and compared"
    ),
    "evaluate landmarks": Command("evaluate", "EvaluateLandmarks", "evaluate_landmarks", "measure landmarks on photos"),
    "evaluate spread": Command(
        "evaluate_spread", "EvaluateSpread", "evaluate_spread", "does the landmark network know its errors"
    ),
    "evaluate shape": Command("evaluate", "EvaluateShape", "evaluate_shape", "measure shapes on renders"),
    "evaluate clips": Command(
        "evaluate_clips", "EvaluateClips", "evaluate_clips", "how a face is followed through clips"
    ),
    "evaluate levels": Command(
        "evaluate_levels", "EvaluateLevels", "evaluate_levels", "base and final level against photos"
    ),
    "evaluate recall": Command(
        "evaluate_recall", "EvaluateRecall", "evaluate_recall", "faces known again by a second recogniser"
    ),
    "evaluate scan": Command("evaluate", "EvaluateScan", "evaluate_scan", "measure shapes on a head scan"),
} | {
    f"evaluate {name}": Command(f"evaluate_{module}", f"Evaluate{name.capitalize()}", f"evaluate_{name}", help)
    for module, name, help in (
        ("surfaces", "micc", "MICC: symmetric point to plane, mm"),
        ("surfaces", "now", "NoW: scan to mesh, mm"),
        ("surfaces", "realy", "nose, mouth, forehead and cheek by themselves, mm"),
        ("surfaces", "facescape", "FaceScape: symmetric point to plane, mm"),
        ("surfaces", "facewarehouse", "FaceWarehouse: closest point, mm"),
        ("vertices", "bu3dfe", "BU-3DFE: per-vertex RMSE, mm"),
        ("vertices", "distinctiveness", "the share of what is special that comes back"),
        ("vertices", "expression", "expression seen in neutral photos, mm"),
        ("points", "aflw2000", "AFLW2000-3D: 68 points by yaw, % of the box"),
        ("points", "nme2d", "68 points, % of the distance of the eyes"),
        ("points", "pose", "head pose, degrees"),
        ("points", "steadiness", "jitter and lag of clips"),
        ("pictures", "photometric", "renderings over photos, RGB"),
        ("pictures", "texture", "textures in one chart, l2,1"),
        ("pictures", "lips", "upper and lower lip, intersection over union"),
        ("pictures", "identity", "embeddings: earth mover's distance and recall"),
    )
}
"""Name on the command line, one or two words -> where it is."""
PRODUCT = ("reconstruct", "demo", "sheet", "retarget", "models")
"""Commands that need no `learn` extra."""


def main(args: Sequence[str] | None = None) -> None:
    """Run a command and end the program with its exit code; the errors that a user may see take one line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of files may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    sys.unraisablehook = _later
    try:
        code = dispatch(list(sys.argv[1:] if args is None else args)) or 0
    except LikenessError as error:
        complain(said(error))
        code = error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def dispatch(args: list[str]) -> int | None:
    """Find the command that the arguments name, parse the rest, run it."""
    if not args or args[0] in ("-h", "--help", "help"):
        return overview(COMMANDS)
    if args[0] in ("--version", "-V"):
        from likeness import __version__

        show(f"likeness {__version__}")
        return 0
    name = next((name for name in (" ".join(args[:2]), args[0]) if name in COMMANDS), None)
    if name is None:
        below = {key: command for key, command in COMMANDS.items() if key.startswith(args[0] + " ")}
        if below and (len(args) == 1 or args[1] in ("-h", "--help")):
            return overview(below)
        raise UsageError(f"there is no command {' '.join(args[:2] if below else args[:1])!r}; see `likeness --help`")
    return run(name, args[len(name.split()) :])


def run(name: str, args: list[str]) -> int | None:
    """Import a command, parse its arguments and run it."""
    import tyro

    command = COMMANDS[name]
    try:
        module = import_module(f"likeness.cli.{command.module}")
        config = tyro.cli(getattr(module, command.config), prog=f"likeness {name}", args=stages_together(args))
        return getattr(module, command.run)(config)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("likeness"):
            raise
        extra = "demo" if name == "demo" else "learn"
        raise UsageError(f"`likeness {name}` needs {error.name}: pip install 'likeness[{extra}]'") from None


def stages_together(args: list[str]) -> list[str]:
    """Arguments with `--stages.KEY VALUE` (or `=VALUE`) brought together as `--stages KEY VALUE KEY VALUE ...`."""
    rest, together, words = [], [], iter(args)
    for word in words:
        if word.startswith("--stages."):
            key, equals, value = word.removeprefix("--stages.").partition("=")
            value = value if equals else next(words, None)
            if value is None:
                raise UsageError(f"{word} needs a value")
            together += [key, value]
        else:
            rest.append(word)
    return [*rest, "--stages", *together] if together else rest


def overview(commands: dict[str, Command]) -> int:
    """Print the commands, one line each."""
    show("Usage: likeness COMMAND [OPTIONS]        from a photo to a textured, animatable 3D face\n")
    for name, command in commands.items():
        show(f"  {name:<26}{command.help}")
    show("\n`likeness COMMAND --help` lists a command's options; `likeness --version` the version.")
    if set(PRODUCT) <= set(commands):
        show(f"Commands other than {', '.join(PRODUCT)} need more: pip install 'likeness[learn]'.")
    return 0


def _later(unraisable: Any) -> None:
    """Raise a Ctrl-C once more that arrived where Python cannot raise it, as in a callback of numba's compiler."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        Timer(0.1, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def show(text: str) -> None:
    """A line on the standard output, as it is: nothing wrapped, coloured or interpreted."""
    sys.stdout.write(text + "\n")


def said(error: LikenessError) -> str:
    """What an error says; torch's loader puts the traceback of the process before it that met it."""
    lines = str(error).splitlines()
    return lines[-1].partition(": ")[2] if "Original Traceback" in str(error) else str(error)


def complain(text: str) -> None:
    """One line on the standard error; what would break it in two is replaced."""
    sys.stderr.write("likeness: " + "".join(c if c.isprintable() else "?" for c in text) + "\n")
