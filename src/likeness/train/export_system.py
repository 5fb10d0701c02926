"""From a trained recipe to the one file with which `likeness reconstruct --system` runs it, without PyTorch.

Everything is stored in 8 bits, or in 16 where it is small; the face and albedo models, which ship, stay outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from likeness.assets.builtin import Builtin
from likeness.assets.person import digest
from likeness.encoders import camera
from likeness.encoders.parameters import ParameterNetwork
from likeness.encoders.pretrained import NOTICE
from likeness.encoders.recognition.interface import Recognition
from likeness.geometry.sparse import Sparse
from likeness.models.multilevel import MultilevelModel
from likeness.photos.crop import MARGIN
from likeness.photos.crop import SIZE as CROP
from likeness.runtime.systems import genova2018, tewari2018
from likeness.runtime.systems.card import Card, to_metadata
from likeness.train.graphs import compress, finish, trace

PAPERS = {
    genova2018.NAME: 'Genova et al. 2018, "Unsupervised training for 3D morphable model regression", 10.1109/CVPR.2018.00874',
    tewari2018.NAME: 'Tewari et al. 2018, "Self-supervised multi-level face model learning for monocular reconstruction at over '
    '250 Hz", 10.1109/CVPR.2018.00270',
}  # fmt: skip
LICENCE = "Apache-2.0; face model derived from ICT Face Model Light (MIT)"
"""Of weights learned from sets that allow it."""


class GenovaGraph(nn.Module):
    """An aligned crop uint8 (1, S, S, 3) to codes, through a recognition network.

    Args:
        decoder: Features (B, F) to identity and albedo codes, as `encoders.feature_decoder`.
    """

    def __init__(self, recogniser: Recognition, decoder: nn.Module) -> None:
        super().__init__()
        self.recogniser, self.decoder = recogniser, decoder

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        identity, albedo = self.decoder(self.recogniser(image.permute(0, 3, 1, 2).float() / 255))
        return identity, albedo


def export_genova(
    recogniser: Recognition, decoder: nn.Module, model: Builtin, path: Path, sources: Sequence[str], research: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Card:  # fmt: skip
    """Write the system of Genova et al. 2018; see `runtime.systems.genova2018`.

    Args:
        model: The face model whose codes are answered, the one that ships.
        sources: What decoder and recognition network were learned from, a line each.
        research: Whether any of it may be used for research only; a network of others counts by its licence.
        facts: What else the file should tell: steps, command.
    """
    graph = GenovaGraph(recogniser, decoder).eval()
    size = recogniser.size
    image = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    with torch.no_grad():
        codes = {name: values.shape[-1] for name, values in zip(("identity", "albedo"), graph(image))}
    card = Card(
        genova2018.NAME, PAPERS[genova2018.NAME], f"{LICENCE}; recognition network {recogniser.name}: {recogniser.licence}",
        tuple(sources), digest(model), size, codes, research,
        template=tuple((round(float(x), 4), round(float(y), 4)) for x, y in recogniser.template.tolist()),
        facts=dict(facts or {}),
    )  # fmt: skip
    _write(graph, image, list(codes), card, path)
    return card


class TewariGraph(nn.Module):
    """A crop uint8 (1, S, S, 3) to what `runtime.systems.tewari2018` lists, of both levels.

    Args:
        network: Crop -> `encoders.parameters.Parameters`.
        model: `models.multilevel.MultilevelModel`.
        size: S.
    """

    def __init__(self, network: ParameterNetwork, model: MultilevelModel, size: int) -> None:
        super().__init__()
        self.network, self.model, self.size = network, model, size
        self.upsampling = Upsampling(model.geometry.upsampling)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found = self.network(image)
        view = camera.to_view(found.camera, self.size)
        geometry = self.upsampling(self.model.geometry.nodes(found.geometry))
        reflectance = self.model.reflectance.texture(found.reflectance)
        codes = (found.identity, found.expression, found.albedo)
        return *codes, geometry, reflectance, view.rotation, view.translation, view.focal, found.light


def export_tewari(
    network: ParameterNetwork, model: MultilevelModel, face: Builtin, path: Path, sources: Sequence[str],
    research: bool = False, facts: Mapping[str, Any] | None = None,
) -> Card:  # fmt: skip
    """Write the system of Tewari et al. 2018; see `runtime.systems.tewari2018`.

    Args:
        network, model: Of the trained recipe.
        face: The face model whose codes are answered, the one that ships.
        sources: What it was learned from, a line each.
        research: Whether any of it may be used for research only.
        facts: What else the file should tell: kind of correctives, steps, command.
    """
    graph = TewariGraph(network, model, CROP).eval()
    codes = {
        name: network.heads[name].out_features
        for name in ("identity", "expression", "albedo", "geometry", "reflectance")
    }
    name, facts = tewari2018.NAME, dict(facts or {})
    licence = f"{LICENCE}; {NOTICE}" if network.backbone.input.used else LICENCE
    card = Card(
        name, PAPERS[name], licence, tuple(sources), digest(face), CROP, codes, research, margin=MARGIN, facts=facts
    )
    _write(graph, torch.zeros(1, CROP, CROP, 3, dtype=torch.uint8), tewari2018.ANSWERS, card, path)
    return card


def _write(graph: nn.Module, image: Tensor, outputs: Sequence[str], card: Card, path: Path) -> None:
    """Trace, compress, and write with the card."""
    path.parent.mkdir(parents=True, exist_ok=True)
    traced = trace(graph, (image,), ["image"], outputs, path)
    compress(traced, small=True)
    finish(traced, path, to_metadata(card))


class Upsampling(nn.Module):
    """A sparse matrix from nodes to vertices that an exported graph can apply: rows of few entries are gathered, and the
    different ones among the longer rows, those of pieces that move as wholes, are a small full matrix.

    Args:
        matrix: (V, G).
        few: Entries of a short row.
    """

    def __init__(self, matrix: Sparse, few: int = 4) -> None:
        super().__init__()
        counts = np.bincount(matrix.rows, minlength=matrix.shape[0])
        starts = np.concatenate([[0], np.cumsum(counts)])
        short, long = np.flatnonzero(counts <= few), np.flatnonzero(counts > few)
        place = starts[short, None] + np.minimum(np.arange(few), np.maximum(counts[short, None] - 1, 0))
        there = np.arange(few) < counts[short, None]
        place = np.minimum(place, len(matrix.values) - 1)
        full = np.zeros((len(long), matrix.shape[1]), np.float32)
        for row, vertex in zip(full, long):
            entries = slice(starts[vertex], starts[vertex + 1])
            row[matrix.columns[entries]] = matrix.values[entries]
        wholes, which = np.unique(full, axis=0, return_inverse=True)
        order = np.empty(matrix.shape[0], np.int64)
        order[short], order[long] = np.arange(len(short)), len(short) + which.ravel()
        arrays = {
            "columns": np.where(there, matrix.columns[place], 0).astype(np.int16), "order": order.astype(np.int16),
            "weights": np.where(there, matrix.values[place], 0).astype(np.float32)[..., None], "wholes": wholes,
        }  # fmt: skip
        for name, values in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)), persistent=False)

    def forward(self, nodes: Tensor) -> Tensor:
        """(1, G, 3) -> (1, V, 3)."""
        near = (nodes[0, self.columns.long()] * self.weights).sum(1)
        return torch.cat([near, self.wholes @ nodes[0]])[self.order.long()][None]
