"""The page of the benchmark: failures first, every method and slice, and what was not measured."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
from benchmark_parts import as_set

from likeness.errors import AssetError
from likeness.evaluate.benchmark import measure, report
from likeness.evaluate.benchmark.chart import dots, nice
from likeness.evaluate.benchmark.items import Answer, Item, Method


@pytest.fixture
def small_run(pictures):
    """Two methods on four pictures, made-up numbers; one picture without an answer."""
    reason = "no <face> was found"
    size = {item.name: 1.0 + k for k, item in enumerate(pictures[:4])}

    def hopeful(item: Item) -> Answer:
        if item is pictures[0]:
            raise AssetError(reason)
        return Answer(points=np.full((68, 2), size[item.name]))

    chosen = as_set(pictures[:4], lambda item, answer: {"shape": answer.points[0, 0]}, ("shape", "ratio"), shown=True)
    hidden = replace(chosen, name="secret", title="Secret photos", shown=False)
    mean = Method(measure.BASE, lambda item: Answer(points=np.full((68, 2), 2.0)), "The mean.")
    result = measure.run([chosen, hidden], [Method("hopeful", hopeful, "Tries.", ours=True), mean])
    result.missing = ["The far side of the moon."]
    return result


def test_the_page_says_failures_first_and_what_is_missing(small_run, pictures, tmp_path):
    asked = []

    def draw(chosen, method, item):
        asked.append((chosen.name, item.name))
        return [("picture", item.picture())]

    report.write(small_run, report.Heading("Board", {"date": "today"}, ["A note."]), tmp_path, draw)
    text = (tmp_path / report.PAGE).read_text()
    assert (tmp_path / report.SUMMARY).read_text().startswith("Board: date today.")
    places = [text.index(part) for part in ("Failures first", "<h2>Numbers", "<h2>Slices", "<h2>Not measured")]
    assert places == sorted(places)
    assert "The far side of the moon." in text and "no &lt;face&gt; was found" in text and "<face>" not in text
    assert text.index("no &lt;face&gt;") < text.index("4.00 mm, 2.00 of the mean face")  # no answer before a bad one
    assert {name for name, _ in asked} == {"heads"}, "pictures of a set that may not be shown were drawn"
    assert asked[0][1] == pictures[0].name
    assert not re.search(r"(src|href)=\"(?!data:)", text), "the page needs another file"


def test_many_pictures_without_an_answer_leave_room_for_bad_answers(pictures, tmp_path):
    def answer(item):
        if item is not pictures[-1]:
            raise AssetError("no face was found")
        return Answer()

    chosen = as_set(pictures, lambda item, answer: {"shape": 7.0}, ("shape",), shown=True)
    result = measure.run([chosen], [Method("shy", answer, "", ours=True)])
    text = report.page(result, report.Heading("Board", {}, []), lambda *of: [])
    assert text.count("no face was found") == report.FAILURES // 2 and "shape 7.00 mm" in text


def test_the_table_has_a_line_for_every_method_and_slice(small_run, tmp_path):
    report.write_table(small_run.rows, tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = {(row["set"], row["method"]): row for row in rows if row["kind"] == "all"}
    assert whole["heads", "hopeful"]["failed"] == "1" and whole["heads", "hopeful"]["pictures"] == "4"
    assert float(whole["heads", "hopeful"]["shape"]) == pytest.approx(3)
    assert float(whole["heads", "hopeful"]["ratio"]) == pytest.approx(1.5)
    assert float(whole["heads", "hopeful"]["ratio_low"]) <= 1.5 <= float(whole["heads", "hopeful"]["ratio_high"])
    for method in ("hopeful", measure.BASE):
        mine = [row for row in rows if row["set"] == "heads" and row["kind"] == "yaw" and row["method"] == method]
        assert sum(int(row["pictures"]) for row in mine) == 4
    assert "| hopeful | 3.00" in report.markdown(small_run)


def test_charts_leave_out_what_was_not_measured(small_run):
    rows = [row for row in small_run.rows if row.set == "heads"]
    assert dots(rows, "pose", ["hopeful", measure.BASE], "yaw") == ""
    drawn = dots(rows, "ratio", ["hopeful", measure.BASE], "yaw")
    assert drawn.count("<circle") == sum("ratio" in row.numbers for row in rows if row.kind == "yaw")
    assert [nice(value) for value in (0.0, 0.11, 1.0, 1.2, 7.0, 95)] == pytest.approx([1, 0.15, 1, 1.5, 8, 100])


def test_a_slow_method_is_compared_on_its_own_pictures(pictures):
    """Its row stands beside those of the others on the pictures that it was asked about, and not among the whole set's."""
    size = {item.name: 1.0 + k for k, item in enumerate(pictures)}
    chosen = as_set(pictures, lambda item, answer: {"shape": size[item.name], "points": 1.0}, ("shape", "points"))
    methods = [Method("slow", lambda item: Answer(), "", most=2), Method(measure.BASE, lambda item: Answer(), "")]
    result = measure.run([chosen], methods)
    whole, asked = report.markdown(result).split("\n\n")
    assert "12 pictures" in whole and "slow" not in whole and "| mean face | 6.50" in whole
    assert "the 2 pictures that slow was asked about" in asked
    assert "| slow | 6.50" in asked and "| mean face | 6.50" in asked  # the first and the last of twelve
    size[pictures[5].name] = 500.0
    result = measure.run([chosen], methods)
    assert "| mean face | 6.50" in report.markdown(result).split("\n\n")[1]
    page = report.page(result, report.Heading("Board", {}, []), lambda *of: [])
    assert page.count("<tr><th>slow</th>") == 1 and "<title>slow:" not in page


def test_a_mesh_that_reaches_too_little_is_marked(pictures):
    """A tiny crop has little to be wrong in: its shape is starred wherever it stands, its coverage is not."""
    chosen = as_set(
        pictures, lambda item, answer: {"shape": 0.5, "cover": float(answer.points[0, 0])}, ("shape", "ratio", "cover")
    )
    sizes = {"crop": measure.COVER - 1, "whole": measure.COVER + 1, measure.BASE: 99.0}
    methods = [
        Method(name, lambda item, size=size: Answer(points=np.full((68, 2), size)), "") for name, size in sizes.items()
    ]
    result = measure.run([chosen], methods)
    text = report.markdown(result)
    assert "| crop | 0.50* | 1.00* | 84 |" in text and "| whole | 0.50 | 1.00 | 86 |" in text
    page = report.page(result, report.Heading("Board", {}, []), lambda *of: [])
    assert page.count("0.50*") == 1 and "below 85 %" in page
