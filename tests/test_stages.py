"""Stages changed from the command line: what is meant happens, what is misspelled is refused."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import pytest
import tyro
from line import Line, quiet, settings

from likeness.cli.main import stages_together
from likeness.errors import UsageError
from likeness.train.loop import train
from likeness.train.order import TrainingError
from likeness.train.settings import Settings
from likeness.train.stages import changed
from likeness.types import Stage

STAGES = (
    Stage("base", 10, {"photo": 1.0, "moments": 2.0}, {"encoder": 1e-3}),
    Stage("full", 20, {"photo": 1.0}, {"encoder": 1e-4, "model": 1e-5}),
)


@pytest.mark.parametrize(("key", "value", "stage", "expected"), [
    ("0.steps", "7", 0, {"steps": 7}), ("full.steps", "0", 1, {"steps": 0}), ("1.optimizer", "adam", 1, {"optimizer": "adam"}),
    ("base.terms.moments", "5", 0, {"terms": {"photo": 1.0, "moments": 5.0}}),
    ("1.terms.moments", "5e-1", 1, {"terms": {"photo": 1.0, "moments": 0.5}}),
    ("base.terms.moments", "off", 0, {"terms": {"photo": 1.0}}), ("1.rates.model", "off", 1, {"rates": {"encoder": 1e-4}}),
    ("all.rates.encoder", "2", 0, {"rates": {"encoder": 2.0}}), ("all.rates.encoder", "2", 1, {"rates": {"encoder": 2.0, "model": 1e-5}}),
    ("all.terms.moments", "3", 1, {"terms": {"photo": 1.0}}), ("all.terms.moments", "3", 0, {"terms": {"photo": 1.0, "moments": 3.0}}),
])  # fmt: skip
def test_one_entry_changes_and_the_rest_stays(key, value, stage, expected):
    found = changed(STAGES, {key: value})[stage]
    for field in Stage.__dataclass_fields__:
        assert getattr(found, field) == expected.get(field, getattr(STAGES[stage], field)), field
    assert STAGES[0].terms == {"photo": 1.0, "moments": 2.0}


@pytest.mark.parametrize(("key", "value", "said"), [
    ("2.steps", "7", "no stage '2'; they are 0 base, 1 full"), ("bass.steps", "7", "no stage 'bass'"),
    ("0.steps", "many", "whole number"), ("0.steps", "-3", "whole number"), ("0.step", "3", "steps, optimizer, terms"),
    ("0.terms", "3", "steps, optimizer, terms"), ("0.terms.photo", "much", "a number or `off`"),
    ("0.terms.phtoo", "off", "has no phtoo; its terms are photo, moments"), ("all.terms.phtoo", "3", "no stage has terms.phtoo"),
    ("0", "3", "steps, optimizer, terms"), ("1.optimizer", "adma", "adma: there is no such optimiser; choose one of adamw, adam,"),
])  # fmt: skip
def test_what_is_misspelled_is_refused_with_what_there_is(key, value, said):
    with pytest.raises(UsageError, match=said):
        changed(STAGES, {key: value})


def test_later_changes_build_on_earlier_ones():
    found = changed(STAGES, {"all.terms.photo": "4", "base.terms.photo": "off"})
    assert found[0].terms == {"moments": 2.0} and found[1].terms == {"photo": 4.0}


@dataclass(frozen=True)
class Command:
    """A command with the options that all training commands share."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = Settings(batch=16)


@pytest.mark.parametrize("args", [
    ["--stages.1.terms.moments", "5", "--batch", "4", "--stages.base.rates.encoder=1e-4"],
    ["--batch", "4", "--stages.1.terms.moments=5", "--stages.base.rates.encoder", "1e-4"],
    ["--batch", "4", "--stages", "1.terms.moments", "5", "base.rates.encoder", "1e-4"],
])  # fmt: skip
def test_the_command_line_takes_dotted_names(args):
    config = tyro.cli(Command, args=stages_together(args))
    assert (
        config.settings.stages == {"1.terms.moments": "5", "base.rates.encoder": "1e-4"} and config.settings.batch == 4
    )
    assert tyro.cli(Command, args=stages_together([])).settings.stages == {}


def test_a_dotted_name_without_a_value_is_refused():
    with pytest.raises(UsageError, match="needs a value"):
        stages_together(["--stages.1.steps"])


def test_the_loop_trains_the_changed_stages_and_knows_them_again(tmp_path):
    changes = {"first.steps": "2", "1.steps": "3", "all.rates.head": "0"}
    recipe = Line()
    before = recipe.head.weight.detach().clone()
    train(recipe, tmp_path, settings(stages=changes, decay=0.0), console=quiet())
    assert [stage.steps for stage in recipe.stages] == [2, 3]
    assert recipe.head.weight.equal(before) and not recipe.body[0].weight.equal(Line().body[0].weight)
    train(Line(), tmp_path, settings(stages=changes, decay=0.0), console=quiet())
    with pytest.raises(TrainingError, match="choose another folder"):
        train(Line(), tmp_path, settings(decay=0.0), console=quiet())


def test_a_term_that_is_switched_off_and_computed_all_the_same_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="different names"):
        train(Line(), tmp_path, settings(stages={"1.terms.error": "off"}), console=quiet())


@pytest.mark.parametrize(
    ("changes", "items"), [({}, 80), ({"full.steps": "30"}, 240), ({"full.steps": "0", "base.steps": "6"}, 48)]
)
def test_crops_of_tewari2018_are_enough_for_its_longest_stage_after_changes(changes, items, monkeypatch, tmp_path):
    from likeness.cli.tewari2018 import Tewari2018, look
    from likeness.data import folder, landmarked

    photos = SimpleNamespace(points=np.zeros((1, 478, 3), np.float32))
    monkeypatch.setattr(folder, "read_set", lambda *where: None)
    monkeypatch.setattr(folder, "Photos", lambda listings: photos)
    monkeypatch.setattr(landmarked, "believed", lambda points, places: None)
    monkeypatch.setattr(landmarked, "LandmarkedCrops", lambda photos, sets, seed, length, *more: length)
    config = Tewari2018(data=tmp_path, base_steps=10, steps=5, settings=settings(stages=changes))
    assert look(config) == items
