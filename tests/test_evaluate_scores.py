"""The table of numbers that every protocol answers with."""

import csv
import json

import numpy as np
import pytest

from likeness.evaluate.scores import Scores, bootstrap_interval, cumulative, summary, table, write


def test_summary_leaves_out_what_is_missing():
    found = summary([1.0, np.nan, 2.0, 6.0])
    assert (found.count, found.mean, found.median) == (3, 3.0, 2.0)
    assert found.std == pytest.approx(np.std([1, 2, 6]))
    assert summary([np.nan]).count == 0 and np.isnan(summary([]).mean)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(3)
    inside = 0
    for trial in range(300):
        low, high = bootstrap_interval(random.normal(5.0, 2.0, 60), rounds=400, seed=trial)
        inside += low <= 5.0 <= high
    assert 0.90 < inside / 300 < 0.98


def test_people_are_drawn_with_all_their_photos():
    random = np.random.default_rng(4)
    people = np.repeat(np.arange(20), 25)
    values = random.normal(0, 1, 20)[people] + random.normal(0, 0.05, 500)
    alone = np.diff(bootstrap_interval(values))
    together = np.diff(bootstrap_interval(values, groups=people))
    assert together > 3 * alone  # 25 photos of a person say hardly more than one
    assert np.diff(bootstrap_interval(values, groups=np.arange(500))) == pytest.approx(alone, rel=0.1)


def test_a_drawn_person_brings_all_photos():
    seen = set()
    values, people = [0.0] * 9 + [10.0], ["a"] * 9 + ["b"]
    bootstrap_interval(values, lambda draw: seen.add((len(draw), draw.sum())) or draw.mean(), rounds=50, groups=people)
    assert seen == {(18, 0), (10, 10), (2, 20)}


def test_an_interval_follows_its_seed_and_its_statistic():
    values = np.arange(30.0)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    _, high = bootstrap_interval(np.append(values, 1e6), np.median)
    assert high < 31
    assert np.isnan(bootstrap_interval([1.0, np.nan])).all()


def test_a_cumulative_curve_counts_what_is_no_larger():
    np.testing.assert_allclose(cumulative([1.0, 2.0, 2.0, 5.0], [0, 1, 2, 6])[1], [0, 0.25, 0.75, 1])


def test_scores_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="one entry"):
        Scores("x", "mm", ("a", "b"), {"mean": np.zeros(3)})
    with pytest.raises(ValueError, match="both"):
        Scores("x", "mm", ("a",), {"mean": np.zeros(1)}, {"a": "bad"})


def test_what_is_written_can_be_read_by_others(tmp_path):
    scores = Scores(
        "x", "mm", ("a", "b"), {"mean": np.array([1.5, np.nan])}, {"ü": "no mesh"}, ("p", "q"), {"recall": np.nan},
        {"curve": np.eye(2)},
    )  # fmt: skip
    write(scores, tmp_path / "report")
    with open(tmp_path / "report/scores.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows] == ["a", "b", "ü"]
    assert rows[0]["mean"] == "1.5" and rows[1]["mean"] == "" and rows[2]["failure"] == "no mesh"
    report = json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))
    assert report["scored"] == 2 and report["failed"] == 1 and report["whole"]["recall"] is None
    assert report["metrics"]["mean"]["count"] == 1 == table(scores)["mean"]["count"]
