"""What `likeness ablate` compares, as data: variants of a recipe's training, and the numbers that are wanted of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        about: What is different, in a few words, for the page.
        options: Of `likeness train RECIPE`.
        shares: Option that takes a number of steps -> share of the run's steps.
        level: Which of its faces is measured, where a recipe has several.
    """

    about: str
    options: tuple[str, ...]
    shares: Mapping[str, float]
    level: str = "final"


class Number(NamedTuple):
    """A number of a measurement.

    Attributes:
        call: Which measurement, a key of `Experiment.measures`.
        place: Keys into its report.json; "{level}" stands for the variant's level.
        up: Whether larger is better; None where neither is.
    """

    call: str
    place: tuple[str, ...]
    up: bool | None


@dataclass(frozen=True)
class Experiment:
    """Variants of one recipe.

    Attributes:
        variants: By name; the first is compared with each of the others.
        measures: Name of the folder of results -> what `likeness evaluate` is to do, and with which options.
        judged: Those of them that take the options of `--judging`.
        numbers: Column -> where it is found.
        steps: Of a whole run, by default.
        first: Options of one training that comes alone before all others and prepares what they share, or nothing.
    """

    variants: Mapping[str, Variant]
    measures: Mapping[str, tuple[str, ...]]
    judged: tuple[str, ...]
    numbers: Mapping[str, Number]
    steps: int
    first: tuple[str, ...] = field(default=())


def _genova(about: str, *options: str) -> Variant:
    return Variant(about, options, {"--synthetic-steps": 0.25, "--steps": 0.75})


def _mean(metric: str) -> tuple[str, ...]:
    return ("metrics", metric, "mean")


RECALL = {
    "top 1 %": Number("recall", ("whole", "top 1"), True),
    "top 5 %": Number("recall", ("whole", "top 5"), True),
    "nearer than strangers %": Number("recall", _mean("nearer than strangers %"), True),
    "similarity": Number("recall", _mean("similarity"), True),
    "top 5 in other videos %": Number("frames", ("whole", "top 5 in other videos"), True),
    "to same": Number("frames", ("whole", "to same"), False),
    "to different": Number("frames", ("whole", "to different"), True),
}
"""Whether people are known again: among photos of as many people, and among frames of videos of fewer."""
RECALLED = {
    "recall": ("recall",),
    "frames": ("recall", "--sets", "video_frames"),
}
GENOVA = Experiment(
    variants={
        "full": _genova("all terms of eq. 2"),
        "no moments": _genova("without the batch distribution loss, eq. 5", "--stages.both.terms.moments", "off"),
        "no loopback": _genova("without the loopback loss, sec. 3.3.4", "--stages.both.terms.loopback", "off"),
        "one view": _genova("identity loss on one frontal picture, fig. 3", "--views", "1"),
    },
    measures=RECALLED,
    judged=("recall", "frames"),
    numbers=RECALL | {
        "identity spread": Number("recall", ("whole", "identity codes, spread"), None),
        "identity off centre": Number("recall", ("whole", "identity codes, off centre"), False),
        "albedo spread": Number("recall", ("whole", "albedo codes, spread"), None),
        "albedo off centre": Number("recall", ("whole", "albedo codes, off centre"), False),
    },
    steps=1900,
    first=("--stop", "1"),
)  # fmt: skip
"""Fig. 3 of Genova et al. 2018."""

BOTH = {"--base-steps": 0.5, "--steps": 0.5}
TEWARI = Experiment(
    variants={
        "linear": Variant("linear correctives, the paper's choice", ("--correctives", "linear"), BOTH),
        "non-linear": Variant("correctives with a hidden layer, fig. 5", ("--correctives", "non-linear"), BOTH),
        "base": Variant("base level alone, for all steps", (), {"--base-steps": 1.0, "--steps": 0.0}, "base"),
    },
    measures={"levels": ("levels",), "frames": RECALLED["frames"]},
    judged=("frames",),
    numbers={
        "error": Number("levels", _mean("{level}, vertices"), False),
        "error, pixels": Number("levels", _mean("{level}, pixels"), False),
        "error, skin": Number("levels", _mean("{level}, skin"), False),
        "below its own base %": Number("levels", ("whole", "fall %, vertices"), True),
        "top 5 in other videos %": RECALL["top 5 in other videos %"],
    },
    steps=4400,
)
"""Fig. 5 and 11 of Tewari et al. 2018. "Below its own base" of "base" compares with correctives that learned nothing."""

EXPERIMENTS = {"genova2018": GENOVA, "tewari2018": TEWARI}
