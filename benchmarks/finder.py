"""Time of the face finder on one thread, from photo to boxes: `python benchmarks/finder.py`.

Prints the median, the quickest and the 90th percentile in milliseconds, with scaling, network and decoding, and the share
of the network. The machine should be idle; the quickest time is what the machine can do when it is not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from likeness.photos.detect import cut, tiles
from likeness.runtime.detect import Finder

RUNS = 200


def clock(work: Callable[[], object]) -> list[float]:
    """Milliseconds of `RUNS` runs, sorted; the first twenty are thrown away."""
    times = []
    for _ in range(RUNS + 20):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1e3)
    return sorted(times[20:])


def main() -> None:
    """Print one row per picture size."""
    cv2.setNumThreads(1)
    finder = Finder()
    random = np.random.default_rng(0)
    print("picture      median   min   p90   network alone (median, min)")
    for height, width, min_face in ((640, 640, 40.0), (480, 640, 40.0), (1080, 1920, 40.0), (480, 640, 20.0)):
        image = cv2.resize(random.integers(0, 256, (height // 16, width // 16, 3), np.uint8), (width, height))
        whole = clock(lambda: finder.find(image, min_face))
        window = cut(image, tiles((height, width))[0])[None]
        network = clock(lambda: finder.session.run(None, {"image": window}))
        note = f"  min_face {min_face:g}" if min_face != 40 else ""
        print(f"{width:4d} x {height:4d}  {statistics.median(whole):6.2f} {whole[0]:6.2f} {whole[int(0.9 * RUNS)]:6.2f}"
              f"   {statistics.median(network):6.2f} {network[0]:6.2f}{note}")


if __name__ == "__main__":
    main()
