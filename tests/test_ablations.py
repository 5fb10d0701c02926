"""`likeness ablate`: what runs with which options, what is read from it, and going on where it was stopped."""

import json
import os
import sys

import pytest

from likeness.cli import ablations
from likeness.cli.ablation_variants import EXPERIMENTS, Experiment, Number, Variant
from likeness.cli.ablations import Ablate, ablate
from likeness.errors import PARTIAL, UsageError
from likeness.train.children import done

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX locks and process groups")

STAND_IN = """
import json, sys, time
from pathlib import Path
words = sys.argv[1:]
value = lambda name: words[words.index(name) + 1]
if words[0] == "train":
    place = Path(value("--output"))
    place.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).parent / "runs"
    with (root / "order").open("a") as file:
        file.write(" ".join(words) + "\\n")
    if "--sulk" in words and not (root / "cheered").exists():
        (place / "log.csv").write_text("step,loss\\n3,1\\n")
        sys.exit("no")
    steps = int(value("--steps"))
    end = time.process_time() + 0.004 * steps + ("--heavy" in words)  # 4 ms a step, perhaps after a second
    while time.process_time() < end:
        pass
    (place / "log.csv").write_text(f"step,loss\\n{steps},1\\n")
    score = 10 * ("--worse" not in words) + int(value("--seed")) + steps / 100
    (place / "checkpoint.safetensors").write_text(str(score))
else:
    score = float(Path(words[2]).read_text())
    place = Path(value("-o"))
    place.mkdir()
    numbers = {"metrics": {"base, x": {"mean": 1.0}, "final, x": {"mean": score}}, "whole": {"judge": words[-3], "nothing": None}}
    (place / "report.json").write_text(json.dumps(numbers))
"""


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """An experiment whose trainings and measurements are a small program."""
    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    monkeypatch.setattr(ablations, "likeness", lambda *words: (sys.executable, str(program), *words))
    shares = {"--first-steps": 0.25, "--steps": 0.75}
    experiment = Experiment(
        {"full": Variant("all", (), shares), "poor": Variant("less", ("--worse",), shares, "base")},
        {"look": ("look", "--among", "photos")}, ("look",),
        {"score": Number("look", ("metrics", "final, x", "mean"), True), "level": Number("look", ("metrics", "{level}, x", "mean"), False),
         "nothing": Number("look", ("whole", "nothing"), True)},
        40, ("--stop", "1"),
    )  # fmt: skip
    monkeypatch.setitem(ablations.EXPERIMENTS, "genova2018", experiment)
    return tmp_path / "runs"


def order(folder):
    return [line.split() for line in (folder / "order").read_text().splitlines()]


def test_every_variant_with_every_seed_in_equal_steps(stand_in):
    assert ablate(Ablate("genova2018", stand_in, training="--batch 7", judging="--judge-weights /x/j")) == 0
    first, *runs = order(stand_in)
    assert "--stop" in first and len(runs) == 6  # what is shared comes first, and alone
    assert [(("--worse" in run), run[run.index("--seed") + 1]) for run in runs] == [
        (worse, seed) for seed in "012" for worse in (False, True)
    ]
    for run in runs:
        assert run[run.index("--first-steps") + 1] == "10" and run[run.index("--steps") + 1] == "30"
        assert run[run.index("--batch") + 1] == "7" and run[run.index("--observed") + 1].endswith("shared")
    found = json.loads((stand_in / "ablation.json").read_text())
    numbers = {(t["variant"], t["seed"]): t["numbers"] for t in found["trials"]}
    assert [numbers["full", seed]["score"] for seed in range(3)] == [10.3, 11.3, 12.3]
    assert [numbers["poor", seed]["score"] for seed in range(3)] == [0.3, 1.3, 2.3]
    assert numbers["full", 0]["level"] == 10.3 and numbers["poor", 0]["level"] == 1.0  # each at its own level
    assert numbers["full", 0]["nothing"] is None
    assert found["options"] == ["--batch 7", "", "--judge-weights j"] and str(stand_in) not in json.dumps(found)
    report = json.loads((stand_in / "full/seed-0/look/report.json").read_text())
    assert report["whole"]["judge"] == "/x/j"


def test_a_second_call_does_only_what_is_missing(stand_in, capsys):
    sulking = Ablate("genova2018", stand_in, seeds=1, training="--sulk")
    assert ablate(sulking) == PARTIAL
    said = capsys.readouterr()
    assert "failed (1): no" in said.err
    (stand_in / "cheered").touch()
    assert ablate(sulking) == 0
    before = len(order(stand_in))
    assert ablate(sulking) == 0 and len(order(stand_in)) == before
    more = Ablate("genova2018", stand_in, seeds=2, training="--sulk")
    assert ablate(more) == 0 and len(order(stand_in)) == before + 2


def test_the_status_says_how_far_every_run_is(stand_in, capsys):
    ablate(Ablate("genova2018", stand_in, seeds=1, training="--sulk"))
    place = stand_in / "full/seed-0"
    place.mkdir(parents=True, exist_ok=True)
    (place / "log.csv").write_text("step,loss\n3,1\n")
    capsys.readouterr()
    assert ablate(Ablate("genova2018", stand_in, seeds=1, training="--sulk", status=True)) == PARTIAL
    said = capsys.readouterr().out
    assert "full, seed 0: 3 of 40 steps; not measured: look" in said and "poor, seed 0: 0 of 40 steps" in said
    assert "train" not in done(place)


def test_the_sheet_shows_the_first_seed_of_what_is_trained(tmp_path):
    config = Ablate("tewari2018", tmp_path, measuring="--photos 5", judging="--judge-weights j.safetensors")
    experiment = EXPERIMENTS["tewari2018"]
    assert ablations.recalls(config, experiment) == {}
    for name in ("linear", "base"):
        place = ablations.folder(config, name, 0)
        place.mkdir(parents=True)
        (place / "done.json").write_text('{"train": {"command": [], "cpu": 1}}')
    found = ablations.recalls(config, experiment)
    assert (
        list(found) == ["linear", "base"]
        and found["base"].made.level == "base"
        and found["linear"].made.level == "final"
    )
    assert found["base"].checkpoint == tmp_path / "base/seed-0/checkpoint.safetensors"
    assert found["base"].photos == 5 and str(found["base"].judge_weights) == "j.safetensors"


def test_no_time_is_left(stand_in):
    assert ablate(Ablate("genova2018", stand_in, minutes_left=0.0)) == PARTIAL
    assert not (stand_in / "order").exists() and json.loads((stand_in / "ablation.json").read_text())["trials"] == []


def test_other_options_do_not_pass_for_the_same_run(stand_in):
    ablate(Ablate("genova2018", stand_in, seeds=1))
    with pytest.raises(UsageError, match="ran with other options"):
        ablate(Ablate("genova2018", stand_in, seeds=1, steps=80))


def test_a_step_has_its_price(stand_in, capsys):
    assert ablate(Ablate("genova2018", stand_in, variants=("poor",), probe=200, training="--heavy")) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("poor: "))
    assert 2.5 < float(line.split()[1]) < 4  # 3 ms: of 4 ms a step three quarters are taken
    assert "begun in 1 s" in line


def test_what_is_compared_exists():
    for name, experiment in EXPERIMENTS.items():
        for number in experiment.numbers.values():
            assert number.call in experiment.measures, name
        for variant in experiment.variants.values():
            assert sum(variant.shares.values()) == 1


@pytest.mark.parametrize("name", list(EXPERIMENTS["genova2018"].variants))
def test_what_a_variant_of_genova2018_trains(name):
    from likeness.cli.genova2018 import Genova2018
    from likeness.recipes.genova2018 import BOTH, stages
    from likeness.train.stages import changed

    found = parsed("genova2018", name, Genova2018)
    assert found.synthetic_steps + found.steps == 100 and found.settings.seed == 3
    last = changed(stages(found.synthetic_steps, found.steps, found.rate), found.settings.stages)[-1]
    left_out = {"no moments": {"moments"}, "no loopback": {"loopback"}}.get(name, set())
    assert set(last.terms) == set(BOTH) - left_out and found.views == (1 if name == "one view" else 3)


@pytest.mark.parametrize("name", list(EXPERIMENTS["tewari2018"].variants))
def test_what_a_variant_of_tewari2018_trains(name):
    from likeness.cli.tewari2018 import Tewari2018, stages

    found = parsed("tewari2018", name, Tewari2018)
    made = stages(found)
    assert sum(stage.steps for stage in made) == 100
    assert found.correctives == ("non-linear" if name == "non-linear" else "linear")
    assert [stage.name for stage in made] == (["base"] if name == "base" else ["base", "full"])


def parsed(recipe, name, options):
    """The options of a training of 100 steps with seed 3, as the command line understands them."""
    import tyro

    from likeness.cli.main import stages_together

    experiment = EXPERIMENTS[recipe]
    config = Ablate(recipe)
    command = ablations.training(config, experiment, experiment.variants[name], config.output, 3, 100)
    assert list(command[:5]) == [sys.executable, "-m", "likeness", "train", recipe]
    return tyro.cli(options, args=stages_together(list(command[5:])))


def test_unknown_variants_are_refused():
    with pytest.raises(UsageError, match="choose full, no moments"):
        ablate(Ablate("genova2018", variants=("half",)))
