"""What the file of a trained system says about itself. Version 1: one entry of JSON among an ONNX file's metadata.

The graph's inputs and outputs belong to the system: `genova2018`, `tewari2018`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from likeness.assets.albedo import AlbedoModel
from likeness.assets.builtin import Builtin
from likeness.assets.person import digest
from likeness.errors import AssetError
from likeness.export.documents import opened
from likeness.runtime.session import open_session

KIND = "system"
"""What the file calls itself among graphs (`runtime.session`)."""
FORMAT, VERSION = "likeness.system", 1


@dataclass(frozen=True)
class Card:
    """Where a trained system comes from, and what it needs.

    Attributes:
        system: The recipe's name, such as "genova2018".
        paper: Authors, title and DOI in one line.
        licence: One line that must travel with what is made with it.
        sources: What it was learned from, a line each.
        model: Digest of the face model whose codes it answers (`assets.person.digest`).
        crop: Pixels along a side of the picture that it sees.
        codes: Length of each code it answers.
        research: Learned from data that may be used for research only.
        margin: Side of the crop in sides of the face's box, where it is cut by the box.
        template: (5, 2) pixels of the crop to which eyes, nose tip and mouth corners are brought, where it is cut by them.
        facts: Anything else worth telling, by name: backbone, steps, command.
    """

    system: str
    paper: str
    licence: str
    sources: tuple[str, ...]
    model: str
    crop: int
    codes: Mapping[str, int]
    research: bool = False
    margin: float | None = None
    template: tuple[tuple[float, float], ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def notice(self) -> str:
        """The line for files made with it."""
        use = " Learned from research data: research use only." if self.research else ""
        return f"Face codes by a network trained as in {self.paper}. Weights: {self.licence}.{use}"


def to_metadata(card: Card) -> dict[str, str]:
    """The entries of an ONNX file's metadata."""
    document = {"format": FORMAT, "version": VERSION, **asdict(card)}
    return {
        "likeness.kind": KIND, "likeness.card": json.dumps(document), "licence": card.licence,
        "sources": "; ".join(card.sources),
    }  # fmt: skip


def from_metadata(entries: Mapping[str, str], path: Path) -> Card:
    """The card of a file's metadata.

    Raises:
        AssetError: When there is none, it is damaged, or newer than this program.
    """
    try:
        document = opened(entries["likeness.card"].encode(), str(path), FORMAT, VERSION)
        template = document["template"]
        return Card(
            system=str(document["system"]), paper=str(document["paper"]), licence=str(document["licence"]),
            sources=tuple(map(str, document["sources"])), model=str(document["model"]), crop=int(document["crop"]),
            codes={str(name): int(length) for name, length in document["codes"].items()},
            research=bool(document["research"]),
            margin=None if document["margin"] is None else float(document["margin"]),
            template=None if template is None else tuple((float(x), float(y)) for x, y in template),
            facts=dict(document["facts"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AssetError(f"{path} is no trained system of Likeness, or it is damaged ({error!r})") from None


class Graph:
    """A trained system's graph in an ONNX Runtime session of one thread, and its card.

    Args:
        path: The file.

    Raises:
        AssetError: When the file is missing, damaged or something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.session = open_session(self.path, KIND)
        self.card = from_metadata(self.session.get_modelmeta().custom_metadata_map, self.path)
        self.outputs = [node.name for node in self.session.get_outputs()]

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name, without the batch dimension, of a crop (S, S, 3) uint8 sRGB."""
        return {name: values[0] for name, values in zip(self.outputs, self.session.run(None, {"image": image[None]}))}

    def check(self, model: Builtin, albedo: AlbedoModel) -> None:
        """Refuse a system whose codes belong to other models than these.

        Raises:
            AssetError: When they do.
        """
        lengths = {"identity": len(model.identity), "expression": len(model.expression), "albedo": albedo.codes}
        wrong = [name for name, length in self.card.codes.items() if lengths.get(name, length) != length]
        if self.card.model != digest(model) or wrong:
            raise AssetError(
                f"{self.path} was trained with another version of the face model; train and export it again"
            )
