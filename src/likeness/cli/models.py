"""`likeness models`: what ships, from what it was learned, under which licence."""

from __future__ import annotations

from dataclasses import dataclass

from likeness.cli.main import show


@dataclass(frozen=True)
class Models:
    """List the files of numbers inside the package, with their licences, sources and makers."""

    digests: bool = False
    """Print each file's SHA-256 too."""


def models(config: Models) -> int:
    """Print the catalogue; returns 6 when a file is missing, else 0."""
    from likeness.assets.catalogue import SHIPPED, SOURCES, digest
    from likeness.errors import AssetError

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
    return AssetError.exit_code if missing else 0
