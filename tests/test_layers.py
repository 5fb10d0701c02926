"""The tree is the architecture: imports run one way, from high levels to low ones."""

import ast
from pathlib import Path

import likeness

ROOT = Path(likeness.__file__).parent
LEVELS = {
    "types": 0, "arrays": 0, "errors": 0, "kernels": 0, "geometry": 1, "color": 1, "assets": 2,
    "photos": 3, "encoders": 3, "models": 3, "render": 3, "losses": 3, "export": 3,
    "data": 4, "evaluate": 4, "recipes": 5, "train": 6, "fit": 6, "runtime": 6, "edit": 6, "cli": 7, "serve": 7, "__main__": 7,
}  # fmt: skip
FORBIDDEN_FOLDERS = {"utils", "common", "helpers", "configs"}
FORBIDDEN_IMPORTS = {"torchvision", "timm", "lightning", "mediapipe", "drtk", "nvdiffrast", "pytorch3d", "pickle"}
PEERS = {3, 4}
"""Levels whose rooms never import each other; on the others a room may use its neighbours."""


def imports(source: str) -> set[str]:
    """Every module named by an import, at the top or inside a function, or by `import_module` with a constant."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def arrows(path: Path, source: str) -> list[str]:
    """Imports of a file that run up or sideways, as readable lines."""
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    wrong = []
    for name in imports(source):
        parts = name.split(".")
        if parts[0] in FORBIDDEN_IMPORTS:
            wrong.append(f"{path.name}: imports {name}")
        if parts[0] != "likeness" or len(parts) < 2 or parts[1] not in LEVELS or parts[1] == room or room == "__init__":
            continue
        up = LEVELS[parts[1]] > LEVELS[room]
        sideways = LEVELS[parts[1]] == LEVELS[room] and LEVELS[room] in PEERS
        if up or sideways:
            wrong.append(f"{room}/{path.name}: imports {name}")
    return wrong


def test_imports_run_one_way():
    wrong = [line for path in ROOT.rglob("*.py") for line in arrows(path, path.read_text())]
    assert not wrong, "\n".join(sorted(wrong))


def test_an_arrow_that_runs_up_or_sideways_is_seen():
    assert arrows(ROOT / "assets" / "x.py", "def f():\n    from likeness.models.linear import LinearModel")
    assert arrows(ROOT / "photos" / "x.py", "import likeness.render.shade")
    assert arrows(ROOT / "data" / "x.py", "from likeness import evaluate")
    assert arrows(ROOT / "models" / "x.py", "import torchvision.models")
    assert not arrows(ROOT / "runtime" / "x.py", "from likeness.photos import read")


def test_every_room_has_a_level_and_a_subject():
    rooms = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms <= set(LEVELS)
    assert not rooms & FORBIDDEN_FOLDERS
