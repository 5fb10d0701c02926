"""Photos a second of `likeness label`: `python benchmarks/label.py FOLDER [--count 256] [--threads 2]`.

The folder's landmarks lie beside it (`<folder>.landmarks478.npz`); a part of its photos is labelled from these, and again
from what finder and landmark network see. Wall-clock time of whole runs, the fastest of several, since other work disturbs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from likeness.assets import builtin, correspondence
from likeness.cli.landmarks import measured
from likeness.fit.bases import builtin_bases
from likeness.fit.label import Given, Source, label
from likeness.fit.landmarks import FitConfig


def seconds(source: Source, threads: int, rounds: int) -> float:
    """The fastest of several runs over the source's photos."""
    bases, best = builtin_bases(builtin.load(), correspondence.read()), float("inf")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as output:
            start = time.perf_counter()
            label(source, Path(output), bases, FitConfig(), threads=threads)
            best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name, source in (("given", Given(options.folder)), ("measured", measured(options.folder, options.points))):
        source.names = source.names[: options.count]
        taken = seconds(source, options.threads, options.rounds)
        print(f"{name:9} {len(source.names)} photos, {len(source.names) / taken:6.1f} a second")


if __name__ == "__main__":
    main()
