"""Graphs that ship, opened in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from likeness.errors import AssetError


def open_session(path: Path, kind: str) -> onnxruntime.InferenceSession:
    """A session of one thread.

    Args:
        kind: What the graph must be by its own word, e.g. "regressor".

    Raises:
        AssetError: When the file is missing, damaged, or another kind of graph.
    """
    if not Path(path).is_file():
        raise AssetError(f"{path}: no such file; a {kind} is needed")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = (
        False  # it keeps what the largest picture needed: 47 MB, for no time that can be measured
    )
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime has a class of its own for each cause, and no common one, and tells long stories
        raise AssetError(f"{path}: damaged, or not an ONNX file; a {kind} is needed") from None
    if session.get_modelmeta().custom_metadata_map.get("likeness.kind") != kind:
        raise AssetError(f"{path}: another graph; a {kind} is needed")
    return session
