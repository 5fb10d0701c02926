"""Time of the face finder on one thread, from photo to boxes: `python benchmarks/finder.py`.

Prints the median, the quickest and the 90th percentile in milliseconds, with scaling, network and decoding, and the
time of the network's first look alone. A photo with doubtful candidates costs a quarter of that for each second look;
noise is the worst case. The machine should be idle; the quickest time is what it can do when it is not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from skimage import data

from likeness.photos.detect import cut, tiles
from likeness.runtime.detect import Finder

RUNS = 100


def clock(work: Callable[[], object]) -> list[float]:
    """Milliseconds of `RUNS` runs, sorted; the first twenty are thrown away."""
    times = []
    for _ in range(RUNS + 20):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1e3)
    return sorted(times[20:])


def main() -> None:
    """Print one row per picture."""
    cv2.setNumThreads(1)
    finder = Finder()
    portrait = data.astronaut()[:300, 70:370]
    scene = data.astronaut()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    print("picture                  median    min    p90   first look alone (median, min)")
    for name, source, height, width, min_face in (
        ("portrait", portrait, 640, 640, 40.0),
        ("portrait", portrait[:225], 480, 640, 40.0),
        ("portrait", portrait[:169], 1080, 1920, 40.0),
        ("whole scene", scene, 640, 640, 40.0),
        ("nothing", noise[:1, :1], 640, 640, 40.0),
        ("noise", noise, 640, 640, 40.0),
        ("tiles of 20 px", portrait, 640, 640, 20.0),
    ):
        image = cv2.resize(source, (width, height), interpolation=cv2.INTER_CUBIC)
        whole = clock(partial(finder.find, image, min_face))
        window = cut(image, tiles((height, width))[0])[None]
        network = clock(partial(finder.session.run, None, {"image": window}))
        numbers = statistics.median(whole), whole[0], whole[int(0.9 * RUNS)]
        print(
            f"{name:14s} {width:4d}x{height:4d}"
            + "".join(f" {number:6.2f}" for number in numbers)
            + f"   {statistics.median(network):6.2f} {network[0]:6.2f}"
        )


if __name__ == "__main__":
    main()
