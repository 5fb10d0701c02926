"""`likeness evaluate`: tables on the screen and in a file; the real rows where the data is."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from likeness.cli import evaluate
from likeness.errors import AssetError


def test_tables_join_in_one_file(tmp_path, capsys):
    output = tmp_path / "numbers" / "all.json"
    evaluate.show("first", {"a": {"mm": 1.25}, "b": {"mm": 2.0}}, output)
    evaluate.show("second", {"a": {"%": 3.0}}, output)
    assert json.loads(output.read_text()) == {"first": {"a": {"mm": 1.25}, "b": {"mm": 2.0}}, "second": {"a": {"%": 3.0}}}
    assert "1.25" in capsys.readouterr().out


def test_a_photo_that_is_none_is_named(tmp_path):
    with pytest.raises(AssetError, match="no.jpg"):
        evaluate.photo(tmp_path / "no.jpg")


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="the bench needs LIKENESS_DATA (ICT's model)")
def test_decoding_the_teachers_codes_gives_its_landmarks():
    bench = evaluate.Bench(Path(os.environ["LIKENESS_DATA"]))
    with np.load(Path(os.environ["LIKENESS_DATA"]) / "photos/stylegan.landmarks478.npz") as file:
        points = file["points"][:2].astype(np.float32)
    fits = bench.fitted(points)[0]
    view = evaluate.View(*(getattr(fits, k)[0].numpy() for k in ("rotation", "translation", "focal", "principal")), (256, 256))
    codes = {"identity": fits.identity[0].numpy(), "expression": fits.expression[0].numpy()}
    np.testing.assert_allclose(bench.decode(codes, view), fits.points[0].numpy(), atol=0.05)
    still = bench.fitted(points, moving=False)[0]
    assert (still.points[0] - fits.points[0]).norm(dim=-1).mean() > 0.5
