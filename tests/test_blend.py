"""Blending exported files."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from likeness.errors import AssetError
from likeness.runtime.detect import MODEL
from likeness.train.blend import blend


def _changed(path, output, factor):
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))
    onnx.save(model, output)
    return output


def test_weights_are_the_mean_and_a_file_named_twice_counts_twice(tmp_path):
    thrice = _changed(MODEL, tmp_path / "thrice.onnx", 3)
    blend((MODEL, MODEL, thrice, thrice), tmp_path / "even.onnx")
    blend((MODEL, MODEL, MODEL, thrice), tmp_path / "most.onnx")
    for name, factor in (("even", 2.0), ("most", 1.5)):
        mixed = onnx.load(tmp_path / f"{name}.onnx")
        for mine, its in zip(mixed.graph.initializer, onnx.load(MODEL).graph.initializer):
            if its.data_type == onnx.TensorProto.FLOAT:
                np.testing.assert_allclose(numpy_helper.to_array(mine), factor * numpy_helper.to_array(its), rtol=1e-6)
        assert {p.key for p in mixed.metadata_props} == {p.key for p in onnx.load(MODEL).metadata_props}


def test_files_of_other_networks_are_refused(tmp_path):
    with pytest.raises(AssetError, match="regressor.onnx: its weights are not those of"):
        blend((MODEL, MODEL.with_name("regressor.onnx")), tmp_path / "no.onnx")
    assert not (tmp_path / "no.onnx").exists()
