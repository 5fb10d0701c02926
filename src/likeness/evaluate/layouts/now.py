"""NoW: `scans/SUBJECT/*.obj`, `scans_lmks_onlypp/SUBJECT/*.pp`, and a list of images `SUBJECT/CHALLENGE/IMG_0000.jpg`.

Predictions are `SUBJECT/CHALLENGE/IMG_0000.obj` (or .ply) with the seven landmarks in `IMG_0000.npy` or `.txt` beside
it, as the public evaluation wants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from likeness.errors import AssetError

LISTS = ("imagepathsvalidation.txt", "imagepathstest.txt")


@dataclass(frozen=True)
class Image:
    """An image of the list: subject, challenge, and the files of the subject's scan (None where missing)."""

    subject: str
    challenge: str
    scan: Path | None
    landmarks: Path | None


def images(truth: Path) -> dict[str, Image]:
    """Item "SUBJECT/CHALLENGE/IMG" -> its scan, in the order of the list.

    Raises:
        AssetError: No list, or a line of another form.
    """
    truth = Path(truth)
    lists = [truth / name for name in LISTS if (truth / name).is_file()]
    if not lists:
        raise AssetError(f"{truth}: no {' or '.join(LISTS)}")
    items = {}
    for line in lists[0].read_text().split():
        parts = Path(line).with_suffix("").parts[-3:]
        if len(parts) != 3:
            raise AssetError(f"{lists[0]}: {line!r} is not SUBJECT/CHALLENGE/IMAGE")
        scan = _first(truth / "scans" / parts[0], (".obj", ".ply"))
        landmarks = _first(truth / "scans_lmks_onlypp" / parts[0], (".pp", ".npy", ".txt"))
        items["/".join(parts)] = Image(parts[0], parts[1], scan, landmarks)
    return items


def _first(folder: Path, suffixes: tuple[str, ...]) -> Path | None:
    found = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in suffixes]
    return found[0] if found else None
