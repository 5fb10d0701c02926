"""What runs of the papers' recipes tell of themselves, so that a resumed run is the run that it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from line import settings
from test_genova2018 import SIZE, network, toy_model
from test_tewari2018 import STAGES, Portraits, Small, _recipe

from likeness.cli import genova2018 as genova_command
from likeness.cli import points as points_command
from likeness.cli import regressor as regressor_command
from likeness.cli import tewari2018 as command
from likeness.cli import train as finder_command
from likeness.data.booth import Booth
from likeness.encoders.recognition import small
from likeness.encoders.recognition.templates import wide
from likeness.encoders.weights import fingerprint
from likeness.recipes import finder as finder_recipe
from likeness.recipes.base import Recipe
from likeness.recipes.genova2018 import Genova2018
from likeness.train import checkpoint, loop
from likeness.train.loop import CHECKPOINT, begun_with
from likeness.train.order import TrainingError


class Normed(Small):
    """With batch normalisation, whose statistics move unless they are kept."""

    def __init__(self):
        super().__init__()
        self.layers.append(torch.nn.BatchNorm1d(24))


@pytest.fixture
def run(monkeypatch):
    """A function (folder, options) that trains tewari2018 on the toy head as the command does, two steps a call."""
    portraits = Portraits(8)

    def make(kind, *rest):
        recipe = _recipe(stages=(replace(STAGES[0], steps=6),), kind=kind)
        recipe.network.backbone = Normed()
        return recipe

    monkeypatch.setattr(command, "make", make)
    monkeypatch.setattr(command, "parts", lambda path: None)
    monkeypatch.setattr(command, "look", lambda config: portraits)
    usual = command.Tewari2018(stop=2, settings=settings(batch=4, save_every=1, pictures_every=0))

    def run(folder: Path, **options) -> tuple[Path, torch.Tensor]:
        command.tewari2018(replace(usual, output=folder, **options))
        path = folder / CHECKPOINT
        return path, checkpoint.load(path)[0]["weights.network.backbone.layers.4.running_mean"]

    return run


def test_a_run_of_tewari2018_keeps_the_normalisation_that_it_began_with(run, tmp_path):
    start, moved = run(tmp_path / "first")
    kept = checkpoint.load(start)[0]["average.network.backbone.layers.4.running_mean"]
    assert moved.abs().max() > 0
    assert run(tmp_path / "second", start=start)[1].equal(kept)
    assert run(tmp_path / "second")[1].equal(kept), "--start need not be said again"
    assert begun_with(tmp_path / "second")["settled"] and not begun_with(tmp_path / "first")["settled"]
    assert not run(tmp_path / "first", start=start)[1].equal(moved), "and it does not hold a run that began without it"


def test_a_run_of_tewari2018_with_other_options_is_refused(run, tmp_path):
    run(tmp_path)
    with pytest.raises(TrainingError, match=r"begun with sets \['sfhq', .*\], now \['sfhq'\]; choose another folder"):
        run(tmp_path, sets=("sfhq",))
    with pytest.raises(TrainingError, match="begun with correctives linear, now non-linear; choose another folder"):
        run(tmp_path, correctives="non-linear")


def toy_genova(seed=0, views=3, drawn=1.0):
    (model, topology), recogniser = toy_model(), network(seed)
    return Genova2018(recogniser, model, Booth(topology, recogniser.template, SIZE), views=views, drawn=drawn, width=8)


def test_a_run_of_genova2018_tells_of_its_network_its_faces_and_its_pictures():
    usual = toy_genova().facts()
    assert toy_genova().facts() == usual and usual["recogniser"].startswith("random 0 ")
    for other, name in (
        (toy_genova(1), "recogniser"),
        (toy_genova(views=1), "views"),
        (toy_genova(drawn=0.5), "drawn"),
    ):
        assert {key for key in usual if other.facts()[key] != usual[key]} == {name}
    other = toy_genova()
    other.model.mean += 0.1
    assert {key for key in usual if other.facts()[key] != usual[key]} == {"face model"}


def test_the_command_tells_what_the_data_of_genova2018_were_made_from(tmp_path, monkeypatch):
    torch.manual_seed(0)
    small.write(
        tmp_path / "net.safetensors", small.IdentityNetwork("mobilenetv3-small", 32, 8), "x", wide(32), "none", ["y"]
    )
    monkeypatch.setattr(genova_command, "look", lambda *parts: (None, None))
    config = genova_command.Genova2018(
        recogniser_weights=tmp_path / "net.safetensors", sets=("gan",), faces=7, versions=2
    )
    facts = genova_command.recipe(config).facts()
    assert {"sets": ["gan"], "faces": 7, "versions": 2, "views": 3, "drawn": 0.125}.items() <= facts.items()


def test_fingerprints_are_of_numbers_wherever_they_lie_in_memory():
    values = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert fingerprint([values]) == fingerprint([values.to(memory_format=torch.channels_last)])
    assert fingerprint([values]) != fingerprint([values + 1]) and len(fingerprint([values])) == 64


class Told(Exception):
    """A training that is not done, with what its recipe told."""


def test_runs_of_our_own_networks_know_what_they_learn_from(monkeypatch, tmp_path):
    def train(recipe, *rest):
        raise Told(recipe.facts())

    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr(points_command, "_crops", lambda config: None)
    monkeypatch.setattr(regressor_command, "_recipe", lambda folder, config: Recipe())
    monkeypatch.setattr(finder_recipe, "FinderRecipe", lambda *rest: Recipe())
    usual, drawn = (
        {"output": tmp_path, "data": tmp_path, "sets": ("sfhq", "gan")},
        {"renders": (tmp_path / "train.npz",)},
    )
    facts = {"sets": ["sfhq", "gan"], "renders": ["train.npz"], "share": 0.3, "stretched": 0.0}
    for call, config, wanted in (
        (points_command.points, points_command.Points(**usual, **drawn, share=0.3), facts),
        (regressor_command.regressor, regressor_command.Regressor(**usual, **drawn, share=0.3), facts),
        (finder_command.finder, finder_command.Finder(**usual), {"sets": ["sfhq", "gan"]}),
    ):
        with pytest.raises(Told) as told:
            call(config)
        assert told.value.args[0] == wanted
