"""The catalogue names every file of numbers that ships, and knows the files learned from."""

import json
import os
from pathlib import Path

import pytest

import likeness
from likeness.assets import catalogue
from likeness.errors import AssetError

ROOT = Path(likeness.__file__).parent


def test_every_file_of_numbers_is_listed():
    listed = {shipped.file for shipped in catalogue.SHIPPED.values()}
    found = {
        str(p.relative_to(ROOT)) for ending in ("safetensors", "onnx", "npz", "npy") for p in ROOT.rglob(f"*.{ending}")
    }
    assert found <= listed
    assert catalogue.SHIPPED["face model"].path().is_file()


def test_sources_are_known_and_none_forbids():
    for shipped in catalogue.SHIPPED.values():
        assert set(shipped.sources) <= set(catalogue.SOURCES)
    assert not any("research" in source.licence.lower() for source in catalogue.SOURCES.values())


def test_systems_name_what_made_them():
    docs = Path(__file__).parent.parent / "docs/results"
    for shipped in catalogue.SHIPPED.values():
        name = Path(shipped.file).stem
        if shipped.file.startswith("runtime/systems/"):
            commands = json.loads((docs / name / "run.json").read_text())["commands"]
            told = f"{commands[0]} --export" if len(commands) == 1 else f"docs/results/{name}.md"
            assert told in shipped.command, shipped.command


def test_another_version_is_refused(tmp_path):
    (tmp_path / "model.npz").write_bytes(b"other")
    with pytest.raises(AssetError, match="another version of ICT"):
        catalogue.SOURCES["ict"].check(tmp_path / "model.npz")
    with pytest.raises(AssetError, match="cannot read"):
        catalogue.digest(tmp_path / "nothing")


@pytest.mark.skipif("LIKENESS_DATA" not in os.environ, reason="needs the outside models under LIKENESS_DATA")
def test_the_files_learned_from_are_these():
    root = Path(os.environ["LIKENESS_DATA"])
    catalogue.SOURCES["ict"].check(root / "ict/ict_face_model.npz")
    catalogue.SOURCES["mediapipe"].check(root / "mediapipe/canonical_face_model.obj")
