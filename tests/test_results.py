"""Pages from files of numbers: tables, sentences that follow the intervals, curves; and the command that writes them."""

import json
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from likeness.cli.results import Results, results
from likeness.errors import AssetError, UsageError
from likeness.evaluate import training_curve
from likeness.evaluate.results import ablation_tables, in_short, number, report_table, verdict, verdicts
from likeness.evaluate.trials import Difference, Trial, difference
from likeness.train import checkpoint


@pytest.mark.parametrize(("value", "shown"), [
    (0.0717, "0.0717"), (12.345, "12.3"), (1234.5, "1234"), (-0.5, "-0.500"), (0, "0"), (math.nan, "-"), (None, "-"),
    (1.234e-7, "1.23e-07"),
])  # fmt: skip
def test_numbers_have_digits_that_say_something(value, shown):
    assert number(value) == shown


def ablation(full, other, up=True):
    names = {"full": full, "without": other}
    return {
        "recipe": "genova2018", "steps": 100, "seeds": 3, "options": ["--batch 16", "", ""],
        "variants": {name: {"about": f"{name} it", "options": "", "steps": {"--steps": 100}} for name in names},
        "numbers": {"top 1 %": up, "spread": None},
        "trials": [
            {"variant": name, "seed": seed, "cpu minutes": 20.0, "numbers": {"top 1 %": value, "spread": None}}
            for name, values in names.items() for seed, value in enumerate(values)
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("full", "other", "up", "word"), [
    ([9, 10, 11], [1, 2, 3.1], True, "better"), ([9, 10, 11], [1, 2, 3.1], False, "worse"),
    ([1, 2, 3.1], [9, 10, 11], True, "worse"), ([1, 2, 3.1], [9, 10, 11], False, "better"),
    ([1.0, 5, 3], [2, 1, 4], True, "undecided (1 of 3 seeds better)"),
    ([1.0, 5, 3], [2, 1, 4], False, "undecided (2 of 3 seeds better)"), ([4.0], [1.0], True, "undecided (1 of 1 seeds better)"),
    ([], [1.0], True, "not measured"), ([1.0, 2.0], [1.0, 2.0], True, "equal"), ([1.0], [1.0], True, "equal"),
])  # fmt: skip
def test_a_sentence_says_no_more_than_the_interval(full, other, up, word):
    trials = [
        Trial(name, seed, {"x": float(v)}) for name, vs in (("a", full), ("b", other)) for seed, v in enumerate(vs)
    ]
    assert verdict(difference(trials, "a", "b", "x"), up) == word


def test_zero_at_the_border_of_the_interval_decides_nothing():
    assert verdict(Difference(3, 1.0, 0.0, 2.0, 3), True).startswith("undecided")


def test_the_tables_of_an_ablation():
    found = ablation([9, 10, 11], [1, 2, 3])
    spreads, pairs = ablation_tables(found).split("\n\n")
    assert "| full | 3 | 20.0 | 10.0 ± 1.0 | - |" in spreads and "| without | 3 | 20.0 | 2.00 ± 1.0 | - |" in spreads
    assert (
        "| without | 8.00 (8.0 to 8.0) |" in pairs and "spread" not in pairs
    )  # what has no better side is not compared
    assert verdicts(found) == ["*full* against *without*: better in top 1 %."]


def test_a_variant_that_did_not_run_yet_is_an_empty_row():
    spreads, pairs = ablation_tables(ablation([9, 10], [])).split("\n\n")
    assert "| without | 0 | - | - | - |" in spreads and "| without | - |" in pairs


def test_metrics_without_any_value_are_left_out_of_a_report():
    empty = {"count": 0, "mean": None, "low": None, "high": None, "median": None, "std": None}
    full = {"count": 4, "mean": 0.5, "low": 0.4, "high": 0.6, "median": 0.5, "std": 0.1}
    shown = report_table({"metrics": {"here": full, "gone": empty}, "whole": {"top 1": 12.5, "to same": None}})
    assert "| here | 0.500 | 0.400 to 0.600 | 0.500 | 0.100 |" in shown and "| top 1 | 12.5 |" in shown
    assert "gone" not in shown and "to same" not in shown


@pytest.mark.parametrize(
    "final, fall, said", [(0.08, 20.0, "0.100 to 0.0800, 20.0 % less"), (0.1, 0.0, "0.100, base level alone")]
)
def test_a_run_of_the_base_level_alone_is_not_compared_with_itself(final, fall, said):
    means = {"base, vertices": {"mean": 0.1}, "final, vertices": {"mean": final}}
    assert in_short({"protocol": "levels", "metrics": means, "whole": {"fall %, vertices": fall}}) == said


def log(folder, rows=300):
    lines = ["step,stage,rate,samples_per_second,loss,a,b"]
    for k in range(rows):
        stage, b = ("one", "") if k < 100 else ("two", f"{1 + k}")
        lines.append(f"{2 * (k + 1)},{stage},1,8.0,{k},{1000 / (k + 1)},{b}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return training_curve.read(folder / "log.csv")


def test_a_reduced_log_keeps_means_and_stages(tmp_path):
    rows = log(tmp_path)
    small = training_curve.reduced(rows, 60)
    assert len(small) <= 61 and small[-1]["step"] == "600"
    assert float(small[0]["loss"]) == np.mean(range(5)) and small[0]["b"] == ""
    assert [row["stage"] for row in small].index("two") == 20  # no row mixes stages
    assert training_curve.reduced(rows, 1000) != rows and len(training_curve.reduced(rows, 1000)) == len(rows)


def test_runs_that_follow_each_other_are_one_curve(tmp_path):
    first = log(tmp_path / "a", 10)
    second = [{**row, "c": "1"} for row in log(tmp_path / "b", 5)]
    whole = training_curve.joined([first, second])
    assert [int(row["step"]) for row in whole] == list(range(2, 32, 2))
    assert whole[0]["c"] == "" and whole[-1]["c"] == "1"


def test_the_time_of_a_run_follows_from_its_speeds(tmp_path):
    assert training_curve.minutes(log(tmp_path), 16) == pytest.approx(600 * 16 / 8.0 / 60)


def test_curves_are_drawn_a_panel_a_term(tmp_path):
    drawn = ET.fromstring(training_curve.svg(training_curve.reduced(log(tmp_path))))
    groups = drawn.findall("{*}g")
    assert [g.find("{*}text").text for g in groups] == ["a (log)", "b"]
    points = [tuple(map(float, p.split(","))) for p in groups[0].find("{*}polyline").get("points").split()]
    assert all(
        before[0] < after[0] and before[1] < after[1] for before, after in zip(points, points[1:])
    )  # falls, y is down
    assert len(groups[1].find("{*}polyline").get("points").split()) < len(points)  # b begins with the second stage


def finished(folder):
    """A training's folder as the loop leaves it."""
    log(folder)
    identity = {
        "recipe": "Genova2018", "stages": [["one", 200, {"a": 1.0}, {"decoder": 1e-3}], ["two", 400, {"b": 2.0}, {}]],
        "settings": {"batch": 16, "seed": 0},
    }  # fmt: skip
    checkpoint.save(
        folder / "checkpoint.safetensors", {"weights.x": torch.zeros(1_500_000)}, {"identity": identity, "step": 600}
    )
    return folder


def test_pages_are_written_from_files_and_rewritten_alike(tmp_path):
    docs, run = tmp_path / "docs", finished(tmp_path / "run")
    report = {"protocol": "recall", "unit": "cosine", "scored": 4, "failed": 0, "metrics": {}, "whole": {"top 1": 25.0, "top 5": 75.0},
              "curves": {"x": [1]}, "failures": {}}  # fmt: skip
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured/report.json").write_text(json.dumps(report))
    (tmp_path / "scoreboard/validation").mkdir(parents=True)
    (tmp_path / "scoreboard/validation/scores.csv").write_text(
        "set,kind,slice,method,pictures\nheads,all,all,likeness,200\n"
    )
    verified = {
        "verification, validation": {"videos: judge": {"accuracy %": 69.0}, "videos: pixels": {"accuracy %": 50.0}}
    }
    (tmp_path / "verified.json").write_text(json.dumps(verified))
    (tmp_path / "ablation").mkdir()
    (tmp_path / "ablation/ablation.json").write_text(json.dumps(ablation([9, 10, 11], [1, 2, 3])))
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/scores.csv").write_text(
        "set,kind,slice,method,pictures,failed,shape,shape_low,shape_high\n"
        "heads,all,all,genova2018,80,2,1.5,1.4,1.6\nheads,all,all,likeness,80,0,1.4,1.3,1.5\nheads,yaw,0,genova2018,9,0,7,,\n"
    )
    results(Results(
        docs, "genova2018", (run,), ("likeness train genova2018",), (f"recall among photos={tmp_path / 'measured'}",),
        tmp_path / "verified.json", (), tmp_path / "ablation", tmp_path / "bench", ("genova2018",),
    ))  # fmt: skip
    page = (docs / "genova2018.md").read_text()
    for said in (
        "likeness train genova2018", "600 steps in 20 minutes, 1.5 million weights", "| one | 200 | a 1 | decoder 0.001 |",
        "### Recall among photos", "| videos | 69.0 |", "| top 1 | 25.0 |", "better in top 1 %", "| heads | shape mm | no answer |",
        "so many pictures of a set: heads 80 (scoreboard: 200).", "`likeness evaluate recall RUN", "`likeness train judge`",
        "| genova2018 | 1.50 (1.40 to 1.60) | 2 of 80 |",
    ):  # fmt: skip
        assert said in page, said
    assert "likeness | 1.4" not in page and str(tmp_path) not in page
    assert (
        "600 steps, 20 min | recall among photos: top 1 25.0 %, top 5 75.0 % of 4 | 6 of 6 runs"
        in (docs / "README.md").read_text()
    )
    (docs / "genova2018.md").write_text("by hand")
    results(Results(docs))
    assert (docs / "genova2018.md").read_text() == page


def test_a_page_says_what_flatters_its_numbers_and_the_first_page_the_fair_ones(tmp_path):
    whole = {"top 1": 25.0, "top 5": 75.0, "top 1 in other videos": 12.5, "top 5 in other videos": 37.5}
    report = {"protocol": "recall", "unit": "cosine", "scored": 4, "failed": 0, "metrics": {}, "whole": whole}
    (tmp_path / "report.json").write_text(json.dumps(report))
    results(Results(tmp_path / "docs", "tewari2018", report=(f"recall={tmp_path}",)))
    page = (tmp_path / "docs/tewari2018.md").read_text()
    assert "*in other videos*" in page.split("## Measured")[1].split("###")[0] and "evaluate levels" not in page
    assert "top 5 75.0 % of 4, in other videos 12.5 and 37.5 %" in (tmp_path / "docs/README.md").read_text()


def test_a_run_that_was_not_over_is_said_to_be(tmp_path):
    run = finished(tmp_path / "run")
    tensors, state = checkpoint.load(run / "checkpoint.safetensors")
    checkpoint.save(run / "checkpoint.safetensors", tensors, state | {"step": 450})
    results(Results(tmp_path, "genova2018", run=(run,)))
    assert "450 steps of 600: the run was not over," in (tmp_path / "genova2018.md").read_text()


def test_what_is_missing_is_said_in_a_line(tmp_path):
    with pytest.raises(AssetError, match="no results of genova2018 or tewari2018"):
        results(Results(tmp_path))
    with pytest.raises(UsageError, match="--recipe"):
        results(Results(tmp_path, report=("a=b",)))
    with pytest.raises(AssetError, match="report.json: no such file"):
        results(Results(tmp_path, "genova2018", report=(f"a={tmp_path}",)))
    with pytest.raises(UsageError, match="of genova2018, where --recipe says tewari2018"):
        results(Results(tmp_path, "tewari2018", run=(finished(tmp_path / "run"),)))
    with pytest.raises(UsageError, match="NAME=PATH"):
        results(Results(tmp_path, "genova2018", report=("a",)))
