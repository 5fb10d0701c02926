"""Photos a second of `likeness label`: `python benchmarks/label.py FOLDER [--count 256] [--threads 2]`.

The folder's landmarks lie beside it (`<folder>.landmarks478.npz`); a part of its photos is labelled from these, and again
from what finder and landmark network see. Time of whole runs, the fastest of several: by the clock, which other work on the
machine slows down, and of the processor, which is what one core alone would take.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from likeness.assets import builtin, correspondence
from likeness.cli.landmarks import measured
from likeness.fit.landmarks.bases import builtin_bases
from likeness.fit.landmarks.label import Given, Source, label
from likeness.fit.landmarks.solver import FitConfig


def seconds(source: Source, threads: int, rounds: int) -> tuple[float, float]:
    """By the clock and of the processor, each the least of several runs over the source's photos."""
    bases, taken = builtin_bases(builtin.load(), correspondence.read()), []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as output:
            start = time.perf_counter(), time.process_time()
            label(source, Path(output), bases, FitConfig(), threads=threads)
            taken.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return min(clock for clock, _ in taken), min(processor for _, processor in taken)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)  # as the command does
    for name, source in (("given", Given(options.folder)), ("measured", measured(options.folder, options.points))):
        source.names = source.names[: options.count]
        count = len(source.names)
        clock, processor = seconds(source, options.threads, options.rounds)
        print(f"{name:9} {count} photos, {count / clock:6.1f} a second, {count / processor:6.1f} a second of one core")


if __name__ == "__main__":
    main()
