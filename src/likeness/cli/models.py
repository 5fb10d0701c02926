"""`likeness models`: what ships, what can be read, under which licences; `likeness models FILE`: what a face model holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from likeness.cli.main import show


@dataclass(frozen=True)
class Models:
    """List the files of numbers inside the package and the face models that can be read, or describe one of those."""

    file: tyro.conf.Positional[Path | None] = None
    """A face model of others: a file, or a checkout of ICT-FaceKit; or a trained system, an .onnx file."""
    digests: bool = False
    """Print the SHA-256 of each file that ships too."""


def models(config: Models) -> int:
    """Print the catalogue, or what a file holds; returns 6 when a file that ships is missing, else 0."""
    from likeness.assets.catalogue import SHIPPED, SOURCES, digest
    from likeness.errors import AssetError

    if config.file is not None and config.file.suffix == ".onnx":
        _describe_system(config.file)
        return 0
    if config.file is not None:
        from likeness.assets import readable

        _describe(readable.read(config.file))
        return 0
    missing = False
    for name, entry in SHIPPED.items():
        there = entry.path().is_file()
        missing |= not there
        size = f"{entry.path().stat().st_size / 1e6:.2f} MB" if there else "MISSING"
        show(f"{name}: {entry.what}")
        show(f"  file     {entry.file}, {size}")
        show(f"  licence  {entry.licence}")
        show(f"  learned  from {'; '.join(SOURCES[key].name for key in entry.sources)}")
        show(f"  made by  {entry.command}")
        if config.digests and there:
            show(f"  sha256   {digest(entry.path())}")
    show("\nSources:")
    for source in SOURCES.values():
        show(f"  {source.name}: {source.licence}; {source.origin}")
    _list_readable()
    return AssetError.exit_code if missing else 0


def _list_readable() -> None:
    """Face models of others, those first that may be used commercially."""
    from likeness.assets.catalogue import READABLE

    show(
        "\nFace models of others that can be read (none of them ships; `likeness models FILE` describes one that has a shape):"
    )
    for entry in sorted(READABLE.values(), key=lambda entry: not entry.commercial):
        show(f"  {entry.name}: {entry.files}")
        show(f"    licence  {entry.licence}")
        show(f"    from     {entry.origin}")


def _describe_system(path: Path) -> None:
    """Print what the file of a trained system says about itself."""
    from likeness.runtime.systems.card import Graph

    card = Graph(path).card
    show(f"{card.system}, a trained system (`likeness reconstruct --system {path}`)")
    show(f"  paper    {card.paper}")
    show(f"  licence  {card.licence}")
    show(
        f"  use      {'research only: it learned from data that allows no more' if card.research else 'as the licence says'}"
    )
    show(f"  learned  from {'; '.join(card.sources)}")
    show(
        f"  sees     {card.crop} x {card.crop} px, cut by {'five points' if card.template else 'the box of its landmarks'}"
    )
    show(f"  answers  {', '.join(f'{length} {name}' for name, length in card.codes.items())}")
    for name, value in card.facts.items():
        show(f"  {name:<8} {value}")


def _describe(model: Any) -> None:
    """Print what a face model holds, in our units."""
    size = (model.mean.max(0) - model.mean.min(0)).round(1)
    triangles = (model.faces[:, 3] < 0).sum()
    show(model.name)
    show(f"  licence      {model.licence}")
    show(f"  vertices     {len(model.mean)}, the mean is {size[0]:g} x {size[1]:g} x {size[2]:g} mm")
    show(f"  faces        {triangles} triangles, {len(model.faces) - triangles} quads")
    show(f"  identity     {_modes(model.identity)}")
    show(f"  expression   {_modes(model.expression)}, codes are {model.expression_unit}s")
    for name, colors in (("albedo", model.albedo), ("specular", model.specular)):
        if colors is not None:
            show(f"  {name:<12} {len(colors.modes)} modes, {colors.encoding}")
    if model.landmarks68 is not None:
        show(f"  landmarks    {(model.landmarks68 >= 0).sum()} of the 68")
    if model.skeleton is not None:
        show(f"  joints       {', '.join(model.skeleton.names)}")
    for note in model.notes:
        show(f"  note         {note}")


def _modes(modes: Any) -> str:
    """How many modes, and how far vertices lie from the mean when all codes are one, in the mean over vertices."""
    spread = float((modes**2).sum((0, 2)).mean() ** 0.5)
    return f"{len(modes)} modes, {spread:.2f} mm root mean square when every code is 1"
